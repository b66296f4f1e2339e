//! A physical backup: one source reads the cluster, one sink stores it, one manifest makes it exist.

use std::num::NonZeroUsize;
use std::time::Duration;

use jiff::Timestamp;
use model::Kind;
use postgres::{
    BaseBackup, BaseBackupOptions, Checkpoint, Client, ClusterError, ClusterSource, ClusterStart,
    ClusterStop, ConnectOptions, DataDirectory, DataDirectoryOptions, EarlierBackup,
};
use repository::{
    BackupWriter, ClusterWriter, CommitFacts, PhysicalRecord, Repository, TablespaceRecord, WriteOptions,
};

use super::sink::{BadPages, Sink};
use crate::backup::{SizeLimit, Warnings, check_size, new_id};
use crate::context::elapsed;
use crate::progress::Progress;
use crate::{BackupReport, Context, Error, Phase, Warning};

/// What the server calls the backup.
const LABEL: &str = "chronavault";

/// How the files of a cluster are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Method {
    /// From the data directory where that is here and readable, else over the replication protocol.
    #[default]
    Auto,
    /// Over the replication protocol.
    BaseBackup,
    /// From the data directory.
    DataDirectory,
}

/// What cluster to back up, and how.
#[derive(Debug, Clone)]
pub struct ClusterBackupRequest {
    /// Any database of the cluster, and a role with the privilege REPLICATION.
    pub source: ConnectOptions,
    /// The name under which its backups are kept together.
    pub source_name: String,
    /// How to read.
    pub method: Method,
    /// Whether the checkpoint at the start is to be done at once, which is a load on the server, instead of spread over time.
    pub fast_checkpoint: bool,
    /// Threads that read and seal at the same time.
    pub jobs: usize,
    /// Level of zstd, or `None` to store without compression.
    pub compression: Option<i32>,
    /// A limit for the size of the cluster.
    pub size_limit: Option<SizeLimit>,
}

/// Takes a physical backup. It is complete and durable when this returns `Ok`, and absent otherwise.
pub fn backup_cluster(
    repository: &Repository,
    request: &ClusterBackupRequest,
    context: &Context<'_>,
) -> Result<BackupReport, Error> {
    let started_at = context.now();
    let mut warnings = Warnings { context, given: Vec::new() };
    context.phase(Phase::Preflight);
    let id = new_id(repository, started_at, context)?;
    // The threads of the source seal; the one here has only the list of files to do.
    let options = WriteOptions { level: request.compression, seal_threads: 1, ..WriteOptions::default() };
    let mut writer = repository.begin(id, &request.source_name, Kind::Physical, options)?;
    if let Some(lease) = &context.lease {
        writer.require_lease(lease.clone());
    }
    for problem in writer.reuse_problems() {
        warnings.give(Warning::ParentUnreadable { message: problem.to_string() });
    }
    let cluster = writer.cluster()?;
    let mut source = choose(request, earlier(&writer, &cluster))?;

    context.phase(Phase::Checkpoint);
    let start = source.start()?;
    check_size(start.expected_bytes, request.size_limit, &mut warnings)?;
    let progress = Progress::begin(context, Phase::Files, start.expected_bytes);
    let sink = Sink::new(&cluster, &start, &progress);
    let cancelled = || progress.check().is_err();
    let stop = source.read(&sink, &cancelled)?;
    let read = Read { bad: sink.into_bad_pages(), stop, method: source.method() };
    for message in &read.stop.warnings {
        warnings.give(Warning::Server { message: message.clone() });
    }
    if read.bad.count > 0 {
        warnings.give(read.bad.warning());
    }
    context.phase(Phase::Commit);
    let committed = commit(writer, cluster, started_at, &start, read, context)?;
    if let Err(error) = committed.checksums {
        warnings.give(Warning::NoChecksums { message: error.to_string() });
    }
    let duration: Duration = elapsed(started_at, context);
    Ok(BackupReport { manifest: committed.manifest, warnings: warnings.given, duration })
}

/// What a source gave.
struct Read {
    bad: BadPages,
    stop: ClusterStop,
    method: &'static str,
}

impl BadPages {
    fn warning(&self) -> Warning {
        let first = self.listed.first().map(|bad| format!("block {} of {}", bad.block, bad.path));
        Warning::BadPages { count: self.count, first: first.unwrap_or_default() }
    }
}

/// The source that reads the cluster.
fn choose(
    request: &ClusterBackupRequest,
    earlier: Option<EarlierBackup>,
) -> Result<Box<dyn ClusterSource>, Error> {
    let checkpoint = if request.fast_checkpoint { Checkpoint::Fast } else { Checkpoint::Spread };
    let threads = NonZeroUsize::new(request.jobs).unwrap_or(NonZeroUsize::MIN);
    if request.method != Method::BaseBackup {
        let earlier = earlier.clone();
        let options = DataDirectoryOptions { label: LABEL.to_owned(), checkpoint, threads, earlier };
        match DataDirectory::usable(Client::connect(&request.source)?, options) {
            Ok(source) => return Ok(Box::new(source)),
            Err(error) if request.method == Method::DataDirectory => {
                return Err(Error::DataDirectory(Box::new(error)));
            }
            // That it cannot be read here is no fault; anything else is found again below.
            Err(_) => {}
        }
    }
    let connection = request.source.clone();
    let options = BaseBackupOptions { connection, checkpoint, threads, checksums: true, earlier };
    Ok(Box::new(BaseBackup::new(options)))
}

fn earlier(writer: &BackupWriter, cluster: &ClusterWriter) -> Option<EarlierBackup> {
    let started_at = writer.parent()?.started_at();
    let (record, files) = cluster.earlier().filter(|_| cluster.serves_unread())?;
    let files = files.iter().filter_map(|file| Some((file.path.clone(), file.bytes?)));
    let is_data = |path: &model::ClusterPath| {
        path.parent() != Some("pg_wal") && !matches!(path.as_str(), "backup_label" | "tablespace_map")
    };
    Some(EarlierBackup {
        system_id: record.system_identifier,
        timeline: record.timeline,
        data_checksums: record.data_checksums,
        started_at,
        start_lsn: record.start_lsn,
        stop_lsn: record.stop_lsn,
        files: files.filter(|(path, _)| is_data(path)).collect(),
    })
}

fn commit(
    writer: BackupWriter,
    cluster: ClusterWriter,
    started_at: Timestamp,
    start: &ClusterStart,
    read: Read,
    context: &Context<'_>,
) -> Result<repository::Committed, Error> {
    let files = cluster.finish()?;
    let finished_at = context.now();
    let tablespaces = start.tablespaces.iter();
    let record = PhysicalRecord {
        system_identifier: start.system_id,
        server_version: start.server_version,
        timeline: read.stop.timeline,
        start_lsn: start.start_lsn,
        stop_lsn: read.stop.stop_lsn,
        wal_segment_bytes: start.segment_size,
        block_bytes: start.block_bytes,
        data_checksums: start.data_checksums,
        from_standby: start.from_standby,
        method: read.method.to_owned(),
        tablespaces: tablespaces
            .map(|space| TablespaceRecord { oid: space.oid, location: space.location.clone() })
            .collect(),
        files,
        bad_pages: read.bad.listed.into_iter().collect(),
        bad_page_count: read.bad.count,
    };
    let facts = CommitFacts {
        started_at,
        finished_at,
        snapshot_at: finished_at,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        logical: None,
        physical: Some(record),
    };
    Ok(writer.commit(facts)?)
}

impl From<ClusterError> for Error {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::Cancelled => Self::Cancelled,
            // It came from here.
            ClusterError::Sink(error) => match error.downcast::<Self>() {
                Ok(error) => *error,
                Err(other) => Self::Cluster(ClusterError::Sink(other)),
            },
            other => Self::Cluster(other),
        }
    }
}
