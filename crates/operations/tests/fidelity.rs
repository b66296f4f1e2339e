//! A database restored by us is the database that stock tools restore: `pg_dump` says the same of both. So it is for the
//! ledger and for schemas that stress the catalog, whether the rows travel in the archive of `pg_dump` or as streams of our own.

mod scene;

use chronavault_operations as operations;
use model::{Level, Outcome};
use sample::LedgerOptions;
use scene::Scene;
use testkit::cluster::server_tools;
use testkit::schemas::{self, Features, Schema};
use testkit::{Cluster, Installation, assert_same_text};

/// Every table that has a row is large.
const OWN_STREAMS: u64 = 1;
/// No table is.
const ARCHIVE: u64 = u64::MAX;

impl Scene {
    /// A scene with the database `source` that the schema makes.
    fn of(schema: Schema) -> Scene {
        let scene = Scene::new();
        scene.cluster.create_database("source");
        let features = Features::of(&mut scene.cluster.client("source")).expect("the server answers");
        scene.cluster.psql("source", &schema.sql(&features));
        scene
    }

    /// Backs `source` up with tables from this size on in streams of their own, proves that, and restores it as `into`.
    fn prove_and_restore(&self, large_table_bytes: u64, expect_streams: bool, into: &str) {
        let mut request = self.request("source");
        request.large_table_bytes = large_table_bytes;
        let backup = self.try_backup(&request).unwrap_or_else(|error| panic!("{}", scene::chain(&error)));
        let streams = backup.manifest.streams.iter().filter(|stream| stream.table.is_some()).count();
        assert_eq!(streams > 0, expect_streams, "{streams} streams of rows");
        let verified = self.verify(&backup.manifest.id, Level::Restore);
        assert_eq!((verified.outcome, verified.problems), (Outcome::Proven, vec![]));
        let restored = self.restore(&backup.manifest.id, into);
        assert_eq!(restored.left_out.len(), 0, "{:?}", restored.left_out);
    }

    fn is_as_stock_tools_restore_it(&self) {
        self.cluster.create_database("theirs");
        self.cluster.copy_with_stock_tools("source", "theirs");
        let theirs = self.cluster.dump_text("theirs");
        for (name, large_table_bytes) in [("archived", ARCHIVE), ("streamed", OWN_STREAMS)] {
            self.prove_and_restore(large_table_bytes, large_table_bytes == OWN_STREAMS, name);
            assert_same_text(name, &self.cluster.dump_text(name), &theirs);
        }
    }
}

#[test]
fn the_ledger_comes_back_as_stock_tools_restore_it() {
    let installation =
        Installation::with_extension_files(server_tools().directory(), &sample::extension::FILES).unwrap();
    let tools = operations::postgres::Tools::at(installation.bin()).unwrap();
    let scene = Scene::with(Cluster::with_tools(&tools, |_| ()));
    scene.cluster.create_database("source");
    sample::load(&mut scene.cluster.client("source"), &LedgerOptions::small(1), &mut |_| ()).unwrap();
    scene.is_as_stock_tools_restore_it();
}

#[test]
fn types_come_back_as_stock_tools_restore_them() {
    Scene::of(schemas::TYPES).is_as_stock_tools_restore_it();
}

#[test]
fn tables_come_back_as_stock_tools_restore_them() {
    Scene::of(schemas::TABLES).is_as_stock_tools_restore_it();
}

#[test]
fn privileges_come_back_as_stock_tools_restore_them() {
    Scene::of(schemas::PRIVILEGES).is_as_stock_tools_restore_it();
}

#[test]
fn extensions_come_back_as_stock_tools_restore_them() {
    Scene::of(schemas::EXTENSIONS).is_as_stock_tools_restore_it();
}

#[test]
fn rows_that_move_to_other_partitions_are_all_there() {
    let scene = Scene::of(schemas::MOVING_ROWS);
    // They have no streams of their own, whatever their size: only through the root can they be loaded.
    scene.prove_and_restore(OWN_STREAMS, false, "restored");
    scene.assert_same("source", "restored", "select * from moving.by_colour order by c, n");
}
