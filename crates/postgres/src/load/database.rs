//! Databases: looking at them, making them, and putting a complete one in the place of another.

use model::quote_identifier;

use super::switch::{rename, swap};
use super::{Apply, DatabaseProperties, LeftOut, LoadError};
use crate::client::{Client, Error};
use crate::conninfo::ConnectOptions;
use crate::sandbox::LocaleProvider;

/// How the names of databases begin that are being restored.
const TEMPORARY: &str = "chronavault_restore_";
/// How the names of databases begin that were replaced and could not be dropped.
const REPLACED: &str = "chronavault_replaced_";

/// Databases from which others are made and renamed; every cluster has one of them unless somebody dropped both.
const MAINTENANCE: [&str; 2] = ["postgres", "template1"];

/// SQLSTATEs with which a server says that it does not know a collation, or was built without its provider.
const UNKNOWN_LOCALE: [&str; 3] = ["42809", "22023", "0A000"];

/// A client on the server of `target`, connected to a database other than that of `target`.
pub fn maintenance_client(target: &ConnectOptions) -> Result<Client, Error> {
    let candidates = MAINTENANCE.iter().filter(|name| **name != target.database());
    let mut result = None;
    for name in candidates {
        match Client::connect(&target.with_database(name)) {
            Ok(client) => return trusting_the_catalog_only(client),
            Err(error) => result = result.or(Some(error)),
        }
    }
    // At least one of the names is not that of the target.
    match result {
        Some(error) => Err(error),
        None => trusting_the_catalog_only(Client::connect(target)?),
    }
}

/// No name is looked up where users could have put something of their own.
fn trusting_the_catalog_only(mut client: Client) -> Result<Client, Error> {
    client.execute(CATALOG_ONLY)?;
    Ok(client)
}

/// The system catalog is always searched.
const CATALOG_ONLY: &str = "SET search_path = ''";

/// Whether the server has a database `name`.
pub fn database_exists(client: &mut Client, name: &str) -> Result<bool, Error> {
    Ok(!client.query("SELECT 1 FROM pg_database WHERE datname = $1", &[Some(name)])?.is_empty())
}

/// The names of all databases that are not templates, sorted.
pub fn databases(client: &mut Client) -> Result<Vec<String>, Error> {
    let rows = client.query("SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1", &[])?;
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}

/// An object that a user made in the database of `client`, as kind and name; `None` if the database is empty.
///
/// What extensions brought does not count, and neither does an extension that every new database has. The search path of the session is
/// empty afterwards.
pub fn first_object(client: &mut Client) -> Result<Option<String>, Error> {
    client.execute(CATALOG_ONLY)?;
    let rows = client.query(FIRST_OBJECT, &[])?;
    rows.first().map(|row| row.text(0).map(str::to_owned)).transpose()
}

/// Objects from oid 16384 on are not the system's own (`FirstNormalObjectId`); large objects never are.
const FIRST_OBJECT: &str = "
    WITH of_extensions AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e')
    SELECT object FROM (
        SELECT 1, 'table ' || c.oid::regclass, c.tableoid, c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
            WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND nspname !~ '^pg_(toast|temp_)'
        UNION ALL SELECT 2, 'schema ' || nspname, tableoid, oid FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'
        UNION ALL SELECT 3, 'function ' || oid::regprocedure, tableoid, oid FROM pg_proc
        UNION ALL SELECT 4, 'type ' || oid::regtype, tableoid, oid FROM pg_type WHERE typtype IN ('d', 'e', 'r') OR typtype = 'b' AND typcategory <> 'A'
        UNION ALL SELECT 5, 'extension ' || extname, tableoid, oid FROM pg_extension
        UNION ALL SELECT 6, 'large object ' || oid, tableoid, oid FROM pg_largeobject_metadata
        UNION ALL SELECT 7, 'event trigger ' || evtname, tableoid, oid FROM pg_event_trigger
        UNION ALL SELECT 8, 'publication ' || pubname, tableoid, oid FROM pg_publication
        UNION ALL SELECT 9, 'foreign data wrapper ' || fdwname, tableoid, oid FROM pg_foreign_data_wrapper
        UNION ALL SELECT 10, 'subscription ' || subname, tableoid, oid FROM pg_subscription
            WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    ) AS objects (priority, object, catalog, oid)
    WHERE (oid >= 16384 OR catalog = 'pg_largeobject_metadata'::regclass) AND (catalog, oid) NOT IN (SELECT classid, objid FROM of_extensions)
    ORDER BY priority, oid LIMIT 1";

/// The name of a database while it is being restored.
pub(super) fn temporary_database(suffix: [u8; 4]) -> String {
    format!("{TEMPORARY}{:08x}", u32::from_be_bytes(suffix))
}

/// Drops a database that is being restored, with its subscriptions. One that is not there is none to drop.
pub fn drop_temporary(target: &ConnectOptions, suffix: [u8; 4]) -> Result<(), Error> {
    let options = target.with_database(&temporary_database(suffix));
    let mut client = maintenance_client(&options)?;
    if database_exists(&mut client, options.database())? {
        // It may not be connected to yet; then it has none.
        let _ = drop_subscriptions(&options);
        client.execute(&format!("DROP DATABASE {} WITH (FORCE)", quote_identifier(options.database())))?;
    }
    Ok(())
}

/// A database that is being restored, under a temporary name. Dropping it before [`NewDatabase::finish`] drops the database.
#[derive(Debug)]
pub struct NewDatabase {
    options: ConnectOptions,
    properties: DatabaseProperties,
    apply: Apply,
    left_out: Vec<LeftOut>,
    suffix: String,
    configured: bool,
    finished: bool,
}

impl NewDatabase {
    /// Makes an empty database on the server of `target` with the encoding and collation of `properties`.
    ///
    /// `suffix` makes its name one that nobody else uses: random, from the caller. Every statement outside the new database goes through a
    /// connection to another database of the same server, which is made when needed.
    pub fn create(
        target: &ConnectOptions,
        properties: DatabaseProperties,
        apply: Apply,
        suffix: [u8; 4],
    ) -> Result<Self, LoadError> {
        let name = temporary_database(suffix);
        let suffix = name.trim_start_matches(TEMPORARY).to_owned();
        let refused = |source| database_error(&name, "created", source);
        let mut client = maintenance_client(target).map_err(refused)?;
        let mut left_out = Vec::new();
        let tablespace = match properties.tablespace.as_str() {
            "pg_default" => false,
            tablespace if apply.tablespaces => {
                let rows =
                    client.query("SELECT 1 FROM pg_tablespace WHERE spcname = $1", &[Some(tablespace)]);
                let exists = !rows.map_err(refused)?.is_empty();
                if !exists {
                    left_out.push(LeftOut {
                        object: format!("tablespace {tablespace} of the database"),
                        reason: "the target has none of that name".to_owned(),
                    });
                }
                exists
            }
            _ => false,
        };
        if let Some(reason) = create_like(&mut client, &properties, &name, tablespace, apply.any_locale)? {
            left_out.push(LeftOut { object: "collation of the database".to_owned(), reason });
        }
        let options = target.with_database(&name);
        Ok(Self { options, properties, apply, left_out, suffix, configured: false, finished: false })
    }

    /// How to connect to it, as long as it has its temporary name.
    pub fn options(&self) -> &ConnectOptions {
        &self.options
    }

    /// Gives it owner, comment, settings and privileges. [`NewDatabase::finish`] does so unless this was called before; settings could get
    /// into the way of a restore, so it must be complete. Returns what the target cannot have.
    pub fn configure(&mut self) -> Result<Vec<LeftOut>, LoadError> {
        let name = self.options.database();
        let failed = |source| database_error(name, "configured", source);
        let mut client = maintenance_client(&self.options).map_err(failed)?;
        let mut left_out = std::mem::take(&mut self.left_out);
        left_out.extend(self.properties.apply(&mut client, name, self.apply).map_err(failed)?);
        self.configured = true;
        Ok(left_out)
    }

    /// Gives it owner, settings and privileges, and then its name. Nobody may be connected to it.
    ///
    /// With `replace`, a database that has the name already is dropped: its sessions are ended, both are renamed in one transaction, and the old
    /// one is dropped after that. Whatever fails before, the old one is as it was and the new one is dropped. Returns what the target
    /// cannot have, and the old database if it could not be dropped.
    pub fn finish(mut self, name: &str, replace: bool) -> Result<Vec<LeftOut>, LoadError> {
        let temporary = self.options.database().to_owned();
        let target = self.options.with_database(name);
        let mut left_out = if self.configured { Vec::new() } else { self.configure()? };
        let mut client =
            maintenance_client(&target).map_err(|source| database_error(name, "renamed", source))?;
        let exists =
            database_exists(&mut client, name).map_err(|source| database_error(name, "renamed", source))?;
        if replace && exists {
            let aside = format!("{REPLACED}{}", self.suffix);
            swap(&mut client, name, &temporary, &aside)?;
            self.finished = true;
            left_out.extend(drop_replaced(&mut client, name, &aside));
        } else {
            client
                .execute(&rename(&temporary, name))
                .map_err(|source| database_error(name, "renamed", source))?;
            self.finished = true;
        }
        client
            .execute(&self.properties.open_statement(name))
            .map_err(|source| database_error(name, "configured", source))?;
        Ok(left_out)
    }
}

impl Drop for NewDatabase {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // Whoever drops this has an error of their own to report; there is nothing more to do about one here.
        let _ = drop_subscriptions(&self.options);
        if let Ok(mut client) = maintenance_client(&self.options) {
            let database = quote_identifier(self.options.database());
            let _ = client.execute(&format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"));
        }
    }
}

/// Drops the subscriptions of a database that was being restored; with them it could not be dropped. They never connected, and the slot
/// that they name on the publisher belongs to the database that was backed up.
fn drop_subscriptions(options: &ConnectOptions) -> Result<(), Error> {
    let mut client = trusting_the_catalog_only(Client::connect(options)?)?;
    let rows = client.query(
        "SELECT subname FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid WHERE datname = current_database()",
        &[],
    )?;
    for row in rows {
        let name = quote_identifier(row.text(0)?);
        client.execute(&format!("ALTER SUBSCRIPTION {name} DISABLE"))?;
        client.execute(&format!("ALTER SUBSCRIPTION {name} SET (slot_name = NONE)"))?;
        client.execute(&format!("DROP SUBSCRIPTION {name}"))?;
    }
    Ok(())
}

/// Makes the database `name` as `properties` say. With `any_locale`, one with the collation `C` where the target does not know the right one;
/// then the reason is returned.
fn create_like(
    client: &mut Client,
    properties: &DatabaseProperties,
    name: &str,
    tablespace: bool,
    any_locale: bool,
) -> Result<Option<String>, LoadError> {
    let refused = |source| database_error(name, "created", source);
    let server_major = client.server_major();
    let reason = match properties.create_statement(name, tablespace, server_major) {
        Ok(statement) => match client.execute(&statement) {
            Ok(()) => return Ok(None),
            Err(Error::Server(error)) if any_locale && UNKNOWN_LOCALE.contains(&error.code.as_str()) => {
                error.message.clone()
            }
            Err(error) => return Err(refused(error)),
        },
        Err(error) if any_locale => error.to_string(),
        Err(error) => return Err(error),
    };
    // This collation goes with every encoding.
    let plain = DatabaseProperties {
        collate: "C".to_owned(),
        ctype: "C".to_owned(),
        locale_provider: LocaleProvider::Libc,
        ..properties.clone()
    };
    let statement = plain.create_statement(name, tablespace, server_major)?;
    client.execute(&statement).map_err(refused)?;
    Ok(Some(reason))
}

pub(super) fn database_error(database: &str, action: &'static str, source: Error) -> LoadError {
    LoadError::Database { database: database.to_owned(), action, source: Box::new(source) }
}

/// Drops the database that was replaced. It is no error if that fails: the restore is complete.
fn drop_replaced(client: &mut Client, name: &str, aside: &str) -> Option<LeftOut> {
    let error = client.execute(&format!("DROP DATABASE {}", quote_identifier(aside))).err()?;
    let reason = format!("it is kept as {aside}, because it could not be dropped: {error}");
    Some(LeftOut { object: format!("the database that was {name} before"), reason })
}
