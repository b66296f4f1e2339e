//! Checks of a database that somebody may be using: those that hold for every database, and those of a site.
//!
//! Invariant: nothing is written, and no check can change what another one sees. Each query of a site has a session of its own,
//! a read-only transaction and a time limit, and no more of its result is kept than [`ROWS`] and [`VALUE_BYTES`] say. What fails,
//! also a query that cannot be run, is a result; an error means that the database could not be asked at all.

mod built_in;
mod configured;

use std::time::Duration;

use model::{Check, CheckSeverity};
use postgres::{Client, ConnectOptions};

use crate::context::elapsed;
use crate::{Context, Error, Phase, Problem, Warning};

pub use built_in::BUILT_IN_CHECKS;

/// Rows of a result that are kept.
const ROWS: u16 = 10;
/// Bytes of a value that are kept.
const VALUE_BYTES: usize = 200;
/// How long a statement of a check that is built in may take when nothing is said.
const BUILT_IN_LIMIT: Duration = Duration::from_hours(1);

/// What is checked.
#[derive(Debug, Clone, Copy)]
pub struct CheckRequest<'a> {
    /// Whether those are run that hold for every database ([`BUILT_IN_CHECKS`]).
    pub built_in: bool,
    /// How long each statement of those may take.
    pub built_in_limit: Duration,
    /// The checks of a site, in their order.
    pub checks: &'a [Check],
}

impl<'a> CheckRequest<'a> {
    /// Those that hold for every database, and `checks`.
    pub fn all(checks: &'a [Check]) -> Self {
        Self { built_in: true, built_in_limit: BUILT_IN_LIMIT, checks }
    }
}

/// Where a check comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckKind {
    /// It holds for every database.
    BuiltIn,
    /// A site wrote it.
    Configured,
}

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub kind: CheckKind,
    /// How bad it is when it does not hold.
    pub severity: CheckSeverity,
    /// Whether it holds.
    pub passed: bool,
    /// What was found, in a sentence that holds no row of the database.
    pub message: String,
    /// The names of the columns of `rows`.
    pub columns: Vec<String>,
    /// The first rows that are wrong, or those that were returned where others were expected; NULL is nothing.
    pub rows: Vec<Vec<Option<String>>>,
    /// Whether there are more than these.
    pub more_rows: bool,
    /// How long it took.
    pub duration: Duration,
}

/// What came of all checks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// In the order in which they ran.
    pub results: Vec<CheckResult>,
    /// How long all of them took.
    pub duration: Duration,
}

impl CheckReport {
    /// Those of this severity that do not hold.
    pub fn failed(&self, severity: CheckSeverity) -> impl Iterator<Item = &CheckResult> {
        self.results.iter().filter(move |result| !result.passed && result.severity == severity)
    }

    /// What does not hold and must, as problems of what was restored.
    pub fn problems(&self) -> Vec<Problem> {
        let problem = |result: &CheckResult| Problem {
            code: "check.failed",
            object: format!("check {:?}", result.name),
            message: result.message.clone(),
        };
        self.failed(CheckSeverity::Critical).map(problem).collect()
    }

    /// What does not hold at least as badly as `severity`, as warnings.
    pub(crate) fn warnings(&self, severities: &[CheckSeverity]) -> Vec<Warning> {
        let warning = |result: &CheckResult| Warning::CheckFailed {
            check: result.name.clone(),
            message: result.message.clone(),
        };
        severities.iter().flat_map(|severity| self.failed(*severity)).map(warning).collect()
    }
}

/// Runs checks in `database`: one after the other, on as many rows as others commit meanwhile.
///
/// An error means that nothing can be said, such as a server that does not answer; what does not hold is in the report.
pub fn run_checks(
    database: &ConnectOptions,
    request: CheckRequest<'_>,
    context: &Context<'_>,
) -> Result<CheckReport, Error> {
    let started_at = context.now();
    context.phase(Phase::Checks);
    let mut results = Vec::new();
    if request.built_in {
        results.extend(built_in::run(database, request.built_in_limit, context)?);
    }
    for check in request.checks {
        results.push(configured::run(database, check, context)?);
    }
    if results.is_empty() {
        // Whoever asks for nothing still gets to know that there is no such database.
        Client::connect(database)?;
    }
    Ok(CheckReport { results, duration: elapsed(started_at, context) })
}

/// What the server says, without the rows that it may name beside it.
fn said(error: &postgres::Error) -> String {
    match error {
        postgres::Error::Server(error) => format!("{} ({})", error.message, error.code),
        other => crate::error::with_sources(other),
    }
}

/// `n` things in words.
fn count(n: u64, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}
