//! What a restore into a database would meet.

use std::collections::BTreeSet;

use model::BackupId;
use postgres::load::{
    Existing, LoadError, LoadOptions, Selection, first_object, maintenance_client, missing_roles,
    roles_needed,
};
use postgres::{Client, TargetDatabase, TargetServer, Tools, refused_locale};
use repository::Repository;

use super::{Findings, PreflightFinding, room};
use crate::opened::Opened;
use crate::{Context, Error, RestoreRequest};

/// Objects that only a superuser can make, whoever owns the database, as archives call them.
const FOR_SUPERUSERS: [&str; 5] =
    ["EVENT TRIGGER", "FOREIGN DATA WRAPPER", "ACCESS METHOD", "OPERATOR CLASS", "OPERATOR FAMILY"];
/// Connections besides those that load: the one that leads, and one that looks at databases.
const OTHER_CONNECTIONS: i64 = 2;
/// Kinds of sessions that are named.
const NAMED: usize = 5;

/// Looks at everything that a restore of `id` as `request` says would meet; worst first. It can be done when no finding is an
/// error ([`postgres::Severity::Error`]).
///
/// # Errors
/// When the backup cannot be read, or the server cannot be asked at all.
pub fn preflight_restore(
    repository: &Repository,
    id: &BackupId,
    request: &RestoreRequest,
    context: &Context<'_>,
) -> Result<Vec<PreflightFinding>, Error> {
    let backup = Opened::open(repository, id)?;
    let mut client = maintenance_client(&request.target)?;
    let name = request.target.database();
    let server = TargetServer::read(&mut client, name)?;
    let database = TargetDatabase::read(&mut client, name)?;
    let mut look = Look { backup: &backup, request, server: &server, findings: Findings::default() };
    look.server();
    look.tools(context);
    look.place(database.as_ref())?;
    let selection = look.selection(database.is_some())?;
    look.roles(&mut client, selection.as_ref())?;
    look.extensions();
    look.superuser(selection.as_ref());
    look.locale(&mut client)?;
    look.tablespaces(selection.as_ref());
    look.room();
    Ok(look.findings.sorted())
}

struct Look<'a> {
    backup: &'a Opened,
    request: &'a RestoreRequest,
    server: &'a TargetServer,
    findings: Findings,
}

impl Look<'_> {
    /// A new database is made, in place of another or not.
    fn makes_database(&self) -> bool {
        self.request.create || self.request.clean
    }

    fn server(&mut self) {
        let (server, jobs) = (self.server, self.request.jobs.max(1));
        let findings = &mut self.findings;
        if server.is_standby {
            let message = "it is a standby, which takes no changes".to_owned();
            findings.error("server.standby", "server", message, "Restore into its primary, or promote it.");
        }
        version(findings, server.version / 10_000, self.backup.record.server_version / 10_000);
        let needed = i64::try_from(jobs).unwrap_or(i64::MAX).saturating_add(OTHER_CONNECTIONS);
        if server.free_connections < needed {
            findings.error(
                "server.connections",
                "server",
                format!("role {:?} can open {} more connections, and the restore needs {needed}", server.role, server.free_connections.max(0)),
                "Use fewer --jobs, end sessions that are not needed, or raise max_connections or the role's limit.",
            );
        }
        if server.keeps_wal {
            let message =
                "WAL is archived or kept for replication: about as much of it as the backup is large";
            findings.note("server.wal", "server", message.to_owned());
        }
        for changed in &server.changed_collations {
            findings.warning(
                "collation.version",
                format!("database {}", changed.database),
                format!(
                    "it was made with version {} of its collation, and that is {} now",
                    changed.recorded, changed.actual
                ),
                "REINDEX what sorts text there, then ALTER DATABASE … REFRESH COLLATION VERSION.",
            );
        }
    }

    fn tools(&mut self, context: &Context<'_>) {
        match Tools::find(self.server.version / 10_000, context.tool_path.as_deref()) {
            Ok(tools) => {
                let message = format!("{} in {}", tools.version(), tools.directory().display());
                self.findings.note("tools.found", "pg_restore", message);
            }
            Err(error) => {
                let remedy = "Install the package that is named, or add its directory to PATH.";
                self.findings.error(
                    "tools.missing",
                    "pg_restore",
                    crate::error::with_sources(&error),
                    remedy,
                );
            }
        }
    }

    /// The database that is restored into, or its place.
    fn place(&mut self, database: Option<&TargetDatabase>) -> Result<(), Error> {
        let name = self.request.target.database();
        let object = format!("database {name}");
        if self.makes_database() && !self.server.may_create_databases {
            self.findings.error(
                "server.privileges",
                format!("role {}", self.server.role),
                "it may not make databases".to_owned(),
                format!(
                    "ALTER ROLE {} CREATEDB, or connect as a role that has it.",
                    model::quote_identifier(&self.server.role)
                ),
            );
        }
        let Some(database) = database else {
            if !self.makes_database() {
                let message = "it does not exist".to_owned();
                self.findings.error(
                    "target.missing",
                    object,
                    message,
                    "Add --create to create the database.",
                );
            }
            return Ok(());
        };
        self.sessions(&object, database);
        if self.request.clean {
            self.replaced(&object, database);
        } else if self.request.create {
            let message = "it exists already".to_owned();
            let remedy = "Leave out --create, name another database, or add --clean to replace it.";
            self.findings.error("target.exists", object, message, remedy);
        } else {
            self.filled(&object, database)?;
        }
        Ok(())
    }

    fn sessions(&mut self, object: &str, database: &TargetDatabase) {
        let number: u64 = database.sessions.iter().map(|sessions| sessions.count).sum();
        if number == 0 {
            return;
        }
        let words = |it: &postgres::Sessions| {
            let application = if it.application.is_empty() { "no name" } else { &it.application };
            format!("{} of {application:?} as {:?}", it.count, it.role)
        };
        let mut named: Vec<_> = database.sessions.iter().take(NAMED).map(words).collect();
        if database.sessions.len() > NAMED {
            named.push("others".to_owned());
        }
        let happens = if self.request.clean { ", which will be ended" } else { "" };
        let message = format!("it is in use by {number} sessions{happens}: {}", named.join(", "));
        self.findings.warning("target.in_use", object, message, "Stop the applications that are named.");
    }

    /// A database in whose place another is put.
    fn replaced(&mut self, object: &str, database: &TargetDatabase) {
        if !self.server.is_superuser && !database.is_ours {
            self.findings.error(
                "server.privileges",
                object,
                format!(
                    "it belongs to {:?}, so that role {:?} may not replace it",
                    database.owner, self.server.role
                ),
                "Connect as its owner or as a superuser.",
            );
        }
        if !database.prepared_transactions.is_empty() {
            self.findings.error(
                "target.prepared",
                object,
                format!(
                    "transactions are prepared in it, so that it cannot be renamed: {}",
                    database.prepared_transactions.join(", ")
                ),
                "COMMIT PREPARED or ROLLBACK PREPARED.",
            );
        }
        if !database.slots.is_empty() {
            self.findings.warning(
                "target.slots",
                object,
                format!("it has replication slots, so that it cannot be dropped and is kept under another name: {}", database.slots.join(", ")),
                "Drop the slots when nobody needs them any more: pg_drop_replication_slot.",
            );
        }
    }

    /// A database that is filled as it is.
    fn filled(&mut self, object: &str, database: &TargetDatabase) -> Result<(), Error> {
        let wanted = &self.backup.record.encoding;
        if database.encoding != *wanted {
            self.findings.warning(
                "target.encoding",
                object,
                format!("its encoding is {}, and that of the backup {wanted}: what has no letter there is refused", database.encoding),
                "Restore into a new database with --create.",
            );
        }
        if self.request.tables.is_empty()
            && let Some(first) = first_object(&mut Client::connect(&self.request.target)?)?
        {
            let message = format!("it is not empty: it holds {first}");
            let remedy = "Name an empty database, or add --clean to replace what is in it.";
            self.findings.error("target.not_empty", object, message, remedy);
        }
        Ok(())
    }

    /// The tables that were chosen. What cannot be chosen is a finding.
    fn selection(&mut self, exists: bool) -> Result<Option<Selection>, Error> {
        let tables = &self.request.tables;
        if tables.is_empty() {
            return Ok(None);
        }
        let existing = if exists && !self.makes_database() {
            Existing::read(&mut Client::connect(&self.request.target)?)?
        } else {
            Existing::in_new_database()
        };
        let (code, remedy) = match Selection::of_tables(&self.backup.toc, tables, &existing) {
            Ok(selection) => return Ok(Some(selection)),
            Err(error @ LoadError::TableExists { .. }) => {
                let remedy = "Drop or rename the table in the target, or restore into another database.";
                (("table.exists", error), remedy)
            }
            Err(error @ (LoadError::UnknownTable { .. } | LoadError::AmbiguousTable { .. })) => {
                (("table.missing", error), "Run `chronavault show ID` to see the tables of the backup.")
            }
            Err(error) => return Err(error.into()),
        };
        let (code, error) = code;
        self.findings.error(code, tables.join(", "), error.to_string(), remedy);
        Ok(None)
    }

    fn roles(&mut self, client: &mut Client, selection: Option<&Selection>) -> Result<(), Error> {
        let properties = self.makes_database().then_some(&self.backup.properties);
        let needed = roles_needed(&self.backup.toc, selection, properties, &LoadOptions::default());
        let missing = missing_roles(client, &needed)?;
        let names = |roles: &BTreeSet<String>| {
            roles.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
        };
        let findings = &mut self.findings;
        match (missing.is_empty(), self.request.create_roles) {
            (true, _) => {}
            (false, false) => findings.error(
                "roles.missing",
                "roles",
                format!("the target server has no role {}", names(&missing)),
                "Create the roles that are named, or add --create-roles to create them without passwords.",
            ),
            (false, true) if !self.server.may_create_roles => findings.error(
                "server.privileges",
                format!("role {}", self.server.role),
                format!("it may not make roles, and the server has no role {}", names(&missing)),
                format!(
                    "ALTER ROLE {} CREATEROLE, or connect as a role that has it.",
                    model::quote_identifier(&self.server.role)
                ),
            ),
            (false, true) => {
                findings.note(
                    "roles.made",
                    "roles",
                    format!("they will be made without passwords: {}", names(&missing)),
                );
            }
        }
        if !self.server.is_superuser {
            let owners =
                owners(self.backup, selection, properties.map(|properties| properties.owner.as_str()));
            let foreign: BTreeSet<_> = owners
                .into_iter()
                .filter(|name| !missing.contains(name) && !self.server.assumable_roles.contains(name))
                .collect();
            if !foreign.is_empty() {
                self.findings.error(
                    "server.privileges",
                    format!("role {}", self.server.role),
                    format!("it may not give objects to {}, who own what is restored", names(&foreign)),
                    "GRANT these roles to it, or connect as a superuser.",
                );
            }
        }
        Ok(())
    }

    fn extensions(&mut self) {
        for wanted in &self.backup.record.extensions {
            let object = format!("extension {}", wanted.name);
            match self.server.extensions.get(&wanted.name) {
                // A table that was chosen may not need it.
                None if !self.request.tables.is_empty() => self.findings.warning(
                    "extension.missing",
                    object,
                    "it is not installed with the server, and a table may need it".to_owned(),
                    "Install its package on the server.",
                ),
                None => self.findings.error(
                    "extension.missing",
                    object,
                    format!(
                        "it is not installed with the server, and the database has version {} of it",
                        wanted.version
                    ),
                    "Install its package on the server.",
                ),
                Some(available)
                    if available.needs_superuser
                        && !self.server.is_superuser
                        && self.request.tables.is_empty() =>
                {
                    self.findings.error(
                        "server.privileges",
                        object,
                        format!("only a superuser can make it, and {:?} is none", self.server.role),
                        "Connect as a superuser, or have one make the extension in the database first and restore the tables.",
                    );
                }
                Some(available) if available.version != wanted.version => self.findings.note(
                    "extension.version",
                    object,
                    format!("it will be version {}, and was {}", available.version, wanted.version),
                ),
                Some(_) => {}
            }
        }
    }

    /// What only a superuser can make.
    fn superuser(&mut self, selection: Option<&Selection>) {
        if self.server.is_superuser {
            return;
        }
        let entries =
            self.backup.toc.entries.iter().filter(|entry| {
                selection.is_none_or(|selection| selection.dump_ids.contains(&entry.dump_id))
            });
        let kinds: BTreeSet<&str> =
            entries.map(|entry| entry.desc.as_str()).filter(|desc| FOR_SUPERUSERS.contains(desc)).collect();
        if !kinds.is_empty() {
            let kinds = kinds.into_iter().collect::<Vec<_>>().join(", ");
            self.findings.error(
                "server.privileges",
                format!("role {}", self.server.role),
                format!("it is no superuser, and the backup has what only one can make: {kinds}"),
                "Connect as a superuser.",
            );
        }
    }

    fn locale(&mut self, client: &mut Client) -> Result<(), Error> {
        if !self.makes_database() || self.server.is_standby {
            return Ok(());
        }
        let properties = &self.backup.properties;
        let major = self.server.version / 10_000;
        let needed = properties.needed_major();
        let message = if major < needed {
            format!(
                "a database with locale provider {} needs PostgreSQL {needed}, and the target is {major}",
                properties.locale_provider
            )
        } else if let Some(reason) = refused_locale(client, &properties.locale())? {
            format!("the server does not know the collation of the database: {reason}")
        } else {
            return Ok(());
        };
        let remedy = "Install the locale on the server (locale-gen, then restart it), or restore into a server of at least the version that is named.";
        self.findings.error(
            "target.locale",
            format!("database {}", self.request.target.database()),
            message,
            remedy,
        );
        Ok(())
    }

    fn tablespaces(&mut self, selection: Option<&Selection>) {
        let entries = self.backup.toc.entries.iter();
        let wanted = entries
            .filter(|entry| selection.is_none_or(|selection| selection.dump_ids.contains(&entry.dump_id)))
            .filter_map(|entry| entry.tablespace.as_ref())
            .filter(|name| !name.is_empty())
            .map(|name| name.to_text().into_owned());
        let of_database = self.makes_database().then(|| self.backup.properties.tablespace.clone());
        let wanted: BTreeSet<String> = wanted.chain(of_database).collect();
        for name in wanted.difference(&self.server.tablespaces) {
            self.findings.warning(
                "tablespace.missing",
                format!("tablespace {name}"),
                "the server has none of that name: what was in it goes into the default tablespace"
                    .to_owned(),
                "CREATE TABLESPACE, if it matters where things lie.",
            );
        }
    }

    fn room(&mut self) {
        let needed = self.backup.reader.manifest().plain_bytes;
        match &self.server.data_directory {
            Some(path) if path.exists() => room::examine(&mut self.findings, path, needed, true),
            _ => self.findings.note(
                "disk.unknown",
                "server",
                format!(
                    "how much is free on its disk cannot be seen from here; the backup has {} as text",
                    model::ByteSize(needed)
                ),
            ),
        }
    }
}

/// Compares the major versions of the target and of the server that was backed up.
fn version(findings: &mut Findings, here: u32, there: u32) {
    if here < there {
        findings.warning(
            "server.version",
            "server",
            format!("version {here} is older than {there}, of which the backup is, and may not know everything in it"),
            format!("Restore into a server of version {there} or newer."),
        );
    }
}

/// Who owns what is restored.
fn owners(backup: &Opened, selection: Option<&Selection>, of_database: Option<&str>) -> BTreeSet<String> {
    let entries = backup.toc.entries.iter();
    entries
        .filter(|entry| selection.is_none_or(|selection| selection.dump_ids.contains(&entry.dump_id)))
        .filter(|entry| {
            !matches!(entry.desc.as_str(), "ACL" | "DEFAULT ACL" | "DATABASE" | "DATABASE PROPERTIES")
        })
        .filter_map(|entry| entry.owner.as_ref())
        .filter(|owner| !owner.is_empty())
        .map(|owner| owner.to_text().into_owned())
        .chain(of_database.map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_older_server_is_warned_of() {
        let found = |here, there| {
            let mut findings = Findings::default();
            version(&mut findings, here, there);
            findings.sorted()
        };
        assert_eq!(found(15, 15), []);
        assert_eq!(found(18, 13), []);
        let [older] = &found(13, 18)[..] else { panic!("nothing is said of an older server") };
        assert!(older.message.starts_with("version 13 is older than 18") && older.remedy.contains("18"));
    }
}
