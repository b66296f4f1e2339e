//! Values of sequences (PostgreSQL documentation, 9.17).

use model::{Item, QualifiedName};

use super::sql::Scope;
use super::{InventoryError, hash};
use crate::{Client, Spelling};

/// The class of items that hold the value of a sequence.
pub const SEQUENCE_VALUE: &str = "sequence value";

/// Sequences that are read in one statement, and locked by it.
const BATCH: usize = 500;

/// The item for a sequence's value, as `SELECT last_value, is_called FROM …` or `setval(…, last_value, is_called)` in a dump
/// says it.
///
/// `quoted_name` is the qualified name with quotes where SQL needs them, as in the item of its `sequence`.
pub fn sequence_value(quoted_name: &str, last_value: i64, is_called: bool) -> Item {
    Item {
        class: SEQUENCE_VALUE.into(),
        name: quoted_name.to_owned(),
        owner: String::new(),
        acl: String::new(),
        definition: hash(&[&last_value.to_string(), if is_called { "called" } else { "not called" }]),
    }
}

/// Values of all wanted sequences. A sequence can only be read by its name, so this takes a statement for each
/// [`BATCH`] of them; the locks of one are released before the next.
pub(super) fn values(client: &mut Client, scope: &Scope<'_>) -> Result<Vec<Item>, InventoryError> {
    let list = format!(
        "SELECT n.nspname, c.relname, format('%I.%I', n.nspname, c.relname) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
           LEFT JOIN pg_catalog.pg_depend o ON o.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
             AND o.objid = c.oid AND o.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND o.refobjsubid > 0 \
             AND o.deptype = 'i' \
         WHERE c.relkind = 'S' AND {} AND {} AND (o.objid IS NULL OR {}) ORDER BY c.oid",
        scope.relation(),
        scope.selection.data_sql("c.oid"),
        scope.selection.relation_sql("o.refobjid"),
    );
    let mut sequences = Vec::new();
    for row in client.query(&list, &[])? {
        let name = QualifiedName::new(row.text(0)?, row.text(1)?);
        sequences.push((Spelling::Plain.qualified(&name), row.text(2)?.to_owned()));
    }
    let mut items = Vec::with_capacity(sequences.len());
    for batch in sequences.chunks(BATCH) {
        let selects: Vec<String> = batch
            .iter()
            .enumerate()
            .map(|(i, (name, _))| format!("SELECT {i}, last_value, is_called FROM {name}"))
            .collect();
        client.execute("SAVEPOINT sequences")?;
        for row in client.query(&selects.join(" UNION ALL "), &[])? {
            if let Some((_, name)) = batch.get(row.number::<usize>(0)?) {
                items.push(sequence_value(name, row.number(1)?, row.is_true(2)));
            }
        }
        client.execute("ROLLBACK TO SAVEPOINT sequences; RELEASE SAVEPOINT sequences")?;
    }
    Ok(items)
}
