//! A physical backup through `BASE_BACKUP`: the files of a cluster over a replication connection, WAL included, with no access to
//! the machine of the server.
//!
//! Invariants: a slot keeps the WAL from before the backup begins until its WAL has come; nothing of a file is kept but the
//! regions that threads work on; what came is compared with the server's own manifest before the backup counts.
//!
//! Deliberately absent: what happens to the bytes, and verifying pages, which is for the sink.

mod command;
mod crew;
mod manifest;
mod received;
mod reread;
mod tar;
mod unpack;

use std::num::NonZeroUsize;

use model::{ClusterPath, Lsn, TimelineId};

use crate::Client;
use crate::client::{BackupPiece, BaseBackupStream, ReplicationClient, Row, SlotLifetime, SlotName};
use crate::cluster::{ClusterError, ClusterSink, ClusterSource, ClusterStart, ClusterStop, Tablespace};
use crate::conninfo::ConnectOptions;
use crate::preflight::OLDEST_MAJOR;
use command::Request;
use crew::Stop;
use manifest::{ManifestReader, WalRange};
use reread::Reread;
use unpack::{ArchivePlace, Unpacker};

/// Bytes in the unit of the sizes that the server tells beforehand.
const SIZE_UNIT: u64 = 1024;

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
}

impl BaseBackup {
    /// A backup that begins with [`ClusterSource::start`].
    pub fn new(options: BaseBackupOptions) -> Self {
        Self { options, started: None }
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
        client.create_slot(&slot_name()?, SlotLifetime::Temporary)?;
        let request = Request {
            checkpoint: self.options.checkpoint,
            checksums: self.options.checksums,
            incremental: false,
        };
        let (position, archives) = client.base_backup(&request.command(major))?;
        let mut places = Vec::with_capacity(archives.len());
        for archive in &archives {
            start.expected_bytes += archive.number::<u64>(2).unwrap_or_default() * SIZE_UNIT;
            places.push(place(archive, &mut start.tablespaces)?);
        }
        (start.start_lsn, start.timeline) = (position.number(0)?, position.number(1)?);
        self.started = Some(Started {
            stream: client.into_backup_stream(archives.len()),
            places,
            timeline: start.timeline,
            start_lsn: start.start_lsn,
        });
        Ok(start)
    }

    fn read(
        &mut self,
        sink: &dyn ClusterSink,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<ClusterStop, ClusterError> {
        let Some(started) = self.started.take() else {
            return Err(ClusterError::Unsuitable { problem: "the backup was not started".into() });
        };
        let reread = Reread::new(&self.options.connection);
        crew::run(sink, &reread, self.options.threads, |dispatcher| {
            let unpacker = Unpacker::new(sink, dispatcher, self.options.checksums);
            started.receive(unpacker, cancelled)
        })
    }

    fn method(&self) -> &'static str {
        "base_backup"
    }
}

impl Started {
    fn receive(
        mut self,
        mut unpacker: Unpacker<'_>,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<ClusterStop, Stop> {
        let mut places = std::mem::take(&mut self.places).into_iter();
        loop {
            if cancelled() {
                return Err(ClusterError::Cancelled.into());
            }
            match self.stream.next()? {
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
            if cancelled() {
                return Err(ClusterError::Cancelled.into());
            }
            match self.stream.next()? {
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

    /// The end of the backup, which must be on the timeline of its start.
    fn stop(self, ranges: &[WalRange]) -> Result<ClusterStop, ClusterError> {
        let (row, warnings) = self.stream.finish()?;
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
    let random = getrandom::u64().map_err(|error| crate::Error::Unexpected { problem: error.to_string() })?;
    let name = format!("chronavault_backup_{random:016x}").parse();
    name.map_err(|_| protocol("nothing, as no slot could be named"))
}
