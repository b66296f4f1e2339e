//! SIGKILL at random points of a push and of a fetch: a segment is archived as a whole or not at all, and what a server finds at its
//! place is the segment or nothing.
//!
//! `CHRONAVAULT_SEED` and `CHRONAVAULT_COUNT` choose which points, and how many.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use model::WalName;
use testkit::random::{Random, number};

use crate::harness::Place;
use crate::segments::{SYSTEM, archive, name, opened, place, ready, wal, write};

/// Runs a command and kills it somewhere within the time that it usually takes. Returns whether it had ended before.
fn kill(place: &Place, words: &[&str], usual: Duration, random: &mut Random) -> bool {
    let delay = Duration::from_micros(random.below(u64::try_from(usual.as_micros()).unwrap()));
    let mut child = place.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // The delay is the point at which to kill; nothing waits for anything here.
    std::thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap().success()
}

#[test]
fn a_killed_push_leaves_a_segment_or_none() {
    let (seed, count) = (number("CHRONAVAULT_SEED", 1), number("CHRONAVAULT_COUNT", 20));
    println!("seed {seed}, {count} kills");
    let mut random = Random(seed);
    let place = place();
    let push = |number: u64| ["wal".to_owned(), "push".to_owned(), format!("pg_wal/{}", name(1, number))];
    for number in 0..=count + 4 {
        write(&place, 1, number);
        ready(&place, 1, number);
    }
    let started = Instant::now();
    place.run(&push(0).each_ref().map(String::as_str)).succeeds();
    let usual = started.elapsed();
    let mut finished = 0;
    for number in 1..=count {
        // Three are taken along, or were by the push before.
        let words = push(number);
        let words: Vec<_> = words.iter().map(String::as_str).chain(["--ahead", "3"]).collect();
        let has_ended = kill(&place, &words, usual, &mut random);
        finished += u64::from(has_ended);
        for checked in number..=number + 3 {
            let mut bytes = Vec::new();
            let is_there =
                opened(&place).get(WalName::Segment(name(1, checked)), &mut bytes).unwrap().is_some();
            assert!(!is_there || bytes == wal(1, checked, 0), "kill {number}");
            assert!(is_there || !has_ended || checked > number, "kill {number}: it was acknowledged");
        }
        place.run(&words).succeeds();
    }
    println!("{finished} pushes ended before they were killed");
    place.run(&["wal", "status", "--verify"]).succeeds();
}

#[test]
fn a_killed_fetch_leaves_a_segment_or_none() {
    let (seed, count) = (number("CHRONAVAULT_SEED", 1), number("CHRONAVAULT_COUNT", 20));
    println!("seed {seed}, {count} kills");
    let mut random = Random(seed);
    let place = place();
    archive(&place, 1, 0..count + 2);
    let target = place.path("pg_wal/RECOVERYXLOG");
    let (id, started) = (SYSTEM.to_string(), Instant::now());
    let first = name(1, 0).to_string();
    place.run(&["wal", "fetch", &first, "pg_wal/RECOVERYXLOG", "--system-id", &id]).succeeds();
    let usual = started.elapsed();
    for number in 1..=count {
        fs::remove_file(&target).unwrap();
        let wanted = name(1, number).to_string();
        let fetch = ["wal", "fetch", &wanted, "pg_wal/RECOVERYXLOG", "--system-id", &id, "--ahead", "3"];
        let has_ended = kill(&place, &fetch, usual, &mut random);
        assert!(target.exists() || !has_ended, "kill {number}");
        assert!(!target.exists() || fs::read(&target).unwrap() == wal(1, number, 0), "kill {number}");
        // So may whoever fetches ahead be killed.
        let ahead = [
            "wal",
            "prefetch",
            &wanted,
            "pg_wal/RECOVERYXLOG",
            "--system-id",
            &id,
            "--ahead",
            "3",
            "--jobs",
            "2",
        ];
        kill(&place, &ahead, usual, &mut random);
        place.run(&fetch).succeeds();
        assert!(fs::read(&target).unwrap() == wal(1, number, 0), "kill {number}");
    }
}
