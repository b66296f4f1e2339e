//! What the daemon needs from outside: the clock, the settings, the repository, and somewhere to say what happens.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::{BackupId, Kind, Operation, Outcome, Run, RunOutcome, RunStart};
use repository::{Listed, Repository};
use service::Observer;
use service::alerts::{Dispatcher, StateFile};
use service::daemon::{DaemonEvent, Plan, Sight, Watch, World};
use service::journal::{HistoryRun, history};
use service::notify::{Manager, Notice};
use service::observation::{BackupFacts, Observation, Trouble};
use service::scheduler::{Action, Start, Task};

use super::log::Log;
use super::shown::Shown;
use super::watcher::Watcher;
use crate::actor;
use crate::args::GlobalArgs;
use crate::catalogue::Code;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::recording;
use crate::settings::Settings;
use crate::site;

/// A backup, with the moment and the outcome of the verification that counts.
type Standing = (Option<(Timestamp, Outcome)>, BackupId);

/// How the daemon was called: its settings are read again in the same way.
pub(super) struct Invocation {
    pub(super) flags: GlobalArgs,
    pub(super) environment: Environment,
}

pub(super) struct ServeWorld {
    invocation: Invocation,
    settings: Arc<Settings>,
    /// The repository as it was opened last. The loop reads as little of it as it can.
    repository: Repository,
    /// Who looks at everything, as at the beginning: clones of it do.
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
        settings: Arc<Settings>,
        observer: Observer,
        shown: Shown,
        manager: Manager,
        log: Log,
    ) -> Self {
        let repository = observer.repository().clone();
        let mut world =
            Self { invocation, settings, repository, observer, shown, manager, dispatcher: None, log };
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
        if let Err(failure) = site::keep_documents(&self.settings, &self.repository) {
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
        if let Err(failure) = recording::note(&self.settings, &self.repository, what) {
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
        self.repository = observer.repository().clone();
        (self.settings, self.observer) = (Arc::new(settings), observer);
        // The old one stores its book before the new one reads it.
        self.dispatcher = None;
        self.dispatcher = self.dispatcher_of_settings();
        self.keep_settings();
        Ok(plan)
    }

    /// When the newest backups of all these sources and kinds began, wherever they were taken. Manifests are read from the newest on,
    /// until nothing is missing or what is left began before `since`.
    fn backed_up<'a>(
        &self,
        wanted: impl IntoIterator<Item = (Option<&'a str>, Kind)>,
        since: Timestamp,
    ) -> BTreeMap<(Option<&'a str>, Kind), Timestamp> {
        let mut missing: Vec<_> = wanted.into_iter().collect();
        let mut found = BTreeMap::new();
        for id in self.repository.ids().unwrap_or_default() {
            if missing.is_empty() || id.started_at() < since {
                break;
            }
            let Ok(manifest) = self.repository.manifest(&id) else { continue };
            let is_of = |(source, kind): &(Option<&str>, Kind)| {
                *kind == manifest.kind && source.is_none_or(|source| source == manifest.source)
            };
            found.extend(missing.iter().filter(|of| is_of(of)).map(|of| (*of, manifest.started_at)));
            missing.retain(|of| !is_of(of));
        }
        found
    }

    /// Whether somebody else, on another host, may have made the backup meanwhile.
    fn is_served_elsewhere(&self, start: &Start) -> bool {
        // The id of a backup knows whole seconds.
        let since = start.planned_at.checked_sub(SignedDuration::from_secs(1)).unwrap_or(start.planned_at);
        let backed_up = self.backed_up(made(&start.task), since);
        backed_up.values().any(|began| *began >= start.planned_at)
    }

    /// The backup whose proof is the oldest, of those that did not fail, as far as was seen when everything was looked at last.
    fn longest_unverified(&self, source: Option<&str>) -> Result<Option<String>, repository::Error> {
        let candidates: Vec<_> = match self.shown.observation() {
            Some(seen) => {
                let states =
                    seen.backups.iter().filter(|state| source.is_none_or(|source| source == state.source));
                let proof = |backup: &BackupFacts| backup.proof.map(|proof| (proof.at, proof.outcome));
                states
                    .flat_map(|state| &state.backups)
                    .map(|backup| (proof(backup), backup.id.clone()))
                    .collect()
            }
            None => self.listed(source)?,
        };
        let is_sound = |proof: &Option<(Timestamp, Outcome)>| {
            proof.is_none_or(|(_, outcome)| outcome != Outcome::Failed)
        };
        let sound = candidates.into_iter().filter(|(proof, _)| is_sound(proof));
        let oldest = sound.min_by_key(|(proof, _)| proof.map(|(at, _)| at));
        Ok(oldest.map(|(_, id)| id.to_string()))
    }

    /// The backups of a source or all, each with its proof.
    fn listed(&self, source: Option<&str>) -> Result<Vec<Standing>, repository::Error> {
        let listed = self.repository.backups()?.into_iter().filter_map(|listed| match listed {
            Listed::Backup(summary) if source.is_none_or(|source| source == summary.source) => {
                Some((summary.proof.map(|proof| (proof.at, proof.outcome)), summary.id))
            }
            _ => None,
        });
        Ok(listed.collect())
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

/// What backups a task makes.
fn made(task: &Task) -> Option<(Option<&str>, Kind)> {
    match &task.action {
        Action::Backup { source, kind } => Some((source.as_deref(), *kind)),
        Action::Verify { .. } | Action::Drill { .. } | Action::Prune => None,
    }
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
            DaemonEvent::Rekeyed => self.note([pair("event", "the key was rotated".to_owned())].into()),
            _ => {}
        }
    }

    fn served(&mut self, tasks: &[Task]) -> BTreeMap<String, Timestamp> {
        let history = history(&recording::directory(&self.settings), Some(&self.repository), false);
        let runs = history.map(|history| history.runs).unwrap_or_default();
        let elsewhere = self.backed_up(tasks.iter().filter_map(made), Timestamp::MIN);
        let served = |task: &Task| {
            let elsewhere = made(task).and_then(|of| elsewhere.get(&of).copied());
            Some((task.name.clone(), journalled(&runs, task).max(elsewhere)?))
        };
        tasks.iter().filter_map(served).collect()
    }

    fn arguments(&mut self, start: &Start) -> Result<Option<Vec<OsString>>, String> {
        let mut arguments: Vec<String> = Vec::new();
        match &start.task.action {
            // Somebody else, on another host, may have served that moment meanwhile.
            Action::Backup { .. } if self.is_served_elsewhere(start) => return Ok(None),
            Action::Backup { source, kind } => {
                arguments.extend(["backup".to_owned(), "--kind".to_owned(), kind.to_string()]);
                arguments.extend(source.iter().flat_map(|source| ["--source".to_owned(), source.clone()]));
            }
            Action::Verify { source } => {
                let Some(id) =
                    self.longest_unverified(source.as_deref()).map_err(|error| error.to_string())?
                else {
                    return Ok(None);
                };
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

    fn watch(&mut self) -> Box<dyn Watch> {
        let (settings, observer) = (Arc::clone(&self.settings), self.observer.clone());
        Box::new(Watcher { settings, observer, shown: self.shown.clone() })
    }

    fn seen(&mut self, Sight { observation, reopened }: Sight) {
        if let Some(repository) = reopened {
            self.observer.look_at(repository.clone());
            self.repository = repository;
        }
        self.log.troubles(&observation.troubles);
        self.alert(&observation);
        self.shown.seen(Arc::new(observation));
    }

    fn blind(&mut self, trouble: Trouble) {
        let last = self.shown.observation().map(|last| Observation::clone(&last));
        let mut observation = last.unwrap_or_else(|| Observation::nothing(Timestamp::now()));
        observation.troubles.retain(|other| other.code != trouble.code);
        observation.troubles.push(trouble);
        self.log.troubles(&observation.troubles);
        // Judged by the time now: what is old has become older.
        self.alert(&Observation { at: Timestamp::now(), ..observation.clone() });
        self.shown.seen(Arc::new(observation));
    }

    fn turned(&mut self) {
        self.shown.turned();
        self.tell(&[Notice::Watchdog]);
    }
}
