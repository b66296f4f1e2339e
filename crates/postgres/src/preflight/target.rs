//! What a server says of itself, as the one that a backup is to be restored into.
//!
//! Invariant: nothing is changed. What the role may not see is unknown, not absent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use model::quote_literal;

use crate::sandbox::{Locale, LocaleProvider};
use crate::{Client, Error};

/// First major version in which membership and the right to assume a role differ.
const SET_OPTION_SINCE: u32 = 16;
/// First major version that records the version of a database's collation.
const COLLATION_VERSION_SINCE: u32 = 15;
/// SQLSTATEs with which a server says that it does not know a collation, or was built without its provider.
const UNKNOWN_LOCALE: [&str; 4] = ["42809", "22023", "0A000", "42704"];

/// A server and the role that restores into it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are facts of their own")]
pub struct TargetServer {
    /// As in `server_version_num`.
    pub version: u32,
    /// It is a standby.
    pub is_standby: bool,
    /// The role.
    pub role: String,
    /// The role is a superuser.
    pub is_superuser: bool,
    /// It may make databases.
    pub may_create_databases: bool,
    /// It may make roles.
    pub may_create_roles: bool,
    /// Connections that the role can open now.
    pub free_connections: i64,
    /// WAL is archived, or kept for replication.
    pub keeps_wal: bool,
    /// Its data directory, when it is on this machine and may be known.
    pub data_directory: Option<PathBuf>,
    /// Its tablespaces.
    pub tablespaces: BTreeSet<String>,
    /// The extensions that it can make.
    pub extensions: BTreeMap<String, AvailableExtension>,
    /// The roles that this one may give objects to.
    pub assumable_roles: BTreeSet<String>,
    /// Databases whose collations have changed since their indexes were built, of the target and the template of new ones.
    pub changed_collations: Vec<ChangedCollation>,
}

/// An extension that a server can make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvailableExtension {
    /// The version that is made when none is named.
    pub version: String,
    /// Only a superuser can make it.
    pub needs_superuser: bool,
}

/// A database whose collation is another one by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedCollation {
    /// The database.
    pub database: String,
    /// The version that it was made with.
    pub recorded: String,
    /// The one of now.
    pub actual: String,
}

/// A database that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetDatabase {
    /// Its encoding.
    pub encoding: String,
    /// Its owner.
    pub owner: String,
    /// Whether the role may rename and drop it.
    pub is_ours: bool,
    /// Who uses it: application and role, and how many sessions.
    pub sessions: Vec<Sessions>,
    /// Transactions that were prepared and not ended, which keep it from being renamed or dropped.
    pub prepared_transactions: Vec<String>,
    /// Replication slots of it, which keep it from being dropped.
    pub slots: Vec<String>,
}

/// Sessions of the same kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sessions {
    /// The name that the application gives itself; may be empty.
    pub application: String,
    /// The role.
    pub role: String,
    /// How many.
    pub count: u64,
}

/// Whoever comes over a socket, or from the address of the server, is on its machine. The data directory is shown to those only who may
/// know it; connections for superusers are no use to others.
const SERVER: &str = "
    SELECT r.rolname, r.rolsuper, r.rolsuper OR r.rolcreatedb, r.rolsuper OR r.rolcreaterole, pg_catalog.pg_is_in_recovery(),
      least(
        pg_catalog.current_setting('max_connections')::bigint
          - CASE WHEN r.rolsuper THEN 0 ELSE pg_catalog.current_setting('superuser_reserved_connections')::bigint
              + coalesce(pg_catalog.current_setting('reserved_connections', true), '0')::bigint END
          - (SELECT coalesce(sum(numbackends), 0) FROM pg_catalog.pg_stat_database),
        CASE WHEN r.rolconnlimit < 0 OR r.rolsuper THEN NULL ELSE r.rolconnlimit
          - (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE usesysid = r.oid) END)::bigint,
      pg_catalog.current_setting('wal_level') <> 'minimal' AND (pg_catalog.current_setting('archive_mode') <> 'off'
        OR EXISTS (SELECT FROM pg_catalog.pg_replication_slots)),
      (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'data_directory'
         AND (pg_catalog.inet_server_addr() IS NULL OR pg_catalog.inet_server_addr() = pg_catalog.inet_client_addr()))
    FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";

const EXTENSIONS: &str = "
    SELECT e.name, e.default_version, coalesce(v.superuser AND NOT v.trusted, true)
    FROM pg_catalog.pg_available_extensions e
      LEFT JOIN pg_catalog.pg_available_extension_versions v ON v.name = e.name AND v.version = e.default_version
    WHERE e.default_version IS NOT NULL";

const COLLATIONS: &str = "
    SELECT datname, datcollversion, pg_catalog.pg_database_collation_actual_version(oid) FROM pg_catalog.pg_database
    WHERE datname IN ('template0', $1) AND datcollversion IS DISTINCT FROM pg_catalog.pg_database_collation_actual_version(oid)
      AND datcollversion IS NOT NULL ORDER BY datname";

impl TargetServer {
    /// Asks the server. `client` is connected to any database of it; `database` is the one to restore into.
    pub fn read(client: &mut Client, database: &str) -> Result<Self, Error> {
        let row = client.query_one(SERVER, &[])?;
        let names = |client: &mut Client, sql: &str| -> Result<BTreeSet<String>, Error> {
            client.query(sql, &[])?.iter().map(|row| row.text(0).map(str::to_owned)).collect()
        };
        let right = if client.server_major() >= SET_OPTION_SINCE { "SET" } else { "MEMBER" };
        let assumable = format!(
            "SELECT rolname FROM pg_catalog.pg_roles WHERE pg_catalog.pg_has_role(current_user, oid, '{right}')"
        );
        Ok(Self {
            version: client.server_version(),
            role: row.text(0)?.to_owned(),
            is_superuser: row.is_true(1),
            may_create_databases: row.is_true(2),
            may_create_roles: row.is_true(3),
            is_standby: row.is_true(4),
            free_connections: row.number(5)?,
            keeps_wal: row.is_true(6),
            data_directory: row.get(7).map(PathBuf::from),
            tablespaces: names(client, "SELECT spcname FROM pg_catalog.pg_tablespace")?,
            extensions: extensions(client)?,
            assumable_roles: names(client, &assumable)?,
            changed_collations: changed_collations(client, database)?,
        })
    }
}

fn extensions(client: &mut Client) -> Result<BTreeMap<String, AvailableExtension>, Error> {
    let extension = |row: &crate::Row| {
        let available =
            AvailableExtension { version: row.text(1)?.to_owned(), needs_superuser: row.is_true(2) };
        Ok((row.text(0)?.to_owned(), available))
    };
    client.query(EXTENSIONS, &[])?.iter().map(extension).collect()
}

fn changed_collations(client: &mut Client, database: &str) -> Result<Vec<ChangedCollation>, Error> {
    if client.server_major() < COLLATION_VERSION_SINCE {
        return Ok(Vec::new());
    }
    let changed = |row: &crate::Row| {
        Ok(ChangedCollation {
            database: row.text(0)?.to_owned(),
            recorded: row.text(1)?.to_owned(),
            actual: row.get(2).unwrap_or("none").to_owned(),
        })
    };
    client.query(COLLATIONS, &[Some(database)])?.iter().map(changed).collect()
}

impl TargetDatabase {
    /// Asks the server for a database; `None` when there is none of that name.
    pub fn read(client: &mut Client, name: &str) -> Result<Option<Self>, Error> {
        let sql = "SELECT pg_catalog.pg_encoding_to_char(encoding), pg_catalog.pg_get_userbyid(datdba), \
                   pg_catalog.pg_has_role(current_user, datdba, 'MEMBER') \
                   FROM pg_catalog.pg_database WHERE datname = $1";
        let rows = client.query(sql, &[Some(name)])?;
        let Some(row) = rows.first() else { return Ok(None) };
        let sessions = "SELECT coalesce(application_name, ''), coalesce(usename, ''), count(*) \
                        FROM pg_catalog.pg_stat_activity WHERE datname = $1 AND pid <> pg_catalog.pg_backend_pid() \
                        GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2";
        let session = |row: &crate::Row| {
            let (application, role) = (row.text(0)?.to_owned(), row.text(1)?.to_owned());
            Ok(Sessions { application, role, count: row.number(2)? })
        };
        let sessions: Result<_, Error> = client.query(sessions, &[Some(name)])?.iter().map(session).collect();
        let mut names = |sql: &str| -> Result<Vec<String>, Error> {
            client.query(sql, &[Some(name)])?.iter().map(|row| row.text(0).map(str::to_owned)).collect()
        };
        Ok(Some(Self {
            encoding: row.text(0)?.to_owned(),
            owner: row.text(1)?.to_owned(),
            is_ours: row.is_true(2),
            sessions: sessions?,
            prepared_transactions: names(
                "SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database = $1 ORDER BY 1",
            )?,
            slots: names(
                "SELECT slot_name FROM pg_catalog.pg_replication_slots WHERE database = $1 ORDER BY 1",
            )?,
        }))
    }
}

/// Why the server cannot have a database of this locale: what it says when it is asked to make a collation of it, which is taken back at
/// once. `None` also when it cannot be found out in this way.
pub fn refused_locale(client: &mut Client, locale: &Locale) -> Result<Option<String>, Error> {
    let options = match (locale.provider, &locale.name) {
        (LocaleProvider::Icu, Some(name)) => format!("provider = icu, locale = {}", quote_literal(name)),
        (LocaleProvider::Libc, _) => format!(
            "provider = libc, lc_collate = {}, lc_ctype = {}",
            quote_literal(&locale.collate),
            quote_literal(&locale.ctype)
        ),
        _ => return Ok(None),
    };
    client.execute("BEGIN")?;
    let made = client.execute(&format!("CREATE COLLATION pg_temp.chronavault_probe ({options})"));
    client.execute("ROLLBACK")?;
    match made {
        Err(Error::Server(error)) if UNKNOWN_LOCALE.contains(&error.code.as_str()) => {
            Ok(Some(error.message.clone()))
        }
        Err(Error::Server(_)) | Ok(()) => Ok(None),
        Err(error) => Err(error),
    }
}
