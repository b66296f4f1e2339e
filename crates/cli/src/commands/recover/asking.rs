//! What is common to all recoveries: which one is meant, the plan and the question before it begins, and what is said when it stopped.

use std::io::{BufRead, IsTerminal, Write};

use jiff::Timestamp;
use model::{RecoveryId, Scenario};
use operations::{RecoveryDirectory, RecoveryRecord, RecoveryState};

use super::plan_words;
use crate::args::RecoveryArgs;
use crate::catalogue::Code;
use crate::failure::Failure;
use crate::screen::Screen;

/// What somebody asked for.
pub(super) struct Asked<'a> {
    pub(super) scenario: Scenario,
    pub(super) at: Option<Timestamp>,
    pub(super) switch: bool,
    pub(super) args: &'a RecoveryArgs,
}

impl Asked<'_> {
    /// The recovery that is to be resumed or undone, if one is.
    pub(super) fn earlier(
        &self,
        directory: &RecoveryDirectory,
        source: &str,
    ) -> Result<Option<RecoveryRecord>, Failure> {
        let Some(wanted) = self.args.resume.as_ref().or(self.args.rollback.as_ref()) else { return Ok(None) };
        let record = find(directory, self.scenario, source, wanted.as_ref())?;
        if self.args.resume.is_some() && record.state == RecoveryState::RolledBack {
            return Err(Failure::new(Code::RecoverNone, format!("{} was undone", record.id)));
        }
        Ok(Some(record))
    }
}

/// The recovery that somebody means, or the last one of the source.
fn find(
    directory: &RecoveryDirectory,
    scenario: Scenario,
    source: &str,
    wanted: Option<&RecoveryId>,
) -> Result<RecoveryRecord, Failure> {
    let all = directory.all().map_err(operations::Error::from)?;
    let is_meant = |record: &&RecoveryRecord| match wanted {
        Some(id) => record.id == *id,
        None => !record.rehearsal && record.source == source && record.scenario == scenario,
    };
    let found = all.iter().find(is_meant).cloned();
    let found = found.filter(|record| !record.rehearsal && record.scenario == scenario);
    found.ok_or_else(|| {
        let message =
            format!("there is no recovery `{scenario}` of {source:?} on this machine to go on with");
        Failure::new(Code::RecoverNone, message)
    })
}

/// The same for several at once.
pub(super) fn confirm_plans<'a>(
    is_confirmed: bool,
    records: impl Iterator<Item = &'a RecoveryRecord>,
    screen: Screen,
) -> Result<(), Failure> {
    let mut sources = Vec::new();
    for record in records {
        plan_words(record).lines().for_each(|line| screen.note(line));
        sources.push(record.source.as_str());
    }
    if is_confirmed { Ok(()) } else { ask(&format!("Begin the recovery of {}", sources.join(", "))) }
}

/// Shows the plan, and asks where somebody is there to answer.
pub(super) fn confirm(asked: &Asked<'_>, record: &RecoveryRecord, screen: Screen) -> Result<(), Failure> {
    let back = asked.args.rollback.is_some();
    let plan = plan_words(record);
    for line in plan.lines().filter(|_| !back) {
        screen.note(line);
    }
    if asked.args.yes {
        return Ok(());
    }
    let question = if back { "Undo" } else { "Begin" };
    ask(&format!("{question} the recovery of {} ({})", record.source, record.target))
}

/// Asks on a terminal; where there is none, nobody said yes.
fn ask(question: &str) -> Result<(), Failure> {
    let unconfirmed =
        || Failure::new(Code::RecoverUnconfirmed, "a recovery would begin, and nobody said yes");
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(unconfirmed());
    }
    let mut terminal = std::io::stderr();
    let _ = write!(terminal, "{question}? Answer yes: ");
    let _ = terminal.flush();
    let mut line = String::new();
    input.lock().read_line(&mut line).map_err(|error| Failure::because(Code::RecoverUnconfirmed, &error))?;
    if line.trim() == "yes" { Ok(()) } else { Err(unconfirmed()) }
}

/// The failure of a step, with what can be done now.
pub(super) fn stopped(failure: Failure, record: &RecoveryRecord) -> Failure {
    let Some(step) = record.failed() else { return failure };
    let message = format!("the recovery stopped at the step {}: {}", step.step, failure.message);
    let first = if failure.code == Code::Cancelled { "" } else { failure.hint() };
    let then = format!(
        "`chronavault recover {} --resume` goes on from there, --rollback undoes what was done.",
        record.scenario
    );
    let hint = if first.is_empty() { then } else { format!("{first} {then}") };
    failure.with_message(message).with_hint(hint)
}
