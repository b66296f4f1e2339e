//! Reading the database: locks, snapshot, dump; and again from the start where others wanted tables for themselves meanwhile.
//!
//! Invariant: nothing of an attempt that failed goes into the next one, which has its own snapshot and its own writer.
//!
//! The session of the snapshot locks every table, but `pg_dump` and every other session must lock again what they read.
//! Whoever has asked for an exclusive lock in between waits for us, and everybody who asks later waits behind them. That
//! would last for ever, so waiting is limited; only letting go of everything lets the others through.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use model::{BackupId, Inventory, Kind, TableRecord};
use postgres::archive::Toc;
use postgres::{
    Blocker, Snapshot, SnapshotError, SnapshotOptions, moving_partitions, take_inventory,
    with_dumped_sequence_values,
};
use repository::{BackupWriter, Repository, WriteOptions};

use super::plan::Plan;
use super::server::Server;
use super::{BackupRequest, SizeLimit, Warnings, archive, tables};
use crate::progress::Progress;
use crate::{Context, Error, Phase, Warning, crew};

/// How often a dump is begun in all. Each attempt waits for locks as long as the lock timeout says.
const ATTEMPTS: u32 = 3;

/// A database that was read and stored, but for the manifest.
pub(super) struct Dumped {
    pub(super) writer: BackupWriter,
    pub(super) snapshot_at: Timestamp,
    pub(super) tables: Vec<TableRecord>,
    pub(super) toc: Toc,
    /// Number of objects of each class.
    pub(super) counts: BTreeMap<String, u64>,
}

/// What is read, from where, and into what.
pub(super) struct Source<'a> {
    pub(super) repository: &'a Repository,
    pub(super) server: &'a Server,
    pub(super) request: &'a BackupRequest,
    pub(super) started_at: Timestamp,
    pub(super) context: &'a Context<'a>,
}

impl Source<'_> {
    /// Reads the database, from the start again as long as others are in the way, up to [`ATTEMPTS`] times.
    pub(super) fn dump(&self, warnings: &mut Warnings<'_>) -> Result<Dumped, Error> {
        let mut attempt = 1;
        loop {
            let blockers = match self.try_once(warnings)? {
                Ok(dumped) => return Ok(dumped),
                Err(blockers) => blockers,
            };
            if attempt == ATTEMPTS {
                return Err(SnapshotError::Locked { blockers, attempts: ATTEMPTS }.into());
            }
            attempt += 1;
            warnings.give(Warning::StartedAgain { blockers, attempt, attempts: ATTEMPTS });
        }
    }

    /// One attempt; or who was in the way, having let go of all locks.
    fn try_once(&self, warnings: &mut Warnings<'_>) -> Result<Result<Dumped, Vec<Blocker>>, Error> {
        let Self { repository, server, request, started_at, context } = *self;
        context.phase(Phase::Snapshot);
        let settings = SnapshotOptions {
            filters: request.filters.clone(),
            lock_timeout: request.lock_timeout,
            ..SnapshotOptions::default()
        };
        let mut snapshot =
            Snapshot::take_unless(&request.source, &settings, &|| context.observer.cancelled())?;
        let snapshot_at = context.now();
        let inventory = take_inventory(snapshot.client(), &request.filters)?;
        let moving = moving_partitions(snapshot.client())?;
        let plan = Plan::new(snapshot.tables(), request.large_table_bytes, &moving);
        check_size(plan.bytes, request.size_limit, warnings)?;

        let id = new_id(repository, started_at, context)?;
        let options = WriteOptions { level: request.compression, ..WriteOptions::default() };
        let mut writer = repository.begin(id, &request.source_name, Kind::Logical, options)?;
        if let Some(lease) = &context.lease {
            writer.require_lease(lease.clone());
        }
        for problem in writer.reuse_problems() {
            warnings.give(Warning::ParentUnreadable { message: problem.to_string() });
        }
        let dump = Dump { repository, writer: &writer, snapshot: &snapshot, plan: &plan, server, request };
        let (tables, toc) = match dump.run(&inventory, context) {
            Ok(read) => read,
            Err(error) => return in_the_way(error, &mut snapshot).map(Err),
        };
        snapshot.close()?;
        Ok(Ok(Dumped { writer, snapshot_at, tables, toc, counts: inventory.counts() }))
    }
}

/// Who waited for a table so that it could not be read; the error itself if it has another reason.
fn in_the_way(error: Error, snapshot: &mut Snapshot) -> Result<Vec<Blocker>, Error> {
    /// SQLSTATEs: PostgreSQL documentation, appendix A.
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    const DEADLOCK_DETECTED: &str = "40P01";
    let is_certain = match &error {
        Error::Snapshot(SnapshotError::Locked { .. }) => true,
        Error::ReadRows { source, .. }
            if matches!(source.code(), Some(LOCK_NOT_AVAILABLE | DEADLOCK_DETECTED)) =>
        {
            true
        }
        // `pg_dump` names the statement, but gives the reason only in the language of the server.
        Error::Process(error) if postgres::failed_to_lock(error) => false,
        _ => return Err(error),
    };
    match snapshot.waiting() {
        Ok(waiting) if is_certain || !waiting.is_empty() => Ok(waiting),
        _ => Err(error),
    }
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
