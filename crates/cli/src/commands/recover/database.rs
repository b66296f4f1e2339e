//! `recover corruption` and `recover point-in-time` of a database.

use std::io::{BufRead, IsTerminal, Write};

use jiff::Timestamp;
use model::{RecoveryId, RecoveryStep, Scenario};
use operations::postgres::ConnectOptions;
use operations::{DatabaseRecovery, PlanRequest, RecoveryDirectory, RecoveryRecord, RecoveryState};
use repository::Repository;

use super::site::SettingsSite;
use super::{Body, answer, plan_words};
use crate::actor;
use crate::args::DatabaseRecoveryArgs;
use crate::catalogue::{self, Code};
use crate::connection;
use crate::failure::Failure;
use crate::opening;
use crate::screen::{Answer, Notice, Screen};
use crate::session::Session;
use crate::settings::Settings;
use crate::surroundings::Surroundings;

/// What somebody asked for.
pub(super) struct Asked<'a> {
    pub(super) scenario: Scenario,
    pub(super) at: Option<Timestamp>,
    pub(super) switch: bool,
    pub(super) args: &'a DatabaseRecoveryArgs,
}

pub(super) fn run(asked: &Asked<'_>, session: Session) -> Result<Answer, Failure> {
    let (screen, noted) = (session.screen, session.noted.clone());
    let settings = session.settings()?;
    let (source, database) = database(asked.args, &settings)?;
    noted.note(|facts| facts.source = Some(source.clone()));
    let recovery = settings.recovery(Some(&source))?;
    let directory = RecoveryDirectory::new(settings.recovery_directory());
    let repository = opening::repository(&settings)?;
    let mut surroundings = Surroundings::new(screen, &settings)?;
    let objectives = recovery.objectives;
    let cancel = surroundings.reporter.cancel();
    let site = SettingsSite::new(&settings, recovery, &source, asked.scenario, cancel);
    let mut request = DatabaseRecovery {
        source: source.clone(),
        database,
        at: asked.at,
        backup: asked.args.backup.clone(),
        level: asked.args.level,
        create_roles: asked.args.create_roles,
        jobs: settings.jobs(asked.args.jobs)?,
        switch: asked.switch,
        site: &site,
    };
    let earlier = asked.args.resume.as_ref().or(asked.args.rollback.as_ref());
    let record = match earlier {
        Some(wanted) => {
            let record = find(&directory, asked.scenario, &source, wanted.as_ref())?;
            request.at = record.at;
            request.switch = record.steps.iter().any(|step| step.step == RecoveryStep::Switch);
            record
        }
        None => plan(&repository, &request, asked.scenario, objectives, &directory, &surroundings)?,
    };
    if asked.args.dry_run {
        return Answer::new(plan_words(&record), &Body::new(&record, None, Vec::new()));
    }
    confirm(asked, &record, screen)?;
    surroundings.take_source(&repository, &source)?;
    let (record, result) = act(asked, &repository, &request, record, &directory, &surroundings)?;
    noted.note(|facts| {
        facts.backup.clone_from(&record.found.backup);
        (facts.tables, facts.rows) = (record.found.tables, record.found.rows);
        facts.recovery = record.facts().filter(|_| record.state != RecoveryState::RolledBack);
    });
    let failure = result.err().map(|error| stopped(surroundings.failure(error), &record));
    surroundings.reporter.finish();
    let warnings = surroundings.reporter.take_warnings();
    let notices = warnings.iter().filter(|it| catalogue::needs_person(it)).map(Notice::from).collect();
    answer(&record, directory.place(&record.id, "md"), notices, failure)
}

/// The source and the database that is to be recovered.
fn database(args: &DatabaseRecoveryArgs, settings: &Settings) -> Result<(String, ConnectOptions), Failure> {
    if let Some(to) = &args.to {
        let database = connection::parse(&settings.environment, to, "--to")?;
        let source =
            args.source.clone().or_else(|| settings.source(None).ok().and_then(|source| source.name));
        let source = source.unwrap_or_else(|| database.database().to_owned());
        return Ok((source, database));
    }
    let source = settings.source(args.source.as_deref())?;
    let database = connection::parse(&settings.environment, &source.url, &source.origin)?;
    Ok((source.name.unwrap_or_else(|| database.database().to_owned()), database))
}

fn plan(
    repository: &Repository,
    request: &DatabaseRecovery<'_>,
    scenario: Scenario,
    objectives: operations::Objectives,
    directory: &RecoveryDirectory,
    surroundings: &Surroundings,
) -> Result<RecoveryRecord, Failure> {
    let plan = PlanRequest { scenario, asked_by: actor::name(), objectives, directory };
    let planned = operations::plan_database(repository, request, &plan, &surroundings.context());
    planned.map_err(|error| surroundings.failure(error))
}

/// The recovery that somebody means, or the last one of the source.
fn find(
    directory: &RecoveryDirectory,
    scenario: Scenario,
    source: &str,
    wanted: Option<&RecoveryId>,
) -> Result<RecoveryRecord, Failure> {
    let all = directory.all().map_err(operations::Error::from)?;
    let is_meant = |record: &&RecoveryRecord| match wanted {
        Some(id) => record.id == *id,
        None => !record.rehearsal && record.source == source && record.scenario == scenario,
    };
    let found = all.iter().find(is_meant).cloned();
    let found = found.filter(|record| !record.rehearsal && record.scenario == scenario);
    found.ok_or_else(|| {
        let message =
            format!("there is no recovery `{scenario}` of {source:?} on this machine to go on with");
        Failure::new(Code::RecoverNone, message)
    })
}

/// Shows the plan, and asks where somebody is there to answer.
fn confirm(asked: &Asked<'_>, record: &RecoveryRecord, screen: Screen) -> Result<(), Failure> {
    let back = asked.args.rollback.is_some();
    let plan = plan_words(record);
    for line in plan.lines().filter(|_| !back) {
        screen.note(line);
    }
    if asked.args.yes {
        return Ok(());
    }
    let unconfirmed =
        || Failure::new(Code::RecoverUnconfirmed, "a recovery would begin, and nobody said yes");
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(unconfirmed());
    }
    let mut terminal = std::io::stderr();
    let question = if back { "Undo" } else { "Begin" };
    let _ =
        write!(terminal, "{question} the recovery of {} ({})? Answer yes: ", record.source, record.target);
    let _ = terminal.flush();
    let mut line = String::new();
    input.lock().read_line(&mut line).map_err(|error| Failure::because(Code::RecoverUnconfirmed, &error))?;
    if line.trim() == "yes" { Ok(()) } else { Err(unconfirmed()) }
}

fn act(
    asked: &Asked<'_>,
    repository: &Repository,
    request: &DatabaseRecovery<'_>,
    record: RecoveryRecord,
    directory: &RecoveryDirectory,
    surroundings: &Surroundings,
) -> Result<(RecoveryRecord, Result<(), operations::Error>), Failure> {
    let context = surroundings.context();
    let done = if asked.args.rollback.is_some() {
        operations::roll_back_database(request, record, directory, &context)
    } else if record.state == RecoveryState::RolledBack {
        let message = format!("{} was undone", record.id);
        return Err(Failure::new(Code::RecoverNone, message));
    } else {
        operations::recover_database(repository, request, record, directory, &context)
    };
    done.map_err(|error| surroundings.failure(error))
}

/// The failure of a step, with what can be done now.
fn stopped(failure: Failure, record: &RecoveryRecord) -> Failure {
    let Some(step) = record.failed() else { return failure };
    let message = format!("the recovery stopped at the step {}: {}", step.step, failure.message);
    let first = if failure.code == Code::Cancelled { "" } else { failure.hint() };
    let then = format!(
        "`chronavault recover {} --resume` goes on from there, --rollback undoes what was done.",
        record.scenario
    );
    let hint = if first.is_empty() { then } else { format!("{first} {then}") };
    failure.with_message(message).with_hint(hint)
}
