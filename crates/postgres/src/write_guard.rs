//! What the server does by itself when rows are written, for as long as rows of a backup are put in place: triggers that users made
//! are off, and foreign keys among the tables are, where it has to be, checked at the end.
//!
//! Invariant: everything is within the transaction of the caller and is as it was when [`WriteGuard::lift`] returns; a transaction that is
//! rolled back leaves no trace. The triggers of foreign keys stay on.
//!
//! Deliberately absent: `session_replication_role`, which would switch off foreign keys, too.

use model::QualifiedName;

use crate::staging::{Staged, Staging};
use crate::{Client, Error, Row, Spelling, TableShape, session};

/// A foreign key between two tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKeyLink {
    /// Its name.
    pub constraint: String,
    /// The table that refers.
    pub table: QualifiedName,
    /// The table that is referred to.
    pub referenced: QualifiedName,
    /// Its columns, those that they refer to, and the operator that compares the latter with the former.
    pub columns: Vec<(String, String, String)>,
    /// Whether it can be checked at the end of a transaction.
    pub deferrable: bool,
    /// What happens to rows that refer to one that is deleted, where that is more than a refusal: `CASCADE`, `SET NULL`, `SET DEFAULT`.
    pub on_delete: Option<&'static str>,
    /// The same for one that is changed.
    pub on_update: Option<&'static str>,
}

/// Every foreign key that one of `tables` has, or that refers to one of them; those of partitions are those of the tables at the top.
pub fn foreign_key_links(client: &mut Client, tables: &[&TableShape]) -> Result<Vec<ForeignKeyLink>, Error> {
    let oids = oids(tables);
    session::in_utf8(client, |client| client.query(LINKS, &[Some(&oids)])?.iter().map(read_link).collect())
}

const LINKS: &str = "
    WITH tables AS (SELECT oid FROM unnest($1::oid[]) given(oid)
      UNION SELECT pg_catalog.pg_partition_root(given.oid)::oid FROM unnest($1::oid[]) given(oid))
    SELECT k.conname, n.nspname, c.relname, rn.nspname, r.relname, k.condeferrable, k.confdeltype, k.confupdtype,
      (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attname, b.attname,
           pg_catalog.format('OPERATOR(%I.%s)', opn.nspname, o.oprname)) ORDER BY x.place)
         FROM unnest(k.conkey, k.confkey, k.conpfeqop) WITH ORDINALITY x(key, referenced, operator, place)
         JOIN pg_catalog.pg_operator o ON o.oid = x.operator JOIN pg_catalog.pg_namespace opn ON opn.oid = o.oprnamespace
         JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = x.key
         JOIN pg_catalog.pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = x.referenced)
    FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_catalog.pg_class r ON r.oid = k.confrelid JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
    WHERE k.contype = 'f' AND k.conparentid = 0 AND (c.oid IN (SELECT oid FROM tables) OR r.oid IN (SELECT oid FROM tables))
    ORDER BY n.nspname, c.relname, k.conname";

/// The OIDs as an array in SQL.
fn oids(tables: &[&TableShape]) -> String {
    let oids: Vec<String> = tables.iter().map(|table| table.oid.to_string()).collect();
    format!("{{{}}}", oids.join(","))
}

fn read_link(row: &Row) -> Result<ForeignKeyLink, Error> {
    let columns = serde_json::from_str(row.text(8)?)
        .map_err(|error| Error::Unexpected { problem: format!("columns of a foreign key: {error}") })?;
    Ok(ForeignKeyLink {
        constraint: row.text(0)?.to_owned(),
        table: QualifiedName::new(row.text(1)?, row.text(2)?),
        referenced: QualifiedName::new(row.text(3)?, row.text(4)?),
        columns,
        deferrable: row.is_true(5),
        on_delete: action(row.text(6)?),
        on_update: action(row.text(7)?),
    })
}

fn action(letter: &str) -> Option<&'static str> {
    match letter {
        "c" => Some("CASCADE"),
        "n" => Some("SET NULL"),
        "d" => Some("SET DEFAULT"),
        _ => None,
    }
}

impl ForeignKeyLink {
    /// Rows of the table that refers which the server would change by itself, were the staged rows written: the number.
    pub fn dragged_along(
        &self,
        client: &mut Client,
        staging: &Staging<'_>,
        staged: Staged,
        spelling: Spelling,
    ) -> Result<u64, Error> {
        let pairs = self.columns.iter();
        let refers: Vec<String> = pairs
            .map(|(column, referenced, operator)| {
                let (column, referenced) = (spelling.identifier(column), spelling.identifier(referenced));
                format!("live.{referenced} {operator} child.{column}")
            })
            .collect();
        let changes: Vec<String> = self
            .columns
            .iter()
            .filter_map(|(_, referenced, _)| {
                let staged = staging.staged_column(referenced)?;
                Some(format!("live.{} IS DISTINCT FROM {staged}", spelling.identifier(referenced)))
            })
            .collect();
        let condition = match staged {
            Staged::Update if changes.is_empty() => return Ok(0),
            Staged::Update => format!("({})", changes.join(" OR ")),
            Staged::Insert | Staged::Delete => "true".to_owned(),
        };
        let sql = format!(
            "SELECT pg_catalog.count(*) FROM {} child WHERE EXISTS (SELECT FROM {} WHERE {condition} AND {})",
            spelling.qualified(&self.table),
            staging.touched(staged),
            refers.join(" AND "),
        );
        client.query_one(&sql, &[])?.number(0)
    }
}

/// A trigger that a user made, and when it fires.
#[derive(Debug)]
struct Trigger {
    table: QualifiedName,
    name: String,
    enabled: &'static str,
}

/// Triggers that are off and foreign keys that wait.
#[derive(Debug)]
pub struct WriteGuard {
    triggers: Vec<Trigger>,
    deferred: Vec<ForeignKeyLink>,
    spelling: Spelling,
}

impl WriteGuard {
    /// Switches off the triggers of `tables` and of their partitions, with `SHARE ROW EXCLUSIVE` locks; the role must own the tables that have
    /// triggers. What can be checked at the end is checked then.
    pub fn raise(client: &mut Client, tables: &[&TableShape], spelling: Spelling) -> Result<Self, Error> {
        let triggers = triggers(client, tables)?;
        for Trigger { table, name, .. } in &triggers {
            let (table, name) = (spelling.qualified(table), spelling.identifier(name));
            client.execute(&format!("ALTER TABLE ONLY {table} DISABLE TRIGGER {name}"))?;
        }
        client.execute("SET CONSTRAINTS ALL DEFERRED")?;
        Ok(Self { triggers, deferred: Vec::new(), spelling })
    }

    /// Has those of `links` that are between two of `tables` checked at the end, too, until the guard is lifted. This takes
    /// `ACCESS EXCLUSIVE` locks on the tables, so that nobody can read them until the transaction ends; the role must own them.
    pub fn defer(
        &mut self,
        client: &mut Client,
        tables: &[&TableShape],
        links: &[ForeignKeyLink],
    ) -> Result<(), Error> {
        self.deferred = waiting(tables, links).cloned().collect();
        self.alter_keys(client, "DEFERRABLE INITIALLY DEFERRED")
    }

    /// Those of `tables` that the role has to own for [`WriteGuard::raise`], and does not.
    pub fn needs_owner(client: &mut Client, tables: &[&TableShape]) -> Result<Vec<QualifiedName>, Error> {
        let triggers = triggers(client, tables)?;
        let has_trigger = |table: &&&TableShape| triggers.iter().any(|trigger| trigger.table == table.name);
        let unowned = tables.iter().filter(|table| !table.owned).filter(has_trigger);
        Ok(unowned.map(|table| table.name.clone()).collect())
    }

    /// Checks every foreign key that waits: the error names the first that does not hold.
    pub fn check(&self, client: &mut Client) -> Result<(), Error> {
        client.execute("SET CONSTRAINTS ALL IMMEDIATE")
    }

    /// Makes everything as it was, after [`WriteGuard::check`].
    pub fn lift(self, client: &mut Client) -> Result<(), Error> {
        self.alter_keys(client, "NOT DEFERRABLE")?;
        for Trigger { table, name, enabled } in &self.triggers {
            let (table, name) = (self.spelling.qualified(table), self.spelling.identifier(name));
            client.execute(&format!("ALTER TABLE ONLY {table} {enabled} TRIGGER {name}"))?;
        }
        Ok(())
    }

    /// How many triggers are off.
    pub fn triggers(&self) -> usize {
        self.triggers.len()
    }

    fn alter_keys(&self, client: &mut Client, how: &str) -> Result<(), Error> {
        for link in &self.deferred {
            let (table, name) =
                (self.spelling.qualified(&link.table), self.spelling.identifier(&link.constraint));
            client.execute(&format!("ALTER TABLE {table} ALTER CONSTRAINT {name} {how}"))?;
        }
        Ok(())
    }
}

/// The foreign keys between two of `tables` that have to be told to wait.
fn waiting<'a>(
    tables: &'a [&TableShape],
    links: &'a [ForeignKeyLink],
) -> impl Iterator<Item = &'a ForeignKeyLink> {
    let is_chosen = |name: &QualifiedName| tables.iter().any(|table| table.name == *name);
    links.iter().filter(move |link| !link.deferrable && is_chosen(&link.table) && is_chosen(&link.referenced))
}

/// The triggers that users made on `tables` and their partitions, and that are on.
fn triggers(client: &mut Client, tables: &[&TableShape]) -> Result<Vec<Trigger>, Error> {
    let oids = oids(tables);
    let sql = "SELECT n.nspname, c.relname, t.tgname, t.tgenabled \
         FROM unnest($1::oid[]) wanted(oid), LATERAL (SELECT wanted.oid UNION SELECT relid::oid \
           FROM pg_catalog.pg_partition_tree(wanted.oid)) tree(oid) \
         JOIN pg_catalog.pg_trigger t ON t.tgrelid = tree.oid JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3";
    session::in_utf8(client, |client| {
        let rows = client.query(sql, &[Some(&oids)])?;
        rows.iter()
            .map(|row| {
                Ok(Trigger {
                    table: QualifiedName::new(row.text(0)?, row.text(1)?),
                    name: row.text(2)?.to_owned(),
                    enabled: match row.text(3)? {
                        "A" => "ENABLE ALWAYS",
                        "R" => "ENABLE REPLICA",
                        _ => "ENABLE",
                    },
                })
            })
            .collect()
    })
}
