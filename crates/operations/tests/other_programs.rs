//! Backups that another version of the program made, or that are of another server than there is here: what can be compared
//! is compared, and the rest is said.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use std::io::{Read, Write};
use std::sync::Mutex;

use chronavault_operations as operations;
use jiff::Timestamp;
use model::{BackupId, Kind, Level, Outcome};
use operations::postgres::INVENTORY_VERSION;
use operations::{Context, Event, Observer, VerifyReport, VerifyRequest, Warning};
use repository::{CommitFacts, LogicalRecord, WriteOptions};
use scene::{Scene, chain};
use serde_json::Value;

const BOOKS: &str = "
    CREATE TABLE entry (id bigint PRIMARY KEY, memo text);
    INSERT INTO entry VALUES (1, 'one'), (2, 'two');
    CREATE SEQUENCE counter START 41; SELECT nextval('counter');
    CREATE VIEW memos AS SELECT memo FROM entry;
    GRANT SELECT ON memos TO PUBLIC;
    SELECT lo_from_bytea(1000, 'a document');";

/// The backup `id` once more, with other facts about its database and other items in its inventory.
fn rewrite(
    scene: &Scene,
    id: &BackupId,
    number: u8,
    change_facts: impl Fn(&mut LogicalRecord),
    change_item: impl Fn(&mut Value),
) -> BackupId {
    let reader = scene.repository.read(id).unwrap();
    let new = BackupId::new(Timestamp::now(), [number, 0, 0]);
    let writer =
        scene.repository.begin(new.clone(), "books", Kind::Logical, WriteOptions::default()).unwrap();
    for stream in &reader.manifest().streams {
        let mut bytes = Vec::new();
        reader.stream(&stream.name).unwrap().read_to_end(&mut bytes).unwrap();
        if stream.name == "inventory" {
            let mut inventory: Value = serde_json::from_slice(&bytes).unwrap();
            inventory["items"].as_array_mut().unwrap().iter_mut().for_each(&change_item);
            bytes = serde_json::to_vec(&inventory).unwrap();
        }
        let mut copy = writer.archive(&stream.name).unwrap();
        copy.write_all(&bytes).unwrap();
        copy.finish().unwrap();
    }
    let mut logical = reader.manifest().logical.clone().unwrap();
    change_facts(&mut logical);
    let (now, tool_version) = (Timestamp::now(), "0.1.0".to_owned());
    let facts = CommitFacts {
        started_at: now,
        finished_at: now,
        snapshot_at: now,
        tool_version,
        logical: Some(logical),
        physical: None,
    };
    writer.commit(facts).unwrap();
    new
}

/// Says that a program with inventories of this version made the backup.
fn of_version(version: u32) -> impl Fn(&mut LogicalRecord) {
    move |logical| {
        assert_eq!(logical.inventory_version, INVENTORY_VERSION);
        logical.inventory_version = version;
    }
}

/// Another way to hash definitions and privileges, but not data.
fn other_hashes(item: &mut Value) {
    if item["class"] != "sequence value" && item["class"] != "large objects" {
        item["definition"] = "another hash".into();
    }
    if item["acl"] != "" {
        item["acl"] = "another hash".into();
    }
}

/// Keeps the warnings.
#[derive(Default)]
struct Listener(Mutex<Vec<Warning>>);

impl Observer for Listener {
    fn event(&self, event: Event) {
        if let Event::Warning(warning) = event {
            self.0.lock().unwrap().push(warning);
        }
    }
}

impl Listener {
    fn listening<T>(&self, work: impl FnOnce(&Context<'_>) -> T) -> T {
        Scene::context(|context| {
            work(&Context {
                observer: self,
                lease: None,
                tool_path: context.tool_path.clone(),
                sandbox_parent: context.sandbox_parent.clone(),
                ..*context
            })
        })
    }

    fn verify(&self, scene: &Scene, id: &BackupId) -> VerifyReport {
        let request = VerifyRequest { level: Level::Restore, jobs: 2, checks: &[] };
        self.listening(|context| operations::verify(&scene.repository, id, request, context))
            .unwrap_or_else(|error| panic!("{}", chain(&error)))
    }

    /// What differs between the database `books2` and the backup, and what was said about it.
    fn compare(&self, scene: &Scene, id: &BackupId) -> (Vec<String>, Vec<Warning>) {
        let target = scene.cluster.options("books2");
        let compared =
            self.listening(|context| operations::compare(&scene.repository, id, &target, 2, context));
        let problems = compared.unwrap_or_else(|error| panic!("{}", chain(&error)));
        let messages = problems.into_iter().map(|problem| problem.message).collect();
        (messages, std::mem::take(&mut *self.0.lock().unwrap()))
    }
}

#[test]
fn definitions_of_another_version_are_not_compared_and_all_else_is() {
    let scene = Scene::new();
    scene.database("books", BOOKS);
    // All rows in the archive, which makes a backup easy to write again.
    let request = operations::BackupRequest { large_table_bytes: u64::MAX, ..scene.request("books") };
    let id = scene.try_backup(&request).unwrap().manifest.id;
    scene.restore(&id, "books2");
    let listener = Listener::default();
    assert_eq!(listener.compare(&scene, &id), (vec![], vec![]));

    let same = rewrite(&scene, &id, 1, of_version(INVENTORY_VERSION), other_hashes);
    let (problems, warnings) = listener.compare(&scene, &same);
    assert!(problems.contains(&"view public.memos has other privileges".to_owned()), "{problems:?}");
    assert!(problems.contains(&"table public.entry has another definition".to_owned()), "{problems:?}");
    assert_eq!(warnings, vec![]);

    let version = INVENTORY_VERSION + 1;
    let other = rewrite(&scene, &id, 2, of_version(version), other_hashes);
    let warning = Warning::DefinitionsNotCompared { id: other.clone(), version };
    assert_eq!(listener.compare(&scene, &other), (vec![], vec![warning.clone()]));
    let verified = listener.verify(&scene, &other);
    assert_eq!((verified.outcome, verified.problems), (Outcome::Proven, vec![]));
    assert_eq!(*listener.0.lock().unwrap(), [warning]);
}

#[test]
fn what_two_versions_have_in_common_still_counts() {
    let scene = Scene::new();
    scene.database("books", BOOKS);
    let request = operations::BackupRequest { large_table_bytes: u64::MAX, ..scene.request("books") };
    let id = scene.try_backup(&request).unwrap().manifest.id;
    scene.restore(&id, "books2");
    let find = |number, class: &'static str, member: &'static str, value: &'static str| {
        let backup = rewrite(&scene, &id, number, of_version(INVENTORY_VERSION + 1), |item| {
            other_hashes(item);
            if item["class"] == class {
                item[member] = value.into();
            }
        });
        Listener::default().compare(&scene, &backup).0
    };
    assert_eq!(
        find(1, "view", "name", "public.notes"),
        ["view public.memos was not in the backup", "view public.notes is missing"]
    );
    assert_eq!(
        find(2, "view", "owner", "alice"),
        ["view public.memos belongs to \"postgres\" instead of \"alice\""]
    );
    assert_eq!(find(3, "view", "acl", ""), ["view public.memos has other privileges"]);
    assert_eq!(
        find(4, "sequence value", "definition", "other data"),
        ["sequence value public.counter has another definition"]
    );
    assert_eq!(
        find(5, "large objects", "definition", "other data"),
        ["large objects all has another definition"]
    );
}

#[test]
fn a_backup_that_no_server_here_can_hold_is_verified_as_far_as_can_be() {
    let scene = Scene::new();
    scene.database("books", BOOKS);
    let request = operations::BackupRequest { large_table_bytes: u64::MAX, ..scene.request("books") };
    let id = scene.try_backup(&request).unwrap().manifest.id;
    let later = rewrite(&scene, &id, 1, |logical| logical.server_version = 990_000, |_| ());
    let listener = Listener::default();
    let verified = listener.verify(&scene, &later);
    assert_eq!((verified.level, verified.outcome), (Level::Contents, Outcome::Sound));
    let reason = verified.unreached.unwrap();
    assert!(reason.contains("99"), "{reason}");
    assert_eq!(*listener.0.lock().unwrap(), [Warning::NotProven { reason }]);
}
