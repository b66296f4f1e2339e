//! What a restored database is held to before it takes the place of another.
//!
//! Invariant: that it is as it was backed up is demanded in any case; a check that does not hold can be overruled by whoever asks for the
//! recovery, and is kept in its record.

use model::Check;
use postgres::ConnectOptions;

use super::RecoverError;
use super::run::Run;
use crate::{CheckRequest, Error, Problem, run_checks};

/// What a restored database is checked for, besides that every row is as it was backed up.
#[derive(Debug, Clone, Default)]
pub struct DatabaseChecks {
    /// The checks of the site for this source.
    pub checks: Vec<Check>,
    /// Go on although some do not hold.
    pub despite: bool,
}

/// How many checks hold, and how many do not.
pub(super) struct Held {
    pub(super) holding: u64,
    pub(super) others: u64,
}

/// Refuses a database in which problems were found.
pub(super) fn refuse(
    restored: &ConnectOptions,
    problems: &[Problem],
    run: &mut Run<'_>,
) -> Result<(), Error> {
    run.keep_problems(problems);
    let Some(first) = problems.first() else { return Ok(()) };
    let (database, number) = (restored.database().to_owned(), problems.len());
    Err(RecoverError::Checks { database, number, first: first.message.clone() }.into())
}

/// Runs the checks that hold for every database, and those of the site.
pub(super) fn hold_to(
    restored: &ConnectOptions,
    checks: &DatabaseChecks,
    run: &mut Run<'_>,
) -> Result<Held, Error> {
    let report = run_checks(restored, CheckRequest::all(&checks.checks), run.context)?;
    let problems = report.problems();
    if checks.despite {
        run.keep_problems(&problems);
    } else {
        refuse(restored, &problems, run)?;
    }
    let others = problems.len() as u64;
    Ok(Held { holding: report.results.len() as u64 - others, others })
}
