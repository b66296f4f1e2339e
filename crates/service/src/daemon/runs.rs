//! Runs of tasks: how they begin and end.

use super::{Daemon, DaemonEvent, ended};
use crate::scheduler::{Action, Ended, Start};
use crate::worker::{self, Finished};

impl Daemon<'_> {
    pub(super) fn start(&mut self, start: &Start) {
        let name = start.task.name.clone();
        if start.missed > 0 {
            self.world.event(DaemonEvent::Missed { task: name.clone(), moments: start.missed });
        }
        let arguments = match self.world.arguments(start) {
            Ok(Some(arguments)) => arguments,
            Ok(None) => {
                self.scheduler.ended(&name, Ended::Done, self.world.now());
                return;
            }
            Err(message) => return self.not_started(name, message),
        };
        match worker::start(&self.plan.program, &name, &arguments, &self.reports.0) {
            Ok(running) => {
                let (planned_at, attempt) = (start.planned_at, start.attempt);
                let pid = running.pid();
                self.world.event(DaemonEvent::Started { task: name.clone(), planned_at, attempt, pid });
                self.running.insert(name, running);
            }
            Err(error) => self.not_started(name, error.to_string()),
        }
    }

    fn not_started(&mut self, run: String, message: String) {
        self.scheduler.ended(&run, Ended::Failed, self.world.now());
        self.world.event(DaemonEvent::NotStarted { run, message });
    }

    pub(super) fn ended(&mut self, finished: Finished) {
        let Finished { run, status, duration, last_line, .. } = finished;
        self.has_changed = true;
        if self.running.remove(&run).is_none() {
            let again = self.receivers.ended(&run, status, last_line);
            let again_at = again.and_then(|wait| self.world.now().checked_add(wait).ok());
            self.world.event(DaemonEvent::Ended { run, status, duration, again_at });
            return;
        }
        let now = self.world.now();
        let how = ended(status);
        let again_at = self.scheduler.ended(&run, how, now);
        let action = self.scheduler.tasks().find(|task| task.name == run).map(|task| task.action.clone());
        if how == Ended::Done && matches!(action, Some(Action::Backup { .. })) {
            self.scheduler.ask_for(&Action::Prune, now);
        }
        // What came of it is shown at once.
        self.observed = None;
        self.world.event(DaemonEvent::Ended { run, status, duration, again_at });
    }
}
