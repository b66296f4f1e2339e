//! `wal receive`: killed at random points together with its server, and as a synchronous standby.
//!
//! `CHRONAVAULT_SEED` and `CHRONAVAULT_COUNT` choose which points, and how many.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::random::{Random, number};

use crate::archiving::load;
use crate::harness::Said;
use crate::servers::Archived;

/// How long a machine with much else to do may take to archive what is due.
const PATIENCE: Duration = Duration::from_secs(2);

fn receive(archived: &Archived, more: &[&str]) -> Command {
    let mut command = archived.program(&[&["wal", "receive"], more].concat());
    command.env("DATABASE_URL", archived.cluster.url("postgres"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A receiver whose events are read. It is killed when this is dropped.
struct Receiver {
    child: Child,
    lines: BufReader<std::process::ChildStderr>,
}

impl Receiver {
    fn start(archived: &Archived, more: &[&str]) -> Self {
        let mut child = receive(archived, &[&["--json"], more].concat()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines }
    }

    /// Reads events up to the next one of this kind.
    fn next(&mut self, kind: &str) -> Value {
        let mut seen = String::new();
        loop {
            let before = seen.len();
            assert!(self.lines.read_line(&mut seen).unwrap() > 0, "no {kind}, but: {seen}");
            let event: Value =
                serde_json::from_str(&seen[before..]).unwrap_or_else(|error| panic!("{error}: {seen}"));
            if event["event"] == kind {
                return event;
            }
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_stops_when_it_is_told_to_and_archives_what_came() {
    let archived = Archived::without_command(&[]);
    archived.base_backup("base");
    for (round, signal) in [(1, "TERM"), (2, "INT")] {
        // An hour, so that only the stop archives anything.
        let mut receiver = Receiver::start(&archived, &["--flush-interval", "3600", "--source", "My books"]);
        let streaming = receiver.next("streaming");
        assert_eq!(streaming["origin"], if round == 1 { "slot" } else { "archive" });
        archived.cluster.psql("postgres", "CREATE TABLE IF NOT EXISTS t (i int); INSERT INTO t VALUES (1);");
        let sent = "SELECT sent_lsn >= pg_current_wal_lsn() FROM pg_stat_replication";
        while archived.cluster.psql("postgres", sent).trim() != "t" {}
        let pid = receiver.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        let Receiver { child, .. } = &mut receiver;
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{signal}");
        let mut out = String::new();
        std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut out).unwrap();
        let said = Said { exit: 0, out, err: String::new() };
        let json = said.json();
        assert_eq!(json["slot"], "chronavault_my_books");
        assert_eq!(json["warnings"].as_array().unwrap().len(), 0);
        let archived_to = json["archived_to"].as_str().unwrap();
        let all = format!("SELECT '{archived_to}'::pg_lsn >= pg_current_wal_lsn()");
        assert_eq!(archived.cluster.psql("postgres", &all).trim(), "t");
    }
    let recovered = archived.recover("base", &[]);
    assert_eq!(recovered.ask("SELECT count(*) FROM t"), "2");
}

#[test]
fn a_wrong_flush_interval_is_refused() {
    let archived = Archived::without_command(&[]);
    for interval in ["0", "-1", "3601", "x", "NaN"] {
        let output = receive(&archived, &["--flush-interval", interval]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{interval}");
    }
    let output = receive(&archived, &["--slot", "No-Slot"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

/// Commits rows from `from` on until the server is gone, in a session in which commits wait for all that the server waits for.
/// Returns when each was acknowledged.
fn commit(archived: &Archived, from: u64, stop: &AtomicBool) -> Vec<Instant> {
    let mut acknowledged = Vec::new();
    let mut client = archived.cluster.client("postgres");
    client.execute("SET synchronous_commit = on").unwrap();
    while !stop.load(Ordering::Relaxed) {
        let row = from + acknowledged.len() as u64;
        if client.execute(&format!("INSERT INTO t VALUES ({row}, repeat('x', 500))")).is_err() {
            break;
        }
        acknowledged.push(Instant::now());
    }
    acknowledged
}

/// Rows 1 … n are there without a gap; n is returned.
fn rows(recovered: &crate::servers::Recovering<'_>) -> u64 {
    let text = recovered.ask("SELECT count(*), coalesce(max(i), 0), count(DISTINCT i) FROM t");
    let numbers: Vec<u64> = text.split('|').map(|number| number.parse().unwrap()).collect();
    let [count, last, distinct] = numbers[..] else { panic!("{text}") };
    assert_eq!((last, distinct), (count, count), "rows are missing in the middle");
    count
}

/// Kills receiver and server `count` times while rows are committed. After each time, what an archive without its server can be recovered
/// to is at least what `expected` makes of the acknowledged rows.
#[expect(clippy::print_stdout, reason = "a seed is of use only when it is seen")]
fn kill_both(
    archived: &mut Archived,
    more: &[&str],
    (seed, count): (u64, u64),
    expected: impl Fn(&[Instant], Instant) -> u64,
) {
    println!("seed {seed}, {count} kills");
    let mut random = Random(seed);
    archived.cluster.psql("postgres", "CREATE TABLE t (i bigint, filler text)");
    archived.base_backup("base");
    let mut committed = 0;
    for round in 1..=count {
        let mut receiver = Receiver::start(archived, more);
        receiver.next("streaming");
        let stop = AtomicBool::new(false);
        let delay = Duration::from_millis(random.below(5000));
        let receiver_first = random.below(2) == 0;
        let (acknowledged, killed) = std::thread::scope(|scope| {
            let committing = scope.spawn(|| commit(archived, committed + 1, &stop));
            // The delay is the point at which to kill; nothing waits for anything here.
            std::thread::sleep(delay);
            let killed = Instant::now();
            if receiver_first {
                receiver.kill();
            }
            let postmaster = archived.cluster.sandbox().postmaster_pid().unwrap().to_string();
            assert!(Command::new("kill").args(["-9", &postmaster]).status().unwrap().success());
            receiver.kill();
            stop.store(true, Ordering::Relaxed);
            (committing.join().unwrap(), killed)
        });
        let copy = format!("round-{round}");
        archived.copy("base", &copy);
        let recovered = archived.recover(&copy, &[]);
        let there = rows(&recovered);
        let needed = committed + expected(&acknowledged, killed);
        assert!(
            there >= needed,
            "round {round}: {there} rows, but {needed} were safe, of {committed} + {} acknowledged",
            acknowledged.len()
        );
        drop(recovered);
        archived.cluster.sandbox_mut().kill().unwrap();
        archived.cluster.sandbox_mut().start_again().unwrap();
        let sql = "SELECT count(*) FROM t";
        committed = archived.cluster.psql("postgres", sql).trim().parse().unwrap();
    }
    // In the end everything is there.
    let mut receiver = Receiver::start(archived, more);
    receiver.next("streaming");
    load(archived, 20);
    let end = archived.cluster.psql("postgres", "SELECT pg_current_wal_lsn()");
    let reached = format!("SELECT flush_lsn >= '{}' FROM pg_stat_replication", end.trim());
    while archived.cluster.psql("postgres", &reached).trim() != "t" {}
    receiver.kill();
    let recovered = archived.recover("base", &[]);
    assert_eq!(rows(&recovered), committed);
    archived.run(&["wal", "status", "--verify"]).succeeds();
}

#[test]
fn a_commit_that_is_older_than_the_flush_interval_is_not_lost() {
    let seeds = (number("CHRONAVAULT_SEED", 1), number("CHRONAVAULT_COUNT", 4));
    let interval = Duration::from_millis(200);
    let mut archived = Archived::without_command(&[]);
    kill_both(&mut archived, &["--flush-interval", "0.2"], seeds, |acknowledged, killed| {
        let is_old = |at: &&Instant| killed.saturating_duration_since(**at) > interval + PATIENCE;
        acknowledged.iter().filter(is_old).count() as u64
    });
}

#[test]
fn a_commit_that_waited_for_the_archive_is_in_it() {
    let seeds = (number("CHRONAVAULT_SEED", 1), number("CHRONAVAULT_COUNT", 4));
    // Only who asks for it waits: what is done while nobody receives would wait for ever.
    let settings = [("synchronous_standby_names", "vault"), ("synchronous_commit", "local")];
    let mut archived = Archived::without_command(&settings);
    let more = ["--synchronous", "--application-name", "vault"];
    kill_both(&mut archived, &more, seeds, |acknowledged, _| acknowledged.len() as u64);
}
