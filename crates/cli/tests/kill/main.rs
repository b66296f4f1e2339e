//! SIGKILL at random points of a backup: whatever was acknowledged before is still there, and nothing half done is
//! listed.
//!
//! `CHRONAVAULT_SEED` and `CHRONAVAULT_COUNT` choose which points, and how many.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../commands/harness.rs"]
#[allow(dead_code, reason = "this test needs a part of it")]
mod harness;
mod service;

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use harness::{KEY, Place};
use testkit::Cluster;
use testkit::random::{Random, number};

const BOOKS: &str = "
    CREATE TABLE entry (id bigint PRIMARY KEY, amount numeric, memo text);
    INSERT INTO entry SELECT g, g / 7.0, md5(g::text) FROM generate_series(1, 150000) g;
    CREATE TABLE account (id int PRIMARY KEY, name text);
    INSERT INTO account SELECT g, 'account ' || g FROM generate_series(1, 100) g;";

fn listed(place: &Place) -> BTreeSet<String> {
    let json = place.run(&["list", "--json"]).succeeds().json();
    assert_eq!(json["unreadable"].as_array().unwrap().len(), 0, "{json}");
    json["backups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|backup| backup["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_killed_backup_leaves_earlier_ones_and_nothing_half_done() {
    let (seed, count) = (number("CHRONAVAULT_SEED", 1), number("CHRONAVAULT_COUNT", 20));
    println!("seed {seed}, {count} kills of backups");
    let mut random = Random(seed);
    let cluster = Cluster::start();
    cluster.create_database("books");
    cluster.psql("books", BOOKS);
    let place = Place::new().with("BACKUP_ENCRYPTION_KEY", KEY).with("DATABASE_URL", &cluster.url("books"));
    place.run(&["init"]).succeeds();
    let started = Instant::now();
    place.run(&["backup", "--no-verify", "--quiet"]);
    let usual = started.elapsed();
    let mut known = listed(&place);
    assert_eq!(known.len(), 1);

    let mut finished = 0;
    for kill in 0..count {
        cluster.psql(
            "books",
            &format!("UPDATE entry SET memo = 'kill {kill}' WHERE id % 1000 = {}", kill % 1000),
        );
        let delay = Duration::from_micros(random.below(u64::try_from(usual.as_micros()).unwrap()));
        let mut child = place
            .command(&["backup", "--no-verify", "--quiet"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The delay is the point at which to kill; nothing waits for anything here.
        std::thread::sleep(delay);
        child.kill().unwrap();
        finished += u64::from(child.wait().unwrap().success());
        let now = listed(&place);
        assert!(known.is_subset(&now), "kill {kill} after {delay:?} lost a backup");
        assert!(now.len() <= known.len() + 1, "kill {kill} after {delay:?}");
        for new in now.difference(&known) {
            place.run(&["verify", new, "--level", "contents"]).succeeds();
        }
        known = now;
    }
    println!("{finished} backups ended before they were killed, {} are listed", known.len());
    // The oldest and the newest restore, and every other one is sound.
    for id in [known.first().unwrap(), known.last().unwrap()] {
        let proven = place.run(&["verify", id, "--json"]).json();
        assert_eq!(proven["outcome"], "proven", "{proven}");
    }
    place.run(&["verify", "--all", "--level", "contents"]).succeeds();
    place.run(&["backup", "--no-verify", "--quiet"]);
    assert_eq!(listed(&place).len(), known.len() + 1);
}
