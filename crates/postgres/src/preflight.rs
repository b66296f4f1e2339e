//! What is known before a backup begins: what will fail, and what a restore will need.
//!
//! Invariant: nothing here locks a table or changes anything, and each finding says what to do. What would make the backup
//! fail is an error; what makes it less than one may think, or the restore harder, is a warning.
//!
//! Deliberately absent: what concerns the repository, or the programs of PostgreSQL on this machine.

mod lock_room;
mod replication;
mod target;

use model::Filters;
use thiserror::Error as ThisError;

pub(crate) use lock_room::LockRoom;
pub use replication::preflight_replication;
pub use target::{
    AvailableExtension, ChangedCollation, Sessions, TargetDatabase, TargetServer, refused_locale,
};

use crate::filter::{self, FilterError, Selection};
use crate::{Client, Error, session};

/// The oldest major version that is read.
pub const OLDEST_MAJOR: u32 = 13;

/// The newest major version that this was tested with.
pub const NEWEST_MAJOR: u32 = 18;

/// Objects of one kind that are listed one by one before they are only counted.
const LISTED: usize = 20;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Note,
    /// The backup can be taken; a person should know this.
    Warning,
    /// The backup would fail.
    Error,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about: `table ledger.entry`, `server`.
    pub object: String,
    /// What was found and what to do about it, in one sentence or two.
    pub message: String,
    /// How bad it is.
    pub severity: Severity,
}

/// Why the checks could not be made.
#[derive(Debug, ThisError)]
pub enum PreflightError {
    /// The filters cannot be used.
    #[error("cannot tell what is wanted")]
    Filter(#[source] FilterError),
    /// A statement failed.
    #[error("cannot check the server")]
    Statement(#[source] Error),
}

impl From<Error> for PreflightError {
    fn from(error: Error) -> Self {
        Self::Statement(error)
    }
}

impl From<FilterError> for PreflightError {
    fn from(error: FilterError) -> Self {
        Self::Filter(error)
    }
}

/// An extension of a database: where the database is restored, it must be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// The version in the database.
    pub version: String,
}

/// The extensions of the database, sorted by name, without those that every database has.
pub fn extensions(client: &mut Client) -> Result<Vec<Extension>, Error> {
    let sql = "SELECT extname, extversion FROM pg_catalog.pg_extension WHERE oid >= 16384 ORDER BY extname";
    client
        .query(sql, &[])?
        .iter()
        .map(|row| Ok(Extension { name: row.text(0)?.to_owned(), version: row.text(1)?.to_owned() }))
        .collect()
}

/// Checks what a logical backup with these `filters` needs, worst first. `client` has the fixed settings.
pub fn preflight(client: &mut Client, filters: &Filters) -> Result<Vec<Finding>, PreflightError> {
    session::in_utf8(client, |client| {
        let selection = filter::select(client, filters)?;
        let mut findings = server(client)?;
        findings.extend(LockRoom::measure(client, &selection)?.finding());
        for check in CHECKS {
            if !check.everything || selection.everything() {
                findings.extend(check.run(client, &selection)?);
            }
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Ok(findings)
    })
}

fn server(client: &mut Client) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    let mut add = |severity, message: String| {
        findings.push(Finding { object: "server".into(), message, severity });
    };
    let major = client.server_major();
    if major < OLDEST_MAJOR {
        add(
            Severity::Error,
            format!("version {major} is too old: {OLDEST_MAJOR} is the oldest that can be backed up"),
        );
    } else if major > NEWEST_MAJOR {
        add(
            Severity::Warning,
            format!("version {major} is newer than {NEWEST_MAJOR}, the last that this was tested with"),
        );
    }
    let sql = "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('max_standby_streaming_delay'), \
          pg_catalog.getdatabaseencoding() = 'SQL_ASCII'";
    let row = client.query_one(sql, &[])?;
    if row.is_true(0) {
        add(
            Severity::Warning,
            format!(
                "it is a standby: unlogged tables cannot be read, and it may cancel the backup after {} \
                 (max_standby_streaming_delay)",
                row.text(1)?
            ),
        );
    }
    if row.is_true(2) {
        add(
            Severity::Warning,
            "the encoding of the database is SQL_ASCII: bytes are kept as they are, and nothing says what letters they mean"
                .into(),
        );
    }
    Ok(findings)
}

/// A check that finds objects by one query, of two columns: the object and what the message says of it in `{}`.
struct Check {
    severity: Severity,
    message: &'static str,
    /// `{relation}` is true for a wanted relation `c` in the schema `n`, `{schema}` for a wanted schema `n`, `{data}` for
    /// a relation `c` whose rows are wanted.
    sql: &'static str,
    /// Whether it only concerns a backup of all schemas.
    everything: bool,
}

impl Check {
    fn run(&self, client: &mut Client, selection: &Selection) -> Result<Vec<Finding>, Error> {
        let relation = format!(
            "({} AND {} AND c.relpersistence <> 't')",
            selection.schema_sql("n.oid", "n.nspname"),
            selection.relation_sql("c.oid")
        );
        let sql = self
            .sql
            .replace("{relation}", &relation)
            .replace("{schema}", &selection.schema_sql("n.oid", "n.nspname"))
            .replace("{data}", &selection.data_sql("c.oid"));
        let rows = client.query(&sql, &[])?;
        let finding = |object: String, detail: &str| Finding {
            object,
            message: self.message.replace("{}", detail),
            severity: self.severity,
        };
        let mut findings = Vec::new();
        for row in rows.iter().take(LISTED) {
            findings.push(finding(row.text(0)?.to_owned(), row.get(1).unwrap_or_default()));
        }
        if let Some(row) = rows.get(LISTED) {
            let more = rows.len() - LISTED;
            findings.push(finding(format!("{more} more"), row.get(1).unwrap_or_default()));
        }
        Ok(findings)
    }
}

const CHECKS: &[Check] = &[
    Check {
        severity: Severity::Error,
        message: "the role may not use this schema; GRANT USAGE on it, or membership in pg_read_all_data (14 and later)",
        sql: "SELECT format('schema %I', n.nspname), NULL FROM pg_catalog.pg_namespace n \
              WHERE {schema} AND NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE') ORDER BY 1",
        everything: false,
    },
    Check {
        severity: Severity::Error,
        message: "the role may not read it; GRANT SELECT on it, or membership in pg_read_all_data (14 and later)",
        sql: "SELECT format('%s %I.%I', CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, n.nspname, c.relname), \
                NULL FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
              WHERE c.relkind IN ('r', 'p', 'S') AND {relation} AND NOT CASE c.relkind \
                  WHEN 'S' THEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT') \
                  ELSE pg_catalog.has_table_privilege(c.oid, 'SELECT') END ORDER BY n.nspname, c.relname",
        everything: false,
    },
    Check {
        severity: Severity::Error,
        message: "row-level security would hide rows from the role; use its owner, or a role with BYPASSRLS",
        sql: "SELECT format('table %I.%I', n.nspname, c.relname), NULL FROM pg_catalog.pg_class c \
                JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
              WHERE c.relkind = 'r' AND {relation} AND {data} AND pg_catalog.row_security_active(c.oid) \
              ORDER BY n.nspname, c.relname",
        everything: false,
    },
    Check {
        severity: Severity::Error,
        message: "{} large objects may not be read by the role, beginning with this one; GRANT SELECT ON LARGE OBJECT",
        sql: "SELECT 'large object ' || min(m.oid), count(*)::text FROM pg_catalog.pg_largeobject_metadata m \
              WHERE NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) \
                AND pg_catalog.current_setting('lo_compat_privileges') = 'off' \
                AND NOT pg_catalog.pg_has_role(m.lomowner, 'USAGE') \
                AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT' \
                  AND (a.grantee = 0 OR pg_catalog.pg_has_role(a.grantee, 'USAGE'))) \
              HAVING count(*) > 0",
        everything: true,
    },
    Check {
        severity: Severity::Warning,
        message: "a prepared transaction holds it, so it cannot be read; COMMIT PREPARED or ROLLBACK PREPARED",
        sql: "SELECT format('table %I.%I', n.nspname, c.relname), NULL FROM pg_catalog.pg_locks l \
                JOIN pg_catalog.pg_class c ON c.oid = l.relation JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
              WHERE l.locktype = 'relation' AND l.pid IS NULL AND l.mode = 'AccessExclusiveLock' AND {relation} \
                AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
              ORDER BY 1",
        everything: false,
    },
    Check {
        severity: Severity::Warning,
        message: "it is invalid and is not part of a backup; REINDEX or DROP it",
        sql: "SELECT format('index %I.%I', n.nspname, x.relname), NULL FROM pg_catalog.pg_index i \
                JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_class c ON c.oid = i.indrelid \
                JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
              WHERE NOT i.indisvalid AND c.relkind <> 'p' AND {relation} ORDER BY 1",
        everything: false,
    },
    Check {
        severity: Severity::Warning,
        message: "its rows are on another server and are not part of a backup",
        sql: "SELECT format('foreign table %I.%I', n.nspname, c.relname), NULL FROM pg_catalog.pg_class c \
                JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'f' AND {relation} ORDER BY 1",
        everything: false,
    },
    Check {
        severity: Severity::Note,
        message: "it is unlogged: its rows are part of the backup, but a crash of the server empties it",
        sql: "SELECT format('table %I.%I', n.nspname, c.relname), NULL FROM pg_catalog.pg_class c \
                JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
              WHERE c.relkind = 'r' AND c.relpersistence = 'u' AND {relation} AND {data} \
                AND NOT pg_catalog.pg_is_in_recovery() ORDER BY 1",
        everything: false,
    },
    Check {
        severity: Severity::Note,
        message: "objects are stored in it; a restore puts them there if it exists, and into the default tablespace if not",
        sql: "SELECT DISTINCT format('tablespace %I', t.spcname), NULL FROM pg_catalog.pg_class c \
                JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                JOIN pg_catalog.pg_tablespace t ON t.oid = c.reltablespace WHERE {relation} ORDER BY 1",
        everything: false,
    },
    Check {
        severity: Severity::Warning,
        message: "only a superuser may read subscriptions: it is not part of the backup",
        sql: "SELECT format('subscription %I', s.subname), NULL FROM pg_catalog.pg_subscription s \
              WHERE s.subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
                AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) ORDER BY 1",
        everything: true,
    },
    Check {
        severity: Severity::Warning,
        message: "the role may not see its options: the backup has the mapping without its password",
        sql: "SELECT format('user mapping on server %I', u.srvname), NULL FROM pg_catalog.pg_user_mappings u \
              WHERE u.umoptions IS NULL AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) \
              ORDER BY 1",
        everything: true,
    },
    Check {
        severity: Severity::Note,
        message: "version {}; it must be installed where the backup is restored",
        sql: "SELECT format('extension %I', extname), extversion FROM pg_catalog.pg_extension \
              WHERE oid >= 16384 ORDER BY extname",
        everything: true,
    },
];
