//! A physical backup through `BASE_BACKUP`: the files of a cluster over a replication connection, WAL included, with no access to
//! the machine of the server.
//!
//! Invariants: a slot keeps the WAL from before the backup begins until its WAL has come; nothing of a file is kept but the
//! regions that threads work on; what came is compared with the server's own manifest before the backup counts.
//!
//! Deliberately absent: what happens to the bytes, and verifying pages, which is for the sink.

mod changed_file;
mod command;
mod content;
mod crew;
mod earlier;
mod manifest;
mod received;
mod reread;
mod tar;
mod unpack;

use std::num::NonZeroUsize;

use model::{ClusterPath, Lsn, SystemId, TimelineId};

use crate::client::{
    BackupPiece, BaseBackupStream, ReplicationClient, ReplicationError, Row, SlotLifetime, SlotName,
};
use crate::cluster::{
    ClusterError, ClusterSink, ClusterSource, ClusterStart, ClusterStop, EarlierBackup, Tablespace,
};
use crate::conninfo::ConnectOptions;
use crate::preflight::OLDEST_MAJOR;
use crate::{Client, Error};
use command::Request;
use content::Target;
use crew::Stop;
use earlier::{EarlierFiles, INCREMENTAL_MAJOR};
use manifest::{ManifestReader, WalRange};
use reread::Reread;
use unpack::{ArchivePlace, Base, Unpacker};

/// Bytes in the unit of the sizes that the server tells beforehand.
const SIZE_UNIT: u64 = 1024;
/// The SQLSTATE with which a base backup from a standby fails once that is promoted.
const NOT_IN_STATE: &str = "55000";

/// How the checkpoint is made with which a backup begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checkpoint {
    /// At once: the backup starts soon, and the server writes much in a short time.
    #[default]
    Fast,
    /// Spread over time (`checkpoint_completion_target`): the backup waits for minutes, and nobody notices.
    Spread,
}

/// How a base backup is read.
#[derive(Debug, Clone)]
pub struct BaseBackupOptions {
    /// The server; its role needs the attribute REPLICATION. A session in its database is only opened to read a torn page again.
    pub connection: ConnectOptions,
    /// The checkpoint at the start.
    pub checkpoint: Checkpoint,
    /// Threads that hand regions to the sink, besides the one that receives.
    pub threads: NonZeroUsize,
    /// The server computes a CRC-32C of every file, and what came is compared with it.
    pub checksums: bool,
    /// An earlier backup, which the sink has: from PostgreSQL 17 on, with `summarize_wal`, the server sends only
    /// what changed since. One of another cluster is ignored.
    pub earlier: Option<EarlierBackup>,
}

/// A cluster that is read with `BASE_BACKUP`.
#[derive(Debug)]
pub struct BaseBackup {
    options: BaseBackupOptions,
    started: Option<Started>,
}

/// A backup that the server has begun.
#[derive(Debug)]
struct Started {
    stream: BaseBackupStream,
    /// Where the members of each archive go, in the order in which they come.
    places: Vec<ArchivePlace>,
    timeline: TimelineId,
    start_lsn: Lsn,
    from_standby: bool,
    /// What the changes that come are based on; nothing if everything comes.
    base: Option<Base>,
    /// Why everything comes, if that was not intended.
    warnings: Vec<String>,
}

/// The two results with which a backup begins, and the third part of it.
struct Begun {
    position: Row,
    archives: Vec<Row>,
    is_incremental: bool,
    warnings: Vec<String>,
}

impl BaseBackup {
    /// A backup that begins with [`ClusterSource::start`].
    pub fn new(options: BaseBackupOptions) -> Self {
        Self { options, started: None }
    }

    /// Whether the backup that was started brings only what changed since the earlier one.
    pub fn is_incremental(&self) -> bool {
        self.started.as_ref().is_some_and(|started| started.base.is_some())
    }

    /// Begins the backup: incremental if that is wanted and possible, else whole.
    fn begin(&self, client: &mut ReplicationClient, system_id: SystemId) -> Result<Begun, ClusterError> {
        let mut request = Request {
            checkpoint: self.options.checkpoint,
            checksums: self.options.checksums,
            incremental: true,
        };
        let mut warnings = Vec::new();
        if let Some(earlier) = &self.options.earlier
            && earlier.system_id == system_id
            && client.server_major() >= INCREMENTAL_MAJOR
            && client.show("summarize_wal")? == "on"
        {
            let upload = client.upload_manifest(earlier::manifest_lines(earlier));
            match upload.map_err(ClusterError::from).and_then(|()| run(client, request)) {
                Ok((position, archives)) => {
                    return Ok(Begun { position, archives, is_incremental: true, warnings });
                }
                Err(error) => {
                    warnings.push(refusal(error)?);
                    // What the server warned of is that attempt's end.
                    client.take_notices();
                }
            }
        }
        request.incremental = false;
        let (position, archives) = run(client, request)?;
        Ok(Begun { position, archives, is_incremental: false, warnings })
    }
}

impl ClusterSource for BaseBackup {
    fn start(&mut self) -> Result<ClusterStart, ClusterError> {
        let mut client = ReplicationClient::connect(&self.options.connection)?;
        let major = client.server_major();
        if major < OLDEST_MAJOR {
            let problem =
                format!("PostgreSQL {major} is too old: {OLDEST_MAJOR} is the oldest that can be backed up");
            return Err(ClusterError::Unsuitable { problem });
        }
        let mut start = facts(&mut client, &self.options.connection)?;
        let begun = self.begin(&mut client, start.system_id)?;
        let mut places = Vec::with_capacity(begun.archives.len());
        for archive in &begun.archives {
            start.expected_bytes += archive.number::<u64>(2).unwrap_or_default() * SIZE_UNIT;
            places.push(place(archive, &mut start.tablespaces)?);
        }
        (start.start_lsn, start.timeline) = (begun.position.number(0)?, begun.position.number(1)?);
        let base = self.options.earlier.as_ref().filter(|_| begun.is_incremental);
        self.started = Some(Started {
            stream: client.into_backup_stream(places.len()),
            places,
            timeline: start.timeline,
            start_lsn: start.start_lsn,
            from_standby: start.from_standby,
            base: base
                .map(|earlier| Base { files: EarlierFiles::new(earlier), block_bytes: start.block_bytes }),
            warnings: begun.warnings,
        });
        Ok(start)
    }

    fn read(
        &mut self,
        sink: &dyn ClusterSink,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<ClusterStop, ClusterError> {
        let Some(started) = self.started.take() else {
            return Err(unsuitable("the backup was not started"));
        };
        let region_bytes = sink.region_bytes();
        if let Some(base) = &started.base
            && (region_bytes == 0 || !region_bytes.is_multiple_of(base.block_bytes))
        {
            return Err(unsuitable(format!("regions of {region_bytes} bytes do not hold whole pages")));
        }
        let from_standby = started.from_standby;
        let reread = Reread::new(&self.options.connection);
        let result = crew::run(sink, &reread, self.options.threads, |dispatcher| {
            let target = Target { sink, dispatcher, region_bytes };
            started.receive(target, self.options.checksums, cancelled)
        });
        result.map_err(|error| if from_standby { promotion(error) } else { error })
    }

    fn method(&self) -> &'static str {
        "base_backup"
    }
}

impl Started {
    fn receive(
        mut self,
        target: Target<'_>,
        checksums: bool,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<ClusterStop, Stop> {
        let mut unpacker = Unpacker::new(target, checksums, self.base.take());
        let mut places = std::mem::take(&mut self.places).into_iter();
        loop {
            match self.next(cancelled)? {
                BackupPiece::Nothing => {}
                BackupPiece::Archive => {
                    let place = places.next().ok_or_else(|| protocol("more archives than it announced"))?;
                    unpacker.archive(place)?;
                }
                BackupPiece::Data(bytes) => unpacker.bytes(bytes)?,
                BackupPiece::Manifest if places.len() == 0 => break,
                BackupPiece::Manifest => return Err(protocol("fewer archives than it announced").into()),
                BackupPiece::End => return Err(protocol("no manifest").into()),
            }
        }
        let mut manifest = ManifestReader::new(unpacker.finish()?);
        loop {
            match self.next(cancelled)? {
                BackupPiece::Nothing => {}
                BackupPiece::Data(bytes) => manifest.feed(bytes)?,
                BackupPiece::End => break,
                BackupPiece::Archive | BackupPiece::Manifest => {
                    return Err(protocol("something behind the manifest").into());
                }
            }
        }
        let ranges = manifest.finish()?;
        self.stop(&ranges).map_err(Stop::Failed)
    }

    fn next(&mut self, cancelled: &(dyn Fn() -> bool + Sync)) -> Result<BackupPiece<'_>, ClusterError> {
        if cancelled() { Err(ClusterError::Cancelled) } else { Ok(self.stream.next()?) }
    }

    /// The end of the backup, which must be on the timeline of its start.
    fn stop(self, ranges: &[WalRange]) -> Result<ClusterStop, ClusterError> {
        let (row, said) = self.stream.finish()?;
        let warnings = self.warnings.into_iter().chain(said).collect();
        let (stop_lsn, timeline): (Lsn, TimelineId) = (row.number(0)?, row.number(1)?);
        if timeline != self.timeline {
            return Err(ClusterError::TimelineChanged { from: self.timeline, to: timeline });
        }
        let needed = WalRange { timeline, start: self.start_lsn, end: stop_lsn };
        if ranges != [needed] {
            let problem = "it needs other WAL than that from the start to the end of the backup".into();
            return Err(ClusterError::Manifest { problem });
        }
        Ok(ClusterStop { timeline, stop_lsn, warnings })
    }
}

fn protocol(what: &str) -> ClusterError {
    ClusterError::Protocol { what: what.to_owned() }
}

fn unsuitable(problem: impl Into<String>) -> ClusterError {
    ClusterError::Unsuitable { problem: problem.into() }
}

/// Keeps WAL and starts the backup.
fn run(client: &mut ReplicationClient, request: Request) -> Result<(Row, Vec<Row>), ClusterError> {
    // An error ends a temporary slot, so each attempt has its own.
    client.create_slot(&slot_name()?, SlotLifetime::Temporary)?;
    Ok(client.base_backup(&request.command(client.server_major()))?)
}

/// Why there is no incremental backup, if the server refused it and can still make a whole one.
fn refusal(error: ClusterError) -> Result<String, ClusterError> {
    match &error {
        ClusterError::Replication(ReplicationError::Client(Error::Server(said))) => Ok(format!(
            "the server sends everything and not only what changed, since it says: {}",
            said.message
        )),
        _ => Err(error),
    }
}

/// Names the case that the standby was promoted meanwhile.
fn promotion(error: ClusterError) -> ClusterError {
    match error {
        ClusterError::Client(source) if source.code() == Some(NOT_IN_STATE) => {
            ClusterError::Promoted { source }
        }
        other => other,
    }
}

/// What the server says of the cluster before the backup begins.
fn facts(client: &mut ReplicationClient, options: &ConnectOptions) -> Result<ClusterStart, ClusterError> {
    let identity = client.identify_system()?;
    let block_size = client.show("block_size")?;
    let from_standby = if let Some(standby) = client.in_recovery()? {
        standby
    } else {
        let mut session = Client::connect(options)?;
        session.query_one("SELECT pg_catalog.pg_is_in_recovery()", &[])?.is_true(0)
    };
    Ok(ClusterStart {
        system_id: identity.system_id,
        server_version: client.server_version(),
        timeline: identity.timeline,
        start_lsn: identity.flushed,
        segment_size: client.segment_size()?,
        block_bytes: block_size.parse().map_err(|_| protocol("a block size that is no number"))?,
        data_checksums: client.show("data_checksums")? == "on",
        from_standby,
        tablespaces: Vec::new(),
        expected_bytes: 0,
    })
}

/// Where the members of an archive are, from its row in the second result: OID, location, size. Both are NULL for the data directory.
fn place(row: &Row, tablespaces: &mut Vec<Tablespace>) -> Result<ArchivePlace, ClusterError> {
    let (Some(oid), Some(location)) = (row.get(0), row.get(1)) else { return Ok(ArchivePlace(None)) };
    let oid = oid.parse().map_err(|_| protocol("a tablespace whose OID is no number"))?;
    // A tablespace within the data directory has a relative location, and needs no link.
    if location.starts_with('/') {
        tablespaces.push(Tablespace { oid, location: location.to_owned() });
    }
    let directory = format!("pg_tblspc/{oid}").parse::<ClusterPath>();
    Ok(ArchivePlace(Some(directory.map_err(|_| protocol("a tablespace without a place"))?)))
}

/// A name that no other backup has.
fn slot_name() -> Result<SlotName, ClusterError> {
    let random = getrandom::u64().map_err(|error| Error::Unexpected { problem: error.to_string() })?;
    let name = format!("chronavault_backup_{random:016x}").parse();
    name.map_err(|_| protocol("nothing, as no slot could be named"))
}
