//! What a table is like, as far as its rows are compared with those of the same table in another database, and replaced by them.
//!
//! Invariant: a column that is generated is never among those that are compared or written; a key is one that the server itself
//! holds unique and free of NULL.
//!
//! Deliberately absent: rows.

use std::collections::BTreeSet;

use model::QualifiedName;

use crate::{Client, Error, Row, Spelling, session};

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableShape {
    /// Its OID.
    pub oid: u32,
    /// Its name.
    pub name: QualifiedName,
    /// Whether its rows are in its partitions.
    pub partitioned: bool,
    /// Whether the role may change its definition.
    pub owned: bool,
    /// The table that it is a partition of, at the top.
    pub root: Option<QualifiedName>,
    /// Its columns, in order.
    pub columns: Vec<ColumnShape>,
    /// The columns of each key, the primary key first.
    pub keys: Vec<Vec<String>>,
    /// Its rules on writing, which would take the place of what is written.
    pub rules: Vec<String>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnShape {
    /// Its name.
    pub name: String,
    /// Its type, as in SQL.
    pub sql_type: String,
    /// How values of it are ordered, and so compared as parts of a key.
    pub order: ColumnOrder,
    /// Whether it is computed from others.
    pub generated: bool,
    /// Whether it is an identity that refuses values of others (`GENERATED ALWAYS AS IDENTITY`).
    pub identity_always: bool,
    /// Whether it refuses NULL.
    pub not_null: bool,
}

/// How the values of a column are ordered. The order is the same on every server, whatever its collations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnOrder {
    /// As whole numbers, as the server itself orders them.
    Number,
    /// By the bytes of their text, as the server itself orders them.
    Bytes,
    /// By the bytes of their text, which the server has to be told.
    Text,
    /// The same for decimal numbers: by their text without zeros at the end, for 1.0 is 1.00.
    Decimal,
    /// The same for floating point numbers, of which minus zero is zero.
    Float,
    /// The same for text that is filled up with blanks, which mean nothing.
    Padded,
}

impl ColumnOrder {
    /// The expression that is both read and ordered by.
    fn expression(self, column: &str) -> String {
        match self {
            Self::Number | Self::Bytes => column.to_owned(),
            // What COPY would write: the output function of the type, and not a cast that somebody made.
            Self::Text => format!("pg_catalog.concat({column}) COLLATE pg_catalog.\"C\""),
            Self::Decimal => {
                format!("pg_catalog.concat(pg_catalog.trim_scale({column})) COLLATE pg_catalog.\"C\"")
            }
            Self::Float => format!("pg_catalog.concat({column} + 0) COLLATE pg_catalog.\"C\""),
            Self::Padded => format!("({column})::pg_catalog.text COLLATE pg_catalog.\"C\""),
        }
    }

    /// The order that two databases share, where each has its own type for a column.
    #[must_use]
    pub fn shared(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            // A number has no zeros at its end to take away.
            (Self::Number, Self::Decimal) | (Self::Decimal, Self::Number) => Self::Decimal,
            _ => Self::Text,
        }
    }
}

/// How the rows of a table are read, in the order of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderedRows<'a> {
    /// The table.
    pub shape: &'a TableShape,
    /// The columns of the key, with their order. Without any, rows are known by the hash of all that is read.
    pub key: &'a [(String, ColumnOrder)],
    /// The columns that are read.
    pub columns: &'a [String],
    /// Whether the place of the row (`tableoid`, `ctid`) is read behind them.
    pub with_place: bool,
    /// How names are written.
    pub spelling: Spelling,
}

impl OrderedRows<'_> {
    /// Fields in front of the columns.
    pub fn key_fields(&self) -> usize {
        self.key.len().max(1)
    }

    /// `COPY … TO STDOUT`: the key, the columns, the place.
    pub fn copy_out_sql(&self) -> String {
        let column = |name: &String| self.spelling.identifier(name);
        let mut fields: Vec<String> = if self.key.is_empty() {
            vec![self.digest()]
        } else {
            self.key.iter().map(|(name, order)| order.expression(&column(name))).collect()
        };
        let order: Vec<String> = (1..=fields.len()).map(|field| field.to_string()).collect();
        fields.extend(self.columns.iter().map(column));
        if self.with_place {
            fields.extend(["tableoid".to_owned(), "ctid".to_owned()]);
        }
        let (fields, order) = (fields.join(", "), order.join(", "));
        format!("COPY (SELECT {fields} FROM {} ORDER BY {order}) TO STDOUT", self.shape.from(self.spelling))
    }

    /// `COPY … TO STDOUT` of the columns alone, in whatever order.
    pub fn unordered_copy_out_sql(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|name| self.spelling.identifier(name)).collect();
        format!("COPY (SELECT {} FROM {}) TO STDOUT", columns.join(", "), self.shape.from(self.spelling))
    }

    /// What stands for a row without a key: a hash of everything in it, as the output functions of its types write it.
    fn digest(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|name| self.spelling.identifier(name)).collect();
        format!(
            "pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(ROW({})::pg_catalog.text, \
             pg_catalog.getdatabaseencoding())), 'hex') COLLATE pg_catalog.\"C\"",
            columns.join(", ")
        )
    }
}

impl TableShape {
    /// The table in a `FROM`: with its partitions, and without children that only inherit its columns.
    pub fn from(&self, spelling: Spelling) -> String {
        let only = if self.partitioned { "" } else { "ONLY " };
        format!("{only}{}", spelling.qualified(&self.name))
    }

    /// The names of the columns that hold values of their own.
    pub fn stored_columns(&self) -> impl Iterator<Item = &ColumnShape> {
        self.columns.iter().filter(|column| !column.generated)
    }

    /// A column by its name.
    pub fn column(&self, name: &str) -> Option<&ColumnShape> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// The tables of these names; those that are not there, or no tables, are not in the result.
pub fn table_shapes(client: &mut Client, names: &[QualifiedName]) -> Result<Vec<TableShape>, Error> {
    let wanted: Vec<[&str; 2]> =
        names.iter().map(|name| [name.schema.as_str(), name.name.as_str()]).collect();
    let wanted = serde_json::to_string(&wanted)
        .map_err(|error| Error::NotSendable { problem: format!("names of tables: {error}") })?;
    session::in_utf8(client, |client| {
        let rows = client.query(SHAPES, &[Some(&wanted)])?;
        rows.iter().map(read).collect()
    })
}

/// Every table that has rows of its own or in partitions, for finding one by its name.
pub fn table_names(client: &mut Client) -> Result<BTreeSet<QualifiedName>, Error> {
    session::in_utf8(client, |client| {
        let sql = "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' \
               AND n.nspname !~ '^pg_'";
        let rows = client.query(sql, &[])?;
        rows.iter().map(|row| Ok(QualifiedName::new(row.text(0)?, row.text(1)?))).collect()
    })
}

/// PostgreSQL documentation, chapter 53: `pg_class`, `pg_attribute`, `pg_index`, `pg_rewrite`. A key is an index that is unique,
/// valid, of plain columns that are all NOT NULL, and of all rows.
const SHAPES: &str = "
    WITH wanted AS (SELECT w ->> 0 AS schema, w ->> 1 AS name FROM pg_catalog.json_array_elements($1::json) w)
    SELECT c.oid, n.nspname, c.relname, c.relkind = 'p', pg_catalog.pg_has_role(c.relowner, 'USAGE'),
      (SELECT pg_catalog.json_build_array(rn.nspname, r.relname) FROM pg_catalog.pg_class r
         JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
         WHERE c.relispartition AND r.oid = pg_catalog.pg_partition_root(c.oid)),
      (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('name', a.attname,
           'sql_type', pg_catalog.format_type(a.atttypid, a.atttypmod),
           'type', pg_catalog.format_type(a.atttypid, NULL),
           'plain', coll.collname IN ('C', 'POSIX') AND coll.collnamespace = 'pg_catalog'::pg_catalog.regnamespace
             OR coll.collname = 'default' AND database.is_plain,
           'generated', a.attgenerated <> '', 'identity_always', a.attidentity = 'a', 'not_null', a.attnotnull)
           ORDER BY a.attnum), '[]')
         FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_collation coll ON coll.oid = a.attcollation
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
      (SELECT coalesce(pg_catalog.json_agg(k.columns ORDER BY k.rank, k.width, k.name), '[]') FROM (
         SELECT NOT i.indisprimary AS rank, i.indnkeyatts AS width, ic.relname AS name,
           (SELECT pg_catalog.json_agg(a.attname ORDER BY x.place) FROM unnest(i.indkey::int2[]) WITH ORDINALITY x(attnum, place)
              JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = x.attnum
              WHERE x.place <= i.indnkeyatts) AS columns
         FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
         WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
           AND NOT EXISTS (SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY x(attnum, place)
              JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = x.attnum
              WHERE x.place <= i.indnkeyatts AND (NOT a.attnotnull OR a.attgenerated <> ''))) k),
      (SELECT coalesce(pg_catalog.json_agg(w.rulename ORDER BY w.rulename), '[]') FROM pg_catalog.pg_rewrite w
         WHERE w.ev_class = c.oid AND w.ev_type IN ('2', '3', '4') AND w.ev_enabled <> 'D')
    FROM (SELECT d.datcollate IN ('C', 'POSIX') AND coalesce(pg_catalog.to_jsonb(d) ->> 'datlocprovider', 'c') = 'c' AS is_plain
         FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()) database, wanted
      JOIN pg_catalog.pg_namespace n ON n.nspname = wanted.schema
      JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    ORDER BY n.nspname, c.relname";

#[derive(serde::Deserialize)]
struct ListedColumn {
    name: String,
    sql_type: String,
    #[serde(rename = "type")]
    base: String,
    plain: Option<bool>,
    generated: bool,
    identity_always: bool,
    not_null: bool,
}

fn read(row: &Row) -> Result<TableShape, Error> {
    let columns: Vec<ListedColumn> = parse(row.text(6)?)?;
    let root: Option<(String, String)> = row.get(5).map(parse).transpose()?;
    Ok(TableShape {
        oid: row.number(0)?,
        name: QualifiedName::new(row.text(1)?, row.text(2)?),
        partitioned: row.is_true(3),
        owned: row.is_true(4),
        root: root.map(|(schema, name)| QualifiedName::new(schema, name)),
        columns: columns.into_iter().map(column).collect(),
        keys: parse(row.text(7)?)?,
        rules: parse(row.text(8)?)?,
    })
}

fn column(listed: ListedColumn) -> ColumnShape {
    let order = match listed.base.as_str() {
        "smallint" | "integer" | "bigint" | "oid" => ColumnOrder::Number,
        "uuid" => ColumnOrder::Bytes,
        "text" | "character varying" if listed.plain == Some(true) => ColumnOrder::Bytes,
        "numeric" => ColumnOrder::Decimal,
        "real" | "double precision" => ColumnOrder::Float,
        "character" => ColumnOrder::Padded,
        _ => ColumnOrder::Text,
    };
    ColumnShape {
        name: listed.name,
        sql_type: listed.sql_type,
        order,
        generated: listed.generated,
        identity_always: listed.identity_always,
        not_null: listed.not_null,
    }
}

fn parse<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, Error> {
    serde_json::from_str(json)
        .map_err(|error| Error::Unexpected { problem: format!("the description of a table: {error}") })
}
