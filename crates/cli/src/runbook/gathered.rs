//! Where the facts of a runbook come from: the settings, the repository, and the records of drills.

use jiff::Timestamp;
use model::{Filters, Kind, Scenario};
use operations::postgres::ConnectOptions;
use operations::{RecoveryDirectory, RecoveryRecord, WalStatus};
use repository::{BackupSummary, Error, Listed, Repository};
use service::scheduler::{Action, Task};

use super::Runbook;
use super::source::{BackupLine, ClusterBook, SourceBook};
use crate::actor;
use crate::args::RetentionArgs;
use crate::catalogue::Code;
use crate::connection;
use crate::failure::Failure;
use crate::settings::{Settings, cadence, connection_without_password};
use crate::site;
use crate::surroundings::brief_context;

/// Backups of each kind that are named.
const BACKUPS: usize = 3;

impl Runbook {
    /// What is known of this site; of one source alone if it is named.
    pub(crate) fn gather(
        settings: &Settings,
        repository: &Repository,
        only: Option<&str>,
    ) -> Result<Self, Failure> {
        let names: Vec<_> = match only {
            Some(name) => {
                settings.source(Some(name))?;
                vec![name.to_owned()]
            }
            None => site::sources(settings),
        };
        let facts = Facts::read(settings, repository)?;
        let mut sources = Vec::new();
        for name in &names {
            sources.push(facts.source(name, settings, repository)?);
        }
        let general = facts.tasks.iter().filter(|task| source_of(task).is_none());
        let program = std::env::current_exe().map_err(|error| Failure::because(Code::Internal, &error))?;
        let environment = &settings.environment;
        Ok(Self {
            host: site::host(),
            user: actor::current().user,
            program: program.display().to_string(),
            config: settings.file.path.as_deref().map(site::absolute),
            repository: site::absolute(&settings.root),
            repository_id: repository.id().to_string(),
            journal: site::absolute(&settings.journal_directory),
            state: site::absolute(&settings.state_directory()),
            recoveries: site::absolute(&settings.recovery_directory()),
            key_file: settings.key.file().map(site::absolute),
            database_url: environment.text("DATABASE_URL")?.map(bare),
            keys: repository.keys()?,
            epoch: repository.current_epoch(),
            contacts: settings.recovery(None)?.contacts,
            schedules: general.map(scheduled).collect(),
            sources,
        })
    }
}

/// What is read once for all sources.
struct Facts {
    tasks: Vec<Task>,
    backups: Vec<BackupSummary>,
    wal: Vec<WalStatus>,
    records: Vec<RecoveryRecord>,
}

impl Facts {
    fn read(settings: &Settings, repository: &Repository) -> Result<Self, Failure> {
        let backups = repository.backups()?.into_iter().filter_map(|listed| match listed {
            Listed::Backup(summary) => Some(*summary),
            Listed::Damaged { .. } => None,
        });
        let directory = RecoveryDirectory::new(settings.recovery_directory());
        Ok(Self {
            tasks: settings.service()?.tasks,
            backups: backups.collect(),
            wal: operations::wal_status(repository, false, 1, &brief_context())?,
            records: directory.all().map_err(operations::Error::from)?,
        })
    }

    fn source(
        &self,
        name: &str,
        settings: &Settings,
        repository: &Repository,
    ) -> Result<SourceBook, Failure> {
        let setting = settings.source(Some(name))?;
        let options = connection::parse(&settings.environment, &setting.url, &setting.origin)?;
        let (own, general) = (settings.recovery(Some(name))?, settings.recovery(None)?);
        let policies = settings.retention(&RetentionArgs::default())?;
        let of_source = || self.backups.iter().filter(|backup| backup.source == name);
        let newest = |kind: Kind| of_source().filter(move |backup| backup.kind == kind).take(BACKUPS);
        let backups: Vec<_> = newest(Kind::Logical).chain(newest(Kind::Physical)).map(line).collect();
        let tasks = self.tasks.iter().filter(|task| {
            source_of(task) == Some(name) || (settings.file.content.sources.is_empty() && is_of_default(task))
        });
        Ok(SourceBook {
            name: name.to_owned(),
            url: url_of(&setting.url, &options),
            database: options.database().to_owned(),
            objectives: own.objectives,
            stop: own.stop.map(|hook| hook.command),
            start: own.start.map(|hook| hook.command),
            health: own.health.as_ref().map(|health| health.place().to_owned()),
            contacts: if own.contacts == general.contacts { Vec::new() } else { own.contacts },
            schedules: tasks.map(scheduled).collect(),
            retention: policies.of(name),
            backups,
            server: self.server(name, repository)?,
            cluster: self.cluster(name, repository)?,
            drills: self.drills(name),
        })
    }

    /// The version of the server, as the newest backup that can be read has it.
    fn server(&self, name: &str, repository: &Repository) -> Result<Option<u32>, Failure> {
        let Some(newest) = self.backups.iter().find(|backup| backup.source == name) else { return Ok(None) };
        let manifest = match repository.manifest(&newest.id) {
            Ok(manifest) => manifest,
            Err(Error::NoSuchBackup { .. } | Error::Damaged(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let logical = manifest.logical.map(|logical| logical.server_version);
        Ok(logical.or_else(|| manifest.physical.map(|physical| physical.server_version)))
    }

    /// The cluster of the newest physical backup, and the windows of that.
    fn cluster(&self, name: &str, repository: &Repository) -> Result<Option<ClusterBook>, Failure> {
        let is_physical = |backup: &&BackupSummary| backup.source == name && backup.kind == Kind::Physical;
        let Some(newest) = self.backups.iter().find(is_physical) else { return Ok(None) };
        let physical = match repository.manifest(&newest.id) {
            Ok(manifest) => manifest.physical,
            Err(Error::NoSuchBackup { .. } | Error::Damaged(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let Some(system) = physical.map(|physical| physical.system_identifier) else { return Ok(None) };
        let status = self.wal.iter().find(|status| status.system == system);
        let windows = status
            .into_iter()
            .flat_map(|status| status.windows.iter().map(|window| (window.window.from_time, window.to_time)));
        let mut windows: Vec<(Timestamp, Timestamp)> = windows.collect();
        windows.sort_unstable_by_key(|(from, to)| (*to, *from));
        Ok(Some(ClusterBook { system, windows }))
    }

    /// The last drill of each scenario.
    fn drills(&self, name: &str) -> Vec<RecoveryRecord> {
        let mut seen: Vec<Scenario> = Vec::new();
        let of_source = self.records.iter().filter(|record| record.rehearsal && record.source == name);
        let mut last = Vec::new();
        for record in of_source {
            if !seen.contains(&record.scenario) {
                seen.push(record.scenario);
                last.push(record.clone());
            }
        }
        last
    }
}

fn line(backup: &BackupSummary) -> BackupLine {
    BackupLine {
        id: backup.id.clone(),
        kind: backup.kind,
        data_at: backup.snapshot_at,
        proof: backup.proof.as_ref().map(|proof| (proof.outcome.to_string(), proof.at)),
        is_filtered: backup.filters != Filters::default(),
    }
}

fn scheduled(task: &Task) -> (String, String) {
    (task.name.clone(), cadence(&task.schedule.cadence))
}

fn source_of(task: &Task) -> Option<&str> {
    match &task.action {
        Action::Backup { source, .. } | Action::Verify { source } | Action::Drill { source, .. } => {
            source.as_deref()
        }
        Action::Prune => None,
    }
}

/// Whether it is about the source that the environment names.
fn is_of_default(task: &Task) -> bool {
    matches!(&task.action, Action::Backup { source: None, .. } | Action::Drill { source: None, .. })
}

/// A connection string for a command line: one that asks for the password elsewhere.
fn url_of(url: &str, options: &ConnectOptions) -> String {
    if url.is_empty() { options.describe() } else { bare(url) }
}

/// A connection string in which nothing stands for its password, which has to come from elsewhere.
fn bare(url: &str) -> String {
    let shown = connection_without_password(url).replace(":…@", "@");
    if !shown.contains('…') {
        return shown;
    }
    match shown.split_once('?') {
        Some((place, query)) if shown.contains("://") => {
            let kept: Vec<_> = query.split('&').filter(|parameter| !parameter.ends_with('…')).collect();
            if kept.is_empty() { place.to_owned() } else { format!("{place}?{}", kept.join("&")) }
        }
        _ => shown.split(' ').filter(|word| !word.ends_with("=…")).collect::<Vec<_>>().join(" "),
    }
}
