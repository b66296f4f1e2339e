//! SIGKILL of the service at random points: what was acknowledged is there, the journal holds, and the next one goes on.

use std::fmt::Write;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use testkit::Cluster;
use testkit::random::{Random, number};

use crate::harness::{KEY, Place};
use crate::{BOOKS, listed};

/// A source of its own each time, so that there is something due, and a second one that was due before.
fn settings(place: &Place, url: &str, turn: u64) {
    let mut text = "[backup]\nverification = false\n".to_owned();
    for turn in turn.saturating_sub(1)..=turn {
        writeln!(text, "[sources.books{turn}]\nurl = \"{url}\"").unwrap();
    }
    fs::write(place.path("chronavault.toml"), text).unwrap();
}

#[test]
fn a_killed_service_leaves_nothing_half_done_and_the_next_one_goes_on() {
    let (seed, count) = (number("CHRONAVAULT_SEED", 1), number("CHRONAVAULT_COUNT", 20).min(400) / 2);
    println!("seed {seed}, {count} kills of the service");
    let mut random = Random(seed ^ 0x5e7);
    let cluster = Cluster::start();
    cluster.create_database("books");
    cluster.psql("books", BOOKS);
    let url = cluster.url("books");
    let place = Place::new().with("BACKUP_ENCRYPTION_KEY", KEY);
    place.run(&["init"]).succeeds();
    let started = Instant::now();
    settings(&place, &url, 0);
    place.run(&["backup", "--no-verify", "--quiet", "--source", "books0"]);
    // Two backups and two prunes take about so long.
    let usual = 3 * started.elapsed();
    let mut known = listed(&place);
    for kill in 1..=count {
        settings(&place, &url, kill);
        let delay = Duration::from_micros(random.below(u64::try_from(usual.as_micros()).unwrap()));
        let mut child = place
            .command(&["serve", "--json"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        // The delay is the point at which to kill; nothing waits for anything here.
        std::thread::sleep(delay);
        if random.below(2) == 0 {
            // Everything at once, as when the machine goes down.
            let group = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let now = listed(&place);
        assert!(known.is_subset(&now), "kill {kill} after {delay:?} lost a backup");
        known = now;
    }
    println!("{} backups are listed", known.len());
    // Runs that outlived the service end by themselves; a backup of the same source waits for their lease.
    let last = format!("books{count}");
    while place.run(&["backup", "--no-verify", "--source", &last]).err.contains("lease.held") {
        std::thread::yield_now();
    }
    place.run(&["verify", "--all", "--level", "contents"]).succeeds();
    let journal = place.run(&["journal", "verify", "--json"]).json();
    assert_eq!(journal["outcome"], "sound", "{journal:#}");
    place.run(&["prune"]).succeeds();
    assert!(listed(&place).is_superset(&known));
}
