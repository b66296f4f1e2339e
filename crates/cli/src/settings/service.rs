//! What the daemon does: schedules, receivers, and how it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use model::{Cadence, CronExpression, Kind, Scenario, Schedule};
use service::daemon::ReceiverTask;
use service::http::{Address, DEFAULT_ADDRESS, ParseAddressError};
use service::scheduler::{Action, Task};

use super::Settings;
use super::file::{OnStop, ScheduleTable, ScheduledTask};
use crate::catalogue::Code;
use crate::failure::Failure;

/// Hours after which a run is stopped.
const LIMIT_HOURS: u64 = 12;
/// How often a run that failed is tried again.
const RETRIES: u32 = 3;
/// Minutes by which runs are spread.
const JITTER_MINUTES: u64 = 5;
/// Seconds that runs get to end.
const GRACE_SECONDS: u64 = 60;
/// Seconds between two looks at everything.
const OBSERVE_SECONDS: u64 = 60;
/// Old backups are verified again when nobody said otherwise: once a week, on Sunday.
const VERIFY: &str = "0 4 * * sun";
/// What expired is removed once a day besides after each backup.
const PRUNE: &str = "30 5 * * *";

/// What the daemon does.
#[derive(Debug, Clone)]
pub(crate) struct ServiceSettings {
    /// What runs now and then.
    pub(crate) tasks: Vec<Task>,
    /// Of which sources WAL is received.
    pub(crate) receivers: Vec<ReceiverTask>,
    /// How old the newest proven backup of a source may be, where that is said.
    pub(crate) rpo: BTreeMap<String, SignedDuration>,
    /// Where the daemon remembers things.
    pub(crate) state_directory: PathBuf,
    /// Where it listens for those who look at it.
    pub(crate) listen: Option<Address>,
    /// Whether runs are waited for at the end.
    pub(crate) finishes_runs: bool,
    /// How long runs get to end.
    pub(crate) grace: Duration,
    /// How often everything is looked at.
    pub(crate) observe_every: Duration,
}

impl Settings {
    /// What the daemon does.
    pub(crate) fn service(&self) -> Result<ServiceSettings, Failure> {
        let table = &self.file.content.service;
        let finishes_runs = table.on_stop == Some(OnStop::Finish);
        // Who waits for runs waits as long as they may take.
        let grace = if finishes_runs { LIMIT_HOURS * 3600 } else { GRACE_SECONDS };
        Ok(ServiceSettings {
            tasks: self.tasks()?,
            receivers: self.receivers(),
            rpo: self.rpo(),
            state_directory: self.state_directory(),
            listen: self.listen()?,
            finishes_runs,
            grace: Duration::from_secs(table.grace_seconds.unwrap_or(grace)),
            observe_every: Duration::from_secs(table.observe_seconds.unwrap_or(OBSERVE_SECONDS).max(1)),
        })
    }

    fn listen(&self) -> Result<Option<Address>, Failure> {
        match self.file.content.service.listen.as_deref().unwrap_or(DEFAULT_ADDRESS) {
            "off" => Ok(None),
            text => {
                let origin = self.file.origin("service.listen");
                let wrong = |error: ParseAddressError| {
                    Failure::new(Code::SettingsValue, format!("{origin}: {error}"))
                };
                text.parse().map(Some).map_err(wrong)
            }
        }
    }

    fn tasks(&self) -> Result<Vec<Task>, Failure> {
        let schedules = &self.file.content.schedules;
        let mut tasks = Vec::new();
        for (number, table) in schedules.iter().enumerate() {
            tasks.push(self.task(number, table)?);
        }
        let has = |wanted: ScheduledTask| schedules.iter().any(|table| table.task == wanted);
        if !has(ScheduledTask::Backup) {
            tasks.extend(self.backups_by_interval()?);
        }
        if !has(ScheduledTask::Verify) {
            tasks.push(by_default("verify", Action::Verify { source: None }, VERIFY)?);
        }
        if !has(ScheduledTask::Prune) {
            tasks.push(by_default("prune", Action::Prune, PRUNE)?);
        }
        let mut names = BTreeSet::new();
        if let Some(task) = tasks.iter().find(|task| !names.insert(task.name.clone())) {
            let message = format!("{} has two schedules of {:?}", self.file.origin("schedules"), task.name);
            return Err(Failure::new(Code::SettingsConflict, message));
        }
        Ok(tasks)
    }

    /// A logical backup of each source every [`Settings::interval_hours`].
    fn backups_by_interval(&self) -> Result<Vec<Task>, Failure> {
        let named = self.file.content.sources.iter().filter(|(_, source)| source.url.is_some());
        let mut sources: Vec<Option<String>> = named.map(|(name, _)| Some(name.clone())).collect();
        if sources.is_empty() {
            match self.source(None) {
                Ok(source) => sources.push(source.name),
                // Settings that name no database yet are in order; a service that has nothing to do is not begun.
                Err(failure) if failure.code == Code::SettingsNoSource => {}
                Err(failure) => return Err(failure),
            }
        }
        let schedule = Schedule {
            cadence: Cadence::Every(SignedDuration::from_hours(
                i64::try_from(self.interval_hours).unwrap_or(24),
            )),
            jitter: SignedDuration::ZERO,
            catches_up: true,
        };
        Ok(sources.into_iter().map(|source| backup(source, Kind::Logical, schedule.clone())).collect())
    }

    fn task(&self, number: usize, table: &ScheduleTable) -> Result<Task, Failure> {
        let origin = self.file.origin(&format!("schedules, the {}.", number + 1));
        let wrong = |message: String| Failure::new(Code::SettingsValue, format!("{origin}: {message}"));
        if let (Some(source), false) = (&table.source, self.file.content.sources.is_empty())
            && !self.file.content.sources.contains_key(source)
        {
            return Err(wrong(format!("there is no source {source:?}")));
        }
        let hours = |hours: u64| SignedDuration::from_hours(i64::try_from(hours.min(8_784)).unwrap_or(8_784));
        let cadence = match (&table.cron, table.every_hours) {
            (Some(expression), None) => {
                let expression: CronExpression =
                    expression.parse().map_err(|error| wrong(format!("{error}")))?;
                let name = table.time_zone.as_deref().unwrap_or("UTC");
                let zone =
                    TimeZone::get(name).map_err(|_| wrong(format!("there is no time zone {name:?}")))?;
                Cadence::Cron(expression, zone)
            }
            (None, Some(0)) => return Err(wrong("every_hours is 0".to_owned())),
            (None, Some(every)) => Cadence::Every(hours(every)),
            (None, None) => return Err(wrong("it needs cron or every_hours".to_owned())),
            (Some(_), Some(_)) => return Err(wrong("it has both cron and every_hours".to_owned())),
        };
        let jitter = SignedDuration::from_mins(
            i64::try_from(table.jitter_minutes.unwrap_or(JITTER_MINUTES)).unwrap_or(0),
        );
        let schedule = Schedule { cadence, jitter, catches_up: table.catch_up.unwrap_or(true) };
        let mut task = match table.task {
            ScheduledTask::Backup => {
                backup(table.source.clone(), table.kind.unwrap_or(Kind::Logical), schedule)
            }
            ScheduledTask::Verify => {
                let source = table.source.clone();
                let name =
                    source.as_ref().map_or_else(|| "verify".to_owned(), |source| format!("verify/{source}"));
                new(name, Action::Verify { source }, schedule)
            }
            ScheduledTask::Drill => {
                let scenario = table.scenario.unwrap_or(Scenario::Corruption);
                let of = table.source.as_deref().unwrap_or("default");
                let name = format!("drill/{of}/{scenario}");
                new(name, Action::Drill { source: table.source.clone(), scenario }, schedule)
            }
            ScheduledTask::Prune => new("prune".to_owned(), Action::Prune, schedule),
        };
        task.limit = hours(table.limit_hours.unwrap_or(LIMIT_HOURS));
        task.retries = table.retries.unwrap_or(RETRIES);
        Ok(task)
    }

    fn receivers(&self) -> Vec<ReceiverTask> {
        let sources = self.file.content.sources.iter().filter(|(_, source)| source.receive_wal);
        let receiver = |(name, source): (&String, &super::file::SourceTable)| {
            let mut arguments: Vec<OsString> =
                ["wal", "receive", "--source", name].map(OsString::from).to_vec();
            if let Some(slot) = &source.slot {
                arguments.extend([OsString::from("--slot"), OsString::from(slot)]);
            }
            ReceiverTask { name: format!("receive/{name}"), source: name.clone(), arguments }
        };
        sources.map(receiver).collect()
    }

    fn rpo(&self) -> BTreeMap<String, SignedDuration> {
        let said = self
            .file
            .content
            .schedules
            .iter()
            .filter_map(|table| Some((table.source.clone()?, table.rpo_hours?)));
        said.map(|(source, hours)| {
            (source, SignedDuration::from_hours(i64::try_from(hours).unwrap_or(i64::MAX / 3600)))
        })
        .collect()
    }
}

fn backup(source: Option<String>, kind: Kind, schedule: Schedule) -> Task {
    let name = format!("backup/{}/{kind}", source.as_deref().unwrap_or("default"));
    new(name, Action::Backup { source, kind }, schedule)
}

fn by_default(name: &str, action: Action, expression: &str) -> Result<Task, Failure> {
    let expression = expression.parse().map_err(|error| Failure::because(Code::Internal, &error))?;
    let schedule = Schedule {
        cadence: Cadence::Cron(expression, TimeZone::UTC),
        jitter: SignedDuration::from_mins(i64::try_from(JITTER_MINUTES).unwrap_or(0)),
        catches_up: true,
    };
    Ok(new(name.to_owned(), action, schedule))
}

fn new(name: String, action: Action, schedule: Schedule) -> Task {
    let limit = SignedDuration::from_hours(i64::try_from(LIMIT_HOURS).unwrap_or(12));
    Task { name, action, schedule, limit, retries: RETRIES }
}
