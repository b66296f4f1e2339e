//! The checks that hold for every database.

use std::time::Duration;

use model::CheckSeverity;
use postgres::{
    Client, ConnectOptions, Error as ServerError, ErrorKind, Unfinished, check_foreign_keys,
    constraints_not_valid, invalid_indexes, sequences_behind,
};

use super::configured::watched;
use super::{CheckKind, CheckResult, ROWS, count, said};
use crate::context::elapsed;
use crate::{Context, Error};

/// The names of the checks that are built in, in their order. No check of a site can have one of them.
pub const BUILT_IN_CHECKS: [&str; 4] =
    ["foreign keys", "sequences", "invalid indexes", "constraints not valid"];

/// What a check found: a sentence, and a table of what is wrong.
struct Found {
    message: String,
    columns: &'static [&'static str],
    wrong: Vec<Vec<String>>,
}

struct BuiltIn {
    name: &'static str,
    severity: CheckSeverity,
    find: fn(&mut Client) -> Result<Found, ServerError>,
}

const CHECKS: [BuiltIn; 4] = [
    BuiltIn { name: BUILT_IN_CHECKS[0], severity: CheckSeverity::Critical, find: foreign_keys },
    BuiltIn { name: BUILT_IN_CHECKS[1], severity: CheckSeverity::Critical, find: sequences },
    BuiltIn { name: BUILT_IN_CHECKS[2], severity: CheckSeverity::Warning, find: indexes },
    // Somebody said NOT VALID, so that it stays so on purpose, until somebody says VALIDATE.
    BuiltIn { name: BUILT_IN_CHECKS[3], severity: CheckSeverity::Note, find: constraints },
];

/// Runs all of them over one connection.
pub(super) fn run(
    database: &ConnectOptions,
    limit: Duration,
    context: &Context<'_>,
) -> Result<Vec<CheckResult>, Error> {
    let mut client = Client::connect(database)?;
    postgres::apply_session_settings(&mut client)?;
    let milliseconds = limit.as_millis().clamp(1, i32::MAX as u128);
    client.execute(&format!(
        "SET default_transaction_read_only = on; SET statement_timeout = {milliseconds}"
    ))?;
    let canceller = client.canceller();
    let mut results = Vec::new();
    for check in CHECKS {
        let started_at = context.now();
        let found = watched(context, &canceller, || (check.find)(&mut client));
        if context.observer.cancelled() {
            return Err(Error::Cancelled);
        }
        let duration = elapsed(started_at, context);
        results.push(match found {
            Err(error) if error.kind() == ErrorKind::ConnectionLost => return Err(error.into()),
            found => result(&check, found, limit, duration),
        });
    }
    Ok(results)
}

fn result(
    check: &BuiltIn,
    found: Result<Found, ServerError>,
    limit: Duration,
    duration: Duration,
) -> CheckResult {
    let found = found.map_err(|error| match error.kind() {
        ErrorKind::Cancelled => format!("a statement of it took longer than {} s", limit.as_secs()),
        _ => format!("it could not be run: {}", said(&error)),
    });
    // What could not be looked at is not known to be in order, whatever it is. The worst severity is the least.
    let severity = if found.is_err() { check.severity.min(CheckSeverity::Warning) } else { check.severity };
    let (passed, message, columns, wrong) = match found {
        Ok(found) => (found.wrong.is_empty(), found.message, found.columns, found.wrong),
        Err(message) => (false, message, &[][..], Vec::new()),
    };
    CheckResult {
        name: check.name.to_owned(),
        kind: CheckKind::BuiltIn,
        severity,
        passed,
        message,
        columns: columns.iter().map(|&name| name.to_owned()).collect(),
        more_rows: wrong.len() > usize::from(ROWS),
        rows: wrong.into_iter().take(ROWS.into()).map(|row| row.into_iter().map(Some).collect()).collect(),
        duration,
    }
}

fn foreign_keys(client: &mut Client) -> Result<Found, ServerError> {
    let report = check_foreign_keys(client)?;
    let wrong: Vec<_> = report
        .violations
        .into_iter()
        .map(|it| vec![it.table.to_string(), it.constraint, it.referenced.to_string(), it.rows.to_string()])
        .collect();
    let message = match wrong.len() as u64 {
        0 => format!("{} checked by their rows", count(report.checked, "foreign key", "foreign keys")),
        broken => format!("{} with rows that refer to nothing", count(broken, "foreign key", "foreign keys")),
    };
    Ok(Found { message, columns: &["table", "constraint", "referenced", "rows"], wrong })
}

fn sequences(client: &mut Client) -> Result<Found, ServerError> {
    let wrong: Vec<_> = sequences_behind(client)?
        .into_iter()
        .map(|it| {
            vec![it.sequence.to_string(), it.table.to_string(), it.column, it.next.to_string(), it.found]
        })
        .collect();
    let message = match wrong.len() as u64 {
        0 => "every sequence is ahead of the columns that it feeds".to_owned(),
        behind => format!(
            "{} will give out values that their columns have already",
            count(behind, "sequence", "sequences")
        ),
    };
    Ok(Found { message, columns: &["sequence", "table", "column", "next_value", "found"], wrong })
}

fn indexes(client: &mut Client) -> Result<Found, ServerError> {
    let wrong = unfinished(invalid_indexes(client)?);
    let message = match wrong.len() as u64 {
        0 => "every index is valid".to_owned(),
        invalid => format!("{} not valid: REINDEX or DROP", count(invalid, "index is", "indexes are")),
    };
    Ok(Found { message, columns: &["table", "index"], wrong })
}

fn constraints(client: &mut Client) -> Result<Found, ServerError> {
    let wrong = unfinished(constraints_not_valid(client)?);
    let message = match wrong.len() as u64 {
        0 => "every constraint holds for all rows".to_owned(),
        open => format!(
            "{} not valid, so that rows may break them: ALTER TABLE … VALIDATE CONSTRAINT",
            count(open, "constraint is", "constraints are")
        ),
    };
    Ok(Found { message, columns: &["table", "constraint"], wrong })
}

fn unfinished(found: Vec<Unfinished>) -> Vec<Vec<String>> {
    found.into_iter().map(|it| vec![it.table.to_string(), it.name]).collect()
}
