//! What goes wrong while a backup runs: an error that says so, nothing listed, and nothing lost that was there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chronavault_operations as operations;
use model::{Level, Outcome};
use operations::{Context, Event, Observer, Phase};
use repository::{HolderKey, Repository};
use scene::{Scene, chain};
use storage::{Effect, Fault, Faulty, Operation, StoreError};
use testkit::Cluster;

const BOOKS: &str = "
    CREATE TABLE entry (id bigint PRIMARY KEY, memo text);
    INSERT INTO entry SELECT g, md5(g::text) FROM generate_series(1, 60000) g;
    CREATE TABLE small (id int PRIMARY KEY);
    INSERT INTO small VALUES (1), (2);";

/// Does something once, when a phase makes its first progress.
struct Once<F: Fn() + Sync> {
    phase: Phase,
    done: AtomicBool,
    act: F,
}

impl<F: Fn() + Sync> Observer for Once<F> {
    fn event(&self, event: Event) {
        let Event::Progress { phase, .. } = event else { return };
        if phase == self.phase && !self.done.swap(true, Ordering::SeqCst) {
            (self.act)();
        }
    }
}

fn backup_while(scene: &Scene, act: impl Fn() + Sync) -> Result<operations::BackupReport, operations::Error> {
    let once = Once { phase: Phase::Dump, done: AtomicBool::new(false), act };
    Scene::context(|context| {
        let context = Context {
            observer: &once,
            lease: None,
            tool_path: context.tool_path.clone(),
            sandbox_parent: context.sandbox_parent.clone(),
            ..*context
        };
        operations::backup(&scene.repository, &scene.request("books"), &context)
    })
}

#[test]
fn a_lost_session_fails_the_backup() {
    let scene = Scene::new();
    scene.database("books", BOOKS);
    let first = scene.backup("books").manifest.id;
    // Sessions that hold an exported snapshot are idle in their transaction.
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = 'books' AND state = 'idle in transaction' AND pid <> pg_backend_pid()";
    let error = backup_while(&scene, || {
        scene.cluster.psql("books", kill);
    })
    .unwrap_err();
    assert!(!matches!(error, operations::Error::Cancelled), "the cause is named: {}", chain(&error));
    let ids = scene.repository.ids().unwrap();
    assert_eq!(ids, std::slice::from_ref(&first), "only the first backup is listed");
    assert_eq!(scene.verify(&first, Level::Restore).outcome, Outcome::Proven);
    scene.backup("books");
}

/// Runs `late` in a transaction that has begun when the backup starts, and commits once the backup waits for it.
fn race(scene: &Scene, change: &str) -> operations::BackupReport {
    let mut writer = scene.cluster.client("books");
    writer.execute(&format!("BEGIN; {change}")).unwrap();
    std::thread::scope(|scope| {
        let backup = scope.spawn(|| scene.backup("books"));
        wait_for_waiter(&scene.cluster);
        writer.execute("COMMIT").unwrap();
        backup.join().unwrap()
    })
}

/// Returns when some session waits for a lock.
fn wait_for_waiter(cluster: &Cluster) {
    let mut client = cluster.client("books");
    while client.query("SELECT 1 FROM pg_locks WHERE NOT granted", &[]).unwrap().is_empty() {
        std::thread::yield_now();
    }
}

#[test]
fn rows_written_after_a_truncate_in_flight_are_backed_up() {
    let scene = Scene::new();
    scene.database("books", BOOKS);
    let report =
        race(&scene, "TRUNCATE entry; INSERT INTO entry SELECT g, 'new' FROM generate_series(1, 777) g");
    let verified = scene.verify(&report.manifest.id, Level::Restore);
    assert_eq!((verified.outcome, verified.rows), (Outcome::Proven, 779));
    scene.restore(&report.manifest.id, "books2");
    assert_eq!(scene.cluster.psql("books2", "SELECT count(*), min(memo) FROM entry").trim(), "777|new");
}

#[test]
fn a_rewrite_in_flight_is_backed_up_as_it_ends() {
    let scene = Scene::new();
    scene.database("books", BOOKS);
    let report = race(&scene, "ALTER TABLE entry ALTER id TYPE numeric; DROP TABLE small");
    let verified = scene.verify(&report.manifest.id, Level::Restore);
    assert_eq!((verified.outcome, verified.tables, verified.rows), (Outcome::Proven, 1, 60_000));
}

#[test]
fn a_full_disk_fails_the_backup_and_harms_none() {
    let scene = Scene::new();
    scene.database("books", BOOKS);
    let first = scene.backup("books").manifest.id;
    scene.cluster.psql("books", "UPDATE entry SET memo = 'changed'");
    for object in ["packs/", ".manifest"] {
        let full = Fault::new(Operation::Put, 0, Effect::Full).on(object).forever();
        let store = Arc::new(Faulty::new(Arc::clone(&scene.store), [full]));
        let repository = Repository::open(store, &HolderKey::new(scene::KEY)).unwrap();
        let request = scene.request("books");
        let error = Scene::context(|context| operations::backup(&repository, &request, context)).unwrap_err();
        let is_full =
            matches!(error, operations::Error::Repository(repository::Error::Store(StoreError::Full { .. })));
        assert!(is_full, "{}", chain(&error));
        assert_eq!(scene.repository.ids().unwrap(), std::slice::from_ref(&first));
    }
    assert_eq!(scene.verify(&first, Level::Restore).outcome, Outcome::Proven);
    assert_eq!(scene.verify(&scene.backup("books").manifest.id, Level::Restore).outcome, Outcome::Proven);
}
