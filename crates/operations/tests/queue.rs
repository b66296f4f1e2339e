//! Somebody asks for a table for themselves after the backup has locked it and before everyone has who reads it: they wait
//! for the backup, and what it starts now waits behind them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chronavault_operations as operations;
use model::{Level, Outcome};
use operations::postgres::{Blocker, SnapshotError};
use operations::{BackupReport, BackupRequest, Context, Error, Event, Observer, Phase, Warning};
use scene::{Scene, chain};

/// `entry` is large, so that sessions of our own read it; `small` is read by `pg_dump`, and by us for its proof; of `log`,
/// nobody reads rows, so that only `pg_dump` locks it.
const BOOKS: &str = "
    CREATE TABLE entry (id bigint PRIMARY KEY, memo text);
    INSERT INTO entry SELECT g, md5(g::text) FROM generate_series(1, 20000) g;
    CREATE TABLE small (id int PRIMARY KEY);
    INSERT INTO small VALUES (1), (2);
    CREATE TABLE log (id int);";

/// Calls a function each time when everything is locked and the dump begins, and keeps what is said.
struct Watch<F> {
    dumps: AtomicU32,
    on_dump: F,
    warnings: Mutex<Vec<Warning>>,
}

impl<F: Fn(u32) + Sync> Observer for Watch<F> {
    fn event(&self, event: Event) {
        match event {
            Event::Phase(Phase::Dump) => (self.on_dump)(self.dumps.fetch_add(1, Ordering::SeqCst) + 1),
            Event::Warning(warning) => self.warnings.lock().unwrap().push(warning),
            _ => {}
        }
    }
}

/// Asks for `table`, and has a row written once it is there.
fn ask_for(scene: &Scene, table: &str) {
    let sql = format!(
        "SET application_name = 'migration'; BEGIN; LOCK TABLE {table}; INSERT INTO small VALUES (3); COMMIT"
    );
    // What came of it shows in the rows of the backup.
    let _ = scene.cluster.client("books").execute(&sql);
}

/// Returns when a session waits for all of `table`.
fn wait_for_waiter(scene: &Scene, table: &str) {
    let mut client = scene.cluster.client("books");
    let waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock' AND relation = $1::regclass";
    while client.query(waits, &[Some(table)]).unwrap().is_empty() {
        std::thread::yield_now();
    }
}

/// A backup during which somebody asks for `table` in each of the first `times` attempts. What came of it, what was said, and
/// how many dumps began.
fn back_up_while_asked(
    scene: &Scene,
    table: &str,
    times: u32,
) -> (Result<BackupReport, Error>, Vec<Warning>, u32) {
    let mut request =
        BackupRequest { lock_timeout: Duration::from_secs(1), jobs: 1, ..scene.request("books") };
    request.filters.exclude_table_data = vec!["log".to_owned()];
    std::thread::scope(|scope| {
        let on_dump = |dump| {
            if dump <= times {
                scope.spawn(|| ask_for(scene, table));
                wait_for_waiter(scene, table);
            }
        };
        let watch = Watch { dumps: AtomicU32::new(0), on_dump, warnings: Mutex::default() };
        let result = Scene::context(|context| {
            let context = Context {
                observer: &watch,
                lease: None,
                tool_path: context.tool_path.clone(),
                sandbox_parent: context.sandbox_parent.clone(),
                ..*context
            };
            operations::backup(&scene.repository, &request, &context)
        });
        (result, watch.warnings.into_inner().unwrap(), watch.dumps.into_inner())
    })
}

fn assert_waits(blockers: &[Blocker], table: &str) {
    let [blocker] = blockers else { panic!("{blockers:?}") };
    assert_eq!(blocker.table.to_string(), format!("public.{table}"));
    assert_eq!((blocker.granted, blocker.application.as_str()), (false, "migration"));
}

#[test]
fn the_dump_starts_again_when_somebody_queues_before_it() {
    for table in ["log", "small", "entry"] {
        let scene = Scene::new();
        scene.database("books", BOOKS);
        let (result, warnings, dumps) = back_up_while_asked(&scene, table, 1);
        let report = result.unwrap_or_else(|error| panic!("{table}: {}", chain(&error)));
        assert_eq!(dumps, 2);
        let [Warning::StartedAgain { blockers, attempt: 2, attempts: 3 }] = &warnings[..] else {
            panic!("{table}: {warnings:?}")
        };
        assert_waits(blockers, table);
        assert_eq!(report.warnings, warnings);
        // The second snapshot sees what the other session did as soon as it could.
        let verified = scene.verify(&report.manifest.id, Level::Restore);
        assert_eq!((verified.outcome, verified.rows), (Outcome::Proven, 20_003), "{table}");
    }
}

#[test]
fn a_dump_that_is_always_late_fails_with_who_was_in_the_way() {
    let scene = Scene::new();
    scene.database("books", BOOKS);
    let before = scene.backup("books").manifest.id;
    let (result, warnings, dumps) = back_up_while_asked(&scene, "log", u32::MAX);
    let error = result.unwrap_err();
    let Error::Snapshot(SnapshotError::Locked { blockers, attempts: 3 }) = &error else {
        panic!("{}", chain(&error))
    };
    assert_waits(blockers, "log");
    let sentence = chain(&error);
    assert!(
        sentence.starts_with("could not lock all tables in 3 attempts: public.log is waited for by process "),
        "{sentence}"
    );
    assert_eq!((dumps, warnings.len()), (3, 2));
    assert_eq!(scene.repository.ids().unwrap(), std::slice::from_ref(&before));
    assert_eq!(scene.verify(&before, Level::Restore).outcome, Outcome::Proven);
}
