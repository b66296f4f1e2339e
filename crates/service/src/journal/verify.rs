//! Is the journal what was written?
//!
//! Invariant: nobody without the key of the repository can change what was copied there, so every edit, removal or reordering of
//! entries is found, and so is a journal that ends too early or was replaced, as far as the copies go. Nothing is changed.

mod copied;
mod local;

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::{RunEvent, runs};
use repository::{ChainBreak, JournalEntry, JournalHead, JournalId, Repository, Sha256};

use super::{JournalDirectory, JournalError, copies, tail};

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalReport {
    /// The journals, those that are here first.
    pub journals: Vec<JournalSummary>,
    /// What is wrong or worth a word, in the order of the journals.
    pub findings: Vec<Finding>,
}

/// One journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalSummary {
    /// The journal.
    pub journal: JournalId,
    /// Whether its files are here.
    pub is_here: bool,
    /// The machine, where an entry says.
    pub host: Option<String>,
    /// Entries that are what was written; of a journal that is not here, in its copies.
    pub entries: u64,
    /// When the first and the last of them were written.
    pub period: Option<(Timestamp, Timestamp)>,
    /// The number of the last entry that is in the repository.
    pub copied_to: Option<u64>,
    /// Runs without an end: they go on, or were killed.
    pub unfinished_runs: u64,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// A line is not what was written.
    Changed,
    /// Entries are missing.
    Missing,
    /// Entries are in another order than they were written in.
    Order,
    /// The journal ends earlier than it did.
    Cut,
    /// An entry is another one than its copy.
    Differs,
    /// A journal of this machine is not here, and none that is says so.
    Replaced,
    /// A journal of this machine was not here when the one that is began.
    Followed,
    /// A copy is not what was put.
    Copy,
    /// What a crash left of an entry, as the journal itself says.
    Torn,
}

impl FindingKind {
    /// A stable word.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Changed => "journal.changed",
            Self::Missing => "journal.missing",
            Self::Order => "journal.order",
            Self::Cut => "journal.cut",
            Self::Differs => "journal.differs",
            Self::Replaced => "journal.replaced",
            Self::Followed => "journal.followed",
            Self::Copy => "journal.copy",
            Self::Torn => "journal.torn",
        }
    }

    /// Whether the journal is not what was written.
    pub const fn is_problem(self) -> bool {
        !matches!(self, Self::Followed | Self::Torn)
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// The file with the line, the key of a copy, or the directory.
    pub object: String,
    /// A sentence.
    pub message: String,
}

impl JournalReport {
    /// What is wrong.
    pub fn problems(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.kind.is_problem())
    }
}

impl JournalDirectory {
    /// Verifies the journals of `repository` in this directory and their copies. `host` is this machine.
    ///
    /// # Errors
    /// When something cannot be read. What is wrong with what can be is in the report.
    pub fn verify(&self, repository: &Repository, host: &str) -> Result<JournalReport, JournalError> {
        let mut copies = copies::by_journal(repository)?;
        let mut report = JournalReport::default();
        let lock = self.lock_to_read()?;
        let mut follows = Vec::new();
        for (journal, files) in tail::by_journal(self.files()?) {
            let here = local::follow(journal, &files, repository)?;
            let copies = copies.remove(&journal).unwrap_or_default();
            if here.is_foreign && copies.is_empty() {
                continue;
            }
            follows.extend(here.follows.iter().copied());
            report.findings.extend(here.followed.findings.iter().cloned());
            let there = copied::follow(journal, &copies, repository)?;
            report.findings.extend(there.findings.iter().cloned());
            report.findings.extend(copied::compare(&here, &there));
            report.journals.push(here.followed.summary(journal, true, there.head));
        }
        drop(lock);
        for (journal, copies) in copies {
            let there = copied::follow(journal, &copies, repository)?;
            report.findings.extend(there.findings.iter().cloned());
            if there.host.as_deref() == Some(host) {
                report.findings.push(self.absent(journal, there.head, &follows));
            }
            report.journals.push(there.summary(journal, false, there.head));
        }
        Ok(report)
    }

    /// A journal of this machine that is not here.
    fn absent(&self, journal: JournalId, head: Option<JournalHead>, follows: &[JournalHead]) -> Finding {
        let known = head.map_or(0, |head| head.sequence);
        let object = self.path().display().to_string();
        if follows.iter().any(|follows| follows.journal == journal) {
            let message = format!(
                "journal {journal} of this machine was gone when another one began; its entries up to {known} are in the repository"
            );
            return Finding { kind: FindingKind::Followed, object, message };
        }
        let message = format!(
            "journal {journal} of this machine is not here, but its entries up to {known} are in the repository: it was removed or replaced"
        );
        Finding { kind: FindingKind::Replaced, object, message }
    }
}

/// What following the lines of a journal came to.
#[derive(Debug, Default)]
struct Followed {
    /// The hashes of its entries.
    hashes: BTreeMap<u64, Sha256>,
    findings: Vec<Finding>,
    head: Option<JournalHead>,
    host: Option<String>,
    period: Option<(Timestamp, Timestamp)>,
    events: Vec<RunEvent>,
}

impl Followed {
    fn add(&mut self, entry: &JournalEntry, hash: Sha256) {
        self.hashes.insert(entry.sequence, hash);
        self.period = Some((self.period.map_or(entry.at, |(first, _)| first), entry.at));
        if self.host.is_none() {
            self.host = entry.actor().map(|actor| actor.host.clone());
        }
        self.events.extend(entry.run_event());
    }

    fn found(&mut self, found: &ChainBreak, object: String) {
        let kind = match found {
            ChainBreak::Changed(_) | ChainBreak::Foreign => FindingKind::Changed,
            ChainBreak::Torn { .. } => FindingKind::Torn,
            ChainBreak::Unfinished => FindingKind::Cut,
            ChainBreak::Missing { .. } => FindingKind::Missing,
            ChainBreak::Order { .. } | ChainBreak::Link { .. } => FindingKind::Order,
        };
        let message = match found {
            ChainBreak::Changed(cause) => format!("{found}: {cause}"),
            _ => found.to_string(),
        };
        self.findings.push(Finding { kind, object, message });
    }

    fn summary(&self, journal: JournalId, is_here: bool, copied: Option<JournalHead>) -> JournalSummary {
        let runs = runs(self.events.iter().cloned());
        JournalSummary {
            journal,
            is_here,
            host: self.host.clone(),
            entries: self.hashes.len() as u64,
            period: self.period,
            copied_to: copied.map(|head| head.sequence),
            unfinished_runs: runs.iter().filter(|run| run.end.is_none()).count() as u64,
        }
    }
}
