//! Why there is no sandbox.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use crate::client;
use crate::conninfo::ConninfoError;
use crate::process::ProcessError;

/// A throwaway cluster could not be made, started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Root needs another account to run PostgreSQL.
    #[error("PostgreSQL does not run as root, and there is neither an account postgres nor one nobody")]
    NoAccount,
    /// The other account cannot get to the directory.
    #[error("the account {account} cannot reach {path}, so no sandbox can be there", path = path.display())]
    Hidden {
        /// Who runs the server.
        account: String,
        /// The directory that is in the way.
        path: PathBuf,
    },
    /// A file or directory.
    #[error("{action} {path} failed", path = path.display())]
    Io {
        /// What was tried: "creating", "writing" …
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The data directory could not be made.
    #[error("a cluster for the sandbox could not be initialised")]
    Initialise(#[source] ProcessError),
    /// There is no free TCP port.
    #[error("there is no free TCP port")]
    Port {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server ended by itself.
    #[error("the server of the sandbox ended while it started ({status}): {log}")]
    Exited {
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// The server does not accept connections.
    #[error("the server of the sandbox was not ready after {} s: {log}", waited.as_secs())]
    NotReady {
        /// How long we waited.
        waited: Duration,
        /// The last lines of its log.
        log: String,
        /// What the last attempt to connect said.
        #[source]
        source: Box<client::Error>,
    },
    /// The server is already running, or not running.
    #[error("the server of the sandbox is {0}")]
    State(&'static str),
    /// A path or name that cannot be a connection setting.
    #[error("the sandbox cannot be connected to")]
    Conninfo(#[from] ConninfoError),
    /// A locale that this version cannot have.
    #[error("PostgreSQL {major} has no {what}")]
    Locale {
        /// The major version.
        major: u32,
        /// What it lacks.
        what: &'static str,
    },
}

impl SandboxError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// The server could not have its TCP port.
    pub(super) fn is_port_taken(&self) -> bool {
        matches!(self, Self::Exited { log, .. } if log.contains("Address already in use"))
    }
}
