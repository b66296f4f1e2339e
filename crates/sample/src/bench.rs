//! The bench ledger: four plain tables whose rows never change between releases, because published figures rest on them.
//!
//! With 1,500,000 journal entries it takes about 1 GB, of which 536 MB are rows as `COPY` writes them.

use std::num::NonZeroU32;

use postgres::Client;

use crate::{SampleError, ledger, script};

const LOAD: &str = include_str!("sql/bench/load.sql");
const GROW: &str = include_str!("sql/bench/grow.sql");

/// Makes the bench ledger with so many journal entries, and four times as many lines, in an empty database.
pub fn load(
    client: &mut Client,
    journal_entries: u64,
    progress: &mut dyn FnMut(&str),
) -> Result<(), SampleError> {
    ledger::require_empty(client)?;
    ledger::prepare_session(client)?;
    script::run(client, LOAD, &[("n", journal_entries.to_string())], progress)?;
    ledger::leave_session(client)
}

/// Lets day number `day` pass in a bench ledger that was loaded with `journal_entries`: 1 % of that is appended, and the
/// lines change whose number is 7 times the day modulo 400.
///
/// Days may be left out but not repeated: their rows have the same keys.
pub fn grow(
    client: &mut Client,
    journal_entries: u64,
    day: NonZeroU32,
    progress: &mut dyn FnMut(&str),
) -> Result<(), SampleError> {
    let added = journal_entries / 100;
    let last = journal_entries + u64::from(day.get()) * added;
    let values =
        [("first", (last - added + 1).to_string()), ("last", last.to_string()), ("day", day.to_string())];
    ledger::prepare_session(client)?;
    script::run(client, GROW, &values, progress)?;
    ledger::leave_session(client)
}
