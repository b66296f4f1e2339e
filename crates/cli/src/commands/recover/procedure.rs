//! `recover corruption` and `recover point-in-time`, of a database or a cluster.

use model::RecoveryStep;
use operations::postgres::ConnectOptions;
use operations::{
    ClusterRecovery, Context, DatabaseChecks, DatabaseRecovery, Error, PlanRequest, RecoveryDirectory,
    RecoveryRecord,
};
use repository::Repository;

use super::asking::{Asked, confirm, stopped};
use super::site::SettingsSite;
use super::{Body, answer, plan_words};
use crate::actor;
use crate::args::RecoveryArgs;
use crate::catalogue;
use crate::commands::backup_cluster::DEFAULT_SOURCE;
use crate::connection;
use crate::failure::Failure;
use crate::opening;
use crate::recording;
use crate::screen::Answer;
use crate::session::Session;
use crate::settings::Settings;
use crate::surroundings::Surroundings;

pub(super) fn run(asked: &Asked<'_>, session: Session) -> Result<Answer, Failure> {
    let (screen, noted) = (session.screen, session.noted.clone());
    let settings = session.settings()?;
    let (source, database) = source(asked.args, &settings)?;
    noted.note(|facts| facts.source = Some(source.clone()));
    let recovery = settings.recovery(Some(&source))?;
    let objectives = recovery.objectives;
    let directory = RecoveryDirectory::new(settings.recovery_directory());
    let repository = opening::repository(&settings)?;
    let mut surroundings = Surroundings::new(screen, &settings)?;
    let cancel = surroundings.reporter.cancel();
    let site = SettingsSite::new(&settings, recovery, &source, asked.scenario, cancel);
    let mut request = Recovery::new(asked, &settings, &source, database, &site)?;
    let record = if let Some(record) = asked.earlier(&directory, &source)? {
        request.take_up(&record);
        record
    } else {
        let (scenario, asked_by) = (asked.scenario, actor::name());
        let journal_head = recording::head(&settings, &repository);
        let plan = PlanRequest { scenario, asked_by, journal_head, objectives, directory: &directory };
        let planned = request.plan(&repository, &plan, &surroundings.context());
        planned.map_err(|error| surroundings.failure(error))?
    };
    if asked.args.dry_run {
        return Answer::new(plan_words(&record), &Body::new(&record, None, Vec::new()));
    }
    confirm(asked, &record, screen)?;
    surroundings.take_source(&repository, &source)?;
    let undoes = asked.args.rollback.is_some();
    let done = request.act(undoes, &repository, record, &directory, &surroundings.context());
    let (record, result) = done.map_err(|error| surroundings.failure(error))?;
    let failure = result.err().map(|error| stopped(surroundings.failure(error), &record));
    answer(&record, &directory, Vec::new(), failure, &surroundings, &noted)
}

/// What is recovered.
pub(super) enum Recovery<'a> {
    Database(DatabaseRecovery<'a>),
    Cluster(ClusterRecovery<'a>),
}

impl<'a> Recovery<'a> {
    fn new(
        asked: &Asked<'_>,
        settings: &Settings,
        source: &str,
        database: Option<ConnectOptions>,
        site: &'a SettingsSite,
    ) -> Result<Self, Failure> {
        let args = asked.args;
        let jobs = settings.jobs(args.jobs)?;
        let checks = DatabaseChecks { checks: settings.checks_of(source)?, despite: args.despite_checks };
        let (source, backup) = (source.to_owned(), args.backup.clone());
        if let Some(data_dir) = args.data_dir.clone() {
            return Ok(Self::Cluster(ClusterRecovery {
                source,
                data_dir,
                at: asked.at,
                backup,
                jobs,
                switch: asked.switch,
                database: database.map(|database| database.database().to_owned()),
                checks,
                site,
            }));
        }
        let Some(database) = database else { return Err(no_database()) };
        Ok(Self::Database(DatabaseRecovery {
            source,
            database,
            at: asked.at,
            backup,
            level: args.level,
            create_roles: args.create_roles,
            jobs,
            switch: asked.switch,
            checks,
            site,
        }))
    }

    /// Takes up what an earlier recovery was to do.
    fn take_up(&mut self, record: &RecoveryRecord) {
        let switches = record.steps.iter().any(|step| step.step == RecoveryStep::Switch);
        match self {
            Self::Database(request) => (request.at, request.switch) = (record.at, switches),
            Self::Cluster(request) => (request.at, request.switch) = (record.at, switches),
        }
    }

    pub(super) fn plan(
        &self,
        repository: &Repository,
        plan: &PlanRequest<'_>,
        context: &Context<'_>,
    ) -> Result<RecoveryRecord, Error> {
        match self {
            Self::Database(request) => operations::plan_database(repository, request, plan, context),
            Self::Cluster(request) => operations::plan_cluster(repository, request, plan, context),
        }
    }

    pub(super) fn act(
        &self,
        undoes: bool,
        repository: &Repository,
        record: RecoveryRecord,
        directory: &RecoveryDirectory,
        context: &Context<'_>,
    ) -> Result<(RecoveryRecord, Result<(), Error>), Error> {
        match self {
            Self::Database(request) if undoes => {
                operations::roll_back_database(request, record, directory, context)
            }
            Self::Database(request) => {
                operations::recover_database(repository, request, record, directory, context)
            }
            Self::Cluster(request) if undoes => {
                operations::roll_back_cluster(request, record, directory, context)
            }
            Self::Cluster(request) => {
                operations::recover_cluster(repository, request, record, directory, context)
            }
        }
    }
}

fn no_database() -> Failure {
    Failure::new(catalogue::Code::SettingsNoSource, "no database is named")
}

/// The name of the source, and its database. That of a cluster need not be known.
fn source(args: &RecoveryArgs, settings: &Settings) -> Result<(String, Option<ConnectOptions>), Failure> {
    if let Some(to) = &args.to {
        let database = connection::parse(&settings.environment, to, "--to")?;
        let source =
            args.source.clone().or_else(|| settings.source(None).ok().and_then(|source| source.name));
        return Ok((source.unwrap_or_else(|| database.database().to_owned()), Some(database)));
    }
    let source = match (settings.source(args.source.as_deref()), &args.source) {
        (Ok(source), _) => source,
        (Err(_), Some(name)) if args.data_dir.is_some() => return Ok((name.clone(), None)),
        (Err(failure), _) => return Err(failure),
    };
    let database = connection::parse(&settings.environment, &source.url, &source.origin)?;
    let name = source.name.unwrap_or_else(|| match args.data_dir {
        Some(_) => DEFAULT_SOURCE.to_owned(),
        None => database.database().to_owned(),
    });
    Ok((name, Some(database)))
}
