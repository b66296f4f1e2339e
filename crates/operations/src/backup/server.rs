//! What is found out about the server before anything is read.

use std::collections::BTreeMap;

use model::TableRecord;
use postgres::archive::Toc;
use postgres::load::{DatabaseProperties, LoadOptions, read_roles, roles_needed};
use postgres::{Client, Extension, INVENTORY_VERSION, Severity, Tools};
use repository::{ExtensionRecord, LogicalRecord};

use super::{BackupRequest, Warnings};
use crate::{Context, Error, Warning};

/// Facts about the server and the database that go into the manifest, and the tools that suit them.
pub(crate) struct Server {
    pub(crate) tools: Tools,
    pub(crate) may_read_passwords: bool,
    client: Client,
    properties: DatabaseProperties,
    extensions: Vec<Extension>,
}

impl Server {
    /// Connects, finds the tools, and runs the preflight: what would make the backup fail is an error now.
    pub(crate) fn examine(
        request: &BackupRequest,
        context: &Context<'_>,
        warnings: &mut Warnings<'_>,
    ) -> Result<Self, Error> {
        let mut client = Client::connect(&request.source)?;
        postgres::apply_session_settings(&mut client)?;
        let tools = Tools::find(client.server_major(), context.tool_path.as_deref())?;
        let findings = postgres::preflight(&mut client, &request.filters)?;
        let (errors, rest): (Vec<_>, Vec<_>) =
            findings.into_iter().partition(|f| f.severity == Severity::Error);
        if !errors.is_empty() {
            return Err(Error::Preflight(errors));
        }
        for finding in rest {
            warnings.give(Warning::Preflight(finding));
        }
        let may_read_passwords = may_read_passwords(&mut client)?;
        if !may_read_passwords {
            warnings.give(Warning::RolesWithoutPasswords);
        }
        let properties = DatabaseProperties::read(&mut client)?;
        let extensions = postgres::extensions(&mut client)?;
        Ok(Self { tools, may_read_passwords, client, properties, extensions })
    }

    /// What the manifest says about the database, once everything was read.
    pub(crate) fn into_record(
        mut self,
        request: &BackupRequest,
        toc: &Toc,
        tables: Vec<TableRecord>,
        counts: BTreeMap<String, u64>,
    ) -> Result<LogicalRecord, Error> {
        let json = |what| move |source| Error::Json { what, source };
        let needed = roles_needed(toc, None, Some(&self.properties), &LoadOptions::default());
        let roles = read_roles(&mut self.client, &needed)?;
        let encoding = self.client.query_one(ENCODING, &[])?.text(0)?.to_owned();
        let extensions = self.extensions.into_iter();
        Ok(LogicalRecord {
            database: request.source.database().to_owned(),
            server_version: self.client.server_version(),
            pg_dump_version: self.tools.version().to_owned(),
            encoding,
            properties: serde_json::to_value(&self.properties).map_err(json("properties of the database"))?,
            roles: roles.iter().map(serde_json::to_value).collect::<Result<_, _>>().map_err(json("roles"))?,
            filters: request.filters.clone(),
            extensions: extensions
                .map(|Extension { name, version }| ExtensionRecord { name, version })
                .collect(),
            tables,
            counts,
            globals_without_passwords: !self.may_read_passwords,
            inventory_version: INVENTORY_VERSION,
        })
    }
}

const ENCODING: &str = "SELECT pg_catalog.pg_encoding_to_char(encoding) FROM pg_catalog.pg_database WHERE datname = current_database()";

/// Role passwords are in `pg_authid`, which only superusers may read by default.
fn may_read_passwords(client: &mut Client) -> Result<bool, Error> {
    let sql = "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT')";
    Ok(client.query_one(sql, &[])?.is_true(0))
}
