//! The journal through the binary: everything that is done is in it, nothing secret is, and what is done to it is found.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use testkit::Cluster;

use crate::harness::{KEY, Place, Said};

/// A server, and a place whose settings name it with a password.
fn scene() -> (Cluster, Place) {
    let cluster = Cluster::start();
    cluster.psql("postgres", "CREATE TABLE entry AS SELECT n, md5(n::text) FROM generate_series(1, 100) n");
    let url = format!("{}?password=hunter2", cluster.url("postgres"));
    let place = Place::new().with("BACKUP_ENCRYPTION_KEY", KEY).with("DATABASE_URL", &url);
    place.run(&["init"]).succeeds();
    (cluster, place)
}

/// The runs, oldest first.
fn runs(place: &Place) -> Vec<Value> {
    let said = place.run(&["journal", "show", "--json", "--limit", "0"]);
    let mut runs = said.succeeds().json()["runs"].as_array().unwrap().clone();
    runs.reverse();
    runs
}

fn outcomes(place: &Place) -> Vec<String> {
    let words = |run: &Value| {
        let word = |name: &str| run[name].as_str().unwrap_or("-").to_owned();
        format!("{} {} {}", word("operation"), word("outcome"), word("code"))
    };
    runs(place).iter().map(words).collect()
}

/// The only file of the journal.
fn file(place: &Place) -> PathBuf {
    let listed = fs::read_dir(place.path("backups/journal")).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = listed.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn everything_that_is_done_is_recorded_without_secrets() {
    let (cluster, place) = scene();
    let backup = place.run(&["backup", "--source", "books", "--json"]).succeeds().json();
    let id = backup["id"].as_str().unwrap();
    place.run(&["verify", "latest", "--level", "objects"]).succeeds();
    let to = format!("{}?password=hunter2", cluster.url("again"));
    let restored = place.run(&["restore", "latest", "--to", &to, "--create"]);
    assert_eq!(restored.exit, 0, "{restored:?}");
    place.run(&["restore", "latest", "--to", &to, "--create"]).fails(1, "target.exists", "again");
    place.run(&["export", "latest", "--output", "books.sql"]).succeeds();
    place.run(&["list"]).succeeds();
    place.run(&["show", "latest"]).succeeds();
    place.run(&["doctor"]);
    assert_eq!(
        outcomes(&place),
        [
            "init done -",
            "backup done -",
            "verify done -",
            "restore done -",
            "restore failed target.exists",
            "export done -",
        ]
    );
    let runs = runs(&place);
    for run in &runs[1..] {
        assert_eq!((run["source"].as_str(), run["backup"].as_str()), (Some("books"), Some(id)), "{run}");
        assert_eq!(run["actor"]["pid"].as_u64().map(|pid| pid > 1), Some(true));
        assert!(!run["actor"]["user"].as_str().unwrap().is_empty());
        assert!(run["duration_ms"].as_u64().is_some());
    }
    for size in ["plain_bytes", "stored_bytes", "reused_bytes", "tables", "rows"] {
        assert_eq!(runs[1][size], backup[size], "{size}");
    }
    assert_eq!(runs[1]["verification"]["outcome"], "proven");
    assert!(runs[1]["verification"]["restore_ms"].as_u64().is_some());
    assert!(runs[3]["parameters"]["to"].as_str().unwrap().starts_with("again on "), "{}", runs[3]);

    // Filters, and the table for people.
    let shown = |arguments: &[&str]| place.run(&[&["journal", "show"], arguments].concat());
    assert_eq!(shown(&["--operation", "restore", "--json"]).json()["runs"].as_array().unwrap().len(), 2);
    assert_eq!(shown(&["--source", "other", "--json"]).json()["runs"].as_array().unwrap().len(), 0);
    assert_eq!(shown(&["--since", "2100-01-01T00:00:00Z"]).out, "Nothing is recorded.\n");
    assert_eq!(shown(&["--limit", "1", "--json"]).json()["runs"][0]["operation"], "export");
    let table = shown(&["--limit", "2"]);
    assert_eq!(table.succeeds().out.lines().count(), 3, "{table:?}");
    assert!(table.out.contains("failed (target.exists)"), "{table:?}");
    shown(&["--operation", "nothing"]).fails(2, "usage", "\"nothing\" is not one of");

    // P9: neither the key nor a password is in any entry.
    let text = fs::read_to_string(file(&place)).unwrap();
    for secret in [KEY, &KEY[..16], "hunter2"] {
        assert!(!text.contains(secret), "{text}");
    }
    let verified = place.run(&["journal", "verify", "--json"]).succeeds().json();
    assert_eq!(verified["outcome"], "sound");
    assert_eq!(verified["journals"][0]["entries"], 1 + 2 * 6);
    assert_eq!(verified["journals"][0]["unfinished"], 0);
}

#[test]
fn a_journal_that_cannot_be_written_stops_a_backup_but_no_restore() {
    let (cluster, place) = scene();
    place.run(&["backup", "--no-verify"]).succeeds();
    let blocked = place.path("blocked").display().to_string();
    fs::write(&blocked, "a file").unwrap();
    let place = place.with("BACKUP_JOURNAL_DIRECTORY", &blocked);
    let before = place.run(&["list", "--json"]).json()["backups"].as_array().unwrap().len();
    let said = place.run(&["backup", "--no-verify"]);
    said.fails(1, "journal.unwritable", &blocked);
    assert!(said.err.contains("BACKUP_JOURNAL_DIRECTORY"), "{said:?}");
    let after = place.run(&["list", "--json"]).json()["backups"].as_array().unwrap().len();
    assert_eq!(after, before);

    let to = cluster.url("again");
    let said = place.run(&["restore", "latest", "--to", &to, "--create", "--json"]);
    assert_eq!(said.exit, 4, "{said:?}");
    assert!(said.err.contains("warning[journal.unwritable]"), "{said:?}");
    assert_eq!(said.json()["warnings"][0]["code"], "journal.unwritable");
    assert_eq!(cluster.psql("again", "SELECT count(*) FROM entry").trim(), "100");
    place.run(&["journal", "show"]).fails(1, "journal.unreadable", &blocked);
}

/// A backup that waits for a table that `holder` has.
fn waiting_backup(cluster: &Cluster, place: &Place) -> (std::process::Child, operations::postgres::Client) {
    let mut holder = cluster.hold_lock("postgres", "entry");
    let child = place
        .command(&["backup", "--lock-timeout", "60"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    cluster.await_waiter(&mut holder, "entry");
    (child, holder)
}

#[test]
fn a_killed_run_has_no_end_and_a_cancelled_one_says_so() {
    let (cluster, place) = scene();
    let (mut child, holder) = waiting_backup(&cluster, &place);
    child.kill().unwrap();
    child.wait().unwrap();
    drop(holder);
    let (child, mut holder) = waiting_backup(&cluster, &place);
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .unwrap();
    holder.execute("COMMIT").unwrap();
    Said::from(child.wait_with_output().unwrap()).fails(1, "cancelled", "cancelled");
    assert_eq!(outcomes(&place), ["init done -", "backup - -", "backup cancelled cancelled"]);
    let shown = place.run(&["journal", "show"]);
    assert!(shown.out.contains("no end"), "{shown:?}");
    let verified = place.run(&["journal", "verify", "--json"]).succeeds().json();
    assert_eq!(verified["journals"][0]["unfinished"], 1);
}

#[test]
fn what_is_done_to_the_journal_is_found() {
    let (_cluster, place) = scene();
    place.run(&["backup", "--no-verify"]).succeeds();
    let path = file(&place);
    let sound = fs::read_to_string(&path).unwrap();
    place.run(&["journal", "verify"]).succeeds();

    fs::write(&path, sound.replace("\"done\"", "\"fine\"")).unwrap();
    let said = place.run(&["journal", "verify", "--json"]);
    said.fails(1, "journal.broken", "line 3");
    let problem = &said.json()["problems"][0];
    assert_eq!(problem["code"], "journal.changed");
    assert!(problem["object"].as_str().unwrap().ends_with(", line 3") && problem["hint"].is_string());

    let lines: Vec<_> = sound.split_inclusive('\n').collect();
    fs::write(&path, lines[..3].concat()).unwrap();
    let said = place.run(&["journal", "verify"]);
    said.fails(1, "journal.broken", "entries 4 to 5");
    assert!(said.out.contains("[journal.cut]"), "{said:?}");
    // A backup is made all the same, and says that something is wrong.
    let said = place.run(&["backup", "--no-verify", "--json"]);
    assert_eq!(said.exit, 4, "{said:?}");
    assert_eq!(said.json()["warnings"][0]["code"], "journal.not_copied", "{said:?}");

    fs::remove_dir_all(place.path("backups/journal")).unwrap();
    place.run(&["journal", "verify"]).fails(1, "journal.broken", "removed or replaced");
    let shown = place.run(&["journal", "show", "--copies", "--json"]).json();
    assert_eq!(shown["runs"].as_array().unwrap().len(), 2, "the copies know what was done");
    place.run(&["backup", "--no-verify"]).succeeds();
    let said = place.run(&["journal", "verify"]);
    assert_eq!(said.exit, 4, "{said:?}");
    assert!(said.out.contains("[journal.followed]"), "{said:?}");
    fs::write(&path, &sound).unwrap();
    place.run(&["journal", "verify"]).succeeds();
}

#[test]
fn what_goes_is_recorded_with_its_reason() {
    let (_cluster, place) = scene();
    let backup = || {
        let said = place.run(&["backup", "--no-verify", "--json"]);
        said.succeeds().json()["id"].as_str().unwrap().to_owned()
    };
    let (first, _second) = (backup(), backup());
    place.run(&["hold", &first, "--reason", "audit"]).succeeds();
    place.run(&["hold"]).succeeds();
    place.run(&["delete", &first, "--reason", "a mistake", "--yes"]).fails(1, "delete.refused", &first);
    place.run(&["hold", &first, "--release"]).succeeds();
    place.run(&["delete", &first, "--dry-run"]).succeeds();
    place.run(&["delete", &first, "--reason", "a mistake", "--yes"]).succeeds();
    place.run(&["prune"]).succeeds();
    assert_eq!(
        outcomes(&place)[3..],
        ["hold done -", "delete failed delete.refused", "hold done -", "delete done -", "prune done -",]
    );
    let runs = runs(&place);
    let deleted = &runs[6];
    assert_eq!(deleted["removed"], serde_json::json!([first]));
    assert!(deleted["removed_bytes"].as_u64().unwrap() > 0);
    assert_eq!(deleted["parameters"]["reason"], "a mistake");
    assert_eq!(runs[3]["parameters"]["reason"], "audit");
    assert!(runs[4].get("removed").is_none() && runs[7].get("removed").is_none());
    place.run(&["journal", "verify"]).succeeds();
}

#[test]
fn it_can_be_read_without_a_key() {
    let place = Place::new();
    place.run(&["init", "--key-file", "mine"]).succeeds();
    let said = place.run(&["journal", "show", "--json"]);
    assert_eq!(said.succeeds().json()["authenticated"], false);
    assert_eq!(said.json()["runs"][0]["operation"], "init");
    assert!(said.err.contains("not authenticated"), "{said:?}");
    place.run(&["journal", "verify"]).fails(2, "key.missing", "no encryption key");
}
