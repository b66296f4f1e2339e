//! What is looked at in a cluster that was restored and has recovered.
//!
//! Invariant: three looks, each of which finds what the others do not: whether every file that the catalogs name is there (a server takes a
//! missing one for an empty table), whether every index agrees with its table, and whether every row can be read.

use std::num::NonZeroUsize;

use postgres::{
    AmcheckError, AmcheckReport, RestoredCluster, Tools, Unreadable, amcheck, count_rows, find_missing_files,
};

use crate::{Context, Error, Phase, Problem};

/// The program that compares indexes with their tables.
const AMCHECK: &str = "pg_amcheck";

/// What was found.
pub(crate) enum Examination {
    /// All was looked at.
    Done { tables: u64, rows: u64, problems: Vec<Problem> },
    /// This machine cannot do it.
    Impossible(String),
}

/// Looks at what can be seen without changing anything: that every file is there, and that every row can be read. For a cluster that is to be
/// used afterwards; [`examine`] looks at indexes as well, for which it installs an extension.
pub(crate) fn look_over(
    cluster: &RestoredCluster,
    jobs: usize,
    context: &Context<'_>,
) -> Result<(u64, u64, Vec<Problem>), Error> {
    let mut problems = missing_files(cluster)?;
    let (tables, rows, unreadable) = counts(cluster, jobs, context)?;
    problems.extend(unreadable);
    Ok((tables, rows, problems))
}

/// Looks at everything.
pub(crate) fn examine(
    cluster: &RestoredCluster,
    jobs: usize,
    context: &Context<'_>,
) -> Result<Examination, Error> {
    let options = cluster.options(cluster.database());
    let sessions = NonZeroUsize::new(jobs).unwrap_or(NonZeroUsize::MIN);
    let mut problems = missing_files(cluster)?;
    context.phase(Phase::Amcheck);
    match amcheck(&tools(cluster, context), &options, sessions) {
        Ok(report) => problems.extend(index_problems(&report)),
        // What cannot be checked at all in this version is not held against the backup.
        Err(AmcheckError::TooOld { .. }) => {}
        Err(error @ (AmcheckError::NoProgram { .. } | AmcheckError::NoExtension { .. })) => {
            return Ok(Examination::Impossible(error.to_string()));
        }
        Err(error) => return Err(Error::Amcheck(error)),
    }
    let (tables, rows, unreadable) = counts(cluster, jobs, context)?;
    problems.extend(unreadable);
    Ok(Examination::Done { tables, rows, problems })
}

/// Reads every row of every table.
fn counts(
    cluster: &RestoredCluster,
    jobs: usize,
    context: &Context<'_>,
) -> Result<(u64, u64, Vec<Problem>), Error> {
    context.phase(Phase::Counts);
    let sessions = NonZeroUsize::new(jobs).unwrap_or(NonZeroUsize::MIN);
    let cancelled = || context.observer.cancelled();
    let counts = count_rows(&cluster.options(cluster.database()), sessions, &cancelled)?;
    if cancelled() {
        return Err(Error::Cancelled);
    }
    let rows = counts.tables.iter().map(|table| table.rows).sum();
    Ok((counts.tables.len() as u64, rows, counts.unreadable.iter().map(unreadable).collect()))
}

/// The programs beside the server, or those of a client installation where the server comes without them.
fn tools(cluster: &RestoredCluster, context: &Context<'_>) -> Tools {
    let beside = cluster.tools();
    if beside.directory().join(AMCHECK).is_file() {
        return beside.clone();
    }
    Tools::find(beside.major(), context.tool_path.as_deref()).unwrap_or_else(|_| beside.clone())
}

fn missing_files(cluster: &RestoredCluster) -> Result<Vec<Problem>, Error> {
    let options = cluster.options(cluster.database());
    let control = cluster.control();
    let segment_bytes = u64::from(control.segment_blocks) * u64::from(control.block_bytes);
    let found = find_missing_files(&options, &cluster.data_directory(), segment_bytes)?;
    let missing = found.missing.iter().map(|file| Problem {
        code: "file.missing",
        object: file.path.clone(),
        message: format!(
            "a file of {} in database {} is {}",
            file.relation,
            file.database,
            if file.is_short { "too short" } else { "not there" }
        ),
    });
    Ok(missing.chain(found.unreadable.iter().map(unreadable)).collect())
}

fn index_problems(report: &AmcheckReport) -> Vec<Problem> {
    let problem =
        |object: &str, message: String| Problem { code: "index.damaged", object: object.to_owned(), message };
    let found = report.findings.iter().map(|found| {
        let place = if found.place.is_empty() { String::new() } else { format!("{}: ", found.place) };
        problem(&found.relation, format!("{} {place}{}", found.kind, found.message))
    });
    let remarks = report.remarks.iter().map(|remark| problem("pg_amcheck", remark.clone()));
    let more = (report.unlisted > 0)
        .then(|| problem("pg_amcheck", format!("{} more findings are not listed", report.unlisted)));
    found.chain(remarks).chain(more).collect()
}

fn unreadable(found: &Unreadable) -> Problem {
    let object = match &found.table {
        Some(table) => format!("{table} in database {}", found.database),
        None => format!("database {}", found.database),
    };
    let message = format!("it cannot be read: {}", crate::error::with_sources(&found.error));
    Problem { code: "table.unreadable", object, message }
}
