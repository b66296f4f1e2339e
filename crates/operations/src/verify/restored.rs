//! The level that proves: a restore into a sandbox, compared with the backup.

use std::time::Duration;

use model::{Check, CheckSeverity};
use postgres::load::{Apply, LoadOptions, NewDatabase, Selection, create_roles};
use postgres::{Client, ConnectOptions, Sandbox, SandboxOptions, Tools, ToolsError};
use repository::Repository;

use super::compare::{Compared, compare};
use crate::context::elapsed;
use crate::loading::Loading;
use crate::opened::Opened;
use crate::verify::VerifyRequest;
use crate::{CheckRequest, Context, Error, Phase, Problem, run_checks};

/// What a restore into a sandbox gave.
pub(crate) enum Rehearsal {
    /// It was done.
    Done { compared: Compared, restore: Duration, server_version: u32 },
    /// This machine cannot do it.
    Impossible(String),
}

/// Memory of the sandbox for pages. It has no other users, and its data was written a moment ago.
const SHARED_BUFFERS: &str = "256MB";
/// The name of the restored database.
const DATABASE: &str = "proof";

/// Restores `backup` into a throwaway cluster and compares what came out.
pub(crate) fn rehearse(
    repository: &Repository,
    backup: &Opened,
    request: VerifyRequest<'_>,
    context: &Context<'_>,
) -> Result<Rehearsal, Error> {
    let jobs = request.jobs;
    let sandbox = match BackupSandbox::start(backup, context)? {
        Ok(sandbox) => sandbox,
        Err(reason) => return Ok(Rehearsal::Impossible(reason)),
    };
    let started_at = context.now();
    let target = sandbox.restore(backup, DATABASE, jobs, context)?;
    let restore = elapsed(started_at, context);
    let mut compared = compare(backup, &repository.row_hasher(), &target, jobs, context)?;
    compared.problems.extend(check(backup, request.checks, &target, context)?);
    Ok(Rehearsal::Done { compared, restore, server_version: sandbox.server_version })
}

/// A throwaway server that can hold a backup.
pub(crate) struct BackupSandbox {
    sandbox: Sandbox,
    tools: Tools,
    server_version: u32,
}

impl BackupSandbox {
    /// Starts it and makes the roles of the backup; or says why this machine cannot.
    pub(crate) fn start(backup: &Opened, context: &Context<'_>) -> Result<Result<Self, String>, Error> {
        let (server_tools, tools) = match find_tools(backup, context) {
            Ok(found) => found,
            Err(error @ ToolsError::NotFound { .. }) => return Ok(Err(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        context.phase(Phase::Sandbox);
        let sandbox = Sandbox::start(&server_tools, &options(backup, context))?;
        let mut client = Client::connect(&sandbox.options("postgres"))?;
        if let Some(reason) = missing_extension(backup, &mut client)? {
            return Ok(Err(reason));
        }
        create_roles(&mut client, &backup.roles)?;
        let server_version = client.server_version();
        Ok(Ok(Self { sandbox, tools, server_version }))
    }

    /// How to connect to a database of it.
    pub(crate) fn options(&self, database: &str) -> ConnectOptions {
        self.sandbox.options(database)
    }

    /// Restores the backup into a new database.
    pub(crate) fn restore(
        &self,
        backup: &Opened,
        name: &str,
        jobs: usize,
        context: &Context<'_>,
    ) -> Result<ConnectOptions, Error> {
        self.restore_chosen(backup, None, name, jobs, context)
    }

    /// Restores what was chosen of the backup, or all, into a new database.
    pub(crate) fn restore_chosen(
        &self,
        backup: &Opened,
        selection: Option<&Selection>,
        name: &str,
        jobs: usize,
        context: &Context<'_>,
    ) -> Result<ConnectOptions, Error> {
        let apply =
            Apply { tablespaces: false, any_locale: true, security_labels: false, ..Apply::default() };
        let target = self.options(name);
        let database =
            NewDatabase::create(&target, backup.properties.clone(), apply, context.random_bytes())?;
        let loading = Loading {
            backup,
            tools: &self.tools,
            target: database.options(),
            server_major: self.server_version / 10_000,
            selection,
            options: LoadOptions { tablespaces: false, ..LoadOptions::default() },
            jobs,
        };
        loading.run(context)?;
        database.finish(name, false)?;
        Ok(target)
    }
}

/// Runs the checks of the site. What holds for every database is compared with the backup already.
fn check(
    backup: &Opened,
    checks: &[Check],
    database: &ConnectOptions,
    context: &Context<'_>,
) -> Result<Vec<Problem>, Error> {
    let checks = backup.checks(checks);
    if checks.is_empty() {
        return Ok(Vec::new());
    }
    let report =
        run_checks(database, CheckRequest { built_in: false, ..CheckRequest::all(&checks) }, context)?;
    for warning in report.warnings(&[CheckSeverity::Warning]) {
        context.warn(warning);
    }
    Ok(report.problems())
}

/// The programs of a server that can hold the backup, and those that restore into it. They may be in different directories.
fn find_tools(backup: &Opened, context: &Context<'_>) -> Result<(Tools, Tools), ToolsError> {
    let path = context.tool_path.as_deref();
    let server = Tools::find_server(backup.record.server_version / 10_000, path)?;
    let client = Tools::find(server.major(), path)?;
    Ok((server, client))
}

fn options(backup: &Opened, context: &Context<'_>) -> SandboxOptions {
    let tables = backup.record.tables.len();
    let mut options = SandboxOptions::new(&context.sandbox_parent);
    options.settings.push(("shared_buffers".to_owned(), SHARED_BUFFERS.to_owned()));
    // A restore locks every table in one transaction when it makes constraints and privileges.
    let locks = u32::try_from(tables / 10).unwrap_or(u32::MAX);
    options.locks_per_transaction = options.locks_per_transaction.max(locks);
    options
}

/// An extension that the sandbox's installation lacks; without it the backup cannot be restored here.
fn missing_extension(backup: &Opened, client: &mut Client) -> Result<Option<String>, Error> {
    for extension in &backup.record.extensions {
        let sql = "SELECT 1 FROM pg_catalog.pg_available_extensions WHERE name = $1";
        if client.query(sql, &[Some(&extension.name)])?.is_empty() {
            let name = &extension.name;
            return Ok(Some(format!("extension {name:?} is not installed with the local PostgreSQL")));
        }
    }
    Ok(None)
}
