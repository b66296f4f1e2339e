//! `recover lost-host`: everything again on an empty machine, from the repository and the key.
//!
//! Invariant: the same command again goes on where it ended: what is recovered is not recovered twice, and no file that is there is
//! replaced.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Kind, RecoveryStep, Scenario};
use operations::postgres::ConnectOptions;
use operations::{
    BareSite, ClusterRecovery, DatabaseChecks, DatabaseRecovery, PlanRequest, RecoveryDirectory,
    RecoveryRecord, RecoveryState, Site,
};
use repository::{BackupSummary, Listed, Repository, SiteDocument, SiteDocumentKind};
use serde::Serialize;

use super::asking::{confirm_plans, stopped};
use super::body::Recovered;
use super::plan_words;
use super::procedure::Recovery;
use super::site::SettingsSite;
use crate::actor;
use crate::args::{GlobalArgs, LostHostArgs};
use crate::catalogue::Code;
use crate::commands::restore_cluster::file_url;
use crate::connection;
use crate::failure::Failure;
use crate::opening;
use crate::recording;
use crate::screen::{Answer, Notice};
use crate::session::Session;
use crate::settings::Settings;
use crate::site;
use crate::surroundings::Surroundings;
use crate::wording;

/// Where the settings go when it is not known where they were.
const SETTINGS_FILE: &str = "chronavault.toml";

#[derive(Serialize)]
struct Body<'a> {
    /// The settings that were recovered; nothing when the repository has none.
    configuration: Option<ConfigurationBody>,
    recoveries: Vec<Recovered<'a>>,
    warnings: Vec<Notice>,
}

/// The settings of the lost host.
#[derive(Debug, Clone, Serialize)]
struct ConfigurationBody {
    /// The host on which they were.
    host: String,
    /// When the repository got them.
    written_at: String,
    /// Where they are now.
    path: PathBuf,
    /// Whether they were written there; where a file was there already, that counts.
    written: bool,
}

pub(super) fn run(args: &LostHostArgs, session: Session) -> Result<Answer, Failure> {
    let (screen, noted, flags) = (session.screen, session.noted.clone(), session.flags.clone());
    let settings = session.settings()?;
    let repository = opening::repository(&settings)?;
    let mut surroundings = Surroundings::new(screen, &settings)?;
    let (configuration, settings) = configuration(args, &flags, settings, &repository)?;
    let directory = RecoveryDirectory::new(settings.recovery_directory());
    let mut plans = Vec::new();
    for source in sources(args, &repository)? {
        plans.push(Planned::new(source, args, &settings, &repository, &directory, &surroundings)?);
    }
    if plans.is_empty() {
        return Err(Failure::new(
            Code::BackupNone,
            "the repository has no backup of the sources that are asked for",
        ));
    }
    if args.dry_run {
        let text = plans.iter().map(|planned| plan_words(&planned.record)).collect::<Vec<_>>().join("\n");
        return Answer::new(text, &Body::of(configuration, &plans, &directory));
    }
    confirm_plans(args.yes, plans.iter().map(|planned| &planned.record), screen)?;
    let mut failure = None;
    for planned in &mut plans {
        failure = planned.run(&repository, &directory, &mut surroundings)?;
        if failure.is_some() {
            break;
        }
    }
    if failure.is_none() {
        let cancel = surroundings.reporter.cancel();
        let recovery = settings.recovery(None)?;
        let site = SettingsSite::new(&settings, recovery, "", Scenario::LostHost, cancel);
        failure = start(&site).err();
    }
    surroundings.reporter.finish();
    let longest = plans.iter().filter_map(|planned| planned.record.facts()).max_by_key(|facts| facts.rto_ms);
    noted.note(|facts| facts.recovery = longest);
    let text = words(configuration.as_ref(), &plans, &directory);
    Ok(Answer::new(text, &Body::of(configuration, &plans, &directory))?.failing(failure))
}

impl<'a> Body<'a> {
    fn of(
        configuration: Option<ConfigurationBody>,
        plans: &'a [Planned],
        directory: &RecoveryDirectory,
    ) -> Self {
        let recovered = |planned: &'a Planned| {
            let report =
                (planned.record.ended_at.is_some()).then(|| directory.place(&planned.record.id, "md"));
            Recovered::new(&planned.record, report)
        };
        Self { configuration, recoveries: plans.iter().map(recovered).collect(), warnings: Vec::new() }
    }
}

/// Brings the settings back, and reads them.
fn configuration(
    args: &LostHostArgs,
    flags: &GlobalArgs,
    settings: Arc<Settings>,
    repository: &Repository,
) -> Result<(Option<ConfigurationBody>, Arc<Settings>), Failure> {
    let newest = repository.newest_site_document(SiteDocumentKind::Configuration, None)?;
    let Some((_, document)) = newest.found else { return Ok((None, settings)) };
    let path = place(args, flags, &document);
    let mut body = ConfigurationBody {
        host: document.host.clone(),
        written_at: wording::time(document.written_at),
        written: false,
        path: path.clone(),
    };
    if document.text.is_empty() {
        return Ok((None, settings));
    }
    if !args.dry_run && !path.exists() {
        write(&path, &document.text)?;
        body.written = true;
    }
    if !path.exists() {
        return Ok((Some(body), settings));
    }
    let environment = settings.environment.clone();
    // Where the repository and the key are on this machine is known from this command line alone.
    let here = GlobalArgs {
        config: Some(path),
        directory: None,
        repository: Some(file_url(Path::new(&site::absolute(&settings.root)))),
        key_file: settings.key.file().map(Path::to_owned).or_else(|| flags.key_file.clone()),
        ..flags.clone()
    };
    Ok((Some(body), Arc::new(Settings::load(&here, environment)?)))
}

/// Where the settings go: where somebody says, else where they were if that is possible, else here.
fn place(args: &LostHostArgs, flags: &GlobalArgs, document: &SiteDocument) -> PathBuf {
    let asked = args.configuration.clone().or_else(|| flags.config.clone());
    let was =
        || document.path.as_ref().map(PathBuf::from).filter(|path| path.parent().is_some_and(Path::is_dir));
    asked.or_else(was).unwrap_or_else(|| PathBuf::from(SETTINGS_FILE))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        let message = format!("the settings cannot be written to {}: {error}", path.display());
        Failure::new(Code::OutputFailed, message)
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

/// The newest backup of each source that is asked for, of the kind that can be recovered to what is named.
fn sources(args: &LostHostArgs, repository: &Repository) -> Result<Vec<BackupSummary>, Failure> {
    let mut found: Vec<BackupSummary> = Vec::new();
    for listed in repository.backups()? {
        let Listed::Backup(summary) = listed else { continue };
        let is_asked = args.sources.is_empty() || args.sources.contains(&summary.source);
        let is_possible = match summary.kind {
            Kind::Physical => args.data_dir.is_some(),
            Kind::Logical => args.data_dir.is_none(),
        };
        if is_asked && is_possible && found.iter().all(|known| known.source != summary.source) {
            found.push(*summary);
        }
    }
    found.sort_by(|a, b| a.source.cmp(&b.source));
    if let (Some(_), [_, second, ..]) = (&args.data_dir, found.as_slice()) {
        let message =
            format!("one data directory is for one source; name it, for example --source {}", second.source);
        return Err(Failure::new(Code::SettingsSource, message));
    }
    Ok(found)
}

/// A source that is to be recovered.
struct Planned {
    request: Recovery<'static>,
    record: RecoveryRecord,
    /// It was recovered before.
    is_done: bool,
}

impl Planned {
    fn new(
        newest: BackupSummary,
        args: &LostHostArgs,
        settings: &Settings,
        repository: &Repository,
        directory: &RecoveryDirectory,
        surroundings: &Surroundings,
    ) -> Result<Self, Failure> {
        let source = newest.source.clone();
        let request = request(newest, args, settings, repository)?;
        let plan = PlanRequest {
            scenario: Scenario::LostHost,
            asked_by: actor::name(),
            journal_head: recording::head(settings, repository),
            objectives: settings.recovery(Some(&source))?.objectives,
            directory,
        };
        let planned = request.plan(repository, &plan, &surroundings.context());
        let planned = planned.map_err(|error| surroundings.failure(error))?;
        let earlier = directory.all().map_err(operations::Error::from)?.into_iter().find(|record| {
            record.scenario == Scenario::LostHost
                && record.source == source
                && record.target == planned.target
        });
        let record = earlier.filter(|record| record.state != RecoveryState::RolledBack).unwrap_or(planned);
        let is_done = record.state == RecoveryState::Done;
        Ok(Self { request, record, is_done })
    }

    fn run(
        &mut self,
        repository: &Repository,
        directory: &RecoveryDirectory,
        surroundings: &mut Surroundings,
    ) -> Result<Option<Failure>, Failure> {
        if self.is_done {
            return Ok(None);
        }
        surroundings.take_source(repository, &self.record.source)?;
        let record = self.record.clone();
        let done = self.request.act(false, repository, record, directory, &surroundings.context());
        let (record, result) = done.map_err(|error| surroundings.failure(error))?;
        self.record = record;
        Ok(result.err().map(|error| {
            let failure = stopped(surroundings.failure(error), &self.record);
            failure.with_hint("Correct it and run the same command again: it goes on where it stopped.")
        }))
    }
}

fn request(
    newest: BackupSummary,
    args: &LostHostArgs,
    settings: &Settings,
    repository: &Repository,
) -> Result<Recovery<'static>, Failure> {
    let checks = DatabaseChecks { checks: settings.checks_of(&newest.source)?, despite: args.despite_checks };
    let jobs = settings.jobs(args.jobs)?;
    if let Some(data_dir) = args.data_dir.clone() {
        let database = settings.source(Some(&newest.source)).ok().and_then(|source| {
            let parsed = connection::parse(&settings.environment, &source.url, &source.origin);
            parsed.ok().map(|database| database.database().to_owned())
        });
        return Ok(Recovery::Cluster(ClusterRecovery {
            source: newest.source,
            data_dir,
            at: None,
            backup: None,
            jobs,
            switch: true,
            database,
            checks,
            site: &BareSite,
        }));
    }
    Ok(Recovery::Database(DatabaseRecovery {
        database: target(&newest, args, settings, repository)?,
        source: newest.source,
        at: None,
        backup: None,
        level: args.level,
        create_roles: true,
        jobs,
        switch: true,
        checks,
        site: &BareSite,
    }))
}

/// The database that is made: of the name that it had, on the server that is named, else on that of the recovered settings.
fn target(
    newest: &BackupSummary,
    args: &LostHostArgs,
    settings: &Settings,
    repository: &Repository,
) -> Result<ConnectOptions, Failure> {
    let manifest = repository.manifest(&newest.id)?;
    let name = manifest.logical.and_then(|logical| logical.properties["name"].as_str().map(str::to_owned));
    let server = if let Some(to) = &args.to {
        connection::parse(&settings.environment, to, "--to")?
    } else {
        let source = settings.source(Some(&newest.source))?;
        connection::parse(&settings.environment, &source.url, &source.origin)?
    };
    Ok(match name {
        Some(name) => server.with_database(&name),
        None => server,
    })
}

/// Starts what uses the databases, and asks whether it is well.
fn start(site: &SettingsSite) -> Result<(), Failure> {
    for step in [RecoveryStep::StartServices, RecoveryStep::Health] {
        if site.has(step) {
            let failed = |message| {
                let error = operations::Error::from(operations::RecoverError::Site { step, message });
                Failure::from(error)
            };
            site.act(step).map_err(failed)?;
        }
    }
    Ok(())
}

fn words(
    configuration: Option<&ConfigurationBody>,
    plans: &[Planned],
    directory: &RecoveryDirectory,
) -> String {
    let mut text = match configuration {
        None => "The repository has no settings of the lost host.\n".to_owned(),
        Some(ConfigurationBody { host, written_at, path, written }) => {
            let path = path.display();
            let what = if *written { "are now in" } else { "were not written, for there is" };
            format!(
                "The settings of {host} ({written_at}) {what} {path}. They hold no passwords, and may name paths that this machine does not have.\n"
            )
        }
    };
    for planned in plans {
        text.push('\n');
        if planned.is_done {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:?} was recovered before.", planned.record.source);
        } else {
            text.push_str(&super::body::words(&planned.record, &directory.place(&planned.record.id, "md")));
        }
    }
    text.push_str("\nNext: `chronavault config check`, `chronavault doctor`, then start the service again (`systemctl enable --now chronavault`).\n");
    text
}
