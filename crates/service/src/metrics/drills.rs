//! Metrics of rehearsed recoveries.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use model::Operation;

use super::families::{DRILL_LOST, DRILL_RPO, DRILL_RTO, DRILL_TIME, DRILL_TOOK};
use super::page::{Labels, Page};
use crate::observation::Observation;

pub(super) fn write(page: &mut Page, observation: &Observation) {
    let mut last = BTreeMap::<Labels<2>, _>::new();
    for run in observation.runs.iter().filter(|run| run.operation == Operation::Drill) {
        let Some(end) = run.end.as_ref().filter(|end| end.is_success()) else { continue };
        let Some(facts) = end.recovery else { continue };
        let labels = [run.source.clone().unwrap_or_default(), facts.scenario.to_string()];
        last.insert(labels, (end.at, facts));
    }
    let span = |ms: u64| SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
    page.family(&DRILL_TIME, last.iter().map(|(labels, (at, _))| (labels.clone(), *at)));
    page.family(&DRILL_TOOK, last.iter().map(|(labels, (_, it))| (labels.clone(), span(it.rto_ms))));
    page.family(&DRILL_RTO, last.iter().map(|(labels, (_, it))| (labels.clone(), span(it.rto_limit_ms))));
    let lost = last.iter().filter_map(|(labels, (_, it))| Some((labels.clone(), span(it.rpo_ms?))));
    page.family(&DRILL_LOST, lost);
    page.family(&DRILL_RPO, last.iter().map(|(labels, (_, it))| (labels.clone(), span(it.rpo_limit_ms))));
}
