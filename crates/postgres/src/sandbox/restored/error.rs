//! Why a server does not run on a restored data directory, or not as it should.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use model::Lsn;

use super::super::error::SandboxError;
use crate::control::ControlError;
use crate::process::ProcessError;

/// A restored data directory could not be started and brought to where recovery should end.
#[derive(Debug, thiserror::Error)]
pub enum RestoredError {
    /// The sandbox around it.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A file that every data directory has cannot be read.
    #[error("{path} of the restored cluster cannot be read", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// `pg_control` cannot be read.
    #[error("pg_control of the restored cluster cannot be understood")]
    Control(#[source] ControlError),
    /// The programs are of another version.
    #[error(
        "the restored cluster is of PostgreSQL {cluster} and the server programs are of {programs}; install the package \
         postgresql-{cluster}"
    )]
    Version {
        /// The major version of the cluster.
        cluster: u32,
        /// That of the programs.
        programs: u32,
    },
    /// Without it, the server would begin to replay at the wrong place and not notice.
    #[error("the restored cluster has no backup_label that says where replay of the WAL begins")]
    NoLabel,
    /// The label is of another backup.
    #[error(
        "the backup_label of the restored cluster says that replay begins at {found}, but it is at {wanted}"
    )]
    Label {
        /// What it says.
        found: Lsn,
        /// Where the backup begins.
        wanted: Lsn,
    },
    /// A tablespace is linked to a place outside of the sandbox.
    #[error("the tablespace {oid} of the restored cluster is linked to {place}, which is not in the sandbox", place = place.display())]
    Tablespace {
        /// Its OID.
        oid: String,
        /// Where the link points to.
        place: PathBuf,
    },
    /// The file with the roles is damaged.
    #[error("the roles of the restored cluster cannot be read: {problem}")]
    Roles {
        /// What is wrong.
        problem: &'static str,
    },
    /// Nobody could connect as a superuser.
    #[error("the restored cluster has no superuser who may log in")]
    NoSuperuser,
    /// The configuration of the cluster cannot be read.
    #[error("the configuration of the restored cluster cannot be read")]
    Configuration(#[source] ProcessError),
    /// The server ended while it replayed WAL.
    #[error("the server ended before recovery had reached its target: {log}")]
    Ended {
        /// What its log says of it.
        log: String,
    },
    /// Replay makes a tablespace where the original cluster has it, and nothing outside of the sandbox is writable.
    #[error(
        "a tablespace was made while the backup was taken, and replay cannot make it in a sandbox: {log}"
    )]
    NewTablespace {
        /// What the log of the server says of it.
        log: String,
    },
    /// Recovery ended or paused too early.
    #[error("recovery stopped at {replayed}, before {wanted}: {log}")]
    NotReached {
        /// How far WAL was replayed.
        replayed: Lsn,
        /// How far it should have been.
        wanted: Lsn,
        /// The last lines of the server's log.
        log: String,
    },
    /// Recovery or promotion took too long.
    #[error("{what} was not complete after {} s: {log}", waited.as_secs())]
    Slow {
        /// What took so long.
        what: &'static str,
        /// How long we waited.
        waited: Duration,
        /// The last lines of the server's log.
        log: String,
    },
    /// WAL that the server asked for could not be brought.
    #[error("the WAL {name} could not be brought to the restored cluster")]
    Supply {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A statement failed, or the connection.
    #[error("the restored cluster cannot be asked how far recovery is")]
    Client(#[source] crate::Error),
}
