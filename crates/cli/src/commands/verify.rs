//! `verify`: stored objects, their contents, or a real restore that is compared row for row.

use std::fmt::Write;

use model::{BackupId, Kind, Level, Outcome, VerificationFacts};
use operations::{Problem, VerifyReport, VerifyRequest};
use repository::Repository;
use serde::Serialize;

use crate::args::VerifyArgs;
use crate::catalogue::{self, Code};
use crate::failure::Failure;
use crate::opening;
use crate::screen::{Answer, Notice};
use crate::session::Session;
use crate::surroundings::Surroundings;
use crate::wording;

/// Problems that are written out for people; JSON has all of them.
const SHOWN_PROBLEMS: usize = 20;

/// A verification in JSON.
#[derive(Serialize)]
pub(super) struct VerifyBody {
    id: BackupId,
    /// The level that was reached.
    level: Level,
    outcome: Outcome,
    tables: u64,
    rows: u64,
    duration_ms: u64,
    restore_ms: Option<u64>,
    problems: Vec<ProblemBody>,
    /// Why a lower level was reached than asked for.
    unreached: Option<String>,
}

#[derive(Serialize)]
struct ProblemBody {
    code: &'static str,
    object: String,
    message: String,
    hint: &'static str,
}

/// Several verifications in JSON.
#[derive(Serialize)]
struct Several {
    verifications: Vec<VerifyBody>,
    warnings: Vec<Notice>,
}

/// One verification in JSON, with what the command adds.
#[derive(Serialize)]
struct Single {
    #[serde(flatten)]
    verification: VerifyBody,
    warnings: Vec<Notice>,
}

impl From<&VerifyReport> for VerifyBody {
    fn from(report: &VerifyReport) -> Self {
        Self {
            id: report.id.clone(),
            level: report.level,
            outcome: report.outcome,
            tables: report.tables,
            rows: report.rows,
            duration_ms: wording::millis(report.duration),
            restore_ms: report.restore_duration.map(wording::millis),
            problems: report.problems.iter().map(ProblemBody::from).collect(),
            unreached: report.unreached.clone(),
        }
    }
}

impl From<&Problem> for ProblemBody {
    fn from(problem: &Problem) -> Self {
        Self {
            code: problem.code,
            object: problem.object.clone(),
            message: problem.message.clone(),
            hint: catalogue::problem_hint(problem.code),
        }
    }
}

pub(super) fn run(args: &VerifyArgs, session: Session) -> Result<Answer, Failure> {
    let (screen, noted) = (session.screen, session.noted.clone());
    let settings = session.settings()?;
    let repository = opening::repository(&settings)?;
    let ids = wanted(args, &repository)?;
    noted.note(|facts| {
        facts.backups = args.all.then_some(ids.len() as u64);
        facts.backup = ids.first().filter(|_| !args.all).cloned();
    });
    let checks = settings.checks()?;
    let request = VerifyRequest { level: args.level, jobs: settings.jobs(args.jobs)?, checks: &checks };
    let surroundings = Surroundings::new(screen, &settings)?;
    let mut reports = Vec::new();
    for id in &ids {
        if args.all {
            screen.note(&format!("verifying {id}"));
        }
        let report = operations::verify(&repository, id, request, &surroundings.context());
        reports.push(report.map_err(|error| surroundings.failure(error))?);
    }
    surroundings.reporter.finish();
    if let ([report], false) = (&reports[..], args.all) {
        noted.note(|noted| {
            (noted.kind, noted.verification) = (report.kind, Some(facts(report)));
            (noted.tables, noted.rows) = (Some(report.tables), Some(report.rows));
        });
    }
    let warnings = surroundings.reporter.take_warnings();
    let needs_person = warnings.iter().any(catalogue::needs_person);
    let warnings = warnings.iter().map(Notice::from).collect();
    let text: String = reports.iter().map(words).collect();
    let failure = all_failures(&reports);
    let mut bodies: Vec<VerifyBody> = reports.iter().map(VerifyBody::from).collect();
    let answer = match bodies.pop() {
        Some(verification) if !args.all => Answer::new(text, &Single { verification, warnings })?,
        last => {
            bodies.extend(last);
            let text = if bodies.is_empty() { "There are no backups to verify.".to_owned() } else { text };
            Answer::new(text, &Several { verifications: bodies, warnings })?
        }
    };
    Ok(answer.failing(failure).needing_person(needs_person))
}

/// What the journal is to know of a verification.
pub(super) fn facts(report: &VerifyReport) -> VerificationFacts {
    VerificationFacts {
        level: report.level,
        outcome: report.outcome,
        duration_ms: wording::millis(report.duration),
        restore_ms: report.restore_duration.map(wording::millis),
    }
}

fn wanted(args: &VerifyArgs, repository: &Repository) -> Result<Vec<BackupId>, Failure> {
    let source = args.source.as_deref();
    match &args.backup {
        Some(backup) => Ok(vec![opening::backup(repository, backup, source)?]),
        None => opening::backups(repository, source),
    }
}

/// A verification in words.
pub(super) fn words(report: &VerifyReport) -> String {
    let id = &report.id;
    let amount =
        format!("{}, {}", wording::count(report.tables, "table"), wording::count(report.rows, "row"));
    let took = wording::duration(report.duration);
    let mut text = match (report.outcome, report.level) {
        (Outcome::Proven, _) if report.kind == Some(Kind::Physical) => {
            format!(
                "{id} is proven: restored, recovered and read in {took}; every index agrees with its table, and every row was counted ({amount}).\n"
            )
        }
        (Outcome::Proven, _) => {
            format!("{id} is proven: restored and compared in {took}, every row is back ({amount}).\n")
        }
        (Outcome::Sound, Level::Objects) => {
            format!(
                "{id} is sound: every stored object has the right hash ({took}). Nothing was decrypted or restored.\n"
            )
        }
        (Outcome::Sound, _) => {
            format!(
                "{id} is sound: all contents decrypt and decompress ({took}). Nothing was restored, so nothing is proven.\n"
            )
        }
        (Outcome::Failed, level) => {
            let problems = wording::count(report.problems.len() as u64, "problem");
            format!("{id} did not verify at level {level}: {problems} ({took}).\n")
        }
    };
    for problem in report.problems.iter().take(SHOWN_PROBLEMS) {
        let _ = writeln!(text, "  {} [{}]: {}", problem.object, problem.code, problem.message);
    }
    if let Some(more) = report.problems.len().checked_sub(SHOWN_PROBLEMS).filter(|more| *more > 0) {
        let _ = writeln!(text, "  and {more} more; --json lists all.");
    }
    text
}

/// The failure of a backup that did not verify.
pub(super) fn failure(report: &VerifyReport) -> Option<Failure> {
    (report.outcome == Outcome::Failed).then(|| {
        Failure::new(Code::VerifyFailed, format!("{} did not verify{}", report.id, first_problem(report)))
    })
}

fn first_problem(report: &VerifyReport) -> String {
    report.problems.first().map(|first| format!(": {}: {}", first.object, first.message)).unwrap_or_default()
}

fn all_failures(reports: &[VerifyReport]) -> Option<Failure> {
    let mut failed = reports.iter().filter_map(failure);
    let first = failed.next()?;
    match failed.count() {
        0 => Some(first),
        more => {
            let message = format!("{} of {} backups did not verify", more + 1, reports.len());
            Some(Failure::new(Code::VerifyFailed, message))
        }
    }
}
