//! Sequences that columns own: how far they are, and moving them forward.
//!
//! Invariant: a sequence is never set back.

use model::QualifiedName;

use crate::{Client, Error, Row, Spelling, TableShape, session};

/// A sequence, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequencePosition {
    /// Its name.
    pub name: QualifiedName,
    /// The last value, or the first one to come.
    pub last_value: i64,
    /// Whether the last value was given out.
    pub is_called: bool,
}

/// A sequence that a column owns.
struct Owned {
    oid: u32,
    name: QualifiedName,
    column: String,
    descends: bool,
}

const OWNED: &str = "SELECT s.oid, n.nspname, s.relname, a.attname, q.seqincrement < 0 \
     FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S' \
     JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace \
     JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid \
     WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = d.classid \
       AND d.refobjid = $1::oid AND d.deptype IN ('a', 'i') ORDER BY 2, 3";

fn owned(client: &mut Client, table: &TableShape) -> Result<Vec<Owned>, Error> {
    let oid = table.oid.to_string();
    let read = |row: &Row| {
        Ok(Owned {
            oid: row.number(0)?,
            name: QualifiedName::new(row.text(1)?, row.text(2)?),
            column: row.text(3)?.to_owned(),
            descends: row.is_true(4),
        })
    };
    session::in_utf8(client, |client| client.query(OWNED, &[Some(&oid)])?.iter().map(read).collect())
}

/// How far the sequences are that columns of `table` own.
pub fn sequence_positions(
    client: &mut Client,
    table: &TableShape,
    spelling: Spelling,
) -> Result<Vec<SequencePosition>, Error> {
    let mut positions = Vec::new();
    for Owned { name, .. } in owned(client, table)? {
        let sql = format!("SELECT last_value, is_called FROM {}", spelling.qualified(&name));
        let row = client.query_one(&sql, &[])?;
        positions.push(SequencePosition { name, last_value: row.number(0)?, is_called: row.is_true(1) });
    }
    Ok(positions)
}

/// Makes every sequence that a column of `table` owns go on behind the values of that column, and behind where it was in `positions`.
/// Returns the sequences that were moved.
pub fn advance_sequences(
    client: &mut Client,
    table: &TableShape,
    positions: &[SequencePosition],
    spelling: Spelling,
) -> Result<Vec<QualifiedName>, Error> {
    let mut moved = Vec::new();
    for Owned { oid, name, column, descends } in owned(client, table)? {
        let (end, beyond) = if descends { ("min", "<") } else { ("max", ">") };
        let mut candidates = vec![format!(
            "SELECT pg_catalog.{end}({})::pg_catalog.int8, true FROM {}",
            spelling.identifier(&column),
            table.from(spelling)
        )];
        for position in positions.iter().filter(|position| position.name == name) {
            candidates.push(format!("SELECT {}, {}", position.last_value, position.is_called));
        }
        let sequence = spelling.qualified(&name);
        let mut is_moved = false;
        for candidate in candidates {
            let sql = format!(
                "SELECT pg_catalog.setval({oid}::pg_catalog.oid::pg_catalog.regclass, used.last, used.is_called) \
                 FROM ({candidate}) used(last, is_called), {sequence} sequence WHERE used.last {beyond} sequence.last_value \
                   OR (used.last = sequence.last_value AND used.is_called AND NOT sequence.is_called)"
            );
            is_moved |= !client.query(&sql, &[])?.is_empty();
        }
        if is_moved {
            moved.push(name);
        }
    }
    Ok(moved)
}
