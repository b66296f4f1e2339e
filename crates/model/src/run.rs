//! Runs: operations that somebody asked for, and what came of them, as the journal tells it.
//!
//! Invariant: [`runs`] invents nothing. A run without an end is one of which it is not known how it ended: it goes on, or it was
//! killed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{BackupId, Kind, Level, Operation, Outcome, RunOutcome, Scenario};

/// Who asked for an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The account of the operating system, by name where it has one, else its number.
    pub user: String,
    /// The number of that account.
    pub uid: u32,
    /// The machine.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// The name of the API token; nothing when it was asked for in another way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The program and its version.
    pub program: String,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStart {
    /// The operation.
    pub operation: Operation,
    /// Who asked.
    pub actor: Actor,
    /// The source, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How it was asked for. Holds no secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

/// What a run was about and how much it did; what is not known is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFacts {
    /// The source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The backup that was made, verified, restored, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupId>,
    /// Its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// How many backups, for a run over several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backups: Option<u64>,
    /// The backups that went; of a run that did not end well, those that were to go. Of very many, the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<BackupId>,
    /// Bytes that went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_bytes: Option<u64>,
    /// Bytes that were read, restored, exported or received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain_bytes: Option<u64>,
    /// Bytes that were added to the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_bytes: Option<u64>,
    /// Bytes that were there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused_bytes: Option<u64>,
    /// Tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<u64>,
    /// Rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// The verification, of a backup its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<VerificationFacts>,
    /// The recovery, rehearsed or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryFacts>,
}

/// What a recovery came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryFacts {
    /// What had happened, or was supposed to have.
    pub scenario: Scenario,
    /// From its begin to its end, in milliseconds: the time that it took to recover.
    pub rto_ms: u64,
    /// The time that it may take.
    pub rto_limit_ms: u64,
    /// The age of what was recovered when the recovery began, in milliseconds: what was lost. Nothing where a moment was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_ms: Option<u64>,
    /// The age that it may have.
    pub rpo_limit_ms: u64,
}

impl RecoveryFacts {
    /// Whether it was done in time and with no more loss than allowed.
    pub fn is_within(&self) -> bool {
        self.rto_ms <= self.rto_limit_ms && self.rpo_ms.is_none_or(|lost| lost <= self.rpo_limit_ms)
    }
}

/// What a verification came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationFacts {
    /// The level that was reached.
    pub level: Level,
    /// What was found.
    pub outcome: Outcome,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// How long its restore took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_ms: Option<u64>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnd {
    /// How.
    pub outcome: RunOutcome,
    /// The code of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The failure in a sentence. Holds no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// From the start to the end, in milliseconds.
    pub duration_ms: u64,
    /// The codes of its warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What it was about and did.
    #[serde(flatten)]
    pub facts: RunFacts,
}

/// One entry of a journal about a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEvent {
    /// A run started; it is called by the number of this entry.
    Started {
        /// The number of the entry.
        sequence: u64,
        /// When.
        at: Timestamp,
        /// What was asked for.
        start: RunStart,
    },
    /// A run ended.
    Ended {
        /// The number of the entry with which it started.
        run: u64,
        /// When.
        at: Timestamp,
        /// How.
        end: RunEnd,
    },
}

/// A run, from its entries in one journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The number of the entry with which it started.
    pub sequence: u64,
    /// When it started.
    pub started_at: Timestamp,
    /// What was asked for.
    pub start: RunStart,
    /// When and how it ended; nothing when the journal does not say.
    pub end: Option<(Timestamp, RunEnd)>,
}

impl Run {
    /// The source: as it turned out, else as it was asked for.
    pub fn source(&self) -> Option<&str> {
        self.facts().and_then(|facts| facts.source.as_deref()).or(self.start.source.as_deref())
    }

    /// What it was about and did; nothing before its end.
    pub fn facts(&self) -> Option<&RunFacts> {
        self.end.as_ref().map(|(_, end)| &end.facts)
    }
}

/// The runs of one journal, in the order in which they started. An end whose start is not among the events belongs to no run:
/// the journal was cut at its beginning.
pub fn runs(events: impl IntoIterator<Item = RunEvent>) -> Vec<Run> {
    let mut runs = BTreeMap::new();
    for event in events {
        match event {
            RunEvent::Started { sequence, at, start } => {
                runs.insert(sequence, Run { sequence, started_at: at, start, end: None });
            }
            RunEvent::Ended { run, at, end } => {
                if let Some(run) = runs.get_mut(&run) {
                    run.end.get_or_insert((at, end));
                }
            }
        }
    }
    runs.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor() -> Actor {
        Actor {
            user: "postgres".into(),
            uid: 101,
            host: "db1".into(),
            pid: 7,
            token: None,
            program: "chronavault 0.1.0".into(),
        }
    }

    fn started(sequence: u64, source: Option<&str>) -> RunEvent {
        let source = source.map(str::to_owned);
        let start =
            RunStart { operation: Operation::Backup, actor: actor(), source, parameters: BTreeMap::new() };
        RunEvent::Started { sequence, at: Timestamp::UNIX_EPOCH, start }
    }

    fn ended(run: u64, source: Option<&str>, duration_ms: u64) -> RunEvent {
        let facts = RunFacts { source: source.map(str::to_owned), ..RunFacts::default() };
        let (outcome, warnings) = (RunOutcome::Done, Vec::new());
        let end = RunEnd { outcome, code: None, message: None, duration_ms, warnings, facts };
        RunEvent::Ended { run, at: Timestamp::UNIX_EPOCH, end }
    }

    #[test]
    fn runs_are_starts_with_their_ends() {
        let events = [
            ended(1, None, 1),
            started(2, None),
            started(3, Some("books")),
            ended(2, Some("books"), 20),
            ended(2, Some("forged"), 21),
            started(5, None),
            ended(5, None, 50),
        ];
        let runs = runs(events);
        let seen: Vec<_> = runs
            .iter()
            .map(|run| (run.sequence, run.source(), run.end.as_ref().map(|(_, end)| end.duration_ms)))
            .collect();
        assert_eq!(seen, [(2, Some("books"), Some(20)), (3, Some("books"), None), (5, None, Some(50))]);
    }

    #[test]
    fn what_is_not_known_is_not_written() {
        let RunEvent::Ended { end, .. } = ended(1, None, 5) else { panic!("it is an end") };
        let text = serde_json::to_string(&end).unwrap();
        assert_eq!(text, r#"{"outcome":"done","duration_ms":5}"#);
        assert_eq!(serde_json::from_str::<RunEnd>(&text).unwrap(), end);
    }
}
