//! Recovery to any moment: a ledger is written to without a pause while the cluster is backed up and its WAL is archived; then the
//! cluster is restored to random moments, and each time holds what was committed at that moment, and nothing else.
//!
//! `CHRONAVAULT_SEED` and `CHRONAVAULT_MOMENTS` choose which moments, and how many of each kind.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod golden;
mod killed;
mod ledger;
mod procedures;
mod site;

use ledger::{Commit, Writer};
use site::Site;
use testkit::random::{Random, number};

/// How long the ledger is written to between two backups: so many commits.
const COMMITS: usize = 60;

/// Which commits a recovery must show: exactly so many, or any number within bounds.
#[derive(Debug, Clone, Copy)]
enum Expected {
    Exactly(u64),
    Between(u64, u64),
}

/// A way to name a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Time,
    Lsn,
    Xid,
    XidExclusive,
    Name,
    Immediate,
    Latest,
}

const KINDS: [Kind; 7] =
    [Kind::Time, Kind::Lsn, Kind::Xid, Kind::XidExclusive, Kind::Name, Kind::Immediate, Kind::Latest];

/// A cluster with a history: commits, and two backups among them.
struct History {
    site: Site,
    commits: Vec<Commit>,
    /// Commits when the first backup had ended: later ones can be reached from it.
    first_ended: u64,
    /// Commits when the second backup began and when it had ended.
    second_backup: (u64, u64),
    backups: [String; 2],
}

impl History {
    fn make() -> Self {
        let site = Site::new();
        let writer = Writer::start(&site);
        writer.commits(COMMITS / 2);
        let first = site.backup();
        // The one under way may have committed before the backup was said to be complete.
        let first_ended = writer.committed() + 1;
        writer.commits(COMMITS);
        let began = writer.committed();
        let second = site.backup();
        let ended = writer.committed();
        writer.commits(COMMITS);
        let commits = writer.stop();
        site.archive_everything();
        Self { site, commits, first_ended, second_backup: (began, ended), backups: [first, second] }
    }

    /// A commit after the first backup had ended.
    fn draw(&self, random: &mut Random) -> &Commit {
        let from = self.first_ended;
        let last = self.commits.len() as u64 - 2;
        &self.commits[usize::try_from(from + random.below(last - from)).unwrap()]
    }

    /// The arguments for a moment, and what must be there.
    fn target(&self, kind: Kind, random: &mut Random) -> (Vec<String>, Expected) {
        let commit = self.draw(random);
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let count = commit.number;
        match kind {
            Kind::Time => (words(&["latest", "--at", &commit.time]), Expected::Exactly(count)),
            Kind::Lsn => (words(&["latest", "--lsn", &commit.lsn]), Expected::Exactly(count)),
            Kind::Xid => (words(&["latest", "--xid", &commit.xid]), Expected::Exactly(count)),
            Kind::XidExclusive => {
                (words(&["latest", "--xid", &commit.xid, "--exclusive"]), Expected::Exactly(count - 1))
            }
            Kind::Name => {
                let named = self.commits.iter().filter(|commit| commit.restore_point.is_some());
                let named: Vec<_> = named.filter(|commit| commit.number >= self.first_ended).collect();
                let named = named[usize::try_from(random.below(named.len() as u64)).unwrap()];
                let name = named.restore_point.as_deref().unwrap();
                (words(&[&self.backups[0], "--name", name]), Expected::Exactly(named.number))
            }
            Kind::Immediate => {
                let (began, ended) = self.second_backup;
                (words(&["latest", "--immediate"]), Expected::Between(began, ended))
            }
            Kind::Latest => (words(&["latest"]), Expected::Exactly(self.commits.len() as u64)),
        }
    }

    fn check(&self, what: &str, arguments: &[String], expected: Expected) {
        let recovered = self.site.recover(arguments);
        let (rows, sum) = recovered.ledger();
        match expected {
            Expected::Exactly(count) => assert_eq!(rows, count, "{what}"),
            Expected::Between(from, to) => assert!((from..=to).contains(&rows), "{what}: {rows}"),
        }
        // The first commits, all of them, and each as it was.
        assert_eq!(sum, ledger::sum_of_first(rows), "{what}");
        recovered.leaves_no_trace();
    }
}

#[test]
fn every_moment_comes_back_as_it_was() {
    let (seed, count) = (number("CHRONAVAULT_SEED", 1), number("CHRONAVAULT_MOMENTS", 1));
    println!("seed {seed}, {count} moments of each kind");
    let mut random = Random(seed);
    let history = History::make();
    for turn in 0..count {
        for kind in KINDS {
            let (arguments, expected) = history.target(kind, &mut random);
            history.check(&format!("turn {turn}, {kind:?}, {arguments:?}"), &arguments, expected);
        }
    }
    history.refuses_what_cannot_be_reached();
}

impl History {
    /// A moment before the first backup, behind the end, and behind a gap: refused before anything is written.
    fn refuses_what_cannot_be_reached(&self) {
        let last = self.commits.last().unwrap();
        let refused = |arguments: &[&str]| {
            let arguments: Vec<_> = arguments.iter().map(|word| (*word).to_owned()).collect();
            self.site.refuses(&arguments);
        };
        refused(&["latest", "--at", "2020-01-01T00:00:00Z"]);
        refused(&["latest", "--at", "2100-01-01T00:00:00Z"]);
        refused(&["latest", "--lsn", "0/1"]);
        refused(&["latest", "--lsn", "FFFF/0"]);
        // Nothing is left of the WAL in the middle: what lies behind cannot be reached from the first backup any more.
        self.site.lose_middle_segment();
        refused(&[&self.backups[0], "--lsn", &last.lsn]);
    }
}
