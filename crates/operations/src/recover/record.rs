//! What a recovery is to do, has done and has found out: the one value from which it resumes, goes back, and is reported.

use jiff::Timestamp;
use model::{BackupId, RecoveryFacts, RecoveryId, RecoveryStep, Scenario};
use repository::ProblemRecord;
use serde::{Deserialize, Serialize};

use super::place::Directories;

/// The version of the form of records.
pub(super) const VERSION: u32 = 1;
/// Milliseconds of an hour.
const MS_PER_HOUR: u64 = 3_600_000;

/// A recovery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecoveryRecord {
    /// The version of this form.
    pub version: u32,
    /// Its name.
    pub id: RecoveryId,
    /// What had happened, or is supposed to have.
    pub scenario: Scenario,
    /// Whether it only rehearses.
    pub rehearsal: bool,
    /// The source whose backups are used.
    pub source: String,
    /// What is recovered, for people, without a password.
    pub target: String,
    /// Who asked for it.
    pub asked_by: String,
    /// Where the journal ended when it was asked for: the number and the hash of its last entry. What is in the journal before it cannot
    /// have been written later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_head: Option<String>,
    /// The moment to recover to, where one was asked for.
    pub at: Option<Timestamp>,
    /// When it began.
    pub began_at: Timestamp,
    /// When it ended, or stopped.
    pub ended_at: Option<Timestamp>,
    /// How it stands.
    pub state: RecoveryState,
    /// How long it may take, and how much may be lost.
    pub objectives: Objectives,
    /// Its steps, in their order.
    pub steps: Vec<StepRecord>,
    /// The steps of going back, if it was gone back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rollback: Vec<StepRecord>,
    /// What it found out.
    pub found: Found,
}

/// How a recovery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecoveryState {
    /// It is planned, goes on, or was killed.
    Running,
    /// A step failed.
    Stopped,
    /// Every step is done.
    Done,
    /// What it did was undone.
    RolledBack,
}

/// How long a recovery may take, and how much may be lost, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objectives {
    /// The recovery time objective.
    pub rto_ms: u64,
    /// The recovery point objective.
    pub rpo_ms: u64,
}

impl Default for Objectives {
    /// Four hours, and a day.
    fn default() -> Self {
        Self { rto_ms: 4 * MS_PER_HOUR, rpo_ms: 24 * MS_PER_HOUR }
    }
}

/// A step of a recovery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step.
    pub step: RecoveryStep,
    /// How it stands.
    pub state: StepState,
    /// How long it is expected to take, from earlier ones that were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_ms: Option<u64>,
    /// When it was begun last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<Timestamp>,
    /// How long it took then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// What it did, or why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub says: Option<String>,
}

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// It was not begun.
    Pending,
    /// It goes on, or was killed.
    Running,
    /// It is done.
    Done,
    /// It failed.
    Failed,
}

/// What a recovery found out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Found {
    /// The backup that is restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupId>,
    /// The hash of its manifest, as the checksum file has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest_sha256: Option<String>,
    /// The moment of which the data is: everything that was committed later is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_at: Option<Timestamp>,
    /// The newest moment that could have been recovered to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reachable_until: Option<Timestamp>,
    /// Newer backups that could not be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    /// Bytes of the backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plain_bytes: Option<u64>,
    /// Tables that were restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tables: Option<u64>,
    /// Rows that were restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// The databases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub databases: Option<Databases>,
    /// The data directories.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directories: Option<Directories>,
    /// What was good to know before anything was done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
    /// What the checks found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<ProblemRecord>,
    /// What was not restored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// A backup that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The backup.
    pub backup: BackupId,
    /// Why.
    pub reason: String,
}

/// The databases of a recovery: names change, oids do not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Databases {
    /// The name that is to be taken.
    pub name: String,
    /// The name of the restored one until then.
    pub restored: String,
    /// The name of the damaged one after that.
    pub aside: String,
    /// The end of the temporary name under which it is being restored.
    pub suffix: [u8; 4],
    /// The oid of the restored one, as soon as it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_oid: Option<u32>,
    /// The oid of the damaged one, as soon as the switch begins; nothing when it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged_oid: Option<u32>,
    /// Whether the damaged one accepted connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<bool>,
}

impl StepRecord {
    /// A step that was not begun.
    pub(super) fn pending(step: RecoveryStep) -> Self {
        let state = StepState::Pending;
        Self { step, state, estimate_ms: None, began_at: None, duration_ms: None, says: None }
    }
}

impl RecoveryRecord {
    /// The step that failed, if one did.
    pub fn failed(&self) -> Option<&StepRecord> {
        self.steps.iter().chain(&self.rollback).find(|step| step.state == StepState::Failed)
    }

    /// From the begin to the end, in milliseconds; of a rehearsal without the time that its throwaway server took, which no recovery needs.
    /// Nothing while it goes on.
    pub fn rto_ms(&self) -> Option<u64> {
        let sandbox = self.steps.iter().filter(|step| step.step == RecoveryStep::Sandbox);
        let sandbox: u64 = sandbox.filter_map(|step| step.duration_ms).sum();
        Some(milliseconds(self.began_at, self.ended_at?).saturating_sub(sandbox))
    }

    /// How much was lost, in milliseconds: from the moment of which the data is to the moment that was asked for, or to the begin where
    /// none was. A rehearsal with a moment of its own choice loses what is behind the newest that it could have chosen.
    pub fn rpo_ms(&self) -> Option<u64> {
        match self.found.reachable_until {
            Some(newest) if self.rehearsal => Some(milliseconds(newest, self.began_at)),
            _ => Some(milliseconds(self.found.data_at?, self.at.unwrap_or(self.began_at))),
        }
    }

    /// How long everything is expected to take, as far as that is known, in milliseconds.
    pub fn estimate_ms(&self) -> Option<u64> {
        self.steps.iter().filter_map(|step| step.estimate_ms).reduce(|a, b| a + b)
    }

    /// What the journal is to know; nothing before the end.
    pub fn facts(&self) -> Option<RecoveryFacts> {
        Some(RecoveryFacts {
            scenario: self.scenario,
            rto_ms: self.rto_ms()?,
            rto_limit_ms: self.objectives.rto_ms,
            rpo_ms: self.rpo_ms(),
            rpo_limit_ms: self.objectives.rpo_ms,
        })
    }
}

fn milliseconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
}
