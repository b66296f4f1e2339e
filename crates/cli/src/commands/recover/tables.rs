//! `recover tables`: chosen tables compared with what they were, and brought back.

mod shown;

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use model::{Kind, RecoveryTarget, Scenario, TargetTimeline};
use operations::postgres::ConnectOptions;
use operations::{
    ApplyMode, PlanRequest, RecoveryDirectory, RecoveryRecord, StartFrom, TableOrigin, TableRecoveryReport,
    TableRecoveryRequest,
};
use repository::{BackupSummary, Listed, Repository};

use crate::actor;
use crate::args::{BackupArg, RecoverTablesArgs, TablesModeArg};
use crate::catalogue::{self, Code};
use crate::connection;
use crate::failure::{Failure, one_line};
use crate::opening;
use crate::recording;
use crate::screen::{Answer, Notice};
use crate::session::Session;
use crate::settings::Settings;
use crate::surroundings::Surroundings;
use crate::wording;
use shown::{body, words};

pub(super) fn run(args: &RecoverTablesArgs, session: Session) -> Result<Answer, Failure> {
    let (screen, noted) = (session.screen, session.noted.clone());
    let settings = session.settings()?;
    let (source, live) = live(args, &settings)?;
    let mut notices = Vec::new();
    if args.to.as_deref().is_some_and(connection::has_password) {
        let notice = catalogue::password_on_command_line("--to");
        screen.warning(&notice);
        notices.push(notice);
    }
    let repository = opening::repository(&settings)?;
    let origin = origin(args, &source, &live, &repository)?;
    let request = TableRecoveryRequest {
        live,
        tables: args.tables.clone(),
        origin,
        mode: args.mode.filter(|_| !args.dry_run).map(|mode| apply_mode(mode, args)),
        samples: args.sample,
        jobs: settings.jobs(args.jobs)?,
        lock_timeout: Duration::from_secs(args.lock_timeout),
    };
    let mut surroundings = Surroundings::new(screen, &settings)?;
    if request.mode.is_some() {
        surroundings.take_source(&repository, &source)?;
    }
    let report = operations::recover_tables(&repository, &request, &surroundings.context())
        .map_err(|error| surroundings.failure(error))?;
    surroundings.reporter.finish();
    noted.note(|facts| {
        facts.backup = Some(report.backup.clone());
        facts.tables = Some(report.tables.len() as u64);
        let rows = report.tables.iter().filter_map(|table| table.written.as_ref());
        facts.rows = Some(rows.map(|written| written.inserted + written.updated + written.deleted).sum());
    });
    let record = match request.mode {
        None => None,
        Some(_) => Some(keep(args, &source, &report, &settings, &repository, &surroundings)?),
    };
    noted.note(|facts| facts.recovery = record.as_ref().and_then(|(record, _)| record.facts()));
    let warned = surroundings.reporter.take_warnings();
    let noticed = warned.iter().filter(|warning| catalogue::needs_person(warning)).map(Notice::from);
    let found: Vec<Notice> = noticed.chain(findings(&report)).collect();
    for notice in &found {
        screen.warning(notice);
    }
    let needs_person = !found.is_empty();
    notices.extend(found);
    let place = record.map(|(_, place)| place);
    let mut text = words(&report, args.mode);
    if let Some(place) = &place {
        text.extend(["Report: ", &place.display().to_string(), "\n"]);
    }
    Ok(Answer::new(text, &body(&report, notices, place))?.needing_person(needs_person))
}

/// Keeps the record and the report of what was done.
fn keep(
    args: &RecoverTablesArgs,
    source: &str,
    report: &TableRecoveryReport,
    settings: &Settings,
    repository: &Repository,
    surroundings: &Surroundings,
) -> Result<(RecoveryRecord, PathBuf), Failure> {
    let directory = RecoveryDirectory::new(settings.recovery_directory());
    let plan = PlanRequest {
        scenario: Scenario::Tables,
        asked_by: actor::name(),
        journal_head: recording::head(settings, repository),
        objectives: settings.recovery(Some(source))?.objectives,
        directory: &directory,
    };
    let context = surroundings.context();
    let kept = operations::record_tables(repository, source, args.at, report, &plan, &context);
    let record = kept.map_err(|error| surroundings.failure(error))?;
    let place = directory.place(&record.id, "md");
    Ok((record, place))
}

/// The source and the live database.
fn live(args: &RecoverTablesArgs, settings: &Settings) -> Result<(String, ConnectOptions), Failure> {
    let (name, live) = if let Some(to) = &args.to {
        (None, connection::parse(&settings.environment, to, "--to")?)
    } else {
        let source = settings.source(args.source.as_deref())?;
        (source.name, connection::parse(&settings.environment, &source.url, &source.origin)?)
    };
    // As backups are called where nobody gave them a name.
    let name = args.source.clone().or(name).unwrap_or_else(|| live.database().to_owned());
    Ok((name, live))
}

/// Where the rows come from: the kind of the backup decides, and with a moment it must be a physical one. Of the source, where it has
/// backups; a cluster may be backed up under a name of its own.
fn origin(
    args: &RecoverTablesArgs,
    source: &str,
    live: &ConnectOptions,
    repository: &Repository,
) -> Result<TableOrigin, Failure> {
    let physical = |from, target| TableOrigin::Physical {
        from,
        target,
        timeline: TargetTimeline::Latest,
        database: args.database.clone().unwrap_or_else(|| live.database().to_owned()),
    };
    let has_backup = |is_wanted: &dyn Fn(&BackupSummary) -> bool| -> Result<bool, Failure> {
        let listed = repository.backups()?;
        Ok(listed.iter().any(|listed| {
            matches!(listed, Listed::Backup(summary) if summary.source == source && is_wanted(summary))
        }))
    };
    if let (BackupArg::Latest, Some(at)) = (&args.from, args.at) {
        let is_named = args.source.is_some() || has_backup(&|summary| summary.kind == Kind::Physical)?;
        let from = StartFrom::Newest { source: is_named.then(|| source.to_owned()) };
        return Ok(physical(from, RecoveryTarget::Time(at)));
    }
    let is_named = args.source.is_some() || has_backup(&|_| true)?;
    let id = opening::backup(repository, &args.from, is_named.then_some(source))?;
    let kind = repository.manifest(&id)?.kind;
    match (kind, args.at) {
        (Kind::Logical, None) => Ok(TableOrigin::Logical(id)),
        (Kind::Logical, Some(_)) => Err(Failure::new(
            Code::BackupNotPhysical,
            format!("{id} is logical, and shows the moment of its snapshot only"),
        )
        .with_hint("Leave out --at, or name a physical backup with --from; `latest` takes one.")),
        (Kind::Physical, at) => {
            let target = at.map_or(RecoveryTarget::Immediate, RecoveryTarget::Time);
            Ok(physical(StartFrom::Backup(id), target))
        }
    }
}

fn apply_mode(mode: TablesModeArg, args: &RecoverTablesArgs) -> ApplyMode {
    match mode {
        TablesModeArg::InsertMissing => ApplyMode::InsertMissing,
        TablesModeArg::Replace => ApplyMode::Replace,
        TablesModeArg::SideSchema => {
            let now = Timestamp::now().strftime("recovered_%Y%m%d_%H%M%S").to_string();
            ApplyMode::SideSchema(args.schema.clone().unwrap_or(now))
        }
    }
}

/// What needs a person although everything was done.
fn findings(report: &TableRecoveryReport) -> Vec<Notice> {
    let notice = |code: &str, message: String, hint: &str| Notice {
        code: code.to_owned(),
        message: one_line(&message),
        hint: hint.to_owned(),
    };
    let mut found = Vec::new();
    for table in &report.tables {
        let conflicts = table.written.as_ref().map_or(0, |written| written.conflicts);
        if conflicts > 0 {
            let rows = wording::count(conflicts, "row");
            let message = format!(
                "{rows} of {} were not inserted: the live table has other rows with values that are unique",
                table.before.table
            );
            let hint = "Look at them with --mode side-schema, and decide which of the two is right.";
            found.push(notice("recover.conflicts", message, hint));
        }
    }
    for left_out in &report.left_out {
        let message = format!("{} was not made: {}", left_out.object, left_out.reason);
        found.push(notice("recover.left_out", message, "Make it by hand when what it needs is there."));
    }
    for problem in &report.problems {
        let hint = "Find out which of the tables has changed since, and recover that one, too.";
        found.push(notice(problem.code, problem.message.clone(), hint));
    }
    found
}
