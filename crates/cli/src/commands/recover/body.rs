//! How a recovery or drill is shown: its plan, and what came of it.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use operations::{RecoveryDirectory, RecoveryRecord, RecoveryState, StepRecord, StepState};
use serde::Serialize;

use crate::catalogue;
use crate::failure::{Failure, one_line};
use crate::recording::Noted;
use crate::screen::{Answer, Notice};
use crate::surroundings::Surroundings;
use crate::wording::{self, Column};

/// What is told of a recovery.
#[derive(Serialize)]
pub(in crate::commands) struct Body<'a> {
    #[serde(flatten)]
    recovered: Recovered<'a>,
    warnings: Vec<Notice>,
}

/// A recovery, and what follows from its record.
#[derive(Serialize)]
pub(super) struct Recovered<'a> {
    #[serde(flatten)]
    record: &'a RecoveryRecord,
    /// From the begin to the end; nothing before that.
    rto_ms: Option<u64>,
    /// How much was lost.
    rpo_ms: Option<u64>,
    /// Whether both are as they should be; nothing before the end.
    within_objectives: Option<bool>,
    /// How long everything is expected to take, as far as that is known.
    estimate_ms: Option<u64>,
    /// Where the report is.
    report: Option<PathBuf>,
}

impl<'a> Recovered<'a> {
    pub(super) fn new(record: &'a RecoveryRecord, report: Option<PathBuf>) -> Self {
        Self {
            record,
            rto_ms: record.rto_ms(),
            rpo_ms: record.rpo_ms(),
            within_objectives: record.facts().map(|facts| facts.is_within()),
            estimate_ms: record.estimate_ms(),
            report,
        }
    }
}

impl<'a> Body<'a> {
    pub(in crate::commands) fn new(
        record: &'a RecoveryRecord,
        report: Option<PathBuf>,
        warnings: Vec<Notice>,
    ) -> Self {
        Self { recovered: Recovered::new(record, report), warnings }
    }
}

const PLAN: [Column; 4] =
    [Column::Number("step"), Column::Text("what"), Column::Number("expected"), Column::Text("")];

/// The plan for people.
pub(in crate::commands) fn plan_words(record: &RecoveryRecord) -> String {
    let mut text = format!("{} of {:?} ({}):\n", record.scenario, record.source, record.target);
    let row = |(number, step): (usize, &StepRecord)| {
        let expected = step.estimate_ms.map_or_else(|| "not known".to_owned(), shown);
        vec![(number + 1).to_string(), step.step.to_string(), expected, what(step, record)]
    };
    text.push_str(&wording::table(&PLAN, record.steps.iter().enumerate().map(row)));
    text.push('\n');
    let limit = shown(record.objectives.rto_ms);
    // Writing to a string cannot fail.
    let _ = match record.estimate_ms() {
        Some(ms) => writeln!(text, "Expected: {} of the {limit} that it may take.", shown(ms)),
        None => writeln!(
            text,
            "It may take {limit}; how long it will is not known: `chronavault drill` measures it."
        ),
    };
    if let (Some(backup), Some(data_at)) = (&record.found.backup, record.found.data_at) {
        let lost = record.rpo_ms().map(shown).unwrap_or_default();
        let _ = writeln!(
            text,
            "Likely from {backup}, with the data of {}: {lost} of changes are not in it.",
            wording::time(data_at)
        );
    }
    text
}

/// What a step will do, in a few words.
fn what(step: &StepRecord, record: &RecoveryRecord) -> String {
    use model::RecoveryStep::{
        Check, Choose, Health, Preflight, Replay, Restore, Sandbox, StartServices, StopServices, Switch,
    };
    let is_cluster = record.steps.iter().any(|step| step.step == Replay);
    let text = match step.step {
        Preflight => "look at everything that could stop the recovery later",
        StopServices => "run recovery.stop_services",
        Choose => "choose the newest backup that verifies",
        Sandbox => "start a throwaway server",
        Restore if is_cluster => "restore its files",
        Restore => "restore it into a new database, beside what is there",
        Replay => "replay WAL up to the target",
        Check if is_cluster => "read every row, and run the checks",
        Check => "compare every row with the backup, and run the checks",
        Switch if is_cluster => "exchange the names of the data directories at once; the other one is kept",
        Switch if record.rehearsal => "exchange the names of the databases",
        Switch => "exchange the names of the databases in one transaction; the other one is kept",
        StartServices => "run recovery.start_services",
        Health => "ask recovery.health_url until it is well",
    };
    text.to_owned()
}

/// Notes in the journal what came of a recovery that ended, well or not, and answers; `warnings` are those that were found before.
pub(in crate::commands) fn answer(
    record: &RecoveryRecord,
    directory: &RecoveryDirectory,
    mut warnings: Vec<Notice>,
    failure: Option<Failure>,
    surroundings: &Surroundings,
    noted: &Noted,
) -> Result<Answer, Failure> {
    noted.note(|facts| {
        facts.backup.clone_from(&record.found.backup);
        (facts.tables, facts.rows) = (record.found.tables, record.found.rows);
        facts.recovery = record.facts().filter(|_| record.state != RecoveryState::RolledBack);
    });
    surroundings.reporter.finish();
    let warned = surroundings.reporter.take_warnings();
    warnings.extend(warned.iter().filter(|warning| catalogue::needs_person(warning)).map(Notice::from));
    let report = directory.place(&record.id, "md");
    if record.state == RecoveryState::Done {
        warnings.extend(catalogue::missed_objectives(record));
    }
    let needs_person = !warnings.is_empty();
    let text = words(record, &report);
    let body = Body::new(record, Some(report), warnings);
    Ok(Answer::new(text, &body)?.failing(failure).needing_person(needs_person))
}

const DONE: [Column; 4] =
    [Column::Text("step"), Column::Text("state"), Column::Number("time"), Column::Text("")];

pub(super) fn words(record: &RecoveryRecord, report: &std::path::Path) -> String {
    let steps = record.steps.iter().chain(&record.rollback);
    let row = |step: &StepRecord| {
        let state = match step.state {
            StepState::Pending => "not begun",
            StepState::Running => "begun",
            StepState::Done => "done",
            StepState::Failed => "failed",
        };
        let time = step.duration_ms.map(shown).unwrap_or_default();
        let says = one_line(step.says.as_deref().unwrap_or_default());
        vec![step.step.to_string(), state.to_owned(), time, says]
    };
    let mut text = wording::table(&DONE, steps.map(row));
    text.push('\n');
    for skipped in &record.found.skipped {
        let _ = writeln!(text, "Passed over {}: {}", skipped.backup, one_line(&skipped.reason));
    }
    let verdict = match record.state {
        RecoveryState::Done if record.rehearsal => "Rehearsed",
        RecoveryState::Done => "Recovered",
        RecoveryState::RolledBack => "Undone",
        RecoveryState::Stopped | RecoveryState::Running => "Stopped",
    };
    let rto = record.rto_ms().map(shown).unwrap_or_default();
    let limits = (shown(record.objectives.rto_ms), shown(record.objectives.rpo_ms));
    let lost =
        record.rpo_ms().map(|lost| format!("; {} of {} lost", shown(lost), limits.1)).unwrap_or_default();
    let _ = writeln!(text, "{verdict} in {rto} of {}{lost}.", limits.0);
    let _ = writeln!(text, "Report: {}", report.display());
    text
}

/// Milliseconds for people.
pub(in crate::commands) fn shown(ms: u64) -> String {
    wording::duration(Duration::from_millis(ms))
}
