//! `check`: what holds for every database, and the rules of the settings, in a live database.

use std::fmt::Write;

use model::{Check, CheckSeverity};
use operations::postgres::ConnectOptions;
use operations::{BUILT_IN_CHECKS, CheckKind, CheckReport, CheckRequest, CheckResult};
use serde::Serialize;

use crate::args::CheckArgs;
use crate::catalogue::{self, Code};
use crate::connection;
use crate::failure::{Failure, one_line};
use crate::screen::{Answer, Notice, Screen};
use crate::session::Session;
use crate::settings::Settings;
use crate::surroundings::Surroundings;
use crate::wording;

#[derive(Serialize)]
struct Body {
    /// The source whose checks were run.
    source: Option<String>,
    /// The database, without a password.
    database: String,
    duration_ms: u64,
    checks: Vec<CheckBody>,
    warnings: Vec<Notice>,
}

/// A check in JSON.
#[derive(Serialize)]
pub(super) struct CheckBody {
    name: String,
    /// `built_in` or `configured`.
    kind: &'static str,
    severity: CheckSeverity,
    /// `passed` or `failed`.
    outcome: &'static str,
    message: String,
    columns: Vec<String>,
    /// The first rows that are wrong.
    rows: Vec<Vec<Option<String>>>,
    /// Whether there are more than these.
    more_rows: bool,
    duration_ms: u64,
}

impl From<&CheckResult> for CheckBody {
    fn from(result: &CheckResult) -> Self {
        Self {
            name: result.name.clone(),
            kind: match result.kind {
                CheckKind::BuiltIn => "built_in",
                CheckKind::Configured => "configured",
            },
            severity: result.severity,
            outcome: if result.passed { "passed" } else { "failed" },
            message: result.message.clone(),
            columns: result.columns.clone(),
            rows: result.rows.clone(),
            more_rows: result.more_rows,
            duration_ms: wording::millis(result.duration),
        }
    }
}

/// What is checked where.
struct Subject {
    source: Option<String>,
    database: ConnectOptions,
    checks: Vec<Check>,
}

pub(super) fn run(args: &CheckArgs, session: Session) -> Result<Answer, Failure> {
    let (screen, noted) = (session.screen, session.noted.clone());
    let settings = session.settings()?;
    let notices = warn_of_password(args, screen);
    let mut subject = subject(args, &settings)?;
    let built_in = choose(args, &mut subject)?;
    noted.note(|facts| facts.source.clone_from(&subject.source));
    let surroundings = Surroundings::new(screen, &settings)?;
    let request = CheckRequest { built_in, ..CheckRequest::all(&subject.checks) };
    let mut report = operations::run_checks(&subject.database, request, &surroundings.context())
        .map_err(|error| surroundings.failure(error))?;
    surroundings.reporter.finish();
    if !args.only.is_empty() {
        report.results.retain(|result| args.only.contains(&result.name));
    }
    let database = subject.database.describe();
    let text = format!(
        "{database}: {} in {}.\n{}",
        wording::count(report.results.len() as u64, "check"),
        wording::duration(report.duration),
        words(&report, true)
    );
    let failure = failure(&report, &database);
    let needs_person = report.failed(CheckSeverity::Warning).next().is_some();
    let body = Body {
        source: subject.source,
        database,
        duration_ms: wording::millis(report.duration),
        checks: bodies(&report),
        warnings: notices,
    };
    Ok(Answer::new(text, &body)?.failing(failure).needing_person(needs_person))
}

fn warn_of_password(args: &CheckArgs, screen: Screen) -> Vec<Notice> {
    if !args.database.as_deref().is_some_and(connection::has_password) {
        return Vec::new();
    }
    let notice = catalogue::password_on_command_line("--database");
    screen.warning(&notice);
    vec![notice]
}

/// The database and the checks that are for it. With `--database`, a source is a name only, and need not be reachable.
fn subject(args: &CheckArgs, settings: &Settings) -> Result<Subject, Failure> {
    let (source, database) = if let Some(url) = &args.database {
        let database = connection::parse(&settings.environment, url, "--database")?;
        let default = || named(settings, None).ok().map(|(name, _)| name);
        (args.source.clone().or_else(default), database)
    } else {
        let (name, database) = named(settings, args.source.as_deref())?;
        (Some(name), database)
    };
    // Without a source there are those checks that are for all.
    let checks = settings.checks_of(source.as_deref().unwrap_or_default())?;
    Ok(Subject { source, database, checks })
}

/// A source, called as its backups are.
fn named(settings: &Settings, flag: Option<&str>) -> Result<(String, ConnectOptions), Failure> {
    let source = settings.source(flag)?;
    let database = connection::parse(&settings.environment, &source.url, &source.origin)?;
    Ok((source.name.unwrap_or_else(|| database.database().to_owned()), database))
}

/// Leaves those checks that were asked for. Whether some of them are built in.
fn choose(args: &CheckArgs, subject: &mut Subject) -> Result<bool, Failure> {
    if args.only.is_empty() {
        return Ok(true);
    }
    let is_built_in = |name: &String| BUILT_IN_CHECKS.contains(&name.as_str());
    let is_known =
        |name: &&String| is_built_in(name) || subject.checks.iter().any(|check| check.name == **name);
    if let Some(unknown) = args.only.iter().find(|name| !is_known(name)) {
        let of =
            subject.source.as_ref().map(|source| format!(" for the source {source:?}")).unwrap_or_default();
        return Err(Failure::new(Code::CheckUnknown, format!("there is no check {unknown:?}{of}")));
    }
    subject.checks.retain(|check| args.only.contains(&check.name));
    Ok(args.only.iter().any(is_built_in))
}

/// Checks in JSON.
pub(super) fn bodies(report: &CheckReport) -> Vec<CheckBody> {
    report.results.iter().map(CheckBody::from).collect()
}

/// Checks in words: all of them, or how many hold and those that do not.
pub(super) fn words(report: &CheckReport, all: bool) -> String {
    let mut text = String::new();
    let passed = report.results.iter().filter(|result| result.passed).count();
    if !all {
        let number = wording::count(report.results.len() as u64, "check");
        let hold =
            if passed == report.results.len() { "all hold".to_owned() } else { format!("{passed} hold") };
        let _ = writeln!(text, "Checked: {number}, {hold}.");
    }
    for result in report.results.iter().filter(|result| all || !result.passed) {
        let mark = match (result.passed, result.severity) {
            (true, _) => "ok     ",
            (false, CheckSeverity::Critical) => "FAILED ",
            (false, CheckSeverity::Warning) => "warning",
            (false, CheckSeverity::Note) => "note   ",
        };
        let took = wording::duration(result.duration);
        let _ = writeln!(text, "{mark}  {}: {} ({took})", result.name, one_line(&result.message));
        for row in &result.rows {
            let cells = result.columns.iter().zip(row).map(|(column, value)| {
                format!("{}={}", one_line(column), value.as_deref().map_or("NULL".to_owned(), one_line))
            });
            let _ = writeln!(text, "         {}", cells.collect::<Vec<_>>().join("  "));
        }
        if result.more_rows {
            let _ = writeln!(text, "         and more");
        }
    }
    text
}

fn failure(report: &CheckReport, database: &str) -> Option<Failure> {
    let names: Vec<_> = report.failed(CheckSeverity::Critical).map(|result| result.name.as_str()).collect();
    let (number, of) = (names.len(), report.results.len());
    let hold = if number == 1 { "does not hold" } else { "do not hold" };
    let message = format!("{number} of {of} checks {hold} in {database}: {}", names.join(", "));
    (number > 0).then(|| Failure::new(Code::CheckFailed, message))
}
