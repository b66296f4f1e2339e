//! Keys that are rotated while a daemon runs.

use std::fs;
use std::time::{Duration, Instant};

use testkit::Cluster;

use crate::harness::{KEY, Place};
use crate::serve::{Daemon, get};

/// Settings of a daemon that only receives WAL and looks.
fn settings(place: &Place, url: &str) {
    let http = place.path("http.sock");
    let file = format!(
        "[service]\nlisten = \"unix:{}\"\nobserve_seconds = 1\n[sources.books]\nurl = \"{url}\"\nreceive_wal = true\n\
         [[schedules]]\ntask = \"backup\"\nsource = \"books\"\ncron = \"0 0 1 1 *\"\ncatch_up = false\n",
        http.display()
    );
    fs::write(place.path("chronavault.toml"), file).unwrap();
}

/// Waits until the receiver streams.
fn streams(cluster: &Cluster) {
    let deadline = Instant::now() + Duration::from_mins(1);
    let streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
    while cluster.psql("postgres", streaming).trim() != "1" {
        assert!(Instant::now() < deadline, "nobody streams");
        std::thread::yield_now();
    }
}

#[test]
fn a_service_and_its_receivers_go_on_with_the_key_that_was_rotated_to() {
    let cluster = Cluster::replicating(|_| ());
    let place = Place::new();
    place.run(&["init"]).succeeds();
    settings(&place, &cluster.url("postgres"));
    let daemon = Daemon::start(&place);
    streams(&cluster);
    let rotated = place.run(&["keys", "rotate", "--json"]).succeeds().json();
    daemon.wait_for("rekeyed");
    let ended = daemon.wait_for("ended");
    assert_eq!((&ended["run"], &ended["status"]), (&"receive/books".into(), &0.into()), "{ended}");
    streams(&cluster);

    // What is written from now on is sealed in the new epoch, and the service reads it.
    cluster.psql("postgres", "CREATE TABLE t AS SELECT generate_series(1, 100) AS i");
    place.run(&["backup", "--source", "books", "--no-verify"]).succeeds();
    let backups = "chronavault_backups{source=\"books\",kind=\"logical\",proof=\"none\"} 1";
    let http = place.path("http.sock");
    while !get(&http, "/metrics").contains(backups) {
        std::thread::yield_now();
    }
    let metrics = get(&http, "/metrics");
    let used = format!("chronavault_key_age_seconds{{slot=\"{}\",", rotated["key_id"].as_str().unwrap());
    assert!(metrics.contains(&used) && !metrics.contains("chronavault_troubles{"), "{metrics}");
    daemon.signal("-TERM");
    assert_eq!(daemon.ends(), Some(0));
    // All WAL since the rotation opens with the new key.
    let status = place.run(&["wal", "status", "--verify", "--json"]).json();
    assert_eq!(status["clusters"][0]["problems"], serde_json::json!([]), "{status:#}");
}

#[test]
fn a_service_whose_key_does_not_open_the_repository_any_more_says_what_to_do() {
    let cluster = Cluster::replicating(|_| ());
    let place = Place::new().with("BACKUP_ENCRYPTION_KEY", KEY);
    place.run(&["init"]).succeeds();
    settings(&place, &cluster.url("postgres"));
    let daemon = Daemon::start(&place);
    streams(&cluster);
    place.run(&["keys", "rotate", "--generate", "new"]).succeeds();
    let said = daemon.wait_until("trouble", |line| line["code"] == "key.wrong");
    assert!(said["hint"].as_str().is_some_and(|hint| hint.contains("key")), "{said}");
    let http = place.path("http.sock");
    let ready = loop {
        let ready = get(&http, "/ready");
        if ready.contains("key.wrong") {
            break ready;
        }
        std::thread::yield_now();
    };
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    let listed = loop {
        let listed = place.run(&["alert", "list", "--key-file", "new", "--json"]);
        if listed.out.contains("key.wrong") {
            break listed.json();
        }
    };
    let alert = &listed["alerts"].as_array().unwrap().iter().find(|alert| alert["code"] == "alert.trouble");
    assert!(alert.is_some_and(|alert| alert["severity"] == "critical"), "{listed:#}");
    daemon.signal("-TERM");
    daemon.ends();
}
