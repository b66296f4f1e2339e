//! `drill`: a recovery rehearsed in a sandbox, timed against RTO and RPO.

use jiff::{SignedDuration, Timestamp};
use model::{Kind, Scenario};
use operations::{
    ClusterDrill, Context, DatabaseChecks, DatabaseDrill, Error, PlanRequest, RecoveryDirectory,
    RecoveryRecord,
};
use repository::{Listed, Repository, SiteDocumentKind};

use super::backup_cluster::DEFAULT_SOURCE;
use super::recover::{Body, answer, plan_words};
use crate::actor;
use crate::args::DrillArgs;
use crate::catalogue::{self, Code};
use crate::connection;
use crate::failure::Failure;
use crate::opening;
use crate::recording;
use crate::screen::Answer;
use crate::session::Session;
use crate::settings::Settings;
use crate::surroundings::{Surroundings, random};

pub(super) fn run(args: &DrillArgs, session: Session) -> Result<Answer, Failure> {
    let (screen, noted) = (session.screen, session.noted.clone());
    let settings = session.settings()?;
    let repository = opening::repository(&settings)?;
    let (source, database) = source(args, &settings, &repository)?;
    noted.note(|facts| facts.source = Some(source.clone()));
    let objectives = settings.recovery(Some(&source))?.objectives;
    let directory = RecoveryDirectory::new(settings.recovery_directory());
    let surroundings = Surroundings::new(screen, &settings)?;
    let drill = Drill::new(args, &settings, &repository, &source, database)?;
    let mut notices = Vec::new();
    if args.scenario == Scenario::LostHost {
        let newest = repository.newest_site_document(SiteDocumentKind::Configuration, None)?;
        notices.extend(newest.found.is_none().then(catalogue::no_configuration));
    }
    let plan = PlanRequest {
        scenario: args.scenario,
        asked_by: actor::name(),
        journal_head: recording::head(&settings, &repository),
        objectives,
        directory: &directory,
    };
    let context = surroundings.context();
    let failed = |error| surroundings.failure(error);
    let record = drill.plan(&repository, &plan, &context).map_err(failed)?;
    if args.dry_run {
        return Answer::new(plan_words(&record), &Body::new(&record, None, Vec::new()));
    }
    let (record, result) = drill.rehearse(&repository, record, &directory, &context).map_err(failed)?;
    let failure = result.err().map(failed);
    answer(&record, &directory, notices, failure, &surroundings, &noted)
}

/// What is rehearsed.
enum Drill {
    Database(DatabaseDrill),
    Cluster(ClusterDrill),
}

impl Drill {
    fn new(
        args: &DrillArgs,
        settings: &Settings,
        repository: &Repository,
        source: &str,
        database: Option<String>,
    ) -> Result<Self, Failure> {
        let listed = repository.backups()?;
        let of_source = listed.iter().filter_map(|listed| match listed {
            Listed::Backup(summary) if summary.source == source => Some(summary),
            _ => None,
        });
        let newest = of_source.clone().map(|summary| summary.kind).next();
        let checks = DatabaseChecks { checks: settings.checks_of(source)?, despite: false };
        let (source, jobs) = (source.to_owned(), settings.jobs(args.jobs)?);
        // Tables are rehearsed from logical backups, where there are any.
        let has_logical = of_source.clone().any(|summary| summary.kind == Kind::Logical);
        let by_default =
            if args.scenario == Scenario::Tables && has_logical { Some(Kind::Logical) } else { newest };
        if args.kind.or(by_default) == Some(Kind::Physical) {
            if args.scenario == Scenario::Tables {
                let message =
                    "the recovery of tables is rehearsed from logical backups, and the source has none";
                return Err(Failure::new(Code::Usage, message));
            }
            return Ok(Self::Cluster(ClusterDrill { source, jobs, database, checks }));
        }
        let at = match args.scenario {
            Scenario::PointInTime => {
                let logical = of_source.filter(|summary| summary.kind == Kind::Logical);
                random_moment(logical.map(|summary| summary.snapshot_at).min())
            }
            _ => None,
        };
        Ok(Self::Database(DatabaseDrill { source, at, level: args.level, jobs, checks }))
    }

    fn plan(
        &self,
        repository: &Repository,
        plan: &PlanRequest<'_>,
        context: &Context<'_>,
    ) -> Result<RecoveryRecord, Error> {
        match self {
            Self::Database(drill) => operations::plan_database_drill(repository, drill, plan, context),
            Self::Cluster(drill) => operations::plan_cluster_drill(repository, drill, plan, context),
        }
    }

    fn rehearse(
        &self,
        repository: &Repository,
        record: RecoveryRecord,
        directory: &RecoveryDirectory,
        context: &Context<'_>,
    ) -> Result<(RecoveryRecord, Result<(), Error>), Error> {
        match self {
            Self::Database(drill) => {
                operations::drill_database(repository, drill, record, directory, context)
            }
            Self::Cluster(drill) => operations::drill_cluster(repository, drill, record, directory, context),
        }
    }
}

/// A random moment from the snapshot of the oldest backup up to now.
fn random_moment(oldest: Option<Timestamp>) -> Option<Timestamp> {
    let oldest = oldest?;
    let mut bits = [0; 8];
    random(&mut bits);
    let span =
        u64::try_from(Timestamp::now().duration_since(oldest).as_millis()).ok().filter(|ms| *ms > 0)?;
    let ms = i64::try_from(u64::from_le_bytes(bits) % span).ok()?;
    oldest.checked_add(SignedDuration::from_millis(ms)).ok()
}

/// The name of the source, and its database where the settings name it; neither need be there.
fn source(
    args: &DrillArgs,
    settings: &Settings,
    repository: &Repository,
) -> Result<(String, Option<String>), Failure> {
    let known = match (settings.source(args.source.as_deref()), &args.source) {
        (Ok(known), _) => known,
        (Err(failure), Some(name)) if failure.code == Code::SettingsNoSource => {
            return Ok((name.clone(), None));
        }
        (Err(failure), _) => return Err(failure),
    };
    let database = connection::parse(&settings.environment, &known.url, &known.origin)?.database().to_owned();
    let name = match known.name.or_else(|| args.source.clone()) {
        Some(name) => name,
        // Without a name, backups are called like the database, or those of its cluster by a name of their own.
        None if opening::backups(repository, Some(&database))?.is_empty() => DEFAULT_SOURCE.to_owned(),
        None => database.clone(),
    };
    Ok((name, Some(database)))
}
