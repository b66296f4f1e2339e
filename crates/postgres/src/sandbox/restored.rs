//! A server on a data directory that was restored from a backup, to see whether it is whole.
//!
//! Invariants: nothing of the cluster's own configuration counts (see `configuration`), so that it neither reaches anyone nor does
//! anything by itself; tablespaces are in the sandbox, and the server can write nowhere else (see `confinement`); and a cluster is only handed out once recovery has replayed all the WAL that it
//! should. The files are those of a throwaway cluster: changed by recovery, and gone when the value is dropped.

mod configuration;
mod directory;
mod error;
mod preload;
mod superuser;
mod wal_feed;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use model::{Lsn, RecoveryTarget, TimelineId};

pub use directory::RestoredDirectory;
pub use error::RestoredError;
pub use wal_feed::WalSupply;

use super::Files;
use super::error::SandboxError;
use super::server::Server;
use crate::client::{Client, Error as ClientError};
use crate::conninfo::ConnectOptions;
use crate::control::ControlFile;
use crate::tools::Tools;

/// Time between two looks how far recovery is.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The first major version that tells a pause from the wish for one.
const PAUSE_STATE_MAJOR: u32 = 14;

/// How far a restored cluster is to recover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryRequest {
    /// Where replay of the WAL begins: the start of the backup. Its `backup_label` must say the same.
    pub from: Lsn,
    /// Where recovery ends.
    pub target: RecoveryTarget,
    /// Whether it ends just before that.
    pub exclusive: bool,
    /// The timeline to follow; without one, the latest that can be found.
    pub timeline: Option<TimelineId>,
    /// The position that has to be replayed at least: the end of the backup, or what the target is known to be behind.
    pub reach: Lsn,
    /// A shell command that copies the WAL file `%f` to `%p`. It runs as the account of the server, with its environment, and can write
    /// where the server can. Without one, the server cannot use the network at all.
    pub restore_command: Option<String>,
    /// Directories besides its own in which the server and that command may write.
    pub writable: Vec<PathBuf>,
    /// How long the server may take until recovery has ended.
    pub limit: Duration,
    /// Settings of the server that win over ours.
    pub settings: Vec<(String, String)>,
}

/// A running server on a restored data directory. Dropping it ends the server and removes every file.
#[derive(Debug)]
pub struct RestoredCluster {
    // Fields are dropped in this order: the server ends before its files go.
    server: Server,
    files: Files,
    tools: Tools,
    control: ControlFile,
    replayed: Lsn,
    left_out: Vec<String>,
}

impl RestoredCluster {
    /// How to connect to `database` as a superuser, through the socket.
    pub fn options(&self, database: &str) -> ConnectOptions {
        self.server.options().with_database(database)
    }

    /// A database that can be connected to.
    pub fn database(&self) -> &str {
        self.server.options().database()
    }

    /// How far WAL was replayed.
    pub fn replayed(&self) -> Lsn {
        self.replayed
    }

    /// Libraries that the cluster would load when it starts, and that were left out: because they are not installed here, or because
    /// they act on their own.
    pub fn left_out_libraries(&self) -> &[String] {
        &self.left_out
    }

    /// What `pg_control` said before recovery.
    pub fn control(&self) -> &ControlFile {
        &self.control
    }

    /// The data directory.
    pub fn data_directory(&self) -> PathBuf {
        self.files.data()
    }

    /// The programs that it runs.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// The last lines of the server's log.
    pub fn log_tail(&self) -> String {
        self.server.log_tail()
    }

    /// Ends recovery where it is paused, and opens the cluster for writing. Does nothing where recovery has ended.
    pub fn promote(&mut self, limit: Duration) -> Result<(), RestoredError> {
        let started = Instant::now();
        let mut client = self.connect()?;
        let is_over = |client: &mut Client| {
            client.query_one("SELECT NOT pg_catalog.pg_is_in_recovery()", &[]).map(|row| row.is_true(0))
        };
        if is_over(&mut client).map_err(RestoredError::Client)? {
            return Ok(());
        }
        let asked = client.query("SELECT pg_catalog.pg_promote(false)", &[]);
        asked.map_err(RestoredError::Client)?;
        loop {
            if let Ok(true) = is_over(&mut client) {
                return Ok(());
            }
            self.check()?;
            let waited = started.elapsed();
            if waited > limit {
                return Err(RestoredError::Slow { what: "promotion", waited, log: self.server.log_tail() });
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Ends the server in an orderly way and keeps its files.
    pub fn stop(&mut self) -> Result<(), RestoredError> {
        Ok(self.server.stop()?)
    }

    /// Ends the server in an orderly way and moves its data directory, which is to be used from now on, to `to` on the same file system, where nothing is.
    /// What the server wrote is not durable yet, and belongs to the account of the sandbox.
    ///
    /// # Errors
    /// When the server does not end, or the directory cannot be moved; then it is gone with the sandbox.
    pub fn keep(mut self, to: &Path) -> Result<(), RestoredError> {
        self.server.stop()?;
        let data = self.files.data();
        fs::rename(&data, to).map_err(|source| SandboxError::io("moving", &data, source))?;
        Ok(())
    }

    /// Waits until recovery is paused at its target, or has ended.
    fn recover(&mut self, request: &RecoveryRequest, started: Instant) -> Result<(), RestoredError> {
        loop {
            // While the server ends by itself, it cannot be asked; the next look says why.
            if let Ok(progress) = self.progress()
                && progress.has_stopped
            {
                self.replayed = progress.replayed;
                if progress.replayed >= request.reach {
                    return Ok(());
                }
                let log = self.server.log_of_failure();
                return Err(RestoredError::NotReached {
                    replayed: progress.replayed,
                    wanted: request.reach,
                    log,
                });
            }
            self.check()?;
            let waited = started.elapsed();
            if waited > request.limit {
                return Err(RestoredError::Slow { what: "recovery", waited, log: self.server.log_tail() });
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    fn progress(&self) -> Result<Progress, ClientError> {
        let paused = if self.tools.major() >= PAUSE_STATE_MAJOR {
            "pg_catalog.pg_get_wal_replay_pause_state() = 'paused'"
        } else {
            "pg_catalog.pg_is_wal_replay_paused()"
        };
        let sql = format!(
            "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN {paused} ELSE true END, \
             COALESCE(pg_catalog.pg_last_wal_replay_lsn(), '0/0')"
        );
        let row = Client::connect(self.server.options())?.query_one(&sql, &[])?;
        Ok(Progress { has_stopped: row.is_true(0), replayed: row.number(1)? })
    }

    fn connect(&self) -> Result<Client, RestoredError> {
        Client::connect(self.server.options()).map_err(RestoredError::Client)
    }

    /// An error if the server is gone.
    fn check(&mut self) -> Result<(), RestoredError> {
        match self.server.check() {
            Err(SandboxError::Exited { .. }) => {
                Err(directory::ended(&self.files.base, self.server.log_of_failure()))
            }
            other => Ok(other?),
        }
    }
}

/// How far recovery is.
struct Progress {
    /// It is paused, or has ended.
    has_stopped: bool,
    replayed: Lsn,
}
