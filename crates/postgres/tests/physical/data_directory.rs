//! Reading data directories of running servers, and starting servers on what was read.

use std::path::Path;

use chronavault_postgres::Client;
use testkit::Cluster;

use crate::server::{self, REGION_BYTES, contents, directory_for, fill, one, scratch, source};
use crate::sink::{self, Copy};

fn read(cluster: &Cluster, threads: usize, root: &Path) -> Copy {
    let mut source = source(cluster.client("postgres"), threads);
    sink::read(&mut source, root, REGION_BYTES, Box::new(|_, _, _| ())).unwrap()
}

#[test]
fn a_server_starts_on_what_was_read() {
    let scratch = scratch();
    let cluster = server::cluster(|_| ());
    let place = directory_for(&cluster, scratch.path(), "space");
    let mut client = cluster.client("postgres");
    fill(&mut client, "t", 20_000);
    client.execute(&format!("CREATE TABLESPACE s LOCATION '{}'", place.display())).unwrap();
    client
        .execute("CREATE TABLE in_space (a text) TABLESPACE s; INSERT INTO in_space VALUES ('here')")
        .unwrap();
    client
        .execute("CREATE UNLOGGED TABLE u AS SELECT * FROM t; CREATE TEMP TABLE tmp AS SELECT * FROM t")
        .unwrap();
    client.execute("CHECKPOINT").unwrap();
    cluster.create_database("other");
    fill(&mut cluster.client("other"), "t", 10);
    let unlogged = one(&mut client, "SELECT pg_relation_filepath('u')");
    let temporary = one(&mut client, "SELECT pg_relation_filepath('tmp')");
    let expected = contents(&mut client, "t");

    let copy = read(&cluster, 2, &scratch.path().join("copy"));
    assert!(!copy.has(&unlogged) && copy.has(&format!("{unlogged}_init")), "{unlogged}");
    assert!(cluster.sandbox().data_directory().join(&temporary).exists() && !copy.has(&temporary));
    for name in ["postmaster.pid", "postmaster.opts"] {
        assert!(!copy.has(name), "{name}");
    }
    for path in ["backup_label", "tablespace_map", "PG_VERSION", "postgresql.conf", "global/pg_control"] {
        assert!(copy.has(path), "{path}");
    }
    for directory in ["pg_replslot", "pg_notify", "pg_subtrans", "pg_stat_tmp"] {
        assert_eq!(copy.names_in(directory).len(), 0, "{directory}");
        assert_eq!(copy.directories.get(&directory.parse().unwrap()), Some(&0o700), "{directory}");
    }
    assert!(copy.damaged.is_empty() && copy.torn.is_empty(), "{:?} {:?}", copy.damaged, copy.torn);
    check_order(&copy);
    check_start(&copy, &mut client, &place);
    assert_eq!(one(&mut client, "SELECT count(*) FROM pg_replication_slots"), "0");

    drop(client);
    drop(cluster.client("postgres"));
    let restored = server::start(&cluster, &copy);
    let mut client = restored.client("postgres");
    assert_eq!(contents(&mut client, "t"), expected);
    assert_eq!(one(&mut client, "SELECT a FROM in_space"), "here");
    assert_eq!(one(&mut client, "SELECT count(*) FROM u"), "0");
    assert_eq!(one(&mut restored.client("other"), "SELECT count(*) FROM t"), "10");
}

/// Files in the order of their paths, `pg_control` behind them, then what the end of the backup brought.
fn check_order(copy: &Copy) {
    let paths: Vec<&str> = copy.files.iter().map(|(path, _)| path.as_str()).collect();
    let control = paths.iter().position(|path| *path == "global/pg_control").unwrap();
    assert!(paths[..control].is_sorted());
    assert_eq!(paths[control + 1..control + 3], ["backup_label", "tablespace_map"]);
    let wal = &paths[control + 3..];
    assert!(wal.iter().all(|path| path.starts_with("pg_wal/")), "{wal:?}");
    let segments: Vec<_> = wal.iter().filter(|path| !path.contains("archive_status")).collect();
    for segment in segments {
        let done = segment.replace("pg_wal/", "pg_wal/archive_status/") + ".done";
        assert!(wal.contains(&done.as_str()), "{done}");
    }
}

fn check_start(copy: &Copy, client: &mut Client, place: &Path) {
    let start = &copy.start;
    let id = one(client, "SELECT system_identifier FROM pg_control_system()");
    assert_eq!(start.system_id.to_string(), id);
    assert_eq!(start.server_version, client.server_version());
    assert_eq!((start.timeline.get(), start.block_bytes, start.from_standby), (1, 8192, false));
    assert!(start.data_checksums && start.start_lsn < copy.stop.stop_lsn);
    assert_eq!(copy.stop.timeline, start.timeline);
    assert!(copy.stop.warnings.is_empty(), "{:?}", copy.stop.warnings);
    let locations: Vec<_> = start.tablespaces.iter().map(|space| space.location.as_str()).collect();
    assert_eq!(locations, [place.to_str().unwrap()]);
    let files = copy.files.iter().filter(|(path, _)| !path.as_str().starts_with("pg_wal/"));
    let bytes: u64 = files.map(|(_, bytes)| bytes).sum();
    assert!(start.expected_bytes.abs_diff(bytes) < 1 << 20, "{} for {bytes}", start.expected_bytes);
}
