//! The fixed settings of every session that reads rows, loads rows or compares catalogs.
//!
//! Invariant: under these settings the COPY text of a row depends on the row alone: not on who connects, not on
//! `ALTER ROLE … SET` or `ALTER DATABASE … SET`, not on the server's configuration, and not on its major version. That
//! is what makes the text of a restored row comparable with the text of the row that was backed up. Each setting is read
//! back after it was set; a server that refuses one is an error, never a silent difference.
//!
//! Deliberately absent: settings of one statement or transaction (isolation, `session_replication_role`), which belong to
//! whoever opens that transaction.

use std::ffi::OsStr;
use std::process::Command;

use thiserror::Error as ThisError;

use crate::{Client, Error};

/// Settings of the sessions of `pg_dump`, `pg_dumpall` and `pg_restore`: what these programs leave as the role or the
/// database has it, although the COPY text, or how it is read back in, depends on it; and timeouts, which they lift
/// themselves, but not before their first statement. The rest of [`SETTINGS`] they set.
const CHILD_SETTINGS: [(&str, &str); 12] = [
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("row_security", "off"),
    ("TimeZone", "UTC"),
    ("bytea_output", "hex"),
    ("lc_monetary", "C"),
    ("quote_all_identifiers", "off"),
    ("array_nulls", "on"),
    ("standard_conforming_strings", "on"),
    ("xmlbinary", "base64"),
    ("default_transaction_read_only", "off"),
];

/// The variable with which libpq passes command line options to the server.
const CHILD_VARIABLE: &str = "PGOPTIONS";

/// Makes `command` open its sessions with the fixed settings, and with the `chosen` ones, behind those that it has already.
pub fn give_child_settings<'a>(command: &mut Command, chosen: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let given = command.get_envs().find_map(|(name, value)| value.filter(|_| name == CHILD_VARIABLE));
    let mut options = given.map(OsStr::to_owned).unwrap_or_default();
    for (name, value) in chosen.into_iter().chain(CHILD_SETTINGS) {
        // A backslash makes a space part of the value (process_postgres_switches in the server's source).
        let value = value.replace('\\', "\\\\").replace(' ', "\\ ");
        options.push(format!(" -c {name}={value}"));
    }
    command.env(CHILD_VARIABLE, options);
}

/// How often the first statement of a session is tried again when a tiny `statement_timeout` of the role cancels it.
const FIRST_STATEMENT_TRIES: u32 = 50;

/// SQLSTATE of a statement that was cancelled, by a timeout among others.
const QUERY_CANCELED: &str = "57014";

/// One setting that every session of ours has.
struct Setting {
    name: &'static str,
    /// As the server shows it once it is set.
    value: &'static str,
    /// The first major version that knows it.
    since: u32,
}

const fn setting(name: &'static str, value: &'static str) -> Setting {
    Setting { name, value, since: 0 }
}

const fn since(since: u32, name: &'static str, value: &'static str) -> Setting {
    Setting { name, value, since }
}

/// PostgreSQL documentation, chapter 20 (20.11 for most).
const SETTINGS: &[Setting] = &[
    // Timeouts that would end a long statement or the session that holds the snapshot.
    setting("statement_timeout", "0"),
    setting("lock_timeout", "0"),
    setting("idle_in_transaction_session_timeout", "0"),
    since(14, "idle_session_timeout", "0"),
    since(17, "transaction_timeout", "0"),
    // Text of values on the way out.
    setting("DateStyle", "ISO, MDY"), // date, timestamp; the order matters on the way in
    setting("IntervalStyle", "postgres"), // interval
    setting("TimeZone", "UTC"),       // timestamptz
    setting("extra_float_digits", "3"), // float4, float8: the shortest text that reads back as the same value
    setting("bytea_output", "hex"),   // bytea
    setting("lc_monetary", "C"),      // money
    setting("xmlbinary", "base64"),   // bytea within xml
    setting("quote_all_identifiers", "off"), // regclass and its kin
    setting("search_path", ""), // regclass and its kin: always qualified; and no foreign function is called
    // Reading text back in.
    setting("xmloption", "content"),
    setting("array_nulls", "on"),
    setting("standard_conforming_strings", "on"),
    setting("transform_null_equals", "off"),
    setting("backslash_quote", "safe_encoding"),
    // Rows that row-level security hides are an error, not an omission.
    setting("row_security", "off"),
    // Rows come in the order of the table, so that the next backup finds the same chunks.
    setting("synchronize_seqscans", "off"),
    setting("enable_tidscan", "on"), // or each range of a table is found by reading the whole table
    // Transactions are what we say they are.
    setting("default_transaction_isolation", "read committed"),
    setting("default_transaction_read_only", "off"),
    setting("default_transaction_deferrable", "off"),
    setting("client_min_messages", "warning"),
    setting("jit", "off"), // compiling a query over the catalog takes longer than running it
];

/// Why a session does not have the fixed settings.
#[derive(Debug, ThisError)]
pub enum SessionError {
    /// The server failed a statement that sets or reads a setting.
    #[error("cannot set up the session")]
    Statement(#[source] Error),
    /// The server shows another value than the one that was just set.
    #[error("the server keeps {setting} at {found:?} instead of {wanted:?}")]
    Refused {
        /// The setting.
        setting: String,
        /// What was set.
        wanted: String,
        /// What the server shows.
        found: String,
    },
}

impl From<Error> for SessionError {
    fn from(error: Error) -> Self {
        Self::Statement(error)
    }
}

/// Gives `client` the fixed settings, with the encoding of its database as the encoding of the session, and reads them
/// back. Outside of a transaction; in one, a rollback would undo them.
pub fn apply_session_settings(client: &mut Client) -> Result<(), SessionError> {
    lift_statement_timeout(client)?;
    let encoding =
        client.query_one("SELECT pg_catalog.getdatabaseencoding()::text", &[])?.text(0)?.to_owned();
    let major = client.server_major();
    let mut settings: Vec<(&str, &str)> =
        SETTINGS.iter().filter(|s| major >= s.since).map(|s| (s.name, s.value)).collect();
    settings.push(("client_encoding", &encoding));
    set_and_read_back(client, &settings)
}

/// A `statement_timeout` of one millisecond, set for the role, cancels whatever takes longer: even the statement that lifts
/// it, now and then.
fn lift_statement_timeout(client: &mut Client) -> Result<(), Error> {
    let mut tries = 1;
    loop {
        match client.execute("SET statement_timeout = 0") {
            Err(error) if tries < FIRST_STATEMENT_TRIES && error.code() == Some(QUERY_CANCELED) => tries += 1,
            result => return result,
        }
    }
}

fn set_and_read_back(client: &mut Client, settings: &[(&str, &str)]) -> Result<(), SessionError> {
    let values: Vec<String> = settings
        .iter()
        .map(|(name, value)| format!("({}, {})", model::quote_literal(name), model::quote_literal(value)))
        .collect();
    let values = values.join(", ");
    client.query(
        &format!(
            "SELECT pg_catalog.set_config(s.name, s.value, false) FROM (VALUES {values}) s(name, value)"
        ),
        &[],
    )?;
    let rows = client.query(
        &format!(
            "SELECT s.name, s.value, pg_catalog.current_setting(s.name) FROM (VALUES {values}) s(name, value)"
        ),
        &[],
    )?;
    for row in rows {
        let (setting, wanted, found) = (row.text(0)?, row.text(1)?, row.text(2)?);
        if wanted != found {
            return Err(SessionError::Refused {
                setting: setting.to_owned(),
                wanted: wanted.to_owned(),
                found: found.to_owned(),
            });
        }
    }
    Ok(())
}

/// Refuses to expand views and foreign tables that a user made, as `pg_dump` does, so that a role cannot have its code run
/// by whoever reads its tables. Known to 17 and to later minor releases of 13 to 16; not for sessions that load, since
/// a check constraint may read a view.
pub(crate) fn restrict_relation_kinds(client: &mut Client) -> Result<(), SessionError> {
    client.query(
        "SELECT pg_catalog.set_config(name, 'view, foreign-table', false) FROM pg_catalog.pg_settings \
         WHERE name = 'restrict_nonsystem_relation_kind'",
        &[],
    )?;
    Ok(())
}

/// Whether names of other than ASCII letters can be converted between this encoding of a database and UTF-8. Only
/// `SQL_ASCII` means "bytes of unknown meaning".
pub(crate) fn converts_to_utf8(encoding: &str) -> bool {
    encoding != "SQL_ASCII"
}

/// Runs `work` with UTF-8 as the encoding of the session, so that names from the catalog read as text, and goes back to
/// the encoding of the database afterwards. Where that is `SQL_ASCII`, nothing changes: names arrive as they are.
pub(crate) fn in_utf8<T, E: From<Error>>(
    client: &mut Client,
    work: impl FnOnce(&mut Client) -> Result<T, E>,
) -> Result<T, E> {
    let previous = use_utf8(client)?;
    let result = work(client)?;
    client.execute(&format!("SET client_encoding = {}", model::quote_literal(&previous)))?;
    Ok(result)
}

/// Makes UTF-8 the encoding of the session where the database's own converts to it; the previous encoding.
pub(crate) fn use_utf8(client: &mut Client) -> Result<String, Error> {
    let row = client.query_one(
        "SELECT pg_catalog.current_setting('client_encoding'), pg_catalog.getdatabaseencoding()::text",
        &[],
    )?;
    let previous = row.text(0)?.to_owned();
    if converts_to_utf8(row.text(1)?) {
        client.execute("SET client_encoding = 'UTF8'")?;
    }
    Ok(previous)
}
