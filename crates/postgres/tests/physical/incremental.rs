//! Backups that take from an earlier one what the WAL did not touch (17 and newer).

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use chronavault_postgres::{Client, DataDirectory, DataDirectoryOptions, EarlierBackup};
use jiff::Timestamp;
use model::{ClusterPath, Lsn, SystemId};
use testkit::{Cluster, ReadCluster, make_startable, read_cluster};

use crate::changes::{LOADS, check, prepare, wait_for, work};
use crate::server::{self, REGION_BYTES, contents, fill, one, scratch};

const TABLES: [&str; 7] = ["still", "updated", "emptied", "cut", "grown", "rewritten", "moved"];

fn as_earlier(read: &ReadCluster) -> EarlierBackup {
    let is_kept = |path: &ClusterPath| path.parent() != Some("pg_wal") && path.as_str() != "backup_label";
    EarlierBackup {
        system_id: read.start.system_id,
        timeline: read.stop.timeline,
        data_checksums: read.start.data_checksums,
        started_at: Timestamp::now(),
        start_lsn: read.start.start_lsn,
        stop_lsn: read.stop.stop_lsn,
        files: read.files.iter().filter(|(path, _)| is_kept(path)).cloned().collect(),
    }
}

/// A server that summarises its WAL, if it can.
fn summarising() -> Cluster {
    server::cluster(|options| {
        if testkit::server_tools().major() >= 17 {
            options.settings.push(("summarize_wal".to_owned(), "on".to_owned()));
        }
    })
}

/// Reads the cluster into `root`; what did not change comes from `before`, where the backup `earlier` is.
fn back_up(
    cluster: &Cluster,
    root: &Path,
    earlier: Option<EarlierBackup>,
    before: Option<&Path>,
) -> ReadCluster {
    let options = DataDirectoryOptions { earlier, ..server::options(2) };
    let mut source = DataDirectory::usable(cluster.client("postgres"), options).unwrap();
    read_cluster(&mut source, root, REGION_BYTES, before).unwrap()
}

/// Every way in which the files of tables change.
fn change(client: &mut Client) {
    for sql in [
        "UPDATE updated SET x = 'changed' WHERE id = 2500",
        "TRUNCATE emptied",
        "DELETE FROM cut WHERE id > 1000",
        "VACUUM cut",
        "INSERT INTO cut SELECT n, 'again' FROM generate_series(2000, 9000) n",
        "INSERT INTO grown SELECT n, repeat(n::text, 20) FROM generate_series(5001, 9000) n",
        "VACUUM FULL rewritten",
        "DROP TABLE dropped",
        "CREATE TABLE made AS SELECT * FROM still",
    ] {
        client.execute(sql).unwrap();
    }
}

#[test]
fn what_the_wal_did_not_touch_is_not_read() {
    let cluster = summarising();
    let mut client = cluster.client("postgres");
    if client.server_major() < 17 {
        return;
    }
    // What is not flushed gets no hint bits.
    client.execute("SET synchronous_commit = on").unwrap();
    let scratch = scratch();
    let place = server::directory_for(&cluster, scratch.path(), "space");
    for table in TABLES.iter().chain(&["dropped"]) {
        fill(&mut client, table, 5000);
        // Or the first look at a row is a change.
        client.execute(&format!("VACUUM {table}")).unwrap();
    }
    client.execute(&format!("CREATE TABLESPACE s LOCATION '{}'", place.display())).unwrap();
    client.execute("ALTER TABLE moved SET TABLESPACE s").unwrap();
    cluster.create_database("other");
    fill(&mut cluster.client("other"), "t", 5000);
    // The same files with other rows.
    client.execute("CREATE DATABASE twin TEMPLATE other STRATEGY file_copy").unwrap();
    cluster.client("twin").execute("UPDATE t SET x = 'twin'").unwrap();
    let (first_root, root) = (scratch.path().join("first"), scratch.path().join("second"));
    let first = back_up(&cluster, &first_root, None, None);
    assert_eq!(first.kept_regions, 0);

    change(&mut client);
    client.execute("CREATE DATABASE copied TEMPLATE other STRATEGY file_copy").unwrap();
    let oid = one(&mut client, "SELECT oid::text FROM pg_database WHERE datname = 'other'");
    client.execute("DROP DATABASE other").unwrap();
    let sql = format!("CREATE DATABASE other TEMPLATE twin STRATEGY file_copy OID {oid}");
    client.execute(&sql).unwrap();
    let second = back_up(&cluster, &root, Some(as_earlier(&first)), Some(&first_root));
    // Most of the cluster, and most of the table of which one row changed.
    let all: u64 = first.files.iter().map(|(_, bytes)| bytes).sum();
    assert!(second.kept_regions * u64::from(REGION_BYTES) > all / 4, "{} regions", second.kept_regions);
    let still = one(&mut client, "SELECT pg_relation_filepath('still')");
    assert!(fs::read(root.join(&still)).unwrap() == fs::read(first_root.join(&still)).unwrap());

    make_startable(&root, cluster.owner()).unwrap();
    let restored = server::cluster(|options| options.template = Some(root.clone()));
    let mut copy = restored.client("postgres");
    for table in TABLES.iter().chain(&["made"]) {
        assert_eq!(contents(&mut copy, table), contents(&mut client, table), "{table}");
    }
    for database in ["other", "copied", "twin"] {
        let [ours, theirs] = [&restored, &cluster].map(|from| contents(&mut from.client(database), "t"));
        assert_eq!(ours, theirs, "{database}");
    }
}

#[test]
fn an_earlier_backup_of_something_else_is_not_used() {
    let cluster = summarising();
    let scratch = scratch();
    let first_root = scratch.path().join("first");
    let first = back_up(&cluster, &first_root, None, None);
    let earlier = as_earlier(&first);
    let other_system = EarlierBackup { system_id: SystemId(earlier.system_id.0 ^ 1), ..earlier.clone() };
    let other_pages = EarlierBackup { data_checksums: false, ..earlier.clone() };
    // The directory was restored since, from whatever there was.
    let restored_since = EarlierBackup { started_at: Timestamp::UNIX_EPOCH, ..earlier.clone() };
    // The server was set back since, and has written other WAL: none of its checkpoints began there.
    let other_wal = EarlierBackup { start_lsn: Lsn(earlier.start_lsn.0 + 8), ..earlier.clone() };
    // Nothing tells what happened before the first summary.
    let too_old = EarlierBackup { start_lsn: Lsn(1), ..earlier.clone() };
    let others = [other_system, other_pages, restored_since, other_wal, too_old];
    for (number, earlier) in others.into_iter().enumerate() {
        let root = scratch.path().join(number.to_string());
        let read = back_up(&cluster, &root, Some(earlier), Some(&first_root));
        assert_eq!(read.kept_regions, 0, "{number}");
    }
    if cluster.client("postgres").server_major() >= 17 {
        let read = back_up(&cluster, &scratch.path().join("same"), Some(earlier), Some(&first_root));
        assert!(read.kept_regions > 0);
    }
}

#[test]
fn backups_of_a_busy_cluster_one_after_another() {
    let cluster = summarising();
    let mut client = cluster.client("postgres");
    if client.server_major() < 17 {
        return;
    }
    let scratch = scratch();
    prepare(&mut client);
    let still = contents(&mut client, "still");
    let (rounds, is_over) = (<[AtomicU32; LOADS.len()]>::default(), AtomicBool::new(false));
    let last = thread::scope(|scope| {
        for ((_, statements), rounds) in LOADS.iter().zip(&rounds) {
            scope.spawn(|| work(&cluster, statements, rounds, &is_over));
        }
        let mut root = scratch.path().join("0");
        let mut read = back_up(&cluster, &root, None, None);
        for number in 1..5 {
            wait_for(&rounds);
            let next = scratch.path().join(number.to_string());
            read = back_up(&cluster, &next, Some(as_earlier(&read)), Some(&root));
            assert!(read.kept_regions > 0, "{number}");
            root = next;
        }
        is_over.store(true, Ordering::Relaxed);
        root
    });
    make_startable(&last, cluster.owner()).unwrap();
    let restored = server::cluster(|options| options.template = Some(last.clone()));
    let mut copy = restored.client("postgres");
    assert_eq!(contents(&mut copy, "still"), still);
    check(&mut copy);
}
