//! What is known at one moment: of backups, runs, storage, keys and WAL. Metrics show it, alerts judge it.
//!
//! Invariant: everything here was read from the repository, the journal or the system; nothing is judged yet. What could not be found
//! out is absent, and [`Observation::troubles`] says why.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use model::{BackupId, Kind, Lsn, Operation, RecoveryFacts, RunOutcome, SystemId};

/// What is known at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The moment.
    pub at: Timestamp,
    /// Each source and kind of backup that is scheduled or of which there is a backup, by name and kind.
    pub backups: Vec<BackupState>,
    /// Runs of every operation, the oldest first, as far back as the journal of this machine goes.
    pub runs: Arc<[RunRecord]>,
    /// Where the repository is.
    pub storage: Option<StorageState>,
    /// The keys that open the repository.
    pub keys: Vec<KeyState>,
    /// The journal of this machine.
    pub journal: Option<JournalState>,
    /// Clusters with archived WAL, and sources whose WAL is to be received.
    pub wal: Vec<WalState>,
    /// What could not be found out, or is not as it must be.
    pub troubles: Vec<Trouble>,
}

impl Observation {
    /// That nothing is known at `at`.
    pub fn nothing(at: Timestamp) -> Self {
        Self {
            at,
            backups: Vec::new(),
            runs: Arc::default(),
            storage: None,
            keys: Vec::new(),
            journal: None,
            wal: Vec::new(),
            troubles: Vec::new(),
        }
    }
}

/// The backups of a source and kind.
#[derive(Debug, Clone, PartialEq)]
pub struct BackupState {
    /// The name of the source.
    pub source: String,
    /// What is backed up.
    pub kind: Kind,
    /// How old the newest proven backup may be; nothing when none is scheduled.
    pub rpo: Option<SignedDuration>,
    /// When it is planned next.
    pub next_run: Option<Timestamp>,
    /// All backups that are there, the newest first.
    pub backups: Vec<BackupFacts>,
}

impl BackupState {
    /// The newest backup that was proven.
    pub fn newest_proven(&self) -> Option<&BackupFacts> {
        let is_proven = |proof: &ProofFacts| proof.outcome == model::Outcome::Proven;
        self.backups.iter().find(|backup| backup.proof.as_ref().is_some_and(is_proven))
    }

    /// How old the data of the newest proven backup is: it is as it was when that backup began.
    pub fn recovery_point_age(&self, now: Timestamp) -> Option<SignedDuration> {
        self.newest_proven().map(|backup| now.duration_since(backup.started_at).max(SignedDuration::ZERO))
    }
}

/// A backup that is there.
#[derive(Debug, Clone, PartialEq)]
pub struct BackupFacts {
    /// The backup.
    pub id: BackupId,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was complete.
    pub finished_at: Timestamp,
    /// Bytes of all streams.
    pub plain_bytes: u64,
    /// Bytes that it added to the repository.
    pub stored_bytes: u64,
    /// Bytes of chunks that were there already.
    pub reused_bytes: u64,
    /// The verification that counts.
    pub proof: Option<ProofFacts>,
}

/// A verification.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProofFacts {
    /// When.
    pub at: Timestamp,
    /// What was found.
    pub outcome: model::Outcome,
    /// How long the restore took; 0 when there was none.
    pub restore: SignedDuration,
}

/// A run of an operation.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// The operation.
    pub operation: Operation,
    /// The source, where it is of one.
    pub source: Option<String>,
    /// The kind of backup, where it is known.
    pub kind: Option<Kind>,
    /// The backup that it made or was about.
    pub backup: Option<BackupId>,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended, and how; nothing while it goes on, or when it was killed.
    pub end: Option<RunEnding>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct RunEnding {
    /// When.
    pub at: Timestamp,
    /// How.
    pub outcome: RunOutcome,
    /// The code of the failure.
    pub code: Option<String>,
    /// The failure in a sentence.
    pub message: Option<String>,
    /// How long it took.
    pub duration: SignedDuration,
    /// Bytes that it read.
    pub plain_bytes: Option<u64>,
    /// Bytes that it stored.
    pub stored_bytes: Option<u64>,
    /// Whether the backup that it made was proven, where it made one and tried.
    pub proven: Option<bool>,
    /// What it recovered, rehearsed or not.
    pub recovery: Option<RecoveryFacts>,
}

impl RunEnding {
    /// Whether it was done, with or without warnings.
    pub fn is_success(&self) -> bool {
        matches!(self.outcome, RunOutcome::Done | RunOutcome::Warnings)
    }
}

/// Where the repository is.
#[derive(Debug, Clone, PartialEq)]
pub struct StorageState {
    /// In words.
    pub place: String,
    /// Bytes that the repository uses, by what they are for: `packs`, `wal`, `trash`, `others`.
    pub used_bytes: BTreeMap<&'static str, u64>,
    /// Bytes that are free, where that is known.
    pub free_bytes: Option<u64>,
    /// Bytes that a prune would free now.
    pub prunable_bytes: Option<u64>,
    /// What was used at earlier moments, the oldest first: at most one a day.
    pub history: Vec<(Timestamp, u64)>,
}

/// A key that opens the repository.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyState {
    /// The slot.
    pub slot: String,
    /// Whose it is, where it has a label.
    pub label: Option<String>,
    /// When it was made, where that is known.
    pub created_at: Option<Timestamp>,
    /// Whether it is the one that this process uses.
    pub is_used: bool,
    /// When somebody showed last that a copy of it exists.
    pub checked_at: Option<Timestamp>,
}

/// The journal.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalState {
    /// The number of the newest entry.
    pub sequence: u64,
    /// What a verification finds wrong, if it was verified.
    pub problems: Vec<String>,
}

/// The WAL of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct WalState {
    /// The source, where it is known.
    pub source: Option<String>,
    /// The cluster, once anything is archived.
    pub system: Option<SystemId>,
    /// From which moment on it can be recovered to every moment up to `archived_at`: when the oldest backup behind the last gap was
    /// complete.
    pub window_from: Option<Timestamp>,
    /// The newest moment to which it can be recovered, as far as the archive tells.
    pub archived_at: Option<Timestamp>,
    /// How far it is archived.
    pub archived_to: Option<Lsn>,
    /// Bytes of archived WAL.
    pub stored_bytes: u64,
    /// Gaps, in words.
    pub gaps: Vec<String>,
    /// Whether WAL is received here, and how that goes.
    pub receiver: Option<ReceiverState>,
}

/// A receiver of WAL that runs inside the daemon.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceiverState {
    /// Whether it runs.
    pub is_running: bool,
    /// How often it was started again.
    pub restarts: u32,
    /// What it said last when it failed.
    pub last_failure: Option<String>,
    /// Bytes that the server has written and the archive does not have yet.
    pub lag_bytes: Option<u64>,
    /// Why its slot is in danger.
    pub slot_danger: Option<String>,
}

/// Something that is not as it must be, and is no run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// A stable word.
    pub code: String,
    /// What it is about.
    pub object: String,
    /// A sentence.
    pub message: String,
    /// What to do next.
    pub hint: String,
}
