//! A logical backup: one snapshot, read by `pg_dump` and by our own COPY workers, stored as one manifest.
//!
//! Invariant (P1, P10): everything is read under one snapshot that was taken after the locks, and nothing is
//! committed unless the session that holds the snapshot lived until the end.

mod archive;
mod plan;
mod server;
mod tables;

use std::time::Duration;

use jiff::Timestamp;
use model::{BackupId, Filters, Inventory, Kind, TableRecord};
use postgres::archive::Toc;
use postgres::{
    ConnectOptions, Snapshot, SnapshotOptions, moving_partitions, take_inventory, with_dumped_sequence_values,
};
use repository::{BackupWriter, CommitFacts, Manifest, Repository, WriteOptions};

use crate::context::elapsed;
use crate::progress::Progress;
use crate::{Context, Error, Phase, Warning, crew};
use plan::Plan;
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

    context.phase(Phase::Snapshot);
    let settings = SnapshotOptions {
        filters: request.filters.clone(),
        lock_timeout: request.lock_timeout,
        ..SnapshotOptions::default()
    };
    let mut snapshot = Snapshot::take(&request.source, &settings)?;
    let snapshot_at = context.now();
    let inventory = take_inventory(snapshot.client(), &request.filters)?;
    let moving = moving_partitions(snapshot.client())?;
    let plan = Plan::new(snapshot.tables(), request.large_table_bytes, &moving);
    check_size(plan.bytes, request.size_limit, &mut warnings)?;

    let id = new_id(repository, started_at, context)?;
    let options = WriteOptions { level: request.compression, ..WriteOptions::default() };
    let writer = repository.begin(id, &request.source_name, Kind::Logical, options)?;
    for problem in writer.reuse_problems() {
        warnings.give(Warning::ParentUnreadable { message: problem.to_string() });
    }
    let dump =
        Dump { repository, writer: &writer, snapshot: &snapshot, plan: &plan, server: &server, request };
    let (tables, toc) = dump.run(&inventory, context)?;
    snapshot.close()?;

    context.phase(Phase::Commit);
    let logical = server.into_record(request, &toc, tables, inventory.counts())?;
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

/// An id that sorts after those of all backups that are there, so that the order of ids is the order of backups even within
/// one second.
pub(crate) fn new_id(
    repository: &Repository,
    now: Timestamp,
    context: &Context<'_>,
) -> Result<BackupId, Error> {
    /// Draws before the next second is taken instead: one in two suffices on average.
    const DRAWS: usize = 64;
    let newest = repository.ids()?.into_iter().next();
    let mut ids = (0..DRAWS).map(|_| BackupId::new(now, context.random_bytes()));
    let later = ids.find(|id| newest.as_ref().is_none_or(|newest| id > newest));
    Ok(later.unwrap_or_else(|| BackupId::new(now + Duration::from_secs(1), context.random_bytes())))
}

/// Everything that the threads of a dump share.
struct Dump<'a> {
    repository: &'a Repository,
    writer: &'a BackupWriter,
    snapshot: &'a Snapshot,
    plan: &'a Plan<'a>,
    server: &'a Server,
    request: &'a BackupRequest,
}

impl Dump<'_> {
    /// Reads and stores everything: the archive and roles in one thread, rows in the others.
    fn run(&self, inventory: &Inventory, context: &Context<'_>) -> Result<(Vec<TableRecord>, Toc), Error> {
        let progress = Progress::begin(context, Phase::Dump, self.plan.bytes);
        std::thread::scope(|scope| {
            let programs =
                scope.spawn(|| crew::stopping_others(&progress, || self.programs(inventory, &progress)));
            let tables = crew::stopping_others(&progress, || {
                tables::read(self.repository, self.writer, self.snapshot, self.plan, self.request, &progress)
            });
            match (tables, crew::join(programs)) {
                (Ok(tables), Ok(toc)) => Ok((tables, toc)),
                (Err(error), Err(cause)) if error.is_consequence() => Err(cause),
                (Err(cause), _) | (Ok(_), Err(cause)) => Err(cause),
            }
        })
    }

    fn programs(&self, inventory: &Inventory, progress: &Progress<'_>) -> Result<Toc, Error> {
        let Self { writer, request, server, .. } = self;
        let (tools, without_rows) = (&server.tools, self.plan.large_names());
        let toc = archive::store(tools, self.snapshot.id(), &without_rows, request, writer, progress)?;
        archive::store_globals(tools, request, server.may_read_passwords, writer, progress)?;
        archive::store_inventory(&with_dumped_sequence_values(inventory, &toc), writer)?;
        Ok(toc)
    }
}

pub(crate) struct Warnings<'a> {
    pub(crate) context: &'a Context<'a>,
    pub(crate) given: Vec<Warning>,
}

impl Warnings<'_> {
    pub(crate) fn give(&mut self, warning: Warning) {
        self.context.warn(warning.clone());
        self.given.push(warning);
    }
}

pub(crate) fn check_size(
    bytes: u64,
    limit: Option<SizeLimit>,
    warnings: &mut Warnings<'_>,
) -> Result<(), Error> {
    match limit {
        Some(limit) if bytes > limit.bytes && limit.refuse => {
            Err(Error::LargerThanLimit { bytes, limit_bytes: limit.bytes })
        }
        Some(limit) if bytes > limit.bytes => {
            warnings.give(Warning::LargerThanLimit { bytes, limit_bytes: limit.bytes });
            Ok(())
        }
        _ => Ok(()),
    }
}
