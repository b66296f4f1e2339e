//! `restore_command` of real servers: they recover to the last transaction, stop on damage, and end early where WAL is missing.

use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;
use model::{SegmentSize, WalSegmentName};

use crate::archiving::load;
use crate::servers::Archived;

/// A server with a base backup and some segments after it. Returns the rows at the end, and the segments archived after the
/// backup.
fn scene() -> (Archived, u64, Vec<PathBuf>) {
    let archived = Archived::start();
    load(&archived, 1);
    archived.base_backup("base");
    let first = archived.cluster.psql("postgres", "SELECT pg_walfile_name(pg_current_wal_lsn())");
    for _ in 0..4 {
        load(&archived, 10);
        archived.archive_everything();
    }
    let rows = archived.cluster.psql("postgres", "SELECT count(*) FROM entry");
    let system = archived.cluster.psql("postgres", "SELECT system_identifier FROM pg_control_system()");
    let directory = archived.path("isolated/wal").join(system.trim()).join("00000001");
    let mut segments: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    segments.retain(|path| name(path).len() == 24 + ".wal".len() && *name(path) > *first.trim());
    segments.sort();
    assert!(segments.len() >= 3, "{segments:?}");
    (archived, rows.trim().parse().unwrap(), segments)
}

const ROWS: &str = "SELECT count(*) FROM entry";

#[test]
fn a_server_recovers_to_the_last_transaction() {
    let (archived, rows, _) = scene();
    let server = archived.recover("base", &[]);
    assert_eq!(server.ask(ROWS), rows.to_string());
    assert_eq!(server.ask("SELECT timeline_id FROM pg_control_checkpoint()"), "2");
    assert_eq!(server.state(), "in production");
    let log = server.log();
    assert!(log.contains("restored log file \"0000000100000000"), "{log}");
    assert!(log.contains("00000002.history is not archived"), "{log}");
}

#[test]
fn damage_stops_the_server_and_does_not_promote_it() {
    let (archived, rows, segments) = scene();
    let damaged = &segments[1];
    let sound = fs::read(damaged).unwrap();
    let mut bytes = sound.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(damaged, bytes).unwrap();
    let server = archived.recover("base", &[]);
    assert!(!server.started, "{}", server.log());
    assert_eq!(server.state(), "in archive recovery");
    let log = server.log();
    for part in ["error[object.changed]", "FATAL:  could not restore file", "exit code 200"] {
        assert!(log.contains(part), "{part}: {log}");
    }
    assert!(!log.contains("selected new timeline"), "{log}");
    drop(server);
    // Once the object is what it was, recovery goes on where it stopped.
    fs::write(damaged, sound).unwrap();
    let server = archived.recover("base", &[]);
    assert_eq!(server.ask(ROWS), rows.to_string());
}

/// This is what a server does, and why a restore looks for gaps beforehand: a missing segment is the end for it.
#[test]
fn a_missing_segment_ends_the_recovery_early() {
    let (archived, rows, segments) = scene();
    fs::remove_file(&segments[1]).unwrap();
    let server = archived.recover("base", &[]);
    let found: u64 = server.ask(ROWS).parse().unwrap();
    assert!(found < rows, "{found} of {rows} rows");
    assert_eq!(server.state(), "in production");
    drop(server);
    let status = archived.run(&["wal", "status", "--json"]);
    assert_eq!(status.exit, 4, "{status:?}");
    let missing = segments[1].file_stem().unwrap().to_str().unwrap();
    assert_eq!(status.json()["clusters"][0]["gaps"][0]["first_segment"], missing);
}

#[test]
fn a_wrong_key_stops_the_server() {
    let (archived, _, _) = scene();
    fs::write(archived.path("key"), "ab".repeat(32)).unwrap();
    let server = archived.recover("base", &[]);
    let log = server.log();
    assert!(!server.started && log.contains("error[key.wrong]"), "{log}");
    assert!(!log.contains("selected new timeline"), "{log}");
}

/// What a receiver has made durable in pieces is recovered, though the segment was never archived.
#[test]
fn a_server_recovers_what_is_archived_in_pieces_only() {
    let (archived, rows, _) = scene();
    let more = "INSERT INTO entry (memo) SELECT 'in pieces' FROM generate_series(1, 1000)";
    let position = "SELECT pg_walfile_name(pg_current_wal_flush_lsn()), file_offset FROM pg_walfile_name_offset(pg_current_wal_flush_lsn())";
    let found = archived.cluster.psql("postgres", &format!("{more}; {position}"));
    let (name, offset) = found.trim().split_once('|').unwrap();
    let (segment, offset): (WalSegmentName, usize) = (name.parse().unwrap(), offset.parse().unwrap());
    let bytes = fs::read(archived.cluster.sandbox().data_directory().join("pg_wal").join(name)).unwrap();
    let archive = archived.opened();
    for start in (0..offset).step_by(50_000) {
        let piece = &bytes[start..(start + 50_000).min(offset)];
        let start = u32::try_from(start).unwrap();
        archive.put_piece(segment, SegmentSize::DEFAULT, start, piece, Timestamp::now()).unwrap();
    }
    archived.hand_over();
    let server = archived.recover("base", &[]);
    assert_eq!(server.ask(ROWS), (rows + 1000).to_string());
}

/// A new timeline is archived, and can be recovered to in its turn.
#[test]
fn recovery_goes_on_along_the_next_timeline() {
    let (archived, rows, _) = scene();
    archived.copy("base", "again");
    let command = archived.archive_command();
    let server = archived.recover("base", &["archive_mode = on", &format!("archive_command = '{command}'")]);
    let more = "INSERT INTO entry (memo) SELECT 'on timeline 2' FROM generate_series(1, 1000)";
    server.ask(more);
    let last = server.ask("SELECT pg_walfile_name(pg_current_wal_lsn())");
    server.ask("SELECT pg_switch_wal()");
    while server
        .ask(&format!("SELECT coalesce(max(last_archived_wal) >= '{last}', false) FROM pg_stat_archiver"))
        != "t"
    {
        std::thread::yield_now();
    }
    assert_eq!(server.ask("SELECT failed_count FROM pg_stat_archiver"), "0", "{}", server.log());
    let status = archived.run(&["wal", "status", "--verify", "--json"]);
    let cluster = &status.succeeds().json()["clusters"][0];
    let timelines: Vec<_> =
        cluster["archived"].as_array().unwrap().iter().map(|range| &range["timeline"]).collect();
    assert_eq!(timelines, [1, 2], "{cluster}");
    drop(server);
    let server = archived.recover("again", &[]);
    assert_eq!(server.ask(ROWS), (rows + 1000).to_string());
    assert_eq!(server.ask("SELECT timeline_id FROM pg_control_checkpoint()"), "3");
}
