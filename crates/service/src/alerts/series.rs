//! The runs of one kind of backups of one source, in the order in which they started.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use model::{Kind, Operation, RunOutcome};

use crate::observation::{Observation, RunEnding, RunRecord};

/// The code of a run whose backup is stored and did not verify.
pub(super) const NOT_VERIFIED: &str = "verify.failed";

/// Backups of a source and kind.
#[derive(Debug)]
pub(super) struct Series<'a> {
    /// The source, where it is known.
    pub(super) source: Option<&'a str>,
    /// The kind; nothing for runs that ended before it was clear, of a source with several.
    pub(super) kind: Option<Kind>,
    /// The runs, oldest first.
    pub(super) runs: Vec<&'a RunRecord>,
}

/// How a run went.
#[derive(Debug, Clone, Copy)]
pub(super) enum Course<'a> {
    /// A backup was made.
    Made(&'a RunEnding),
    /// It failed.
    Failed(&'a RunEnding),
    /// Nobody knows how it ended, and the next one has begun.
    Killed,
    /// It goes on, as far as is known, or somebody stopped it.
    Open,
}

/// All series of backups.
pub(super) fn series(observation: &Observation) -> Vec<Series<'_>> {
    let backups = || observation.runs.iter().filter(|run| run.operation == Operation::Backup);
    let mut kinds: BTreeMap<Option<&str>, BTreeSet<Kind>> = BTreeMap::new();
    for state in &observation.backups {
        kinds.entry(Some(&state.source)).or_default().insert(state.kind);
    }
    for run in backups() {
        kinds.entry(run.source.as_deref()).or_default().extend(run.kind);
    }
    let mut grouped: BTreeMap<(Option<&str>, Option<Kind>), Vec<&RunRecord>> = BTreeMap::new();
    for run in backups() {
        let source = run.source.as_deref();
        let only = kinds.get(&source).filter(|kinds| kinds.len() == 1).and_then(BTreeSet::first).copied();
        grouped.entry((source, run.kind.or(only))).or_default().push(run);
    }
    // A failure of an unknown kind is over when any backup of its source is made.
    for ((source, kind), runs) in &mut grouped {
        if kind.is_none() {
            let others = backups().filter(|run| run.source.as_deref() == *source && run.kind.is_some());
            runs.extend(others.filter(|run| matches!(course(run, None), Course::Made(_))));
        }
        runs.sort_by_key(|run| run.started_at);
    }
    let into = |((source, kind), runs)| Series { source, kind, runs };
    grouped.into_iter().map(into).collect()
}

impl<'a> Series<'a> {
    /// How each run went, oldest first.
    pub(super) fn courses(&self) -> impl DoubleEndedIterator<Item = (Timestamp, Course<'a>)> + '_ {
        let next = |at: usize| self.runs.get(at + 1).copied();
        self.runs.iter().enumerate().map(move |(at, run)| (run.started_at, course(run, next(at))))
    }

    /// The backups that were made, oldest first.
    pub(super) fn made(&self) -> Vec<(&'a RunRecord, &'a RunEnding)> {
        let of = |run: &&'a RunRecord| match course(run, None) {
            Course::Made(end) => Some((*run, end)),
            _ => None,
        };
        self.runs.iter().filter_map(of).collect()
    }
}

fn course<'a>(run: &'a RunRecord, next: Option<&RunRecord>) -> Course<'a> {
    match (&run.end, next) {
        (Some(end), _) => match end.outcome {
            RunOutcome::Done | RunOutcome::Warnings => Course::Made(end),
            RunOutcome::Failed => Course::Failed(end),
            RunOutcome::Cancelled => Course::Open,
        },
        (None, Some(_)) => Course::Killed,
        (None, None) => Course::Open,
    }
}
