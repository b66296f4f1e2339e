//! The full ledger: loading it and letting days pass.

use std::num::NonZeroU32;

use postgres::Client;

use crate::{SampleError, script};

const PICK: &str = include_str!("sql/ledger/pick.sql");
const TABLES: &str = include_str!("sql/ledger/1_types_and_tables.sql");
const FIXED_ROWS: &str = include_str!("sql/ledger/2_fixed_rows.sql");
const BOOKS: &str = include_str!("sql/ledger/3_books.sql");
const EDGES: &str = include_str!("sql/ledger/4_edges.sql");
const GIANT: &str = include_str!("sql/ledger/giant.sql");
const KEYS: &str = include_str!("sql/ledger/5_keys.sql");
const BEHAVIOUR: &str = include_str!("sql/ledger/6_behaviour.sql");
const ACCESS: &str = include_str!("sql/ledger/7_access.sql");
const FINISH: &str = include_str!("sql/ledger/8_finish.sql");
const GROW: &str = include_str!("sql/ledger/grow.sql");

/// What an empty ledger takes, the system catalogs included: measured on PostgreSQL 15.
const BASE_BYTES: u64 = 12_000_000;
/// What a journal entry adds, with its lines, indexes, and share of the other tables: measured on PostgreSQL 15.
const BYTES_PER_ENTRY: u64 = 920;
/// The fewest journal entries with which no table of the books is empty.
const LEAST_ENTRIES: u64 = 1_000;
/// Four lines each must have a number, and amounts and hashes are far from their limits.
const MOST_ENTRIES: u64 = 1 << 40;
/// A load covers two years of months that have partitions; growth falls after them.
const LOAD_DAYS: u32 = 730;

/// How large a ledger to make, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerOptions {
    /// Another seed gives other rows in the same tables.
    pub seed: u32,
    /// About how large the database will be, in bytes, without the giant value. At least about 13 MB come out.
    pub target_bytes: u64,
    /// Also make the table `edge.giant`: one row with one value of 100 MB.
    pub giant_value: bool,
}

impl Default for LedgerOptions {
    /// The demo's: seed 1, about 200 MB, no giant value.
    fn default() -> Self {
        LedgerOptions { seed: 1, target_bytes: 200_000_000, giant_value: false }
    }
}

impl LedgerOptions {
    /// The smallest ledger that still has every kind of object: about 13 MB.
    pub fn small(seed: u32) -> Self {
        LedgerOptions { seed, target_bytes: 0, giant_value: false }
    }

    /// How many journal entries give the size that was asked for.
    pub fn journal_entries(&self) -> u64 {
        (self.target_bytes.saturating_sub(BASE_BYTES) / BYTES_PER_ENTRY).clamp(LEAST_ENTRIES, MOST_ENTRIES)
    }
}

/// What is in a ledger now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerSummary {
    /// Rows of `public.journal_entries`.
    pub journal_entries: u64,
    /// Rows of `public.journal_lines`, the largest table.
    pub journal_lines: u64,
    /// Tables with rows of their own: plain tables and leaf partitions.
    pub tables: u64,
    /// The size of the database as the server counts it.
    pub database_bytes: u64,
}

/// Makes the ledger in the empty database that `client` is connected to; `progress` hears the name of each step.
///
/// The client must be a superuser's, because the ledger has roles (`ledger_…`, made if they are missing), event triggers
/// and a settings of the database. The settings take effect in sessions that begin later: they change how dates,
/// numbers and bytes are written, and where names are looked up. Afterwards an event trigger refuses a new table
/// in the schema `public` that has no primary key.
///
/// A failed load leaves what the steps before had made.
pub fn load(
    client: &mut Client,
    options: &LedgerOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<LedgerSummary, SampleError> {
    require_empty(client)?;
    require_superuser(client)?;
    let entries = options.journal_entries();
    let mut values = book_values(options.seed, 1, entries, "2022-01-01 00:00+00", LOAD_DAYS);
    values.push(("entries", entries.to_string()));
    values.push(("giant", options.giant_value.to_string()));
    prepare_session(client)?;
    for script in [PICK, TABLES, FIXED_ROWS, BOOKS, EDGES] {
        script::run(client, script, &values, progress)?;
    }
    if options.giant_value {
        script::run(client, GIANT, &values, progress)?;
    }
    for script in [KEYS, BEHAVIOUR, ACCESS, FINISH] {
        script::run(client, script, &values, progress)?;
    }
    leave_session(client)?;
    summarise(client)
}

/// Lets day number `day` pass in a ledger: 1 % more rows than were loaded are appended to the books, and 0.25 % of the
/// journal lines, spread over the whole table, and a few rows elsewhere change.
///
/// What a day brings depends on the ledger's seed and size and on the number alone. Days may be left out but not repeated:
/// their rows have the same keys.
pub fn grow(
    client: &mut Client,
    day: NonZeroU32,
    progress: &mut dyn FnMut(&str),
) -> Result<LedgerSummary, SampleError> {
    prepare_session(client)?;
    let (seed, loaded) = profile(client)?;
    let added = loaded / 100;
    let last = loaded + u64::from(day.get()) * added;
    let start = client
        .query_one("select (date '2023-12-31' + $1::integer)::text || ' 00:00+00'", &[Some(&day.to_string())])
        .and_then(|row| row.text(0).map(str::to_owned))
        .map_err(SampleError::Examine)?;
    let mut values = book_values(seed, last - added + 1, last, &start, 1);
    values.push(("day", day.to_string()));
    for script in [PICK, BOOKS, GROW] {
        script::run(client, script, &values, progress)?;
    }
    leave_session(client)?;
    summarise(client)
}

/// The values that `3_books.sql` needs, for the journal entries `first..=last`.
fn book_values(seed: u32, first: u64, last: u64, start: &str, days: u32) -> Vec<(&'static str, String)> {
    vec![
        ("seed", seed.to_string()),
        ("first", first.to_string()),
        ("last", last.to_string()),
        ("start", start.to_owned()),
        ("days", days.to_string()),
    ]
}

/// Seed and journal entries of the load.
fn profile(client: &mut Client) -> Result<(u32, u64), SampleError> {
    let found = client
        .query_one("select to_regclass('public.ledger_profile') is not null", &[])
        .map_err(SampleError::Examine)?;
    if !found.is_true(0) {
        return Err(SampleError::NotLedger);
    }
    let rows = client
        .query("select seed, journal_entries from public.ledger_profile", &[])
        .map_err(SampleError::Examine)?;
    let [row] = rows.as_slice() else { return Err(SampleError::NotLedger) };
    Ok((row.number(0).map_err(SampleError::Examine)?, row.number(1).map_err(SampleError::Examine)?))
}

fn require_superuser(client: &mut Client) -> Result<(), SampleError> {
    let row = client
        .query_one("select current_setting('is_superuser'), current_setting('server_encoding')", &[])
        .map_err(SampleError::Examine)?;
    if row.get(0) != Some("on") {
        return Err(SampleError::NotSuperuser);
    }
    match row.get(1) {
        Some("UTF8") => Ok(()),
        other => Err(SampleError::Encoding { encoding: other.unwrap_or("unknown").to_owned() }),
    }
}

/// Nothing that a user made may be there: relations, and schemas besides `public`.
pub(crate) fn require_empty(client: &mut Client) -> Result<(), SampleError> {
    let rows = client
        .query(
            "select current_database(), object from (
               select 1, c.oid::regclass::text from pg_class c
                 where c.relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
                   and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and c.relpersistence <> 't'
               union all
               select 2, 'the schema ' || nspname from pg_namespace
                 where nspname <> 'public' and nspname <> 'information_schema' and nspname !~ '^pg_'
               union all
               select 3, 'the large object ' || oid from pg_largeobject_metadata
             ) as found(rank, object) order by rank, object limit 1",
            &[],
        )
        .map_err(SampleError::Examine)?;
    match rows.first() {
        None => Ok(()),
        Some(row) => Err(SampleError::NotEmpty {
            database: row.text(0).map_err(SampleError::Examine)?.to_owned(),
            object: row.text(1).map_err(SampleError::Examine)?.to_owned(),
        }),
    }
}

/// Settings under which the scripts mean the same everywhere, whatever the database or the role sets.
pub(crate) fn prepare_session(client: &mut Client) -> Result<(), SampleError> {
    client
        .execute(
            "set timezone = 'UTC'; set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres'; set search_path = public;
             set client_min_messages = warning; set statement_timeout = 0; set lock_timeout = 0;
             set idle_in_transaction_session_timeout = 0; set row_security = off; set standard_conforming_strings = on;
             set default_transaction_read_only = off; set extra_float_digits = 3",
        )
        .map_err(SampleError::Examine)
}

/// Takes back what [`prepare_session`] and the scripts did to the session.
pub(crate) fn leave_session(client: &mut Client) -> Result<(), SampleError> {
    client
        .execute("drop function if exists pg_temp.pick(bigint, integer, bigint); reset all")
        .map_err(SampleError::Examine)
}

fn summarise(client: &mut Client) -> Result<LedgerSummary, SampleError> {
    let row = client
        .query_one(
            "select (select count(*) from public.journal_entries), (select count(*) from public.journal_lines),
                    (select count(*) from pg_class where relkind = 'r' and relpersistence <> 't'
                       and relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)),
                    pg_database_size(current_database())",
            &[],
        )
        .map_err(SampleError::Examine)?;
    let number = |index| row.number(index).map_err(SampleError::Examine);
    Ok(LedgerSummary {
        journal_entries: number(0)?,
        journal_lines: number(1)?,
        tables: number(2)?,
        database_bytes: number(3)?,
    })
}
