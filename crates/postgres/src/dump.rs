//! Reading a database with `pg_dump` and its roles with `pg_dumpall`, as streams.
//!
//! Deliberately absent: plain files. What these programs write goes through a pipe and never touches a disk here.

use std::time::Duration;

use model::{Filters, QualifiedName};

use crate::{ConnectOptions, Process, ProcessError, Tools, session};

/// What one `pg_dump` is to read.
#[derive(Debug, Clone)]
pub struct ArchiveRequest<'a> {
    /// The exported snapshot to read under.
    pub snapshot: &'a str,
    /// What the user asked to leave out.
    pub filters: &'a Filters,
    /// Tables whose rows are read by other means.
    pub without_rows: &'a [QualifiedName],
    /// How long to wait for a lock that another session may be queueing for.
    pub lock_timeout: Duration,
}

/// Starts `pg_dump -Fc -Z0` (PostgreSQL documentation, `pg_dump`); the archive comes out of its standard output.
///
/// The archive is complete only when it was read to its end, its own structure says so, and
/// [`Process::finish`] succeeded.
pub fn start_archive(
    tools: &Tools,
    source: &ConnectOptions,
    request: &ArchiveRequest<'_>,
) -> Result<Process, ProcessError> {
    let mut command = tools.command("pg_dump", Some(source));
    session::give_child_settings(&mut command, []);
    command.args(["--format=custom", "--compress=0", "--no-password"]);
    command.arg(format!("--snapshot={}", request.snapshot));
    command.arg(format!("--lock-wait-timeout={}", request.lock_timeout.as_millis().max(1)));
    let Filters { schemas, exclude_tables, exclude_table_data } = request.filters;
    command.args(schemas.iter().map(|pattern| format!("--schema={pattern}")));
    command.args(exclude_tables.iter().map(|pattern| format!("--exclude-table={pattern}")));
    command.args(exclude_table_data.iter().map(|pattern| format!("--exclude-table-data={pattern}")));
    command.args(
        request.without_rows.iter().map(|table| format!("--exclude-table-data={}", exact_pattern(table))),
    );
    Process::spawn(command, false)
}

/// Starts `pg_dump --schema-only` in the custom format, without a snapshot: for a database that nobody changes.
pub fn start_definitions(tools: &Tools, source: &ConnectOptions) -> Result<Process, ProcessError> {
    let mut command = tools.command("pg_dump", Some(source));
    session::give_child_settings(&mut command, []);
    command.args(["--format=custom", "--compress=0", "--no-password", "--schema-only"]);
    Process::spawn(command, false)
}

/// Whether `pg_dump` failed where it locks tables, as it does before it reads anything. Then it says which statement failed.
pub fn failed_to_lock(error: &ProcessError) -> bool {
    matches!(error, ProcessError::Failed { program, message, .. }
        if program == "pg_dump" && message.contains("LOCK TABLE"))
}

/// Starts `pg_dumpall --globals-only`: roles, memberships, settings and tablespaces as SQL.
pub fn start_globals(
    tools: &Tools,
    source: &ConnectOptions,
    with_passwords: bool,
) -> Result<Process, ProcessError> {
    let mut command = tools.command("pg_dumpall", Some(source));
    session::give_child_settings(&mut command, []);
    command.args(["--globals-only", "--no-password"]);
    command.arg(format!("--database={}", connection_value(source.database())));
    if !with_passwords {
        command.arg("--no-role-passwords");
    }
    Process::spawn(command, false)
}

/// A pattern that matches exactly one table: within double quotes nothing is special but the quote itself
/// (PostgreSQL documentation, "psql", Patterns).
fn exact_pattern(table: &QualifiedName) -> String {
    table.quoted()
}

/// `--database` of `pg_dumpall` is a connection string when it holds a `=`.
fn connection_value(database: &str) -> String {
    format!("dbname='{}'", database.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_name_cannot_become_a_connection_string() {
        assert_eq!(connection_value("a'b\\c host=x"), r"dbname='a\'b\\c host=x'");
    }

    #[test]
    fn an_exact_pattern_quotes_both_parts() {
        assert_eq!(exact_pattern(&QualifiedName::new("a.b", "c\"*")), "\"a.b\".\"c\"\"*\"");
    }
}
