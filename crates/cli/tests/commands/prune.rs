//! `prune` through the binary, on a repository whose backups are of other days than today.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use model::{BackupId, Kind, Outcome};
use repository::{CommitFacts, HolderKey, LogicalRecord, Proof, Repository, WriteOptions};
use serde_json::Value;
use storage::{Isolation, LocalStore};

use crate::harness::{KEY, Place, Said};

struct Scene {
    place: Place,
    repository: Repository,
}

fn days_ago(days: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(24 * days) - SignedDuration::from_mins(5)
}

impl Scene {
    fn new() -> Self {
        let place = Place::new().with("BACKUP_ENCRYPTION_KEY", KEY);
        place.run(&["init"]).succeeds();
        let key: [u8; 32] = hex::decode(KEY).unwrap().try_into().unwrap();
        let store = LocalStore::new(place.path("backups/isolated"), Isolation::Required).unwrap();
        let repository = Repository::open(Arc::new(store), &HolderKey::new(key)).unwrap();
        Self { place, repository }
    }

    /// A logical backup of so many days ago.
    fn back_up(&self, source: &str, days: i64, outcome: Outcome) -> BackupId {
        let at = days_ago(days);
        let id = BackupId::new(at, [u8::try_from(source.len()).unwrap(), 0, 0]);
        let options = WriteOptions { reuse: false, ..WriteOptions::default() };
        let writer = self.repository.begin(id.clone(), source, Kind::Logical, options).unwrap();
        let mut archive = writer.archive("archive").unwrap();
        archive.write_all(format!("{source}, {days} days ago").as_bytes()).unwrap();
        archive.finish().unwrap();
        let committed = writer.commit(facts(at)).unwrap();
        let proof = Proof {
            version: committed.manifest.version,
            backup: id.clone(),
            manifest_sha256: committed.manifest_sha256,
            level: model::Level::Restore,
            outcome,
            at,
            duration_ms: 1,
            restore_ms: 1,
            tables: 0,
            rows: 0,
            server_version: 150_018,
            tool_version: "0.1.0".into(),
            problems: vec![],
        };
        self.repository.write_proof(&proof, [1, 2, 3]).unwrap();
        id
    }

    fn run(&self, arguments: &[&str]) -> Said {
        self.place.run(&[&["prune"], arguments].concat())
    }

    /// The files of the repository, but for copies of the journal, which grows whatever is done.
    fn files(&self) -> Vec<PathBuf> {
        fn walk(directory: &std::path::Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { walk(&path, found) } else { found.push(path) }
            }
        }
        let mut found = Vec::new();
        walk(&self.place.path("backups/isolated"), &mut found);
        found.retain(|path| !path.starts_with(self.place.path("backups/isolated/journal")));
        found.sort();
        found
    }

    fn listed(&self) -> usize {
        self.place.run(&["list", "--json"]).succeeds().json()["backups"].as_array().unwrap().len()
    }
}

fn facts(at: Timestamp) -> CommitFacts {
    let logical = LogicalRecord {
        database: "books".into(),
        server_version: 150_018,
        pg_dump_version: "15.18".into(),
        encoding: "UTF8".into(),
        properties: Value::Null,
        roles: vec![],
        filters: model::Filters::default(),
        extensions: vec![],
        tables: vec![],
        counts: std::collections::BTreeMap::new(),
        globals_without_passwords: false,
        inventory_version: 1,
    };
    CommitFacts {
        started_at: at,
        finished_at: at,
        snapshot_at: at,
        tool_version: "0.1.0".into(),
        logical: Some(logical),
        physical: None,
    }
}

#[test]
fn what_expired_is_shown_and_then_removed() {
    let scene = Scene::new();
    let ids: Vec<_> = (0..6).map(|days| scene.back_up("books", 10 * days, Outcome::Proven)).collect();
    let before = scene.files();

    let said = scene.run(&["--dry-run"]);
    said.succeeds();
    assert_eq!(scene.files(), before, "a dry run changes nothing");
    for (id, goes) in ids.iter().zip([false, false, false, true, true, true]) {
        assert_eq!(said.out.contains(&format!("{id} ")), goes, "{said:?}");
    }
    assert!(
        said.out.contains("3 backups would go, 3 stay (backups are kept for 30 days; WAL for 30 days)."),
        "{said:?}"
    );
    assert!(
        said.out.contains("older than the days to keep") && said.out.contains("6 packs would go"),
        "{said:?}"
    );
    let planned = scene.run(&["--dry-run", "--json"]).succeeds().json();
    assert_eq!((&planned["dry_run"], &planned["halted"]), (&true.into(), &Value::Null));
    let reasons: Vec<_> =
        planned["backups"].as_array().unwrap().iter().map(|it| it["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["young", "young", "young", "expired", "expired", "expired"]);
    assert_eq!(planned["packs"]["packs"], 6);

    let done = scene.run(&["--json"]).succeeds().json();
    assert_eq!((&done["dry_run"], &done["pruned_bytes"]), (&false.into(), &planned["pruned_bytes"]));
    assert_eq!((scene.listed(), &done["emptied_bytes"]), (3, &0.into()));
    assert_eq!(scene.files().len(), before.len(), "everything is in the trash");
    let said = scene.run(&[]);
    assert!(said.succeeds().out.contains("0 backups went, 3 stay"), "{said:?}");
    scene.place.run(&["verify", "--all", "--level", "contents"]).succeeds();

    // One `cp` brings it back.
    let root = scene.place.path("backups/isolated");
    let lot = fs::read_dir(root.join("trash")).unwrap().next().unwrap().unwrap().path();
    let copied = std::process::Command::new("cp").arg("-a").arg(lot.join(".")).arg(&root).status().unwrap();
    assert!(copied.success());
    assert_eq!(scene.listed(), 6);
    scene.place.run(&["verify", "--all", "--level", "contents"]).succeeds();

    let freed = scene.run(&["--empty-trash", "--json"]).succeeds().json();
    // Two prunes of one second share a lot.
    assert!(freed["emptied_bytes"].as_u64() >= freed["pruned_bytes"].as_u64(), "{freed}");
    assert_eq!(fs::read_dir(root.join("trash")).unwrap().count(), 0);
    assert_eq!(scene.listed(), 3);
}

#[test]
fn what_a_person_must_know_ends_with_status_4() {
    let scene = Scene::new();
    for days in 0..10 {
        scene.back_up("books", 10 * days, Outcome::Proven);
    }
    let said = scene.run(&[]);
    assert_eq!((said.exit, scene.listed()), (4, 10), "{said:?}");
    assert!(
        said.err.contains("warning[prune.too_many]") && said.err.contains("7 of 10 backups of \"books\""),
        "{said:?}"
    );
    // Down in steps, or by saying so.
    for (days, left) in [("60", 6), ("30", 3)] {
        scene.run(&["--days", days]).succeeds();
        assert_eq!(scene.listed(), left);
    }
    scene.back_up("books", -1, Outcome::Proven);
    let said = scene.run(&["--days", "5", "--json"]);
    assert_eq!((said.exit, scene.listed()), (4, 4), "{said:?}");
    assert_eq!(said.json()["halted"]["code"], "prune.clock");
}

#[test]
fn nothing_goes_of_a_source_that_failed() {
    let scene = Scene::new();
    for days in [50, 40, 1] {
        let outcome = if days == 1 { Outcome::Failed } else { Outcome::Proven };
        scene.back_up("shop", days, outcome);
    }
    for days in [50, 40, 0] {
        scene.back_up("books", days, Outcome::Proven);
    }
    let said = scene.run(&["--json"]);
    assert_eq!((said.exit, scene.listed()), (4, 4), "{said:?}");
    assert!(said.err.contains("warning[prune.source_failed]") && said.err.contains("\"shop\""), "{said:?}");
    assert!(said.json()["backups"].to_string().contains("source_failed"));
    scene.back_up("shop", 0, Outcome::Proven);
    scene.run(&[]).succeeds();
    assert_eq!(scene.listed(), 3);
}

#[test]
fn the_days_come_from_flags_environment_and_file() {
    let scene = Scene::new();
    scene.back_up("books", 0, Outcome::Proven);
    let days = |place: &Place, arguments: &[&str]| {
        let said = place.run(&[&["prune", "--dry-run", "--json"], arguments].concat()).succeeds().json();
        (said["retention_days"].as_u64().unwrap(), said["wal_days"].as_u64().unwrap())
    };
    assert_eq!(days(&scene.place, &[]), (30, 30));
    assert_eq!(days(&scene.place, &["--days", "9"]), (9, 9));
    fs::write(scene.place.path("chronavault.toml"), "[retention]\ndays = 20\nwal_days = 5\n").unwrap();
    assert_eq!(days(&scene.place, &[]), (20, 5));
    assert_eq!(days(&scene.place, &["--wal-days", "6"]), (20, 6));
    let place = scene.place.with("BACKUP_RETENTION_DAYS", "12");
    assert_eq!(days(&place, &[]), (12, 5));
    place.run(&["prune", "--days", "0"]).fails(2, "settings.value", "--days");
    place.run(&["prune", "--wal-days", "40000"]).fails(2, "settings.value", "--wal-days");
}

#[test]
fn a_calendar_keeps_what_is_older_and_each_source_can_have_its_own() {
    let scene = Scene::new();
    for days in 0..12 {
        scene.back_up("books", 5 * days, Outcome::Proven);
        scene.back_up("wiki", 5 * days, Outcome::Proven);
    }
    let settings = "[retention]\ndays = 30\nkeep_last = 9\n\n[sources.wiki.retention]\ndays = 50\n";
    fs::write(scene.place.path("chronavault.toml"), settings).unwrap();
    let plan = scene.run(&["--dry-run", "--json"]).succeeds().json();
    let reasons = |source: &str| -> Vec<String> {
        let of = plan["backups"].as_array().unwrap().iter().filter(|it| it["source"] == source);
        of.map(|it| it["reason"].as_str().unwrap().to_owned()).collect()
    };
    let of =
        |young, last, expired| [vec!["young"; young], vec!["last"; last], vec!["expired"; expired]].concat();
    assert_eq!(
        (reasons("books"), reasons("wiki")),
        (
            of(6, 3, 3).iter().map(|it| (*it).to_owned()).collect(),
            of(10, 0, 2).iter().map(|it| (*it).to_owned()).collect()
        )
    );
    assert_eq!(plan["keep"]["last"], 9);
    let said = scene.run(&["--dry-run", "--keep-last", "1", "--keep-yearly", "1"]);
    assert!(
        said.succeeds()
            .out
            .contains("(backups are kept for 30 days, and of older ones 1 last, 1 yearly; WAL for 30 days)"),
        "{said:?}"
    );
    scene.run(&["--keep-last", "many"]).fails(2, "usage", "many");
}

#[test]
fn a_held_backup_outlives_its_days_and_is_not_deleted() {
    let scene = Scene::new();
    let ids: Vec<_> = [50, 40, 0].map(|days| scene.back_up("books", days, Outcome::Proven)).to_vec();
    let hold = |arguments: &[&str]| scene.place.run(&[&["hold"], arguments].concat());
    hold(&[ids[0].as_str(), "--reason", "audit of 2026", "--until", "2999-12-31"]).succeeds();
    let listed = hold(&["--json"]).succeeds().json();
    assert_eq!(
        (&listed["holds"][0]["id"], &listed["holds"][0]["until"]),
        (&ids[0].as_str().into(), &"3000-01-01T00:00:00Z".into())
    );
    let listed = scene.place.run(&["list", "--json"]).succeeds().json();
    let of = |id: &str| {
        let backups = listed["backups"].as_array().unwrap();
        backups.iter().find(|backup| backup["id"] == id).unwrap()["holds"].clone()
    };
    assert_eq!(of(ids[0].as_str())[0]["reason"], "audit of 2026");
    assert_eq!(of(ids[1].as_str()), serde_json::json!([]));
    let table = scene.place.run(&["list"]).succeeds().out.clone();
    assert!(table.lines().next().is_some_and(|line| line.ends_with("HELD")), "{table}");
    assert_eq!(
        table.matches("until 2999-12-31T23:59:59Z").count()
            + table.matches("until 3000-01-01T00:00:00Z").count(),
        1,
        "{table}"
    );
    hold(&[ids[0].as_str(), "--reason", "x", "--until", "2001-01-01"]).fails(2, "usage", "in the past");
    hold(&[ids[0].as_str(), "--reason", "x", "--until", "soon"]).fails(2, "usage", "\"soon\" is neither");
    let plan = scene.run(&["--json"]).succeeds().json();
    assert_eq!(plan["backups"][2]["reason"], "held");
    assert_eq!(plan["backups"][2]["holds"][0]["reason"], "audit of 2026");
    assert_eq!(scene.listed(), 2);
    let delete =
        |arguments: &[&str]| scene.place.run(&[&["delete", "--reason", "space"], arguments].concat());
    delete(&[ids[0].as_str(), "--yes"]).fails(1, "delete.refused", "somebody holds it");
    assert!(hold(&[ids[0].as_str(), "--release"]).succeeds().out.contains("1 hold"));
    let table = scene.place.run(&["list"]).succeeds().out.clone();
    assert!(!table.contains("HELD") && !table.contains("until"), "{table}");
    delete(&[ids[0].as_str(), "--yes"]).succeeds();
    assert_eq!(scene.listed(), 1);
}

#[test]
fn what_is_deleted_by_hand_needs_a_reason_and_a_yes() {
    let scene = Scene::new();
    let ids: Vec<_> = (0..4).rev().map(|days| scene.back_up("books", days, Outcome::Proven)).collect();
    let failed = scene.back_up("books!", 9, Outcome::Failed);
    let delete = |arguments: &[&str]| scene.place.run(&[&["delete"], arguments].concat());
    delete(&[ids[0].as_str()]).fails(2, "usage", "--reason");
    delete(&[ids[0].as_str(), "--reason", "space"]).fails(2, "delete.unconfirmed", "1 backup would go");
    assert!(delete(&[ids[0].as_str(), "--dry-run"]).succeeds().out.contains("1 backup would go, 4 stay."));
    delete(&[ids[3].as_str(), "--reason", "space", "--yes"]).fails(
        1,
        "delete.refused",
        "the newest proven one",
    );
    let missing = "backup-2001-01-01-000000-abcdef";
    delete(&[ids[0].as_str(), missing, "--reason", "space", "--yes"]).fails(1, "backup.missing", missing);
    assert_eq!(scene.listed(), 5, "nothing goes when anything cannot");
    let said =
        delete(&[ids[0].as_str(), failed.as_str(), "--reason", "space", "--yes", "--json"]).succeeds().json();
    assert_eq!((said["backups"][4]["reason"].as_str(), scene.listed()), (Some("asked"), 3));
    scene.place.run(&["verify", "--all", "--level", "contents"]).succeeds();
}

#[test]
fn failed_backups_go_when_a_proven_one_followed() {
    let scene = Scene::new();
    for (days, outcome) in [(3, Outcome::Failed), (2, Outcome::Proven), (1, Outcome::Failed)] {
        scene.back_up("books", days, outcome);
    }
    assert!(scene.run(&["--failed", "--dry-run"]).succeeds().out.contains("1 backup would go, 2 stay."));
    scene.run(&["--failed"]).succeeds();
    assert_eq!(scene.listed(), 2);
    scene.run(&["--failed", "--days", "3"]).fails(2, "usage", "cannot be used with");
}
