//! The inventory of a database: every object that a dump brings back, with hashes of what it is.
//!
//! Invariant: a database and its exact restored copy have equal inventories, also where `pg_get_viewdef` and its kin word
//! an expression in another way after it went through a dump (see [`normal`]); and each class of objects takes one
//! query, however many objects there are. No OID and no column number is part of a definition.
//!
//! Architecture invariant: no secret is looked at. Options of user mappings and connections of subscriptions hold
//! passwords; their values are not part of an inventory, not even as a hash.
//!
//! Deliberately absent: where things are stored (tablespaces belong to the cluster), statistics of the planner, roles,
//! and whatever an extension brings by itself.
//!
//! A sequence has two items: `sequence`, its definition, and `sequence value`. Sequences are outside of all snapshots
//! (PostgreSQL documentation, 9.17), so the value in a dump of a busy database is later than the one seen here: compare
//! with the value that the dump itself holds ([`with_dumped_sequence_values`]).

mod database;
mod large_objects;
mod normal;
mod relations;
mod remarks;
mod routines;
mod sequences;
mod sql;
mod types;

use aws_lc_rs::digest::{Context, SHA256};
use model::{Filters, Inventory, Item};
use thiserror::Error as ThisError;

use self::sql::Scope;
use crate::filter::{self, FilterError};
use crate::{Client, Error, session};

pub use database::EXTENSION_VERSION;
pub use large_objects::{LargeObjects, read_large_objects};
pub use sequences::{SEQUENCE_VALUE, sequence_value, with_dumped_sequence_values};

/// The form of the inventories that this program takes. It goes up whenever the same database would get other items than
/// before: inventories of different versions are compared only in their [`common_part`].
pub const INVENTORY_VERSION: u32 = 1;

/// Why an inventory could not be taken.
#[derive(Debug, ThisError)]
pub enum InventoryError {
    /// The filters cannot be used.
    #[error("cannot tell which objects are wanted")]
    Filter(#[source] FilterError),
    /// A statement failed.
    #[error("cannot take the inventory")]
    Statement(#[source] Error),
    /// The server sent something that is no row of a large object.
    #[error("cannot read what the server sent of large object {object}")]
    LargeObject {
        /// Its OID.
        object: String,
    },
}

impl From<Error> for InventoryError {
    fn from(error: Error) -> Self {
        Self::Statement(error)
    }
}

impl From<FilterError> for InventoryError {
    fn from(error: FilterError) -> Self {
        Self::Filter(error)
    }
}

/// Takes the inventory of what a dump with these `filters` brings back, large objects included.
///
/// `client` has the fixed settings, and is in a transaction that sees what is to be compared. Whatever the queries lock is
/// released before this returns.
pub fn take_inventory(client: &mut Client, filters: &Filters) -> Result<Inventory, InventoryError> {
    client.execute("SAVEPOINT inventory")?;
    let items = session::in_utf8(client, |client| {
        let selection = filter::select(client, filters)?;
        let row = client.query_one("SELECT pg_catalog.current_setting('is_superuser') = 'on'", &[])?;
        let scope = Scope { selection: &selection, major: client.server_major(), superuser: row.is_true(0) };
        let mut items = Vec::new();
        for sql in queries(&scope) {
            items.extend(client.query(&sql, &[])?.iter().map(item).collect::<Result<Vec<_>, _>>()?);
        }
        items.extend(sequences::values(client, &scope)?);
        if selection.everything() {
            items.push(read_large_objects(client)?.item());
        }
        Ok::<_, InventoryError>(items)
    })?;
    client.execute("ROLLBACK TO SAVEPOINT inventory; RELEASE SAVEPOINT inventory")?;
    Ok(Inventory::new(items))
}

/// What an inventory has in common with one of another version of the same database: classes, names and owners, whether there
/// are privileges, and the values of sequences and contents of large objects, which are data and keep their form for ever. A
/// version that knows more classes leaves them out here.
pub fn common_part(inventory: &Inventory) -> Inventory {
    let is_data = |item: &Item| [SEQUENCE_VALUE, large_objects::LARGE_OBJECTS].contains(&item.class.as_str());
    let items = inventory.items().iter().cloned().map(|item| Item {
        acl: if item.acl.is_empty() { String::new() } else { "some".to_owned() },
        definition: if is_data(&item) { item.definition } else { String::new() },
        ..item
    });
    Inventory::new(items.collect())
}

fn queries(scope: &Scope<'_>) -> Vec<String> {
    [
        database::queries(scope),
        relations::queries(scope),
        routines::queries(scope),
        types::queries(scope),
        remarks::queries(scope),
    ]
    .concat()
}

fn item(row: &crate::Row) -> Result<Item, Error> {
    let acl = row.text(3)?;
    let exact = row.get(4).unwrap_or_default();
    let expressions = normal::normalise(row.get(5).unwrap_or_default());
    Ok(Item {
        class: row.text(0)?.to_owned(),
        name: row.text(1)?.to_owned(),
        owner: row.text(2)?.to_owned(),
        acl: if acl.is_empty() { String::new() } else { hash(&[acl]) },
        definition: hash(&[exact, &expressions]),
    })
}

/// The first 128 bits of the SHA-256 of `parts`, each after its length, as hexadecimal digits.
fn hash(parts: &[&str]) -> String {
    use std::fmt::Write as _;
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part.as_bytes());
    }
    context.finish().as_ref().iter().take(16).fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}
