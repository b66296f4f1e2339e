//! Every schema that stresses the catalog restores with stock tools, without an error; and the inventory, which
//! decides whether a restore brought everything back, finds nothing wrong with that.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use chronavault_testkit::cluster::server_tools;
use chronavault_testkit::schemas::{self, Features, Schema};
use chronavault_testkit::{Cluster, Installation, assert_same_text};
use model::{Filters, Inventory};
use postgres::{Tools, take_inventory};
use sample::LedgerOptions;

fn inventory(cluster: &Cluster, database: &str) -> Inventory {
    let mut client = cluster.client(database);
    postgres::apply_session_settings(&mut client).unwrap();
    client.execute("begin isolation level repeatable read read only").unwrap();
    take_inventory(&mut client, &Filters::default()).unwrap()
}

fn restores_with_stock_tools(schema: Schema) {
    let cluster = Cluster::start();
    cluster.create_database("source");
    let features = Features::of(&mut cluster.client("source")).unwrap();
    cluster.psql("source", &schema.sql(&features));
    copy_is_equal(&cluster);
}

/// Copies the database `source` with stock tools and compares the inventories.
fn copy_is_equal(cluster: &Cluster) {
    cluster.create_database("restored");
    cluster.copy_with_stock_tools("source", "restored");
    let expected = inventory(cluster, "source");
    assert!(expected.items().len() > 5, "{expected:?}");
    // What belongs to the database itself comes only with `pg_dump --create`.
    let differences: Vec<String> = expected
        .differences(&inventory(cluster, "restored"))
        .iter()
        .map(ToString::to_string)
        .filter(|difference| !difference.starts_with("database "))
        .collect();
    assert_eq!(differences, [""; 0]);
}

#[test]
fn the_ledger_restores_with_stock_tools() {
    let installation =
        Installation::with_extension_files(server_tools().directory(), &sample::extension::FILES).unwrap();
    let cluster = Cluster::with_tools(&Tools::at(installation.bin()).unwrap(), |_| ());
    cluster.create_database("source");
    sample::load(&mut cluster.client("source"), &LedgerOptions::small(1), &mut |_| ()).unwrap();
    copy_is_equal(&cluster);
    let (source, restored) = (cluster.dump_text("source"), cluster.dump_text("restored"));
    assert!(source.contains("COPY tax.tax_rates"), "{source}");
    assert_same_text("the ledger", &restored, &source);
}

#[test]
fn types_restore_with_stock_tools() {
    restores_with_stock_tools(schemas::TYPES);
}

#[test]
fn tables_restore_with_stock_tools() {
    restores_with_stock_tools(schemas::TABLES);
}

#[test]
fn privileges_restore_with_stock_tools() {
    restores_with_stock_tools(schemas::PRIVILEGES);
}

#[test]
fn extensions_restore_with_stock_tools() {
    restores_with_stock_tools(schemas::EXTENSIONS);
}

#[test]
fn moving_rows_restore_with_stock_tools() {
    restores_with_stock_tools(schemas::MOVING_ROWS);
}
