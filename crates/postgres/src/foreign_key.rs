//! Foreign keys, checked by hand.
//!
//! Invariant: the check reads the rows themselves and trusts no constraint, index or trigger: a foreign key that the server
//! calls valid may be violated (triggers disabled during a load, a damaged index), and a restore checks only what
//! it adds. A row counts as an orphan exactly when PostgreSQL would refuse it, with the operators and the collation of the
//! constraint (`ri_triggers.c`; PostgreSQL documentation, 5.4.5 and `CREATE TABLE`, "MATCH").

use model::{QualifiedName, quote_identifier};

use crate::{Client, Error, Row, session};

/// A foreign key with rows that refer to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKeyViolation {
    /// The table that refers.
    pub table: QualifiedName,
    /// The name of the constraint.
    pub constraint: String,
    /// The table that is referred to.
    pub referenced: QualifiedName,
    /// Rows that refer to nothing.
    pub rows: u64,
}

/// A foreign key that was not checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UncheckedForeignKey {
    /// The table that refers.
    pub table: QualifiedName,
    /// The name of the constraint.
    pub constraint: String,
    /// Why not.
    pub reason: UncheckedReason,
}

/// Why a foreign key was not checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UncheckedReason {
    /// It is `NOT VALID` or `NOT ENFORCED`: its rows may refer to nothing.
    NotValid,
    /// It is a `PERIOD` key (18 and later): what refers may be covered by several rows together.
    Period,
}

/// What a check of all foreign keys found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForeignKeyReport {
    /// Foreign keys that were checked.
    pub checked: u64,
    /// Those with rows that refer to nothing.
    pub violations: Vec<ForeignKeyViolation>,
    /// Those that were not checked.
    pub unchecked: Vec<UncheckedForeignKey>,
}

/// Checks every foreign key of the database that PostgreSQL would check for a new row. `client` has the fixed settings.
pub fn check_foreign_keys(client: &mut Client) -> Result<ForeignKeyReport, Error> {
    check(client, |_| true)
}

/// The same for those that one of `tables` has, or that refer to one of them.
pub fn check_foreign_keys_of(
    client: &mut Client,
    tables: &[QualifiedName],
) -> Result<ForeignKeyReport, Error> {
    check(client, |key| tables.contains(&key.table) || tables.contains(&key.referenced))
}

fn check(client: &mut Client, is_wanted: impl Fn(&ForeignKey) -> bool) -> Result<ForeignKeyReport, Error> {
    session::in_utf8(client, |client| {
        let mut report = ForeignKeyReport::default();
        for key in list(client)?.into_iter().filter(is_wanted) {
            if let Some(reason) = key.unchecked {
                let (table, constraint) = (key.table, key.constraint);
                report.unchecked.push(UncheckedForeignKey { table, constraint, reason });
                continue;
            }
            let rows = client.query_one(&key.orphans_sql(), &[])?.number(0)?;
            report.checked += 1;
            if rows > 0 {
                let (table, constraint, referenced) = (key.table, key.constraint, key.referenced);
                report.violations.push(ForeignKeyViolation { table, constraint, referenced, rows });
            }
        }
        Ok(report)
    })
}

/// One foreign key.
struct ForeignKey {
    table: QualifiedName,
    constraint: String,
    referenced: QualifiedName,
    /// Whether rows of the table are in its partitions.
    partitioned: bool,
    referenced_partitioned: bool,
    match_full: bool,
    unchecked: Option<UncheckedReason>,
    columns: Vec<Pair>,
}

/// A column and the one that it refers to. All but the names is SQL that the server made.
#[derive(serde::Deserialize)]
struct Pair {
    column: String,
    referenced: String,
    /// The operator with its schema.
    operator: String,
    /// What either side is cast to, where the operator takes one type.
    left_type: Option<String>,
    right_type: Option<String>,
    /// The collation of the referenced column, where it has one.
    collation: Option<String>,
}

impl Pair {
    fn comparison(&self) -> String {
        let side = |alias: &str, column: &str, cast: &Option<String>| {
            let cast = cast.as_ref().map_or(String::new(), |cast| format!("::{cast}"));
            format!("({alias}.{}){cast}", quote_identifier(column))
        };
        let collation = self.collation.as_ref().map_or(String::new(), |name| format!(" COLLATE {name}"));
        format!(
            "{} OPERATOR({}) {}{collation}",
            side("parent", &self.referenced, &self.left_type),
            self.operator,
            side("child", &self.column, &self.right_type)
        )
    }
}

impl ForeignKey {
    /// Counts the rows that refer to nothing. `ONLY`, as the constraint itself has it: a child of plain inheritance
    /// does not inherit a foreign key, and its rows cannot be referred to.
    fn orphans_sql(&self) -> String {
        let is = |what: &str, join: &str| {
            let tests: Vec<String> = self
                .columns
                .iter()
                .map(|c| format!("child.{} IS {what}", quote_identifier(&c.column)))
                .collect();
            tests.join(join)
        };
        let only = |partitioned: bool| if partitioned { "" } else { "ONLY " };
        let comparisons: Vec<String> = self.columns.iter().map(Pair::comparison).collect();
        let half = if self.match_full {
            format!(" OR (({}) AND ({}))", is("NULL", " OR "), is("NOT NULL", " OR "))
        } else {
            String::new()
        };
        format!(
            "SELECT count(*) FROM {}{} child WHERE (({}) AND NOT EXISTS (SELECT FROM {}{} parent WHERE {})){half}",
            only(self.partitioned),
            self.table.quoted(),
            is("NOT NULL", " AND "),
            only(self.referenced_partitioned),
            self.referenced.quoted(),
            comparisons.join(" AND "),
        )
    }
}

/// Foreign keys as they were declared: those of a partition that come from its parent are checked with the parent
/// (PostgreSQL documentation, 53.13 `pg_constraint`).
fn list(client: &mut Client) -> Result<Vec<ForeignKey>, Error> {
    let sql = "SELECT n.nspname, c.relname, k.conname, rn.nspname, r.relname, c.relkind = 'p', r.relkind = 'p', \
          k.confmatchtype = 'f', \
          NOT k.convalidated OR coalesce(to_jsonb(k) ->> 'conenforced' = 'false', false), \
          coalesce(to_jsonb(k) ->> 'conperiod' = 'true', false), \
          (SELECT json_agg(json_build_object('column', a.attname, 'referenced', b.attname, \
             'operator', format('%I.%s', opn.nspname, o.oprname), \
             'left_type', CASE WHEN lt.typtype <> 'p' THEN pg_catalog.format_type(lt.oid, -1) END, \
             'right_type', CASE WHEN rt.typtype <> 'p' THEN pg_catalog.format_type(rt.oid, -1) END, \
             'collation', nullif(b.attcollation, 0)::pg_catalog.regcollation::text) ORDER BY x.place) \
           FROM unnest(k.conkey, k.confkey, k.conpfeqop) WITH ORDINALITY x(key, referenced, operator, place) \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = x.key \
             JOIN pg_catalog.pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = x.referenced \
             JOIN pg_catalog.pg_operator o ON o.oid = x.operator \
             JOIN pg_catalog.pg_namespace opn ON opn.oid = o.oprnamespace \
             JOIN pg_catalog.pg_type lt ON lt.oid = o.oprleft JOIN pg_catalog.pg_type rt ON rt.oid = o.oprright) \
        FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid \
          JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_class r ON r.oid = k.confrelid \
          JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace \
        WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY n.nspname, c.relname, k.conname";
    client.query(sql, &[])?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<ForeignKey, Error> {
    Ok(ForeignKey {
        table: QualifiedName::new(row.text(0)?, row.text(1)?),
        constraint: row.text(2)?.to_owned(),
        referenced: QualifiedName::new(row.text(3)?, row.text(4)?),
        partitioned: row.is_true(5),
        referenced_partitioned: row.is_true(6),
        match_full: row.is_true(7),
        unchecked: match (row.is_true(8), row.is_true(9)) {
            (true, _) => Some(UncheckedReason::NotValid),
            (_, true) => Some(UncheckedReason::Period),
            _ => None,
        },
        columns: columns(row.text(10)?)?,
    })
}

fn columns(json: &str) -> Result<Vec<Pair>, Error> {
    serde_json::from_str(json)
        .map_err(|e| Error::Unexpected { problem: format!("columns of a foreign key: {e}") })
}
