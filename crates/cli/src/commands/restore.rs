//! `restore`: a backup into a database.

use std::fmt::Write;

use model::BackupId;
use operations::postgres::load::LeftOut;
use operations::{RestoreReport, RestoreRequest};
use serde::Serialize;

use super::check::{self, CheckBody};
use super::describe::Totals;
use super::preflight::Planned;
use crate::args::RestoreArgs;
use crate::catalogue;
use crate::connection;
use crate::failure::Failure;
use crate::opening;
use crate::screen::{Answer, Notice};
use crate::session::Session;
use crate::surroundings::Surroundings;
use crate::wording;

#[derive(Serialize)]
struct Body {
    id: BackupId,
    target: String,
    duration_ms: u64,
    tables: u64,
    rows: u64,
    left_out: Vec<LeftOutBody>,
    /// Nothing when none were run.
    checks: Option<Vec<CheckBody>>,
    warnings: Vec<Notice>,
}

#[derive(Serialize)]
struct LeftOutBody {
    object: String,
    reason: String,
}

impl From<&LeftOut> for LeftOutBody {
    fn from(left_out: &LeftOut) -> Self {
        Self { object: left_out.object.clone(), reason: left_out.reason.clone() }
    }
}

pub(super) fn run(args: &RestoreArgs, session: Session) -> Result<Answer, Failure> {
    let Some(to) = args.to.as_deref() else { return super::restore_cluster::run(args, session) };
    let (screen, noted) = (session.screen, session.noted.clone());
    let settings = session.settings()?;
    let target = connection::parse(&settings.environment, to, "--to")?;
    let mut notices = Vec::new();
    if connection::has_password(to) {
        let notice = catalogue::password_on_command_line("--to");
        screen.warning(&notice);
        notices.push(notice);
    }
    let request = RestoreRequest {
        target,
        create: args.create,
        clean: args.clean,
        create_roles: args.create_roles,
        tables: args.tables.clone(),
        jobs: settings.jobs(args.jobs)?,
        checks: if args.no_checks { None } else { Some(settings.checks()?) },
        suffix: None,
    };
    let repository = opening::repository(&settings)?;
    let id = opening::backup(&repository, &args.backup, args.source.as_deref())?;
    noted.note(|facts| facts.backup = Some(id.clone()));
    let surroundings = Surroundings::new(screen, &settings)?;
    let findings = operations::preflight_restore(&repository, &id, &request, &surroundings.context())
        .map_err(|error| surroundings.failure(error))?;
    let target = request.target.describe();
    let plan = plan(&id, &request, &Totals::of(&repository.manifest(&id)?));
    let planned = Planned { id: Some(id.to_string()), target: &target, plan: &plan, findings: &findings };
    match planned.answer(args.dry_run, screen)? {
        Ok(shown) => notices.extend(shown),
        Err(answer) => return Ok(answer),
    }
    let report = operations::restore(&repository, &id, &request, &surroundings.context())
        .map_err(|error| surroundings.failure(error))?;
    surroundings.reporter.finish();
    noted.note(|facts| (facts.tables, facts.rows) = (Some(report.tables), Some(report.rows)));
    let warnings = surroundings.reporter.take_warnings();
    let needs_person = warnings.iter().any(catalogue::needs_person);
    notices.extend(warnings.iter().map(Notice::from));
    let body = Body {
        id,
        target: report.target.clone(),
        duration_ms: wording::millis(report.duration),
        tables: report.tables,
        rows: report.rows,
        left_out: report.left_out.iter().map(LeftOutBody::from).collect(),
        checks: report.checks.as_ref().map(check::bodies),
        warnings: notices,
    };
    Ok(Answer::new(words(&report), &body)?.needing_person(needs_person))
}

/// What a restore does, before it is done.
fn plan(id: &BackupId, request: &RestoreRequest, totals: &Totals) -> String {
    let target = request.target.describe();
    let what = if request.tables.is_empty() {
        format!("{}, {}", wording::count(totals.tables, "table"), wording::count(totals.rows, "row"))
    } else {
        format!("of it {}", request.tables.join(", "))
    };
    let how = match (request.create, request.clean) {
        (_, true) => "into a new database that takes the place of the one that is there when it is complete",
        (true, false) => "into a new database that gets its name when it is complete",
        (false, false) => "into the database that is there",
    };
    let checked = if request.checks.is_some() && request.tables.is_empty() { ", and checked" } else { "" };
    format!("{id} is restored to {target} ({what}), {how}{checked}.")
}

fn words(report: &RestoreReport) -> String {
    let mut text = format!(
        "Restored {} to {}: {}, {} in {}.\n",
        report.id,
        report.target,
        wording::count(report.tables, "table"),
        wording::count(report.rows, "row"),
        wording::duration(report.duration),
    );
    if !report.left_out.is_empty() {
        text.push_str("Left out:\n");
        for left_out in &report.left_out {
            let _ = writeln!(text, "  {}: {}", left_out.object, left_out.reason);
        }
    }
    if let Some(checks) = &report.checks {
        text.push_str(&check::words(checks, false));
    }
    text
}
