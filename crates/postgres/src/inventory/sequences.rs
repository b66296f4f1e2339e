//! Values of sequences (PostgreSQL documentation, 9.17).

use std::collections::BTreeMap;

use model::{Inventory, Item, QualifiedName};

use super::sql::Scope;
use super::{InventoryError, hash};
use crate::archive::{Toc, TocEntry};
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

/// `inventory` with the values of sequences that an archive of `pg_dump` holds.
///
/// Sequences go on counting under a snapshot, and the archive reads them later than the inventory does; a restore
/// brings back what the archive read. A sequence of whose name the archive has no UTF-8 keeps its value.
pub fn with_dumped_sequence_values(inventory: &Inventory, toc: &Toc) -> Inventory {
    let dumped: BTreeMap<QualifiedName, (i64, bool)> = toc.entries.iter().filter_map(dumped_value).collect();
    let items = inventory.items().iter().map(|item| {
        let value = (item.class == SEQUENCE_VALUE).then(|| dumped.get(&unquoted(&item.name)?)).flatten();
        value.map_or_else(|| item.clone(), |&(value, called)| sequence_value(&item.name, value, called))
    });
    Inventory::new(items.collect())
}

/// The sequence of an entry and its value: `SELECT pg_catalog.setval('…', 42, true);`.
fn dumped_value(entry: &TocEntry) -> Option<(QualifiedName, (i64, bool))> {
    if entry.desc != "SEQUENCE SET" {
        return None;
    }
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    let name = QualifiedName::new(text(entry.namespace.as_ref()?)?, text(&entry.tag)?);
    let statement = text(entry.defn.as_ref()?)?;
    let mut arguments = statement.trim_end().strip_suffix(");")?.rsplitn(3, ", ");
    let (called, value) = (arguments.next()?, arguments.next()?);
    Some((name, (value.parse().ok()?, called.parse().ok()?)))
}

/// The name whose parts the server quoted where it had to.
fn unquoted(name: &str) -> Option<QualifiedName> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.next_if_eq(&'"').is_some() => parts.last_mut()?.push('"'),
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            _ => parts.last_mut()?.push(letter),
        }
    }
    let [schema, name] = <[String; 2]>::try_from(parts).ok()?;
    Some(QualifiedName::new(schema, name))
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
