//! A ledger that is written to by one session, commit by commit, and what is known of each commit from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use operations::postgres::Client;

use crate::site::Site;

/// A restore point is made after every so many commits.
const RESTORE_POINT_EVERY: u64 = 10;

/// One commit, and the names of the moment after it.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    /// Rows in the ledger after it.
    pub(crate) number: u64,
    pub(crate) xid: String,
    /// A position behind it and before the next commit.
    pub(crate) lsn: String,
    /// A time after it and before the next commit.
    pub(crate) time: String,
    pub(crate) restore_point: Option<String>,
}

/// A session that commits without a pause.
pub(crate) struct Writer {
    committed: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Commit>>,
}

pub(crate) const TABLE: &str = "
    CREATE TABLE ledger (number bigint PRIMARY KEY, amount bigint NOT NULL, memo text NOT NULL);
    CREATE TABLE totals (one int PRIMARY KEY, rows bigint NOT NULL);
    INSERT INTO totals VALUES (1, 0);";

/// The amount that a commit books.
fn amount(number: u64) -> u64 {
    number * 7919 % 10_007
}

/// The sum of the first `rows` amounts.
pub(crate) fn sum_of_first(rows: u64) -> u64 {
    (1..=rows).map(amount).sum()
}

impl Writer {
    pub(crate) fn start(site: &Site) -> Self {
        let (committed, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let client = site.cluster.client("books");
        let (counter, order) = (Arc::clone(&committed), Arc::clone(&stop));
        let thread = std::thread::spawn(move || write(client, &counter, &order));
        Self { committed, stop, thread }
    }

    /// Rows that are committed now.
    pub(crate) fn committed(&self) -> u64 {
        self.committed.load(Ordering::SeqCst)
    }

    /// Waits until so many more are committed.
    pub(crate) fn commits(&self, more: usize) {
        let target = self.committed() + more as u64;
        while self.committed() < target {
            assert!(!self.thread.is_finished(), "the writer died");
            std::thread::yield_now();
        }
    }

    pub(crate) fn stop(self) -> Vec<Commit> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

fn write(mut client: Client, committed: &AtomicU64, stop: &AtomicBool) -> Vec<Commit> {
    let mut commits = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let number = commits.len() as u64 + 1;
        client.execute("BEGIN").unwrap();
        let xid = client.query_one("SELECT pg_current_xact_id()", &[]).unwrap().text(0).unwrap().to_owned();
        client
            .execute(&format!(
                "INSERT INTO ledger VALUES ({number}, {}, repeat(md5('{number}'), 20));
                 UPDATE totals SET rows = {number}; COMMIT",
                amount(number)
            ))
            .unwrap();
        committed.store(number, Ordering::SeqCst);
        let after = "SELECT pg_current_wal_insert_lsn(), to_char(clock_timestamp() AT TIME ZONE 'UTC', \
                     'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
        let row = client.query_one(after, &[]).unwrap();
        let (lsn, time) = (row.text(0).unwrap().to_owned(), row.text(1).unwrap().to_owned());
        let restore_point = number.is_multiple_of(RESTORE_POINT_EVERY).then(|| format!("after {number}"));
        if let Some(name) = &restore_point {
            client.execute(&format!("SELECT pg_create_restore_point('{name}')")).unwrap();
        }
        commits.push(Commit { number, xid, lsn, time, restore_point });
    }
    commits
}
