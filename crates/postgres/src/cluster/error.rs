//! Why the files of a cluster could not be read.

use std::io;
use std::path::PathBuf;

use model::{ClusterPath, Lsn, TimelineId};

use super::SinkError;
use crate::control::ControlError;
use crate::{Error as ClientError, ReplicationError};

/// Why the files of a cluster could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A statement failed, or the connection.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A replication connection could not be made, or a replication command failed.
    #[error(transparent)]
    Replication(#[from] ReplicationError),
    /// The server says something that cannot be.
    #[error("the server sent {what} during the base backup")]
    Protocol {
        /// What it sent.
        what: String,
    },
    /// The files that came are not those of the server's manifest.
    #[error("the backup manifest of the server does not fit the files that came: {problem}")]
    Manifest {
        /// What differs.
        problem: String,
    },
    /// The server changed to another timeline during the backup: the standby was promoted, or followed a new primary.
    #[error("the server changed from timeline {from} to timeline {to} during the backup")]
    TimelineChanged {
        /// The timeline at the start.
        from: TimelineId,
        /// The timeline at the end.
        to: TimelineId,
    },
    /// The standby that the backup was read from was promoted meanwhile.
    #[error("the standby was promoted during the backup")]
    Promoted {
        /// What the server said.
        #[source]
        source: ClientError,
    },
    /// The earlier backup does not have what only the difference came to.
    #[error("the earlier backup lacks a part of {path}, of which only changes came")]
    EarlierMissing {
        /// The file.
        path: ClusterPath,
    },
    /// A file could not be read.
    #[error("{path} cannot be read", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// `pg_control` cannot be read.
    #[error("{path} cannot be understood", path = path.display())]
    Control {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ControlError,
    },
    /// A name in the data directory cannot be written down.
    #[error("the data directory holds {name:?}, a name that a backup cannot have")]
    Name {
        /// The name.
        name: String,
    },
    /// WAL that the backup needs is not there any more.
    #[error("WAL that the backup needs, from {from} on, is not there any more")]
    WalGone {
        /// The first position that is missing.
        from: Lsn,
    },
    /// The cluster cannot be backed up in this way.
    #[error("{problem}")]
    Unsuitable {
        /// Why not, in one sentence.
        problem: String,
    },
    /// Whoever takes the files failed.
    #[error(transparent)]
    Sink(SinkError),
    /// Somebody asked to stop.
    #[error("the base backup was cancelled")]
    Cancelled,
}
