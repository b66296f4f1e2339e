//! What looking at everything costs, in calls of the store.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use chronavault_service::Observer;
use chronavault_service::daemon::Look;
use chronavault_service::journal::{FILE_BYTES, Journal, JournalDirectory};
use chronavault_service::observation::Observation;
use chronavault_service::scheduler::Scheduler;
use jiff::{SignedDuration, Timestamp};
use model::{Actor, BackupId, Filters, Kind, Level, Operation, Outcome, RunStart};
use operations::{Context, Unobserved};
use repository::{CommitFacts, HolderKey, LogicalRecord, MANIFEST_VERSION, Proof, Repository, WriteOptions};
use storage::{Calls, MemoryStore, Recording, Store};
use tempfile::TempDir;

/// The time, as far as anybody here knows.
static NOW: Mutex<SignedDuration> = Mutex::new(SignedDuration::ZERO);

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(500_000) + *NOW.lock().unwrap()
}

fn random(bytes: &mut [u8]) {
    bytes.fill(7);
}

fn context() -> Context<'static> {
    Context {
        clock: &now,
        random: &random,
        observer: &Unobserved,
        lease: None,
        tool_path: None,
        sandbox_parent: PathBuf::new(),
    }
}

/// A proven backup of nothing.
fn back_up(repository: &Repository, number: u8) {
    let at = now();
    let logical = LogicalRecord {
        database: "books".into(),
        server_version: 150_018,
        pg_dump_version: "15.18".into(),
        encoding: "UTF8".into(),
        properties: serde_json::Value::Null,
        roles: vec![],
        filters: Filters::default(),
        extensions: vec![],
        tables: vec![],
        counts: BTreeMap::new(),
        globals_without_passwords: false,
        inventory_version: 1,
    };
    let facts = CommitFacts {
        started_at: at,
        finished_at: at,
        snapshot_at: at,
        tool_version: "0.1.0".into(),
        logical: Some(logical),
        physical: None,
    };
    let id = BackupId::new(at, [number, 0, 0]);
    let writer = repository.begin(id, "books", Kind::Logical, WriteOptions::default()).unwrap();
    writer.archive("archive").unwrap().finish().unwrap();
    let committed = writer.commit(facts).unwrap();
    let proof = Proof {
        version: MANIFEST_VERSION,
        backup: committed.manifest.id.clone(),
        manifest_sha256: committed.manifest_sha256,
        level: Level::Restore,
        outcome: Outcome::Proven,
        at,
        duration_ms: 2,
        restore_ms: 1,
        tables: 0,
        rows: 0,
        server_version: 150_018,
        tool_version: "0.1.0".into(),
        problems: vec![],
    };
    repository.write_proof(&proof, [number, 0, 0]).unwrap();
}

struct Scene {
    directory: TempDir,
    store: Arc<Recording<MemoryStore>>,
    repository: Repository,
    observer: Observer,
}

impl Scene {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let store = Arc::new(Recording::new(MemoryStore::new()));
        let place: Arc<dyn Store> = Arc::clone(&store) as _;
        let repository = Repository::init(place, &HolderKey::new([7; 32]), now(), &random).unwrap();
        let observer = Observer::new(
            repository.clone(),
            JournalDirectory::new(directory.path().join("journal"), true),
            model::RetentionPolicies::default(),
            BTreeMap::new(),
            directory.path().join("usage"),
        );
        Self { directory, store, repository, observer }
    }

    /// A look after some minutes, and what it costs.
    fn look(&mut self, minutes: i64, has_changed: bool) -> (Observation, Calls) {
        *NOW.lock().unwrap() += SignedDuration::from_mins(minutes);
        let scheduler = Scheduler::new(vec![], now(), |_| None);
        let look = Look { scheduler, receivers: BTreeMap::new(), troubles: vec![], has_changed };
        self.store.take();
        let seen = self.observer.observe(&look, &context());
        assert_eq!(seen.troubles, []);
        (seen, self.store.take())
    }

    /// Records that something runs.
    fn journal(&self) {
        let actor = Actor {
            user: "postgres".into(),
            uid: 101,
            host: "db1".into(),
            pid: 7,
            token: None,
            program: "chronavault test".into(),
        };
        let directory = JournalDirectory::new(self.directory.path().join("journal"), true);
        let journal = Journal {
            directory: &directory,
            repository: &self.repository,
            actor: &actor,
            clock: &now,
            random: &random,
            file_bytes: FILE_BYTES,
        };
        let what = RunStart {
            operation: Operation::Prune,
            actor: actor.clone(),
            source: None,
            parameters: BTreeMap::new(),
        };
        journal.start(what).unwrap();
    }
}

fn reads(calls: &Calls) -> usize {
    calls.count(storage::Operation::Get) + calls.count(storage::Operation::ReadRange)
}

#[test]
fn a_look_at_what_did_not_change_reads_nothing() {
    let mut scene = Scene::new();
    for number in 0..5 {
        back_up(&scene.repository, number);
    }
    scene.journal();
    let (first, calls) = scene.look(0, false);
    assert_eq!((first.backups[0].backups.len(), first.runs.len(), first.keys.len()), (5, 1, 1));
    // 5 manifests, 5 proofs and 1 slot.
    assert_eq!(reads(&calls), 11, "{calls:?}");
    let (second, calls) = scene.look(1, false);
    assert_eq!(calls.keys(storage::Operation::List), ["proofs/", "backup-", "keys/"]);
    assert_eq!(calls.0.len(), 3, "{calls:?}");
    assert_eq!(second, Observation { at: second.at, ..first });

    // What a prune would free, and how far WAL reaches, is worked out anew now and then, from what is known.
    let (_, calls) = scene.look(15, false);
    assert_eq!(reads(&calls), 0, "{calls:?}");
    assert!(calls.count(storage::Operation::List) > 3);

    back_up(&scene.repository, 5);
    scene.journal();
    let (seen, calls) = scene.look(1, true);
    assert_eq!((seen.backups[0].backups.len(), seen.runs.len()), (6, 2));
    assert_eq!(reads(&calls), 2, "{calls:?}");
    assert_eq!(seen.journal.unwrap().sequence, 3);

    // Once a day everything is read: what rots is found.
    let (_, calls) = scene.look(24 * 60, false);
    assert_eq!(reads(&calls), 13, "{calls:?}");
}
