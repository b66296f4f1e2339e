//! A logical backup: one snapshot, read by `pg_dump` and by our own COPY workers, stored as one manifest.
//!
//! Invariant (P1, P10): everything is read under one snapshot that was taken after the locks, and nothing is
//! committed unless the session that holds the snapshot lived until the end.

mod archive;
mod attempts;
mod plan;
mod server;
mod tables;

use std::time::Duration;

use model::Filters;
use postgres::ConnectOptions;
use repository::{CommitFacts, Manifest, Repository};

use crate::context::elapsed;
use crate::{Context, Error, Phase, Warning};
use attempts::{Dumped, Source};
pub(crate) use attempts::{check_size, new_id};
use server::Server;

/// What to back up, and how.
#[derive(Debug, Clone)]
pub struct BackupRequest {
    /// The database.
    pub source: ConnectOptions,
    /// The name under which its backups are kept together.
    pub source_name: String,
    /// What to leave out.
    pub filters: Filters,
    /// Connections that read rows at the same time.
    pub jobs: usize,
    /// Level of zstd, or `None` to store without compression.
    pub compression: Option<i32>,
    /// Tables of at least this size, in bytes on the server, are read by our own workers.
    pub large_table_bytes: u64,
    /// A limit for the size of the database.
    pub size_limit: Option<SizeLimit>,
    /// How long to wait for the lock of a table before trying again.
    pub lock_timeout: Duration,
}

/// A limit for the size of a database, and what to do when it is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeLimit {
    /// The limit in bytes.
    pub bytes: u64,
    /// Whether to refuse the backup; else a warning is given.
    pub refuse: bool,
}

/// What came of a backup.
#[derive(Debug, Clone)]
pub struct BackupReport {
    /// The manifest as it was committed.
    pub manifest: Manifest,
    /// What needs a person.
    pub warnings: Vec<Warning>,
    /// How long it took.
    pub duration: Duration,
}

/// Takes a backup of one database. It is complete and durable when this returns `Ok`, and absent otherwise; whether it
/// restores is for [`crate::verify`] to say.
pub fn backup(
    repository: &Repository,
    request: &BackupRequest,
    context: &Context<'_>,
) -> Result<BackupReport, Error> {
    let started_at = context.now();
    let mut warnings = Warnings { context, given: Vec::new() };
    context.phase(Phase::Preflight);
    let server = Server::examine(request, context, &mut warnings)?;

    let Dumped { writer, snapshot_at, tables, toc, counts } =
        Source { repository, server: &server, request, started_at, context }.dump(&mut warnings)?;

    context.phase(Phase::Commit);
    let logical = server.into_record(request, &toc, tables, counts)?;
    let facts = CommitFacts {
        started_at,
        finished_at: context.now(),
        snapshot_at,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        logical: Some(logical),
        physical: None,
    };
    let committed = writer.commit(facts)?;
    if let Err(error) = committed.checksums {
        warnings.give(Warning::NoChecksums { message: error.to_string() });
    }
    let duration = elapsed(started_at, context);
    Ok(BackupReport { manifest: committed.manifest, warnings: warnings.given, duration })
}

pub(crate) struct Warnings<'a> {
    pub(crate) context: &'a Context<'a>,
    pub(crate) given: Vec<Warning>,
}

impl Warnings<'_> {
    /// Gives a warning once, however often a dump has to start again.
    pub(crate) fn give(&mut self, warning: Warning) {
        if !self.given.contains(&warning) {
            self.context.warn(warning.clone());
            self.given.push(warning);
        }
    }
}
