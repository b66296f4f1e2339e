//! `drill`: a recovery rehearsed in a sandbox, timed against RTO and RPO.

use model::Scenario;
use operations::{DatabaseDrill, PlanRequest, RecoveryDirectory};

use super::recover::site::SettingsSite;
use super::recover::{Body, answer, plan_words};
use crate::actor;
use crate::args::DrillArgs;
use crate::catalogue::{self, Code};
use crate::connection;
use crate::failure::Failure;
use crate::opening;
use crate::screen::{Answer, Notice};
use crate::session::Session;
use crate::settings::Settings;
use crate::surroundings::Surroundings;

pub(super) fn run(args: &DrillArgs, session: Session) -> Result<Answer, Failure> {
    let (screen, noted) = (session.screen, session.noted.clone());
    let settings = session.settings()?;
    let source = source(args, &settings)?;
    noted.note(|facts| facts.source = Some(source.clone()));
    let recovery = settings.recovery(Some(&source))?;
    let directory = RecoveryDirectory::new(settings.recovery_directory());
    let repository = opening::repository(&settings)?;
    let surroundings = Surroundings::new(screen, &settings)?;
    let objectives = recovery.objectives;
    let cancel = surroundings.reporter.cancel();
    let site = SettingsSite::new(&settings, recovery, &source, args.scenario, cancel);
    if args.scenario != Scenario::Corruption {
        let message = format!("the scenario {} cannot be rehearsed yet", args.scenario);
        return Err(Failure::new(Code::Usage, message));
    }
    let drill =
        DatabaseDrill { source, at: None, level: args.level, jobs: settings.jobs(args.jobs)?, site: &site };
    let plan =
        PlanRequest { scenario: args.scenario, asked_by: actor::name(), objectives, directory: &directory };
    let context = surroundings.context();
    let record = operations::plan_database_drill(&repository, &drill, &plan, &context)
        .map_err(|error| surroundings.failure(error))?;
    if args.dry_run {
        return Answer::new(plan_words(&record), &Body::new(&record, None, Vec::new()));
    }
    let (record, result) = operations::drill_database(&repository, &drill, record, &directory, &context)
        .map_err(|error| surroundings.failure(error))?;
    noted.note(|facts| {
        facts.backup.clone_from(&record.found.backup);
        (facts.tables, facts.rows) = (record.found.tables, record.found.rows);
        facts.recovery = record.facts();
    });
    let failure = result.err().map(|error| surroundings.failure(error));
    surroundings.reporter.finish();
    let warnings = surroundings.reporter.take_warnings();
    let notices = warnings.iter().filter(|it| catalogue::needs_person(it)).map(Notice::from).collect();
    answer(&record, directory.place(&record.id, "md"), notices, failure)
}

/// The name of the source; its database need not be there.
fn source(args: &DrillArgs, settings: &Settings) -> Result<String, Failure> {
    if let Some(source) = &args.source {
        return Ok(source.clone());
    }
    let source = settings.source(None)?;
    let database = connection::parse(&settings.environment, &source.url, &source.origin)?;
    Ok(source.name.unwrap_or_else(|| database.database().to_owned()))
}
