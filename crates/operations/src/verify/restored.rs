//! The level that proves: a restore into a sandbox, compared with the backup.

use std::time::Duration;

use postgres::load::{Apply, LoadOptions, NewDatabase, create_roles};
use postgres::{Client, Sandbox, SandboxOptions, Tools, ToolsError};
use repository::Repository;

use super::compare::{Compared, compare};
use crate::context::elapsed;
use crate::loading::Loading;
use crate::opened::Opened;
use crate::{Context, Error, Phase};

/// What a restore into a sandbox gave.
pub(crate) enum Rehearsal {
    /// It was done.
    Done { compared: Compared, restore: Duration, server_version: u32 },
    /// This machine cannot do it.
    Impossible(String),
}

/// Memory of the sandbox for pages. It has no other users, and its data was written a moment ago.
const SHARED_BUFFERS: &str = "256MB";

/// Restores `backup` into a throwaway cluster and compares what came out.
pub(crate) fn rehearse(
    repository: &Repository,
    backup: &Opened,
    jobs: usize,
    context: &Context<'_>,
) -> Result<Rehearsal, Error> {
    let (server_tools, tools) = match find_tools(backup, context) {
        Ok(found) => found,
        Err(error @ ToolsError::NotFound { .. }) => return Ok(Rehearsal::Impossible(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    context.phase(Phase::Sandbox);
    let sandbox = Sandbox::start(&server_tools, &sandbox_options(backup, context))?;
    let mut client = Client::connect(&sandbox.options("postgres"))?;
    if let Some(reason) = missing_extension(backup, &mut client)? {
        return Ok(Rehearsal::Impossible(reason));
    }
    create_roles(&mut client, &backup.roles)?;
    let started_at = context.now();
    let apply = Apply { tablespaces: false, any_locale: true, security_labels: false, ..Apply::default() };
    let target = sandbox.options("proof");
    let database = NewDatabase::create(&target, backup.properties.clone(), apply, context.random_bytes())?;
    let server_version = client.server_version();
    let loading = Loading {
        backup,
        tools: &tools,
        target: database.options(),
        server_major: client.server_major(),
        selection: None,
        options: LoadOptions { tablespaces: false, ..LoadOptions::default() },
        jobs,
    };
    loading.run(context)?;
    database.finish(target.database(), false)?;
    let restore = elapsed(started_at, context);
    let compared = compare(backup, &repository.row_hasher(), &target, jobs, context)?;
    Ok(Rehearsal::Done { compared, restore, server_version })
}

/// The programs of a server that can hold the backup, and those that restore into it. They may be in different directories.
pub(crate) fn find_tools(backup: &Opened, context: &Context<'_>) -> Result<(Tools, Tools), ToolsError> {
    let path = context.tool_path.as_deref();
    let server = Tools::find_server(backup.record.server_version / 10_000, path)?;
    let client = Tools::find(server.major(), path)?;
    Ok((server, client))
}

/// A sandbox that has room for the backup.
pub(crate) fn sandbox_options(backup: &Opened, context: &Context<'_>) -> SandboxOptions {
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
