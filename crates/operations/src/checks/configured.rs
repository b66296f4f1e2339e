//! A check that a site wrote.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use model::{Answered, Check};
use postgres::{Canceller, Client, ConnectOptions, Error as ServerError, ErrorKind, Sample, SampleLimits};

use super::{CheckKind, CheckResult, ROWS, VALUE_BYTES, said};
use crate::context::elapsed;
use crate::{Context, Error};

/// How often somebody looks whether the operation is to stop while a query runs.
const LOOK: Duration = Duration::from_millis(100);

/// Runs one check.
pub(super) fn run(
    database: &ConnectOptions,
    check: &Check,
    context: &Context<'_>,
) -> Result<CheckResult, Error> {
    if context.observer.cancelled() {
        return Err(Error::Cancelled);
    }
    let started_at = context.now();
    let mut client = Client::connect(database)?;
    let canceller = client.canceller();
    let outcome = watched(context, &canceller, || ask(&mut client, check));
    if context.observer.cancelled() {
        return Err(Error::Cancelled);
    }
    let (passed, message, sample) = match outcome {
        Ok(Some(sample)) => judge(check, sample),
        Ok(None) => (false, "the statement returns no rows, so it is no query".to_owned(), Sample::default()),
        Err(error) => (false, failed(check, &error), Sample::default()),
    };
    Ok(CheckResult {
        name: check.name.clone(),
        kind: CheckKind::Configured,
        severity: check.severity,
        passed,
        message,
        columns: sample.columns,
        rows: sample.rows,
        more_rows: sample.more,
        duration: elapsed(started_at, context),
    })
}

/// Runs the query as the database would for anybody else who only reads: with its `search_path`, and its other settings.
fn ask(client: &mut Client, check: &Check) -> Result<Option<Sample>, ServerError> {
    let milliseconds = check.limit.as_millis().clamp(1, i32::MAX as u128);
    client.execute(&format!("SET statement_timeout = {milliseconds}"))?;
    // Rows that are hidden from the role must not count as absent.
    client.execute("SET default_transaction_read_only = on; SET row_security = off; SET idle_in_transaction_session_timeout = 0")?;
    if client.server_major() >= 17 {
        client.execute("SET transaction_timeout = 0")?;
    }
    client.execute("BEGIN READ ONLY")?;
    client.query_sample(&check.query, SampleLimits { rows: ROWS, value_bytes: VALUE_BYTES })
}

fn judge(check: &Check, sample: Sample) -> (bool, String, Sample) {
    let value = sample.rows.first().and_then(|row| row.first()).and_then(Option::as_deref);
    let (columns, rows, more) = (sample.columns.len(), sample.rows.len(), sample.more);
    match check.expectation.judge(Answered { columns, rows, more, value }) {
        Ok(()) => (true, format!("as expected: {}", check.expectation), Sample::default()),
        Err(message) => (false, message, sample),
    }
}

fn failed(check: &Check, error: &ServerError) -> String {
    match error.kind() {
        ErrorKind::Cancelled => format!("the query took longer than {} s", check.limit.as_secs()),
        _ => format!("the query failed: {}", said(error)),
    }
}

/// Does `work`, and cancels the statement that it runs when the operation is to stop.
pub(super) fn watched<T>(context: &Context<'_>, canceller: &Canceller, work: impl FnOnce() -> T) -> T {
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while is_done.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                if context.observer.cancelled() {
                    // Asked again until the statement has ended: a request can come before it has begun.
                    let _ = canceller.cancel();
                }
            }
        });
        let result = work();
        drop(done);
        result
    })
}
