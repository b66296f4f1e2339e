//! Metrics of runs, counted from the journal.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::{Kind, Operation, RunOutcome};

use super::families::{
    BACKUP_DURATION, RUN_DURATION, RUN_SUCCESS_TIME, RUN_TIME, RUNS, RUNS_UNFINISHED, VERIFICATION_FAILURES,
};
use super::page::{Histogram, Labels, Page};
use crate::observation::{Observation, RunEnding, RunRecord};

const OUTCOMES: [RunOutcome; 4] =
    [RunOutcome::Done, RunOutcome::Warnings, RunOutcome::Failed, RunOutcome::Cancelled];

/// What the runs of an observation come to.
#[derive(Debug, Default)]
struct Tally {
    counts: BTreeMap<Labels<4>, u64>,
    unfinished: BTreeMap<Labels<3>, u64>,
    last: BTreeMap<Labels<3>, (Timestamp, jiff::SignedDuration)>,
    last_success: BTreeMap<Labels<3>, Timestamp>,
    durations: BTreeMap<Labels<2>, Histogram>,
    failures: BTreeMap<Labels<2>, u64>,
}

pub(super) fn write(page: &mut Page, observation: &Observation) {
    let mut tally = Tally::default();
    // What is scheduled is counted from the start, so that the first failure is an increase.
    for state in observation.backups.iter().filter(|state| state.rpo.is_some()) {
        let (source, kind) = (state.source.clone(), state.kind.to_string());
        for outcome in OUTCOMES {
            let labels = [Operation::Backup.to_string(), source.clone(), kind.clone(), outcome.to_string()];
            tally.counts.entry(labels).or_default();
        }
        tally.failures.entry([source, kind]).or_default();
    }
    observation.runs.iter().for_each(|run| tally.add(run));
    page.family(&RUNS, tally.counts);
    page.family(&RUNS_UNFINISHED, tally.unfinished);
    page.family(&RUN_TIME, tally.last.iter().map(|(labels, (at, _))| (labels.clone(), *at)));
    page.family(&RUN_SUCCESS_TIME, tally.last_success);
    page.family(&RUN_DURATION, tally.last.into_iter().map(|(labels, (_, duration))| (labels, duration)));
    page.histograms(&BACKUP_DURATION, &tally.durations);
    page.family(&VERIFICATION_FAILURES, tally.failures);
}

impl Tally {
    fn add(&mut self, run: &RunRecord) {
        let source = run.source.clone().unwrap_or_default();
        let kind = run.kind.map(|kind: Kind| kind.to_string()).unwrap_or_default();
        let labels = [run.operation.to_string(), source.clone(), kind.clone()];
        let Some(end) = &run.end else {
            *self.unfinished.entry(labels).or_default() += 1;
            return;
        };
        let [operation, ..] = labels.clone();
        let counted = [operation, source.clone(), kind.clone(), end.outcome.to_string()];
        *self.counts.entry(counted).or_default() += 1;
        let is_success = matches!(end.outcome, RunOutcome::Done | RunOutcome::Warnings);
        if is_success {
            let newest = self.last_success.entry(labels.clone()).or_insert(end.at);
            *newest = end.at.max(*newest);
        }
        // The oldest run is the first, but two processes may end in the other order.
        let newest = self.last.entry(labels).or_insert((end.at, end.duration));
        if end.at >= newest.0 {
            *newest = (end.at, end.duration);
        }
        if run.operation == Operation::Backup && is_success {
            self.durations.entry([source.clone(), kind.clone()]).or_default().add(end.duration);
        }
        if is_failed_verification(run.operation, end) {
            *self.failures.entry([source, kind]).or_default() += 1;
        }
    }
}

fn is_failed_verification(operation: Operation, end: &RunEnding) -> bool {
    match operation {
        Operation::Backup => end.proven == Some(false),
        Operation::Verify => end.outcome == RunOutcome::Failed,
        _ => false,
    }
}
