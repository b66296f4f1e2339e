//! Looking at everything: the repository, the journal, the storage.
//!
//! Invariant: looking changes nothing. What cannot be read is a trouble, and everything else is still seen. What was read is not read
//! again as long as nothing is new: manifests, proofs and keys while their objects are listed, the journal while its files do not
//! grow. What is expensive to list is remembered for a while: the sizes of all objects, and what a prune would free.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use model::{BackupId, Gap, Kind, Outcome, RetentionPolicies, Run};
use operations::{Context, WalStatus, wal_status};
use repository::{BackupSummary, Listed, Problem, ProblemKind, Proof, Repository, TRASH_KEPT};

use crate::daemon::Look;
use crate::journal::{FileStamp, JournalDirectory, JournalError, history};
use crate::observation::{
    BackupFacts, BackupState, JournalState, KeyState, Observation, ProofFacts, RunEnding, RunRecord,
    StorageState, Trouble, WalState,
};
use crate::scheduler::Action;

/// How long what is expensive is remembered.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(15);
/// Runs of this time are looked at.
const RUNS_OF: SignedDuration = SignedDuration::from_hours(24 * 400);
/// After so long everything is read again: what rots on a disk has to be found some day.
const READ_AGAIN: SignedDuration = SignedDuration::from_hours(24);

/// Looks at everything, now and again.
#[derive(Debug, Clone)]
pub struct Observer {
    repository: Repository,
    journal: JournalDirectory,
    policies: RetentionPolicies,
    rpo: BTreeMap<String, SignedDuration>,
    usage_file: PathBuf,
    /// When the repository and the journal were read as a whole.
    read_at: Option<Timestamp>,
    runs: Option<KnownRuns>,
    remembered: Option<Remembered>,
}

/// What the journal said when its files were so.
#[derive(Debug, Clone)]
struct KnownRuns {
    stamps: Vec<FileStamp>,
    runs: Arc<[RunRecord]>,
    state: JournalState,
}

#[derive(Debug, Clone)]
struct Remembered {
    at: Timestamp,
    storage: Option<StorageState>,
    /// With the backups of each cluster.
    wal: Vec<(WalState, Vec<BackupId>)>,
    troubles: Vec<Trouble>,
}

impl Observer {
    /// An observer that has seen nothing yet, of a repository and the journal of this machine. `policies` say how long things are
    /// kept; `rpo` how old the newest proven backup of a source may be, and what is not in it follows from its schedule.
    /// `usage_file` is where what was used at earlier moments is remembered.
    pub fn new(
        repository: Repository,
        journal: JournalDirectory,
        policies: RetentionPolicies,
        rpo: BTreeMap<String, SignedDuration>,
        usage_file: PathBuf,
    ) -> Self {
        let (read_at, runs, remembered) = (None, None, None);
        Self { repository, journal, policies, rpo, usage_file, read_at, runs, remembered }
    }

    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Looks from now on at the repository as it was opened anew.
    pub fn look_at(&mut self, repository: Repository) {
        self.repository = repository;
        self.read_at = None;
    }

    /// Looks.
    pub fn observe(&mut self, look: &Look, context: &Context<'_>) -> Observation {
        let at = (context.clock)();
        self.forget(look, at);
        let mut troubles = look.troubles.clone();
        let backups = self.backups(look, at, &mut troubles);
        let (runs, journal) = self.runs(at, &mut troubles);
        let keys = self.keys(&mut troubles);
        let remembered = self.remember(at, context);
        troubles.extend(remembered.troubles);
        let source_of = |ids: &[BackupId]| {
            let of = backups.iter().find(|state| state.backups.iter().any(|backup| ids.contains(&backup.id)));
            of.map(|state| state.source.clone())
        };
        let named = |(wal, ids): (WalState, Vec<BackupId>)| WalState { source: source_of(&ids), ..wal };
        let mut wal: Vec<WalState> = remembered.wal.into_iter().map(named).collect();
        for (source, receiver) in &look.receivers {
            match wal.iter_mut().find(|wal| wal.source.as_deref() == Some(source)) {
                Some(wal) => wal.receiver = Some(receiver.clone()),
                None => wal.push(WalState {
                    source: Some(source.clone()),
                    system: None,
                    window_from: None,
                    archived_at: None,
                    archived_to: None,
                    stored_bytes: 0,
                    gaps: Vec::new(),
                    receiver: Some(receiver.clone()),
                }),
            }
        }
        Observation { at, backups, runs, storage: remembered.storage, keys, journal, wal, troubles }
    }

    /// Forgets what does not hold any more.
    fn forget(&mut self, look: &Look, at: Timestamp) {
        if look.has_changed {
            self.remembered = None;
        }
        if self.read_at.is_none_or(|read| at.duration_since(read).abs() >= READ_AGAIN) {
            self.repository = self.repository.remembering();
            (self.read_at, self.runs, self.remembered) = (Some(at), None, None);
        }
    }

    fn backups(&self, look: &Look, at: Timestamp, troubles: &mut Vec<Trouble>) -> Vec<BackupState> {
        let mut states: BTreeMap<(String, Kind), BackupState> = BTreeMap::new();
        let state = |source: &str, kind| BackupState {
            source: source.to_owned(),
            kind,
            rpo: None,
            next_run: None,
            backups: Vec::new(),
        };
        for task in look.scheduler.tasks() {
            let Action::Backup { source: Some(source), kind } = &task.action else { continue };
            let of = states.entry((source.clone(), *kind)).or_insert_with(|| state(source, *kind));
            of.next_run = look.scheduler.next_run(&task.name, at);
            of.rpo = self.rpo.get(source).copied().or_else(|| promised(task, at));
        }
        match self.repository.backups() {
            Ok(listed) => {
                for listed in listed {
                    match listed {
                        Listed::Backup(summary) => {
                            let key = (summary.source.clone(), summary.kind);
                            let of =
                                states.entry(key).or_insert_with(|| state(&summary.source, summary.kind));
                            of.backups.push(facts(*summary));
                        }
                        Listed::Damaged { id, problem } => troubles.push(damaged(&id, &problem)),
                    }
                }
            }
            Err(error) => troubles.push(unreadable(&error)),
        }
        states.into_values().collect()
    }

    /// All recent runs. An entry that is there stays as it is, so they are read only when files grew.
    fn runs(
        &mut self,
        at: Timestamp,
        troubles: &mut Vec<Trouble>,
    ) -> (Arc<[RunRecord]>, Option<JournalState>) {
        let stamps = match self.journal.stamps() {
            Ok(stamps) => stamps,
            Err(error) => {
                troubles.push(no_journal(&error));
                return (Arc::default(), None);
            }
        };
        if let Some(known) = self.runs.as_ref().filter(|known| known.stamps == stamps) {
            return (Arc::clone(&known.runs), Some(known.state.clone()));
        }
        self.runs = None;
        let history = match history(&self.journal, Some(&self.repository), false) {
            Ok(history) => history,
            Err(error) => {
                troubles.push(no_journal(&error));
                return (Arc::default(), None);
            }
        };
        let problems = match history.unreadable_lines {
            0 => Vec::new(),
            lines => vec![format!("{lines} lines are no entries")],
        };
        let sequence = history.runs.iter().map(|run| run.run.sequence).max().unwrap_or(0);
        let is_recent = |run: &Run| at.duration_since(run.started_at) < RUNS_OF;
        let runs: Arc<[_]> =
            history.runs.into_iter().map(|run| run.run).filter(is_recent).map(record).collect();
        let state = JournalState { sequence, problems };
        self.runs = Some(KnownRuns { stamps, runs: Arc::clone(&runs), state: state.clone() });
        (runs, Some(state))
    }

    fn keys(&self, troubles: &mut Vec<Trouble>) -> Vec<KeyState> {
        let keys = match self.repository.keys() {
            Ok(keys) => keys,
            Err(error) => {
                troubles.push(unreadable(&error));
                return Vec::new();
            }
        };
        let used = self.repository.key_id();
        keys.into_iter()
            .map(|key| KeyState {
                slot: key.id.to_string(),
                label: key.label.map(|label| label.as_str().to_owned()),
                created_at: key.created_at,
                is_used: key.id == used,
                checked_at: key.checked_at,
            })
            .collect()
    }

    fn remember(&mut self, at: Timestamp, context: &Context<'_>) -> Remembered {
        if let Some(remembered) = &self.remembered
            && at.duration_since(remembered.at).abs() < REMEMBERED
        {
            return remembered.clone();
        }
        let mut troubles = Vec::new();
        let storage = self.storage(at, &mut troubles);
        let wal = match wal_status(&self.repository, false, 1, context) {
            Ok(all) => {
                let ids =
                    |status: &WalStatus| status.backups.iter().map(|backup| backup.id.clone()).collect();
                all.iter().map(|status| (wal_state(status), ids(status))).collect()
            }
            Err(error) => {
                let hint = "Run `chronavault wal status`.";
                troubles.push(trouble("wal.unreadable", "wal", error.to_string(), hint));
                Vec::new()
            }
        };
        let remembered = Remembered { at, storage, wal, troubles };
        self.remembered = Some(remembered.clone());
        remembered
    }

    fn storage(&self, at: Timestamp, troubles: &mut Vec<Trouble>) -> Option<StorageState> {
        let usage = match self.repository.usage() {
            Ok(usage) => usage,
            Err(error) => {
                troubles.push(unreadable(&error));
                return None;
            }
        };
        let used_bytes: BTreeMap<&'static str, u64> = [
            ("packs", usage.pack_bytes),
            ("wal", usage.wal_bytes),
            ("trash", usage.trash_bytes),
            ("others", usage.bytes - usage.pack_bytes - usage.wal_bytes - usage.trash_bytes),
        ]
        .into();
        let plan = self.repository.plan_prune(&self.policies, TRASH_KEPT, at).ok();
        let prunable_bytes = plan.map(|plan| plan.bytes() + usage.trash_bytes);
        Some(StorageState {
            place: self.repository.place(),
            used_bytes,
            free_bytes: self.repository.free_space().ok().flatten(),
            prunable_bytes,
            history: crate::usage_history::remember(&self.usage_file, at, usage.bytes),
        })
    }
}

/// How old the newest proven backup may become with a schedule: one run may fail and be tried again.
fn promised(task: &crate::scheduler::Task, at: Timestamp) -> Option<SignedDuration> {
    let next = task.schedule.after(at)?;
    let then = task.schedule.after(next)?;
    Some(then.duration_since(next) + task.limit.min(SignedDuration::from_hours(6)))
}

fn facts(summary: BackupSummary) -> BackupFacts {
    BackupFacts {
        id: summary.id,
        started_at: summary.started_at,
        finished_at: summary.finished_at,
        plain_bytes: summary.plain_bytes,
        stored_bytes: summary.stored_bytes,
        reused_bytes: summary.reused_bytes,
        proof: summary.proof.as_ref().map(proof),
    }
}

fn proof(proof: &Proof) -> ProofFacts {
    let restore = i64::try_from(proof.restore_ms).unwrap_or(i64::MAX);
    ProofFacts { at: proof.at, outcome: proof.outcome, restore: SignedDuration::from_millis(restore) }
}

fn record(run: Run) -> RunRecord {
    let source = run.source().map(str::to_owned);
    let facts = run.facts().cloned().unwrap_or_default();
    let asked_kind = run.start.parameters.get("kind").and_then(|kind| kind.parse().ok());
    RunRecord {
        operation: run.start.operation,
        source,
        kind: facts.kind.or(asked_kind),
        backup: facts.backup.clone(),
        started_at: run.started_at,
        end: run.end.map(|(at, end)| RunEnding {
            at,
            outcome: end.outcome,
            code: end.code,
            message: end.message,
            duration: SignedDuration::from_millis(i64::try_from(end.duration_ms).unwrap_or(i64::MAX)),
            plain_bytes: facts.plain_bytes,
            stored_bytes: facts.stored_bytes,
            proven: facts.verification.map(|verification| verification.outcome == Outcome::Proven),
            recovery: facts.recovery,
        }),
    }
}

fn wal_state(status: &WalStatus) -> WalState {
    let newest_window = status.windows.iter().max_by_key(|window| window.window.to);
    WalState {
        source: None,
        system: Some(status.system),
        window_from: newest_window.map(|window| window.window.from_time),
        archived_at: status.newest.map(|newest| newest.archived_at),
        archived_to: newest_window.map(|window| window.window.to),
        stored_bytes: status.stored_bytes,
        gaps: status.found.gaps.iter().map(gap).collect(),
        receiver: None,
    }
}

fn gap(gap: &Gap) -> String {
    format!("{} to {} ({} segments)", gap.first, gap.last, gap.segments)
}

fn damaged(id: &BackupId, problem: &Problem) -> Trouble {
    let (code, hint) = match problem.kind {
        ProblemKind::WrongKey => {
            let hint = "Give the service the key that was rotated to; it goes on with it by itself.";
            ("manifest.other_key", hint)
        }
        _ => {
            let hint =
                "Bring the manifest back from a copy, and run `chronavault verify --all --level objects`.";
            ("manifest.damaged", hint)
        }
    };
    trouble(code, id.as_str(), problem.to_string(), hint)
}

fn no_journal(error: &JournalError) -> Trouble {
    let hint = "Check the directory of the journal and its permissions.";
    trouble("journal.unreadable", "journal", error.to_string(), hint)
}

fn unreadable(error: &repository::Error) -> Trouble {
    let hint = "Check that the repository is mounted and readable: `chronavault doctor`.";
    trouble("repository.unreadable", "repository", error.to_string(), hint)
}

fn trouble(code: &str, object: &str, message: String, hint: &str) -> Trouble {
    Trouble { code: code.to_owned(), object: object.to_owned(), message, hint: hint.to_owned() }
}
