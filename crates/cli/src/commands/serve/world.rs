//! What the daemon needs from outside: the clock, the settings, the repository, and somewhere to say what happens.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use jiff::Timestamp;
use model::{Kind, Operation, Outcome, Run, RunOutcome, RunStart};
use operations::{Context, Unobserved};
use repository::Listed;
use service::Observer;
use service::alerts::{Dispatcher, StateFile};
use service::daemon::{DaemonEvent, Look, Plan, World};
use service::journal::{HistoryRun, history};
use service::notify::{Manager, Notice};
use service::observation::{Observation, Trouble};
use service::scheduler::{Action, Start, Task};

use super::log::Log;
use super::shown::Shown;
use crate::actor;
use crate::args::GlobalArgs;
use crate::catalogue::Code;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::opening;
use crate::recording;
use crate::settings::Settings;
use crate::site;
use crate::surroundings::random;

/// How the daemon was called: its settings are read again in the same way.
pub(super) struct Invocation {
    pub(super) flags: GlobalArgs,
    pub(super) environment: Environment,
}

pub(super) struct ServeWorld {
    invocation: Invocation,
    settings: Settings,
    observer: Observer,
    shown: Shown,
    manager: Manager,
    /// Whoever tells people; nobody where that could not be set up.
    dispatcher: Option<Dispatcher>,
    log: Log,
}

impl ServeWorld {
    pub(super) fn new(
        invocation: Invocation,
        settings: Settings,
        observer: Observer,
        shown: Shown,
        manager: Manager,
        log: Log,
    ) -> Self {
        let mut world = Self { invocation, settings, observer, shown, manager, dispatcher: None, log };
        world.dispatcher = world.dispatcher_of_settings();
        world.keep_settings();
        world
    }

    /// Whoever tells people what the settings say. A channel that cannot be set up is no reason not to make backups.
    fn dispatcher_of_settings(&mut self) -> Option<Dispatcher> {
        let file = StateFile::new(self.settings.state_directory());
        let started = self.settings.alerts().and_then(|alerts| {
            Dispatcher::start(alerts, file).map_err(|error| Failure::because(Code::Internal, &error))
        });
        match started {
            Ok(dispatcher) => Some(dispatcher),
            Err(failure) => {
                self.log.failure(&failure);
                None
            }
        }
    }

    /// Keeps the settings and the runbook in the repository where they changed. That they cannot be is no reason not to make backups.
    fn keep_settings(&mut self) {
        if let Err(failure) = site::keep_documents(&self.settings, &self.observer.repository) {
            self.log.failure(&failure);
        }
    }

    /// Judges what was seen and tells people.
    fn alert(&mut self, observation: &Observation) {
        let Some(dispatcher) = &mut self.dispatcher else { return };
        for trouble in dispatcher.round(observation, Timestamp::now()) {
            self.log.channel(&trouble);
        }
        self.shown.alerted(dispatcher.book().channels());
    }

    /// Tells the service manager. One that does not listen is its own affair.
    fn tell(&self, notices: &[Notice<'_>]) {
        let _ = self.manager.tell(notices);
    }

    /// Records in the journal what no run of its own records.
    fn note(&mut self, parameters: BTreeMap<String, String>) {
        let what =
            RunStart { operation: Operation::Schedule, actor: actor::current(), source: None, parameters };
        if let Err(failure) = recording::note(&self.settings, &self.observer.repository, what) {
            self.log.failure(&failure);
        }
    }

    fn read_again(&mut self) -> Result<Plan, Failure> {
        let Invocation { flags, environment } = &self.invocation;
        let monotonic = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let monotonic = Duration::try_from(monotonic).unwrap_or_default();
        self.tell(&[Notice::Reloading { monotonic }]);
        let settings = Settings::load(flags, environment.clone())?;
        let service = settings.service()?;
        let observer = super::observer(&settings, &service)?;
        let plan = super::plan(flags, environment, &service)?;
        // Also that nobody could be alerted is a reason to keep the old settings.
        settings.alerts()?;
        (self.settings, self.observer) = (settings, observer);
        // The old one stores its book before the new one reads it.
        self.dispatcher = None;
        self.dispatcher = self.dispatcher_of_settings();
        self.keep_settings();
        Ok(plan)
    }

    /// The backups that there are, the newest first; none when they cannot be listed.
    fn listed(&self) -> Vec<Listed> {
        self.observer.repository.backups().unwrap_or_default()
    }

    /// The backup whose proof is the oldest, of those that did not fail.
    fn longest_unverified(&self, source: Option<&str>) -> Result<Option<String>, repository::Error> {
        let candidates = self.observer.repository.backups()?.into_iter().filter_map(|listed| match listed {
            Listed::Backup(summary) if source.is_none_or(|source| source == summary.source) => Some(summary),
            _ => None,
        });
        let sound = candidates
            .filter(|summary| summary.proof.as_ref().is_none_or(|proof| proof.outcome != Outcome::Failed));
        let oldest = sound.min_by_key(|summary| summary.proof.as_ref().map(|proof| proof.at));
        Ok(oldest.map(|summary| summary.id.to_string()))
    }
}

/// The moment that the last scheduled run of a task served. One that failed or was killed served none: it is made up for.
fn journalled(runs: &[HistoryRun], task: &Task) -> Option<Timestamp> {
    let served = runs
        .iter()
        .map(|run| &run.run)
        .rev()
        .find(|run| run.start.parameters.get("schedule") == Some(&task.name) && has_served(run))?;
    served.start.parameters.get("planned_at")?.parse().ok()
}

/// When the newest backup began, wherever it was taken.
fn backed_up(listed: &[Listed], source: Option<&str>, kind: Kind) -> Option<Timestamp> {
    listed.iter().find_map(|listed| match listed {
        Listed::Backup(summary)
            if summary.kind == kind && source.is_none_or(|source| source == summary.source) =>
        {
            Some(summary.started_at)
        }
        _ => None,
    })
}

/// Whether doing the same again at once would not help.
fn has_served(run: &Run) -> bool {
    let Some((_, end)) = &run.end else { return false };
    let is_done = matches!(end.outcome, RunOutcome::Done | RunOutcome::Warnings);
    is_done || end.code.as_deref() == Some(Code::VerifyFailed.as_str())
}

impl World for ServeWorld {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn event(&mut self, event: DaemonEvent) {
        self.log.event(&event);
        let pair = |name: &str, value: String| (name.to_owned(), value);
        match event {
            DaemonEvent::Ready { .. } => {
                self.tell(&[Notice::Ready]);
                self.note([pair("event", "the service started".to_owned())].into());
            }
            DaemonEvent::Reloaded | DaemonEvent::NotReloaded { .. } => self.tell(&[Notice::Ready]),
            DaemonEvent::Stopping { .. } => {
                self.tell(&[Notice::Stopping]);
                self.note([pair("event", "the service is ending".to_owned())].into());
            }
            DaemonEvent::Missed { task, moments } => {
                let event = pair("event", "missed".to_owned());
                self.note([event, pair("schedule", task), pair("moments", moments.to_string())].into());
            }
            DaemonEvent::Ended { .. } => self.observer.forget(),
            _ => {}
        }
    }

    fn served(&mut self, tasks: &[Task]) -> BTreeMap<String, Timestamp> {
        let history = history(&self.observer.journal, Some(&self.observer.repository), false);
        let runs = history.map(|history| history.runs).unwrap_or_default();
        let listed = self.listed();
        let served = |task: &Task| {
            let elsewhere = match &task.action {
                Action::Backup { source, kind } => backed_up(&listed, source.as_deref(), *kind),
                Action::Verify { .. } | Action::Drill { .. } | Action::Prune => None,
            };
            Some((task.name.clone(), journalled(&runs, task).max(elsewhere)?))
        };
        tasks.iter().filter_map(served).collect()
    }

    fn arguments(&mut self, start: &Start) -> Result<Option<Vec<OsString>>, String> {
        let mut arguments: Vec<String> = Vec::new();
        match &start.task.action {
            // Somebody else, on another host, may have served that moment meanwhile.
            Action::Backup { source, kind }
                if backed_up(&self.listed(), source.as_deref(), *kind)
                    .is_some_and(|began| began >= start.planned_at) =>
            {
                return Ok(None);
            }
            Action::Backup { source, kind } => {
                arguments.extend(["backup".to_owned(), "--kind".to_owned(), kind.to_string()]);
                arguments.extend(source.iter().flat_map(|source| ["--source".to_owned(), source.clone()]));
            }
            Action::Verify { source } => {
                let oldest = self.longest_unverified(source.as_deref()).map_err(|error| error.to_string())?;
                let Some(id) = oldest else { return Ok(None) };
                arguments.extend(["verify".to_owned(), id]);
            }
            Action::Drill { source, scenario } => {
                arguments.extend(["drill".to_owned(), "--scenario".to_owned(), scenario.to_string()]);
                arguments.extend(source.iter().flat_map(|source| ["--source".to_owned(), source.clone()]));
            }
            Action::Prune => arguments.push("prune".to_owned()),
        }
        let planned_at = start.planned_at.to_string();
        arguments.extend([
            "--schedule".to_owned(),
            start.task.name.clone(),
            "--planned-at".to_owned(),
            planned_at,
        ]);
        Ok(Some(arguments.into_iter().map(OsString::from).collect()))
    }

    fn reload(&mut self) -> Result<Plan, String> {
        self.read_again().map_err(|failure| failure.message)
    }

    fn observe(&mut self, look: &Look<'_>) -> Observation {
        let context = Context {
            clock: &Timestamp::now,
            random: &random,
            observer: &Unobserved,
            lease: None,
            tool_path: None,
            sandbox_parent: self.settings.sandbox_directory.clone(),
        };
        let mut observation = self.observer.observe(look, &context);
        // Opened anew, as a run would: permissions that were loosened, a disk that is not mounted, a key that went away.
        if let Err(failure) = opening::repository(&self.settings) {
            observation.troubles.push(Trouble {
                code: failure.code.as_str().to_owned(),
                object: "repository".to_owned(),
                hint: failure.hint().to_owned(),
                message: failure.message,
            });
        }
        observation
    }

    fn seen(&mut self, observation: Observation) {
        for trouble in &observation.troubles {
            self.log.trouble(trouble);
        }
        self.alert(&observation);
        self.shown.seen(observation);
    }

    fn turned(&mut self) {
        self.shown.turned();
        self.tell(&[Notice::Watchdog]);
    }
}
