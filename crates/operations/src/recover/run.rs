//! Runs the steps of a recovery, one after the other, and keeps what came of each.

use model::RecoveryStep;
use repository::ProblemRecord;

use super::record::{Found, RecoveryRecord, RecoveryState, StepRecord, StepState};
use super::{RecoverError, RecoveryDirectory, Site, planned_steps, report};
use crate::{Context, Error, Event, Problem};

/// Problems that are kept; of very many, the first.
const PROBLEMS: usize = 100;

/// A recovery under way.
pub(super) struct Run<'a> {
    pub(super) record: RecoveryRecord,
    directory: &'a RecoveryDirectory,
    pub(super) context: &'a Context<'a>,
    goes_back: bool,
}

impl<'a> Run<'a> {
    /// Begins a recovery, or goes on with it.
    pub(super) fn begin(
        mut record: RecoveryRecord,
        directory: &'a RecoveryDirectory,
        context: &'a Context<'a>,
    ) -> Result<Self, Error> {
        record.state = RecoveryState::Running;
        record.ended_at = None;
        directory.keep(&record)?;
        Ok(Self { record, directory, context, goes_back: false })
    }

    /// Undoes a recovery: stops services, has `switch_back` give the name back, and starts services again.
    pub(super) fn undo(
        record: RecoveryRecord,
        site: &dyn Site,
        directory: &'a RecoveryDirectory,
        context: &'a Context<'a>,
        switch_back: impl FnOnce(&mut Self) -> Result<String, Error>,
    ) -> Result<(RecoveryRecord, Result<(), Error>), Error> {
        use RecoveryStep::{Health, StartServices, StopServices, Switch};
        let ended_at = record.ended_at;
        let mut run = Self::begin(record, directory, context)?;
        run.goes_back = true;
        run.record.ended_at = ended_at;
        let steps = planned_steps(&[StopServices, Switch, StartServices, Health], true, site);
        run.record.rollback = steps.into_iter().map(StepRecord::pending).collect();
        let work = |run: &mut Self| {
            run.keep()?;
            run.act(site, StopServices)?;
            run.step(Switch, switch_back)?;
            run.act(site, StartServices)?;
            run.act(site, Health)
        };
        let result = work(&mut run);
        Ok(run.end(result))
    }

    /// Has the site do its part in a step.
    pub(super) fn act(&mut self, site: &dyn Site, step: RecoveryStep) -> Result<(), Error> {
        self.step(step, |_| site.act(step).map_err(|message| RecoverError::Site { step, message }.into()))
    }

    /// Whether a step is done.
    pub(super) fn is_done(&self, step: RecoveryStep) -> bool {
        self.steps().iter().any(|known| known.step == step && known.state == StepState::Done)
    }

    /// Has steps done again.
    pub(super) fn again(&mut self, steps: &[RecoveryStep]) {
        for step in self.record.steps.iter_mut().filter(|known| steps.contains(&known.step)) {
            step.state = StepState::Pending;
        }
    }

    /// The record lacks what an earlier step found out.
    pub(super) fn incomplete(&self) -> Error {
        RecoverError::Incomplete { id: self.record.id.clone() }.into()
    }

    /// Does a step that is planned and not done yet. `work` returns what it did, in words.
    pub(super) fn step(
        &mut self,
        step: RecoveryStep,
        work: impl FnOnce(&mut Self) -> Result<String, Error>,
    ) -> Result<(), Error> {
        let Some(number) = self.steps().iter().position(|planned| planned.step == step) else {
            return Ok(());
        };
        if self.is_done(step) {
            return Ok(());
        }
        let of = self.steps().len();
        self.context.observer.event(Event::Step { step, number: number + 1, of });
        let began_at = self.context.now();
        self.note(number, |step| {
            step.state = StepState::Running;
            step.began_at = Some(began_at);
            (step.duration_ms, step.says) = (None, None);
        })?;
        let result = if self.context.observer.cancelled() { Err(Error::Cancelled) } else { work(self) };
        let duration = self.context.now().duration_since(began_at).as_millis();
        let (state, says) = match &result {
            Ok(words) => (StepState::Done, words.clone()),
            Err(error) => (StepState::Failed, crate::error::with_sources(error)),
        };
        self.note(number, |step| {
            step.state = state;
            step.duration_ms = u64::try_from(duration).ok();
            step.says = Some(says).filter(|says| !says.is_empty());
        })?;
        result.map(|_| ())
    }

    /// What was found out so far.
    pub(super) fn found(&mut self) -> &mut Found {
        &mut self.record.found
    }

    /// Makes what was found out durable, before something is done that cannot be found out again.
    pub(super) fn keep(&self) -> Result<(), Error> {
        Ok(self.directory.keep(&self.record)?)
    }

    /// Keeps what checks found.
    pub(super) fn keep_problems(&mut self, problems: &[Problem]) {
        self.record.found.problems = problems.iter().take(PROBLEMS).map(problem).collect();
    }

    /// Ends it, keeps its report and returns its record, with the error that ended it if one did.
    pub(super) fn end(mut self, result: Result<(), Error>) -> (RecoveryRecord, Result<(), Error>) {
        self.record.state = match &result {
            Ok(()) if self.goes_back => RecoveryState::RolledBack,
            Ok(()) => RecoveryState::Done,
            Err(_) => RecoveryState::Stopped,
        };
        if !self.goes_back || self.record.ended_at.is_none() {
            self.record.ended_at = Some(self.context.now());
        }
        let report = report::markdown(&self.record);
        let kept = self.keep().and_then(|()| Ok(self.directory.write_report(&self.record.id, &report)?));
        // What ended the recovery is what somebody has to know first.
        (self.record, result.and(kept))
    }

    fn steps(&self) -> &[StepRecord] {
        if self.goes_back { &self.record.rollback } else { &self.record.steps }
    }

    fn note(&mut self, number: usize, change: impl FnOnce(&mut StepRecord)) -> Result<(), Error> {
        let steps = if self.goes_back { &mut self.record.rollback } else { &mut self.record.steps };
        if let Some(step) = steps.get_mut(number) {
            change(step);
        }
        self.keep()
    }
}

fn problem(problem: &Problem) -> ProblemRecord {
    let Problem { code, object, message } = problem;
    ProblemRecord { code: (*code).to_owned(), object: object.clone(), message: message.clone() }
}

impl From<RecoverError> for Error {
    fn from(error: RecoverError) -> Self {
        Self::Recover(error)
    }
}
