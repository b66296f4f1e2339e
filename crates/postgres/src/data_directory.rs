//! A physical backup that reads the data directory on the machine of the server, with several threads and nothing in between.
//!
//! Invariants: nothing is read before the server itself showed that the directory is its own (see [`Unusable`]); files are read
//! only while the server is in backup mode, `global/pg_control` after all others; a slot keeps the WAL of the backup from before its
//! start until it was read. Whatever fails, the session ends and the server forgets slot and backup by itself.
//!
//! What a role needs: the attribute `REPLICATION` (for the slot), `pg_read_all_settings` (to learn where the directory is), and
//! the right to execute `pg_backup_start(text, boolean)` and `pg_backup_stop(boolean)`, before 15
//! `pg_start_backup(text, boolean, boolean)` and `pg_stop_backup(boolean, boolean)`. The process needs to be able to read the directory:
//! it runs as the account of the server, as root, or in the group of a cluster with group access.
//!
//! Deliberately absent: pages. Whether they are whole is for the sink to see.

mod changes;
mod exclusion;
mod listing;
mod local;
mod open_file;
mod reader;
mod session;
mod wal;

use std::num::NonZeroUsize;

use model::ClusterPath;

pub use local::Unusable;

use crate::backup_label::{BACKUP_LABEL, BackupLabel};
use crate::base_backup::Checkpoint;
use crate::client::Client;
use crate::cluster::{ClusterError, ClusterSink, ClusterSource, ClusterStart, ClusterStop, EarlierBackup};
use crate::control::{CONTROL_PATH, ControlFile};
use changes::{Changes, Regions};
use listing::{Listing, Place};
use local::{LocalDirectory, Slot};
use reader::Reader;
use session::Stopped;

/// How a data directory is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDirectoryOptions {
    /// What the server calls the backup, in `backup_label` and in its log.
    pub label: String,
    /// The checkpoint at the start.
    pub checkpoint: Checkpoint,
    /// Threads that read.
    pub threads: NonZeroUsize,
    /// The previous backup. Where the server summarises its WAL, what did not change since is taken from it unread. A role
    /// that is no superuser needs the right to execute `pg_wal_summary_contents` and its kin, if that was taken from everyone.
    pub earlier: Option<EarlierBackup>,
}

/// A cluster that is read from its data directory.
#[derive(Debug)]
pub struct DataDirectory {
    client: Client,
    local: LocalDirectory,
    options: DataDirectoryOptions,
    running: Option<Running>,
}

/// A backup between its start and its end.
#[derive(Debug)]
struct Running {
    slot: Slot,
    start: ClusterStart,
    listing: Listing,
}

impl DataDirectory {
    /// The data directory of the server that `client` is connected to, if it is on this machine and can be read. The session is given
    /// the fixed settings, and belongs to the backup from here on.
    pub fn usable(mut client: Client, options: DataDirectoryOptions) -> Result<Self, Unusable> {
        let local = LocalDirectory::of(&mut client)?;
        Ok(Self { client, local, options, running: None })
    }

    fn start_backup(&mut self) -> Result<Running, ClusterError> {
        let slot = self.local.create_slot(&mut self.client)?;
        let from_standby = session::is_standby(&mut self.client)?;
        let start_lsn =
            session::start_backup(&mut self.client, &self.options.label, self.options.checkpoint)?;
        let control = self.local.control()?;
        let listing = Listing::of(self.local.path(), &control, self.client.server_major())?;
        let start = ClusterStart {
            system_id: control.system_id,
            server_version: self.client.server_version(),
            timeline: control.timeline,
            start_lsn,
            segment_size: control.wal_segment_size,
            block_bytes: control.block_bytes,
            data_checksums: control.data_checksums,
            from_standby,
            tablespaces: listing.tablespaces.clone(),
            expected_bytes: listing.bytes(),
        };
        Ok(Running { slot, start, listing })
    }

    /// Reads everything that changes, while the server is in backup mode.
    fn read_files(
        &mut self,
        running: &Running,
        sink: &dyn ClusterSink,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), ClusterError> {
        for directory in &running.listing.directories {
            sink.directory(&directory.path, directory.mode).map_err(ClusterError::Sink)?;
        }
        let changes = self.changes(running, sink.region_bytes(), cancelled)?;
        let reader = self.reader(&running.start, sink, cancelled).knowing(changes);
        let client = &mut self.client;
        let from_standby = running.start.from_standby;
        let mut still_there = || session::is_still_there(client, from_standby);
        reader.read(&running.listing.files, &mut still_there)?;
        // The positions in it must not be older than the other files.
        let control = self.local.control_bytes()?;
        let path = cluster_path(CONTROL_PATH)?;
        reader.give(&path, running.listing.control_mode, &control)
    }

    /// What has changed since the earlier backup, where the server knows.
    fn changes(
        &mut self,
        running: &Running,
        region_bytes: u32,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Changes>, ClusterError> {
        let Some(earlier) = &self.options.earlier else { return Ok(None) };
        if self.local.made_at()? >= earlier.started_at {
            return Ok(None);
        }
        let regions = Regions {
            block_bytes: running.start.block_bytes,
            region_bytes,
            segment_blocks: self.local.control()?.segment_blocks,
        };
        Changes::since(&mut self.client, earlier, &running.start, regions, cancelled)
    }

    fn reader<'a>(
        &self,
        start: &ClusterStart,
        sink: &'a dyn ClusterSink,
        cancelled: &'a (dyn Fn() -> bool + Sync),
    ) -> Reader<'a> {
        Reader::new(sink, cancelled, self.options.threads, start.block_bytes)
    }

    /// Hands over what the end of the backup brought.
    fn read_wal(
        &mut self,
        running: &Running,
        stopped: &Stopped,
        stop: &ClusterStop,
        sink: &dyn ClusterSink,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), ClusterError> {
        let reader = self.reader(&running.start, sink, cancelled);
        let mode = self.local.file_mode();
        reader.give(&cluster_path(BACKUP_LABEL)?, mode, stopped.label.as_bytes())?;
        if !stopped.tablespace_map.is_empty() {
            reader.give(&cluster_path("tablespace_map")?, mode, stopped.tablespace_map.as_bytes())?;
        }
        let names = wal::needed(&self.local.path().join("pg_wal"), &running.start, stop)?;
        let files: Vec<Place> =
            names.iter().map(|name| self.local.wal_file(name)).collect::<Result<_, _>>()?;
        reader.read(&files, &mut || Ok(()))?;
        for name in names {
            // As the server marks them in its own base backups, so that they are not archived again.
            reader.give(&cluster_path(&format!("pg_wal/archive_status/{name}.done"))?, mode, &[])?;
        }
        Ok(())
    }

    fn stop(&mut self, running: &Running, stopped: &Stopped) -> Result<ClusterStop, ClusterError> {
        let label = BackupLabel::parse(&stopped.label).ok_or_else(|| ClusterError::Protocol {
            what: "a backup_label that cannot be read".to_owned(),
        })?;
        let start = &running.start;
        if (label.start_lsn, label.timeline) != (start.start_lsn, start.timeline) {
            return Err(ClusterError::Unsuitable {
                problem: format!(
                    "the backup began at {} on timeline {} and the server ended one that began at {} on timeline {}",
                    start.start_lsn, start.timeline, label.start_lsn, label.timeline
                ),
            });
        }
        let timeline = if start.from_standby {
            // As do_pg_backup_stop has it: the end of a backup of a standby is its minimum recovery point.
            let control: ControlFile = self.local.control()?;
            control.min_recovery_timeline.unwrap_or(start.timeline)
        } else {
            start.timeline
        };
        let mut warnings = running.listing.warnings.clone();
        warnings.extend(stopped.warnings.iter().cloned());
        Ok(ClusterStop { timeline, stop_lsn: stopped.lsn, warnings })
    }
}

impl ClusterSource for DataDirectory {
    fn start(&mut self) -> Result<ClusterStart, ClusterError> {
        let running = self.start_backup()?;
        let start = running.start.clone();
        self.running = Some(running);
        Ok(start)
    }

    fn read(
        &mut self,
        sink: &dyn ClusterSink,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<ClusterStop, ClusterError> {
        let Some(running) = self.running.take() else {
            return Err(ClusterError::Unsuitable { problem: "the backup was not started".to_owned() });
        };
        self.read_files(&running, sink, cancelled)?;
        let stopped = session::stop_backup(&mut self.client)?;
        let stop = self.stop(&running, &stopped)?;
        self.read_wal(&running, &stopped, &stop, sink, cancelled)?;
        running.slot.drop(&mut self.client)?;
        Ok(stop)
    }

    fn method(&self) -> &'static str {
        "data_directory"
    }
}

fn cluster_path(text: &str) -> Result<ClusterPath, ClusterError> {
    text.parse().map_err(|_| ClusterError::Name { name: text.to_owned() })
}
