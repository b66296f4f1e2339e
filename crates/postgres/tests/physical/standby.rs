//! Backups of a standby.

use std::fs;
use std::path::Path;
use std::thread;

use chronavault_postgres::Client;
use testkit::Cluster;

use crate::server::{self, REGION_BYTES, contents, fill, one, scratch, source};
use crate::sink;

/// A standby of `primary` that streams from it.
fn standby_of(primary: &Cluster, scratch: &Path) -> Cluster {
    let mut source = source(primary.client("postgres"), 2);
    let copy = sink::read(&mut source, &scratch.join("base"), REGION_BYTES, Box::new(|_, _, _| ())).unwrap();
    fs::write(copy.root.join("standby.signal"), "").unwrap();
    let sockets = primary.sandbox().socket_directory().display().to_string();
    let conninfo = format!("host={sockets} port={} user=postgres", primary.sandbox().port());
    server::start_with(primary, &copy, |options| {
        options.settings.push(("primary_conninfo".to_owned(), conninfo));
        options.settings.push(("hot_standby".to_owned(), "on".to_owned()));
    })
}

/// Waits until the standby has replayed what the primary has written.
fn catch_up(primary: &mut Client, standby: &mut Client) {
    let position = one(primary, "SELECT pg_current_wal_lsn()");
    while one(standby, &format!("SELECT pg_last_wal_replay_lsn() >= '{position}'")) != "t" {
        thread::yield_now();
    }
}

#[test]
fn a_backup_of_a_standby_starts() {
    let scratch = scratch();
    let cluster = server::cluster(|_| ());
    let mut primary = cluster.client("postgres");
    fill(&mut primary, "t", 5000);
    let standby = standby_of(&cluster, scratch.path());
    fill(&mut primary, "later", 5000);
    let mut client = standby.client("postgres");
    catch_up(&mut primary, &mut client);
    let expected = contents(&mut primary, "later");
    let mut source = source(standby.client("postgres"), 2);
    let root = scratch.path().join("copy");
    let copy = sink::read(&mut source, &root, REGION_BYTES, Box::new(|_, _, _| ())).unwrap();
    assert!(copy.start.from_standby && copy.damaged.is_empty(), "{:?}", copy.damaged);
    assert!(copy.has("standby.signal"));
    assert!(copy.start.start_lsn <= copy.stop.stop_lsn);
    fs::remove_file(copy.root.join("standby.signal")).unwrap();
    drop(client);
    drop(standby);
    let restored = server::start(&cluster, &copy);
    assert_eq!(contents(&mut restored.client("postgres"), "later"), expected);
}

#[test]
fn a_standby_that_is_promoted_fails_the_backup() {
    let scratch = scratch();
    let cluster = server::cluster(|_| ());
    let mut primary = cluster.client("postgres");
    let standby = standby_of(&cluster, scratch.path());
    let mut client = standby.client("postgres");
    catch_up(&mut primary, &mut client);
    let promote = |path: &model::ClusterPath, _, _: &mut [u8]| {
        if path.as_str() == "global/pg_control" {
            assert_eq!(one(&mut standby.client("postgres"), "SELECT pg_promote()"), "t");
        }
    };
    let mut source = source(standby.client("postgres"), 2);
    let root = scratch.path().join("copy");
    let error = sink::read(&mut source, &root, REGION_BYTES, Box::new(promote)).unwrap_err();
    assert!(error.to_string().contains("promoted"), "{error}");
}
