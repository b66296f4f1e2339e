//! Incremental backups (PostgreSQL 17 and later), and what happens where they are not possible.

use std::path::Path;

use chronavault_postgres::{BaseBackup, ClusterSource, EarlierBackup};
use testkit::{Cluster, ReadCluster, read_cluster, server_tools};

use crate::scene::{Place, REGION_BYTES, back_up, check_bank, make_bank, options, start};

/// A cluster that can make incremental backups; nothing on servers that cannot.
fn summarizing() -> Option<Cluster> {
    if server_tools().major() < 17 {
        return None;
    }
    Some(Cluster::replicating(|options| {
        options.settings.push(("summarize_wal".into(), "on".into()));
        // Vacuum truncates tables only where nobody else might want them.
        options.settings.push(("autovacuum".into(), "off".into()));
    }))
}

/// What a later backup needs to know of `read`.
fn as_earlier(read: &ReadCluster) -> EarlierBackup {
    let is_kept = |path: &str| !path.starts_with("pg_wal/") && path != "backup_label";
    EarlierBackup {
        system_id: read.start.system_id,
        timeline: read.stop.timeline,
        data_checksums: read.start.data_checksums,
        started_at: jiff::Timestamp::now(),
        start_lsn: read.start.start_lsn,
        stop_lsn: read.stop.stop_lsn,
        files: read.files.iter().filter(|(path, _)| is_kept(path.as_str())).cloned().collect(),
    }
}

/// Takes a backup of what changed since `earlier`, whose files are in `before`.
fn back_up_since(cluster: &Cluster, root: &Path, earlier: &ReadCluster, before: &Path) -> ReadCluster {
    let mut options = options(cluster);
    options.earlier = Some(as_earlier(earlier));
    read_cluster(&mut BaseBackup::new(options), root, REGION_BYTES, Some(before)).unwrap()
}

/// Every way in which the files of tables change.
const CHANGES: &str = "
    UPDATE account SET balance = balance + 1 WHERE id % 1000 = 7;
    INSERT INTO history (account, delta) SELECT id, 1 FROM account WHERE id % 1000 = 7;
    TRUNCATE emptied; INSERT INTO emptied VALUES (1);
    DELETE FROM shortened WHERE i > 1000; VACUUM shortened;
    DELETE FROM regrown WHERE i > 1000; VACUUM regrown;
    INSERT INTO regrown SELECT i FROM generate_series(1, 300000) i;
    DROP TABLE dropped;
    CREATE TABLE added AS SELECT i, repeat('y', 50) FROM generate_series(1, 30000) i;
    DELETE FROM rewritten WHERE i % 2 = 0; VACUUM FULL rewritten;
    DROP DATABASE gone;
    CREATE DATABASE copied TEMPLATE other;
    CREATE INDEX ON grown (i); INSERT INTO grown SELECT i FROM generate_series(1, 500000) i;
    UPDATE unlogged SET i = 0;
";

fn make_tables(cluster: &Cluster) {
    let mut client = cluster.client("postgres");
    make_bank(&mut client);
    for table in ["emptied", "shortened", "regrown", "dropped", "rewritten", "grown", "quiet"] {
        let sql = format!("CREATE TABLE {table} AS SELECT i FROM generate_series(1, 200000) i");
        client.execute(&sql).unwrap();
    }
    client.execute("CREATE UNLOGGED TABLE unlogged (i int); INSERT INTO unlogged VALUES (1)").unwrap();
    cluster.create_database("gone");
    cluster.create_database("other");
    cluster.client("other").execute("CREATE TABLE t AS SELECT i FROM generate_series(1, 10000) i").unwrap();
}

/// What an unlogged table holds is no part of a physical backup.
fn compare(cluster: &Cluster, restored: &Cluster) {
    let emptied = restored.client("postgres").query_one("SELECT count(*) FROM unlogged", &[]).unwrap();
    assert_eq!(emptied.number::<u32>(0).unwrap(), 0);
    cluster.client("postgres").execute("TRUNCATE unlogged").unwrap();
    for database in ["postgres", "other", "copied"] {
        assert_eq!(restored.dump_text(database), cluster.dump_text(database), "{database}");
    }
    check_bank(&mut restored.client("postgres"));
}

#[test]
fn an_incremental_backup_is_the_same_cluster() {
    let Some(cluster) = summarizing() else { return };
    let place = Place::new();
    make_tables(&cluster);
    let (first, second, third) = (place.join("first"), place.join("second"), place.join("third"));
    let whole = back_up(&cluster, &first);
    assert_eq!(whole.kept_regions, 0);
    cluster.psql("postgres", CHANGES);
    let since = back_up_since(&cluster, &second, &whole, &first);
    assert_eq!(since.stop.warnings, Vec::<String>::new());
    // The quiet table alone has some hundred regions.
    assert!(since.kept_regions > 100, "{} regions were kept", since.kept_regions);
    assert!(since.stored_bytes < whole.stored_bytes, "{} bytes", since.stored_bytes);
    // One more on top of it, with little to do.
    cluster.client("postgres").execute("UPDATE quiet SET i = 0 WHERE i = 77").unwrap();
    let last = back_up_since(&cluster, &third, &since, &second);
    assert!(last.kept_regions > since.kept_regions);
    let restored = start(&cluster, &third);
    compare(&cluster, &restored);
}

#[test]
fn without_summaries_everything_comes_and_is_said() {
    let Some(cluster) = summarizing() else { return };
    let place = Place::new();
    let mut client = cluster.client("postgres");
    make_bank(&mut client);
    let (first, second) = (place.join("first"), place.join("second"));
    let whole = back_up(&cluster, &first);
    // A time without summaries.
    client.execute("ALTER SYSTEM SET summarize_wal = off").unwrap();
    client.query("SELECT pg_reload_conf()", &[]).unwrap();
    while client.query_one("SHOW summarize_wal", &[]).unwrap().get(0) != Some("off") {}
    client.execute("UPDATE account SET filler = 'y'; CHECKPOINT").unwrap();
    let files = cluster.sandbox().data_directory().join("pg_wal/summaries");
    for file in std::fs::read_dir(files).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    client.execute("SELECT pg_switch_wal(); CHECKPOINT").unwrap();
    client.execute("ALTER SYSTEM SET summarize_wal = on").unwrap();
    client.query("SELECT pg_reload_conf()", &[]).unwrap();
    while client.query_one("SHOW summarize_wal", &[]).unwrap().get(0) != Some("on") {}
    let since = back_up_since(&cluster, &second, &whole, &first);
    assert_eq!(since.kept_regions, 0);
    assert_eq!(since.stop.warnings.len(), 1, "{:?}", since.stop.warnings);
    assert!(since.stop.warnings[0].starts_with("the server sends everything"), "{:?}", since.stop.warnings);
    assert_eq!(start(&cluster, &second).dump_text("postgres"), cluster.dump_text("postgres"));
}

#[test]
fn an_earlier_backup_that_cannot_be_one_is_not_used() {
    let Some(cluster) = summarizing() else { return };
    let place = Place::new();
    let (first, second) = (place.join("first"), place.join("second"));
    let mut earlier = back_up(&cluster, &first);
    earlier.start.system_id.0 ^= 1;
    let since = back_up_since(&cluster, &second, &earlier, &first);
    assert_eq!((since.kept_regions, since.stop.warnings.len()), (0, 0), "{:?}", since.stop.warnings);
    earlier.start.system_id.0 ^= 1;
    // A position that was never written.
    earlier.start.start_lsn = earlier.start.start_lsn.plus(1 << 40);
    earlier.stop.stop_lsn = earlier.start.start_lsn.plus(1 << 10);
    let since = back_up_since(&cluster, &place.join("third"), &earlier, &first);
    assert_eq!((since.kept_regions, since.stop.warnings.len()), (0, 1), "{:?}", since.stop.warnings);
}

#[test]
fn where_summaries_are_off_everything_comes() {
    let cluster = Cluster::replicating(|_| ());
    let place = Place::new();
    let (first, second) = (place.join("first"), place.join("second"));
    let earlier = back_up(&cluster, &first);
    let mut options = options(&cluster);
    options.earlier = Some(as_earlier(&earlier));
    let mut source = BaseBackup::new(options.clone());
    source.start().unwrap();
    assert!(!source.is_incremental());
    drop(source);
    let since = back_up_since(&cluster, &second, &earlier, &first);
    assert_eq!((since.kept_regions, since.stop.warnings.len()), (0, 0), "{:?}", since.stop.warnings);
}
