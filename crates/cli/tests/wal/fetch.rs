//! What `wal fetch` tells a server: 0 and the file, 1 and nothing when it is not archived, 200 for everything else.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use model::WalName;

use crate::harness::{Place, Said};
use crate::segments::{SYSTEM, archive, name, object, opened, place, size, timeline, wal};

fn fetch(place: &Place, name: &str, more: &[&str]) -> Said {
    let id = SYSTEM.to_string();
    place.run(
        &[&["wal", "fetch", name, "pg_wal/RECOVERYXLOG", "--system-id", &id, "--ahead", "0"], more].concat(),
    )
}

fn target(place: &Place) -> PathBuf {
    place.path("pg_wal/RECOVERYXLOG")
}

/// Demands that the recovery is told to stop, and that nothing appeared.
#[track_caller]
fn aborts(place: &Place, said: &Said, code: &str, sentence: &str) {
    said.fails(200, code, sentence);
    assert!(!target(place).exists());
    assert_eq!(leftovers(&place.path("pg_wal")), [""; 0]);
}

fn leftovers(directory: &Path) -> Vec<String> {
    let names =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains("tmp")).collect()
}

#[test]
fn a_segment_appears_as_a_whole() {
    let place = place();
    archive(&place, 1, [3, 4]);
    fs::write(target(&place), b"of an earlier attempt").unwrap();
    let said = fetch(&place, &name(1, 3).to_string(), &[]);
    assert_eq!((said.succeeds().out.as_str(), said.err.as_str()), ("", ""));
    assert!(fs::read(target(&place)).unwrap() == wal(1, 3, 0));
    let said = fetch(&place, &name(1, 4).to_string(), &["--json"]).json();
    assert_eq!((&said["fetched"], &said["known_bytes"]), (&"archive".into(), &serde_json::Value::Null));
    assert!(fs::read(target(&place)).unwrap() == wal(1, 4, 0));
    assert_eq!(leftovers(&place.path("pg_wal")), [""; 0]);
    assert!(!place.path("pg_wal/chronavault-spool").exists(), "no spool was asked for");
}

#[test]
fn what_is_not_archived_is_said_in_one_line() {
    let place = place();
    archive(&place, 1, [3]);
    for absent in [name(1, 4).to_string(), name(2, 3).to_string(), "00000002.history".to_owned()] {
        let said = fetch(&place, &absent, &[]);
        assert_eq!((said.exit, said.out.as_str()), (1, ""), "{said:?}");
        assert_eq!(said.err, format!("{absent} is not archived\n"));
        let json = fetch(&place, &absent, &["--json"]);
        assert_eq!((json.exit, &json.json()["fetched"]), (1, &"absent".into()));
        assert_eq!(fetch(&place, &absent, &["-q"]).err, "");
    }
    assert!(!target(&place).exists());
    // Another cluster's is not this one's.
    let other =
        place.run(&["wal", "fetch", &name(1, 3).to_string(), "pg_wal/RECOVERYXLOG", "--system-id", "5"]);
    assert_eq!(other.exit, 1);
}

#[test]
fn damage_stops_a_recovery() {
    let place = place();
    archive(&place, 1, [3]);
    let file = object(&place, 1, &format!("{}.wal", name(1, 3)));
    let sound = fs::read(&file).unwrap();
    for position in [0, 300, sound.len() / 2, sound.len() - 1] {
        let mut bytes = sound.clone();
        bytes[position] ^= 1;
        fs::write(&file, bytes).unwrap();
        aborts(&place, &fetch(&place, &name(1, 3).to_string(), &[]), "object.changed", "wal/");
    }
    fs::write(&file, &sound[..sound.len() - 1]).unwrap();
    aborts(&place, &fetch(&place, &name(1, 3).to_string(), &[]), "object.truncated", "wal/");
    fs::write(&file, &sound).unwrap();
    fetch(&place, &name(1, 3).to_string(), &[]).succeeds();
}

#[test]
fn everything_that_is_not_an_answer_stops_a_recovery() {
    let place = place();
    archive(&place, 1, [3]);
    let name = name(1, 3).to_string();
    aborts(&place, &fetch(&place, &name, &["--directory", "nowhere"]), "repository.missing", "nowhere");
    aborts(&place, &fetch(&place, &name, &["--key-file", "nokey"]), "key.unreadable", "nokey");
    aborts(&place, &fetch(&place, &name, &["--no-such-flag"]), "usage", "--no-such-flag");
    aborts(&place, &fetch(&place, "nonsense", &[]), "usage", "nonsense");
    aborts(&place, &place.run(&["wal", "fetch", &name]), "usage", "<PATH>");
    aborts(
        &place,
        &place.run(&["wal", "fetch", &name, "pg_wal/RECOVERYXLOG"]),
        "wal.no_system",
        "pg_control",
    );
    let nowhere = ["wal", "fetch", &name, "nowhere/RECOVERYXLOG", "--system-id", &SYSTEM.to_string()];
    aborts(&place, &place.run(&nowhere), "output.failed", "nowhere/RECOVERYXLOG cannot be written");
    let json = fetch(&place, &name, &["--directory", "nowhere", "--json"]);
    assert_eq!((json.exit, &json.json()["error"]["code"]), (200, &"repository.missing".into()));
    let wrong = place.with("BACKUP_ENCRYPTION_KEY", &"ab".repeat(32));
    aborts(&wrong, &fetch(&wrong, &name, &[]), "key.wrong", "does not belong");
}

#[test]
fn the_end_of_an_archive_is_made_of_pieces_and_zeros() {
    let place = place();
    archive(&place, 1, [3]);
    let (archived, bytes) = (opened(&place), wal(1, 4, 0));
    let now = Timestamp::UNIX_EPOCH;
    archived.put_piece(name(1, 4), size(), 0, &bytes[..9000], now).unwrap();
    archived.put_piece(name(1, 4), size(), 9000, &bytes[9000..20_000], now).unwrap();
    let said = fetch(&place, &name(1, 4).to_string(), &["--json"]).json();
    assert_eq!((&said["fetched"], &said["known_bytes"]), (&"pieces".into(), &20_000.into()));
    let found = fs::read(target(&place)).unwrap();
    assert!(found[..20_000] == bytes[..20_000] && found[20_000..].iter().all(|byte| *byte == 0));
    assert_eq!(found.len(), 1 << 20);
    // As soon as something later is there, this is a gap and no end.
    fs::remove_file(target(&place)).unwrap();
    archived.put_piece(name(1, 5), size(), 0, &wal(1, 5, 0)[..100], now).unwrap();
    assert_eq!(fetch(&place, &name(1, 4).to_string(), &[]).exit, 1);
    assert!(!target(&place).exists());
    // A damaged piece is no end either.
    fs::remove_file(object(&place, 1, &format!("{}.00000000.piece", name(1, 5)))).unwrap();
    let piece = object(&place, 1, &format!("{}.00002328.piece", name(1, 4)));
    let mut damaged = fs::read(&piece).unwrap();
    damaged[400] ^= 1;
    fs::write(&piece, damaged).unwrap();
    aborts(&place, &fetch(&place, &name(1, 4).to_string(), &[]), "object.changed", "00002328.piece");
}

#[test]
fn a_timeline_that_ended_within_a_segment_ends_with_its_partial() {
    let place = place();
    archive(&place, 1, [3]);
    let path = place.path("pg_wal").join(format!("{}.partial", name(1, 4)));
    fs::write(&path, wal(1, 4, 0)).unwrap();
    place.run(&["wal", "push", path.to_str().unwrap()]).succeeds();
    for (wanted, how) in
        [(WalName::Partial(name(1, 4)), "archive"), (WalName::Segment(name(1, 4)), "partial")]
    {
        let said = fetch(&place, &wanted.to_string(), &["--json"]);
        assert_eq!(said.succeeds().json()["fetched"], how);
        assert!(fs::read(target(&place)).unwrap() == wal(1, 4, 0));
        fs::remove_file(target(&place)).unwrap();
    }
    archive(&place, 1, [5]);
    assert_eq!(fetch(&place, &name(1, 4).to_string(), &[]).exit, 1, "behind a gap");
    opened(&place).put_history(timeline(2), b"1\t0/400100\tx\n", Timestamp::UNIX_EPOCH).unwrap();
    fetch(&place, "00000002.history", &[]).succeeds();
    assert_eq!(fs::read(target(&place)).unwrap(), b"1\t0/400100\tx\n");
}

/// The one directory in the spool.
fn spool(place: &Place) -> PathBuf {
    let directories = fs::read_dir(place.path("pg_wal/chronavault-spool")).unwrap();
    let [directory] = &directories.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()[..] else {
        panic!("one directory")
    };
    directory.clone()
}

/// The names of the segments in the spool.
fn spooled(place: &Place) -> Vec<String> {
    let names = fs::read_dir(spool(place)).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "lock");
    names.sort();
    names.into_iter().map(|name| name.split_once('.').unwrap().0.to_owned()).collect()
}

/// Fetches ahead, and does not return before that is done.
fn fetch_ahead(place: &Place, after: u64, ahead: u32) -> serde_json::Value {
    let (id, after, ahead) = (SYSTEM.to_string(), name(1, after).to_string(), ahead.to_string());
    let words = ["wal", "prefetch", &after, "pg_wal/RECOVERYXLOG", "--system-id", &id, "--ahead", &ahead];
    place.run(&[&words[..], &["--jobs", "2", "--json"]].concat()).succeeds().json()
}

#[test]
fn what_was_fetched_ahead_is_served_from_the_spool() {
    let place = place();
    archive(&place, 1, 3..9);
    assert_eq!(fetch_ahead(&place, 3, 3)["segments"], 3);
    assert_eq!(spooled(&place), [4, 5, 6].map(|number| name(1, number).to_string()));
    // The archive itself is not asked for what is in the spool.
    fs::remove_file(object(&place, 1, &format!("{}.wal", name(1, 4)))).unwrap();
    let said = fetch(&place, &name(1, 4).to_string(), &["--ahead", "1", "--json"]);
    assert_eq!(said.exit, 200, "an option twice is a mistake: {said:?}");
    let words = ["wal", "fetch", &name(1, 4).to_string(), "pg_wal/RECOVERYXLOG", "--json"];
    let said = place.run(&[&words[..], &["--system-id", &SYSTEM.to_string(), "--ahead", "1"]].concat());
    assert_eq!(said.succeeds().json()["fetched"], "spool");
    assert!(fs::read(target(&place)).unwrap() == wal(1, 4, 0));
    // What the server has passed goes, and so does what is too far ahead.
    assert_eq!(fetch_ahead(&place, 5, 1)["segments"], 0);
    assert_eq!(spooled(&place), [name(1, 6).to_string()]);
    assert_eq!(fetch_ahead(&place, 6, 8)["segments"], 2, "the archive ends with 8");
    assert_eq!(fetch_ahead(&place, 8, 8)["segments"], 0);
    assert_eq!(spooled(&place), [""; 0]);
}

#[test]
fn a_fetch_starts_fetching_ahead_by_itself() {
    let place = place();
    archive(&place, 1, 3..9);
    let words = ["wal", "fetch", &name(1, 3).to_string(), "pg_wal/RECOVERYXLOG"];
    place.run(&[&words[..], &["--system-id", &SYSTEM.to_string(), "--ahead", "2"]].concat()).succeeds();
    // The process that was started is not ours to wait for; what it does can be seen.
    let is_made =
        || fs::read_dir(place.path("pg_wal/chronavault-spool")).is_ok_and(|mut all| all.next().is_some());
    while !is_made() || spooled(&place).len() < 2 {
        std::thread::yield_now();
    }
    let lock = File::open(spool(&place).join("lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(spooled(&place), [4, 5].map(|number| name(1, number).to_string()));
    // While somebody else has the right, nobody fetches ahead.
    assert_eq!(fetch_ahead(&place, 5, 8)["was_busy"], true);
}

#[test]
fn what_was_changed_in_the_spool_is_fetched_again() {
    let place = place();
    archive(&place, 1, 3..6);
    fetch_ahead(&place, 3, 2);
    for entry in fs::read_dir(spool(&place)).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap() != "lock" {
            let mut bytes = fs::read(&path).unwrap();
            bytes[700_000] ^= 1;
            fs::write(&path, bytes).unwrap();
            // The clock of a file system can be coarse.
            File::options().write(true).open(&path).unwrap().set_modified(SystemTime::now()).unwrap();
        }
    }
    for number in [4, 5] {
        let words =
            ["wal", "fetch", &name(1, number).to_string(), "pg_wal/RECOVERYXLOG", "--json", "--ahead", "1"];
        let said = place.run(&[&words[..], &["--system-id", &SYSTEM.to_string()]].concat());
        assert_eq!(said.succeeds().json()["fetched"], "archive");
        assert!(fs::read(target(&place)).unwrap() == wal(1, number, 0));
    }
}
