//! SIGKILL at random points of a restore: no server starts on what is there, and the same command again goes on to a directory that
//! holds everything.
//!
//! `CHRONAVAULT_SEED` and `CHRONAVAULT_MOMENTS` choose which points, and how many.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use testkit::random::{Random, number};

use crate::ledger::{self, Writer};
use crate::site::{Recovered, Site};

/// Without it, no server starts.
const CONTROL: &str = "global/pg_control";
/// Kills for each of `CHRONAVAULT_MOMENTS`.
const KILLS: u64 = 4;
/// One restore is killed so many times at most before it may end.
const MOST_IN_A_ROW: u64 = 3;

/// A ledger with some ballast, so that a restore takes a while. Returns its commits.
fn history(site: &Site) -> u64 {
    site.cluster.psql(
        "books",
        "CREATE TABLE ballast AS SELECT g, md5(g::text) || md5((g + 1)::text) FROM generate_series(1, 150000) g",
    );
    let writer = Writer::start(site);
    writer.commits(20);
    site.backup();
    writer.commits(20);
    let commits = writer.stop().len() as u64;
    site.archive_everything();
    commits
}

/// Starts a restore and kills it somewhere within the time that it usually takes.
fn kill(site: &Site, words: &[&str], usual: Duration, random: &mut Random) {
    let delay = Duration::from_micros(random.below(u64::try_from(usual.as_micros()).unwrap()));
    let mut child = site.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // The delay is the point at which to kill; nothing waits for anything here.
    std::thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Whether a restore into `data` is over: until its last act, the directory says that it is not.
fn is_complete(data: &Path) -> bool {
    data.join(CONTROL).exists() && !data.join("chronavault-restore.json").exists()
}

#[test]
fn a_killed_restore_goes_on_where_it_ended() {
    let (seed, count) = (number("CHRONAVAULT_SEED", 1), KILLS * number("CHRONAVAULT_MOMENTS", 1));
    println!("seed {seed}, {count} restores that are killed");
    let mut random = Random(seed);
    let site = Site::new();
    let commits = history(&site);
    let data = site.path("killed");
    let words = ["-q", "restore", "latest", "--data-dir", data.to_str().unwrap()];
    let started = Instant::now();
    site.succeeds(&words);
    let usual = started.elapsed();
    let (mut complete, mut half) = (0, 0);
    for turn in 0..count {
        fs::remove_dir_all(&data).unwrap();
        for _ in 0..=random.below(MOST_IN_A_ROW) {
            if !is_complete(&data) {
                kill(&site, &words, usual, &mut random);
            }
        }
        if is_complete(&data) {
            complete += 1;
        } else {
            half += u64::from(data.join("PG_VERSION").exists());
            if !data.join(CONTROL).exists() {
                site.does_not_start(&data);
            }
            site.succeeds(&words);
        }
        let recovered = Recovered::start(&site, data.clone(), "books");
        assert_eq!(recovered.ledger(), (commits, ledger::sum_of_first(commits)), "turn {turn}");
        let ballast = "SELECT count(*) FROM ballast";
        let rows: u64 = recovered.client().query_one(ballast, &[]).unwrap().number(0).unwrap();
        assert_eq!(rows, 150_000, "turn {turn}");
        recovered.leaves_no_trace();
    }
    println!("{complete} had ended before they were killed, {half} had begun with the files");
}
