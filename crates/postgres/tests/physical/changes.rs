//! What changes while a data directory is read.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use chronavault_postgres::{Client, ClusterError, ClusterSource};
use model::ClusterPath;
use testkit::Cluster;

use crate::server::{self, REGION_BYTES, contents, fill, one, scratch, source};
use crate::sink;

/// Work that concurrent sessions do; each on tables of its own.
pub(crate) const LOADS: [(&str, &[&str]); 5] = [
    (
        "pay",
        &["BEGIN; \
           UPDATE account SET amount = amount + 5 WHERE id = (SELECT floor(random() * 9000)::int); \
           UPDATE account SET amount = amount - 5 WHERE id = (SELECT floor(random() * 9000)::int); \
           COMMIT"],
    ),
    ("transfer", &["BEGIN; INSERT INTO entry VALUES (1, 5); INSERT INTO entry VALUES (2, -5); COMMIT"]),
    ("rewrite", &["UPDATE r SET x = x || '.' WHERE id % 7 = 0", "VACUUM FULL r", "REINDEX TABLE r"]),
    (
        "replace",
        &[
            "BEGIN; TRUNCATE p; INSERT INTO p SELECT n, 'again' FROM generate_series(1, 3000) n; COMMIT",
            "CREATE TABLE q AS SELECT * FROM p; DROP TABLE q",
            "CHECKPOINT",
        ],
    ),
    (
        "shrink",
        &[
            "DELETE FROM d WHERE id > 10",
            "VACUUM d",
            "INSERT INTO d SELECT n, 'x' FROM generate_series(11, 9000) n",
        ],
    ),
];

/// Runs the statements of a load over and over, and counts how often all were run.
pub(crate) fn work(cluster: &Cluster, statements: &[&str], rounds: &AtomicU32, is_over: &AtomicBool) {
    let mut client = cluster.client("postgres");
    while !is_over.load(Ordering::Relaxed) {
        for sql in statements {
            client.execute(sql).unwrap();
        }
        rounds.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until every load was run once more.
pub(crate) fn wait_for(rounds: &[AtomicU32; LOADS.len()]) {
    let before: Vec<u32> = rounds.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    while rounds.iter().zip(&before).any(|(now, before)| now.load(Ordering::Relaxed) == *before) {
        thread::yield_now();
    }
}

/// What the loads work on, and a table that stays as it is.
pub(crate) fn prepare(client: &mut Client) {
    for table in ["r", "p", "d", "still"] {
        fill(client, table, 9000);
    }
    let accounts = "CREATE TABLE account (id int PRIMARY KEY, amount int); \
                    INSERT INTO account SELECT n, 0 FROM generate_series(0, 9000) n";
    client.execute(accounts).unwrap();
    client.execute("CREATE TABLE entry (account int, amount int)").unwrap();
}

/// Whether a cluster is as it was at one moment of the loads.
pub(crate) fn check(client: &mut Client) {
    for table in ["entry", "account"] {
        assert_eq!(one(client, &format!("SELECT sum(amount) FROM {table}")), "0", "{table}");
    }
    assert_eq!(one(client, "SELECT count(*) FROM p"), one(client, "SELECT count(id) FROM p WHERE id > 0"));
    check_indexes(client, &["r", "d", "still", "account"]);
}

#[test]
fn a_busy_cluster_is_read_as_a_whole() {
    let scratch = scratch();
    let cluster = server::cluster(|options| options.settings.push(("autovacuum".into(), "on".into())));
    let mut client = cluster.client("postgres");
    prepare(&mut client);
    let still = contents(&mut client, "still");
    let (rounds, is_over) = (<[AtomicU32; LOADS.len()]>::default(), AtomicBool::new(false));
    // Every so many regions the sink waits until all loads went round once more: they change what is read next.
    let regions = AtomicU32::new(0);
    let copy = thread::scope(|scope| {
        for ((_, statements), rounds) in LOADS.iter().zip(&rounds) {
            scope.spawn(|| work(&cluster, statements, rounds, &is_over));
        }
        let pause = |_: &ClusterPath, _, _: &mut [u8]| {
            if regions.fetch_add(1, Ordering::Relaxed).is_multiple_of(100) {
                wait_for(&rounds);
            }
        };
        let mut source = source(cluster.client("postgres"), 3);
        let copy = sink::read(&mut source, &scratch.path().join("copy"), REGION_BYTES, Box::new(pause));
        is_over.store(true, Ordering::Relaxed);
        copy.unwrap()
    });
    assert!(copy.damaged.is_empty(), "{:?}", copy.damaged);
    let entries: u64 = one(&mut client, "SELECT count(*) FROM entry").parse().unwrap();
    let restored = server::start(&cluster, &copy);
    let mut client = restored.client("postgres");
    assert_eq!(contents(&mut client, "still"), still);
    check(&mut client);
    let replayed: u64 = one(&mut client, "SELECT count(*) FROM entry").parse().unwrap();
    assert!(replayed > 2 && replayed <= entries, "{replayed} of {entries}");
}

/// Each row is found through the primary key, and nothing else is.
pub(crate) fn check_indexes(client: &mut Client, tables: &[&str]) {
    for table in tables {
        client.execute("SET enable_seqscan = off; SET enable_bitmapscan = off").unwrap();
        let by_index = one(client, &format!("SELECT sum(id) || ' ' || count(*) FROM {table} WHERE id > 0"));
        client.execute("RESET ALL; SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off").unwrap();
        let by_table = one(client, &format!("SELECT sum(id) || ' ' || count(*) FROM {table} WHERE id > 0"));
        client.execute("RESET ALL").unwrap();
        assert_eq!(by_index, by_table, "{table}");
    }
}

#[test]
fn what_vanishes_is_not_named_and_what_shrinks_keeps_its_size() {
    let scratch = scratch();
    let cluster = server::cluster(|_| ());
    let mut client = cluster.client("postgres");
    fill(&mut client, "dropped", 5000);
    fill(&mut client, "truncated", 5000);
    fill(&mut client, "kept", 5000);
    client.execute("VACUUM truncated").unwrap();
    client.execute("CHECKPOINT").unwrap();
    let path =
        |client: &mut Client, table: &str| one(client, &format!("SELECT pg_relation_filepath('{table}')"));
    let dropped = path(&mut client, "dropped");
    let truncated = path(&mut client, "truncated");
    let size = fs::metadata(cluster.sandbox().data_directory().join(&truncated)).unwrap().len();
    assert!(size > u64::from(4 * REGION_BYTES));
    let client = Mutex::new(client);
    let seen = Mutex::new(BTreeSet::new());
    let interfere = |path: &ClusterPath, region: u32, _: &mut [u8]| {
        let mut client = client.lock().unwrap();
        if seen.lock().unwrap().is_empty() {
            // The very first region: the table is in the list, and not open.
            client.execute("DROP TABLE dropped").unwrap();
            client.execute("CHECKPOINT").unwrap();
        }
        seen.lock().unwrap().insert((path.clone(), region));
        if path.as_str() == truncated && region == 1 {
            // The file loses most of its pages while it is being read.
            client.execute("DELETE FROM truncated WHERE id > 10").unwrap();
            client.execute("VACUUM truncated").unwrap();
        }
    };
    let mut source = source(cluster.client("postgres"), 1);
    let copy =
        sink::read(&mut source, &scratch.path().join("copy"), REGION_BYTES, Box::new(interfere)).unwrap();
    assert!(!copy.has(&dropped), "{dropped}");
    let bytes = fs::read(copy.root.join(&truncated)).unwrap();
    assert_eq!(bytes.len() as u64, size);
    assert!(bytes[2 * REGION_BYTES as usize..].iter().all(|byte| *byte == 0));
    assert!(copy.damaged.is_empty(), "{:?}", copy.damaged);
    let restored = server::start(&cluster, &copy);
    let mut client = restored.client("postgres");
    assert_eq!(one(&mut client, "SELECT count(*) FROM truncated"), "10");
    assert_eq!(one(&mut client, "SELECT count(*) FROM kept"), "5000");
    assert_eq!(one(&mut client, "SELECT to_regclass('dropped') IS NULL"), "t");
}

#[test]
fn torn_pages_are_read_again_and_damaged_ones_are_told_apart() {
    let scratch = scratch();
    let mut cluster = server::cluster(|_| ());
    let mut client = cluster.client("postgres");
    fill(&mut client, "t", 5000);
    let path = one(&mut client, "SELECT pg_relation_filepath('t')");
    drop(client);
    cluster.sandbox_mut().stop().unwrap();
    let file = cluster.sandbox().data_directory().join(&path);
    let mut bytes = fs::read(&file).unwrap();
    bytes[20 * 8192 + 5000] ^= 1;
    fs::write(&file, bytes).unwrap();
    cluster.sandbox_mut().start_again().unwrap();
    // One page looks as if half of it had been written when it was read for the first time.
    let tear = |seen: &ClusterPath, region: u32, bytes: &mut [u8]| {
        if seen.as_str() == path && region == 1 {
            bytes[3 * 8192 + 4096..4 * 8192].fill(0);
        }
    };
    let mut source = source(cluster.client("postgres"), 2);
    let copy = sink::read(&mut source, &scratch.path().join("copy"), REGION_BYTES, Box::new(tear)).unwrap();
    let path: ClusterPath = path.parse().unwrap();
    assert_eq!(copy.torn, [(path.clone(), 11)]);
    assert_eq!(copy.damaged, [(path.clone(), 20)]);
    let original = fs::read(cluster.sandbox().data_directory().join(path.as_str())).unwrap();
    assert!(fs::read(copy.root.join(path.as_str())).unwrap() == original);
}

#[test]
fn a_backup_that_is_cancelled_leaves_nothing_on_the_server() {
    let scratch = scratch();
    let cluster = server::cluster(|_| ());
    let mut client = cluster.client("postgres");
    fill(&mut client, "t", 5000);
    let regions = AtomicU32::new(0);
    let count = |_: &ClusterPath, _, _: &mut [u8]| {
        regions.fetch_add(1, Ordering::Relaxed);
    };
    let mut source = source(cluster.client("postgres"), 2);
    let cancelled = || regions.load(Ordering::Relaxed) >= 10;
    let root = scratch.path().join("copy");
    let error = sink::read_until(&mut source, &root, REGION_BYTES, Box::new(count), &cancelled).unwrap_err();
    assert!(matches!(error, ClusterError::Cancelled), "{error}");
    // Each thread may finish the region that it has.
    assert!(regions.load(Ordering::Relaxed) <= 12);
    assert_eq!(one(&mut client, "SELECT count(*) FROM pg_replication_slots"), "1");
    drop(source);
    // The server ends the session in its own time.
    while one(&mut client, "SELECT count(*) FROM pg_replication_slots") != "0" {
        thread::yield_now();
    }
}

#[test]
fn an_error_of_the_sink_is_the_error_of_the_backup() {
    let scratch = scratch();
    let cluster = server::cluster(|_| ());
    let mut source = source(cluster.client("postgres"), 2);
    // The place of a file is taken.
    let root = scratch.path().join("copy");
    fs::create_dir_all(root.join("PG_VERSION")).unwrap();
    let error = sink::read(&mut source, &root, REGION_BYTES, Box::new(|_, _, _| ())).unwrap_err();
    assert!(matches!(error, ClusterError::Sink(_)), "{error}");
    let error = source.read(&sink::Nothing, &|| false).unwrap_err();
    assert_eq!(error.to_string(), "the backup was not started");
}

#[test]
fn wal_that_is_gone_fails_the_backup() {
    let scratch = scratch();
    let cluster = server::cluster(|_| ());
    let data = cluster.sandbox().data_directory();
    let client = Mutex::new(cluster.client("postgres"));
    let missing = Mutex::new(String::new());
    // Three segments are written during the backup, and the middle one goes.
    let lose = |path: &ClusterPath, _, _: &mut [u8]| {
        if path.as_str() != "global/pg_control" {
            return;
        }
        let mut client = client.lock().unwrap();
        let segment = |client: &mut Client| {
            let name = one(client, "SELECT pg_walfile_name(pg_current_wal_lsn())");
            client
                .execute("SELECT pg_logical_emit_message(false, 'x', 'y'); SELECT pg_switch_wal()")
                .unwrap();
            name
        };
        segment(&mut client);
        let middle = segment(&mut client);
        segment(&mut client);
        fs::remove_file(data.join("pg_wal").join(&middle)).unwrap();
        *missing.lock().unwrap() = middle;
    };
    let mut source = source(cluster.client("postgres"), 1);
    let error =
        sink::read(&mut source, &scratch.path().join("copy"), REGION_BYTES, Box::new(lose)).unwrap_err();
    let ClusterError::WalGone { from } = error else { panic!("{error}") };
    let missing: model::WalSegmentName = missing.lock().unwrap().parse().unwrap();
    assert_eq!(from, missing.start(model::SegmentSize::DEFAULT));
}
