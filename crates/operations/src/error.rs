//! Why an operation failed. Codes and hints for these are the command line's business.

use std::collections::BTreeSet;
use std::io;

use model::{BackupId, ByteSize, QualifiedName};
use postgres::archive::ArchiveError;
use postgres::load::LoadError;
use postgres::{
    ClusterError, CopyError, Finding, InventoryError, PreflightError, ProcessError, ReplicationError,
    SandboxError, SessionError,
};
use postgres::{FilterError, SnapshotError, ToolsError};

use postgres::{AmcheckError, RestoredError, Unusable};

use crate::{DirectoryError, Problem, ReceiveError, RecoverError, TablesError, Unreachable, WalError};

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The repository failed, or something in it is not what was written.
    #[error(transparent)]
    Repository(#[from] repository::Error),
    /// The server could not be reached, or refused something.
    #[error(transparent)]
    Server(#[from] postgres::Error),
    /// A replication connection could not be made, or a replication command failed.
    #[error(transparent)]
    Replication(#[from] ReplicationError),
    /// WAL cannot be received.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// A recovery stopped.
    #[error(transparent)]
    Recover(RecoverError),
    /// A session could not be given its settings.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The snapshot could not be taken or was lost.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// PostgreSQL's programs were not found.
    #[error(transparent)]
    Tools(#[from] ToolsError),
    /// One of PostgreSQL's programs failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// What a program wrote could not be read.
    #[error("the output of a program of PostgreSQL could not be read")]
    Pipe(#[source] io::Error),
    /// What `pg_dump` wrote is not a whole archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The filters cannot be used.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The inventory could not be taken.
    #[error(transparent)]
    TakeInventory(#[from] InventoryError),
    /// The preflight could not be done.
    #[error(transparent)]
    PreflightQuery(#[from] PreflightError),
    /// The preflight found what would make the backup fail.
    #[error("the database cannot be backed up: {}", findings(.0))]
    Preflight(Vec<Finding>),
    /// The rows of a table could not be read.
    #[error("the rows of table {table} could not be read")]
    ReadRows {
        /// The table.
        table: QualifiedName,
        /// Why.
        #[source]
        source: postgres::Error,
    },
    /// The rows of a table could not be loaded.
    #[error("the rows of table {table} could not be loaded")]
    LoadRows {
        /// The table.
        table: QualifiedName,
        /// Why.
        #[source]
        source: postgres::Error,
    },
    /// The database is larger than the limit that was set.
    #[error("the database has {}, more than the limit of {}", ByteSize(*.bytes), ByteSize(*.limit_bytes))]
    LargerThanLimit {
        /// Estimated bytes.
        bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The database could not be restored.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A sandbox could not be started.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The backup is of another kind than the operation needs.
    #[error("{id} is not a logical backup")]
    NotLogical {
        /// The backup.
        id: BackupId,
    },
    /// The backup is of another kind than the operation needs.
    #[error("{id} is not a physical backup")]
    NotPhysical {
        /// The backup.
        id: BackupId,
    },
    /// The files of a cluster could not be read.
    #[error(transparent)]
    Cluster(ClusterError),
    /// The data directory of the cluster cannot be read from here.
    #[error(transparent)]
    DataDirectory(Box<Unusable>),
    /// A data directory could not be filled.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// There is no physical backup to start from.
    #[error("the repository has no physical backup that could be restored")]
    NoPhysicalBackup,
    /// The target of a recovery cannot be reached.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// Indexes could not be compared with their tables.
    #[error(transparent)]
    Amcheck(AmcheckError),
    /// A restored cluster could not be run on this machine.
    #[error(transparent)]
    Restored(RestoredError),
    /// The manifest or a stream says something that cannot be understood.
    #[error("{what} of {id} cannot be understood: {message}")]
    Malformed {
        /// The backup.
        id: BackupId,
        /// Which part of it.
        what: &'static str,
        /// What the parser says.
        message: String,
    },
    /// The target database exists already.
    #[error("database {database} exists already")]
    TargetExists {
        /// The database.
        database: String,
    },
    /// The target database does not exist.
    #[error("database {database} does not exist")]
    TargetMissing {
        /// The database.
        database: String,
    },
    /// The target database holds something.
    #[error("database {database} is not empty: it holds {object}")]
    TargetNotEmpty {
        /// The database.
        database: String,
        /// The first object found.
        object: String,
    },
    /// What was restored must not replace what is there, since critical checks do not hold in it.
    #[error("database {database} was not replaced, since what was restored does not hold: {}", problems_in_words(.problems))]
    ChecksFailed {
        /// The database.
        database: String,
        /// What does not hold.
        problems: Vec<Problem>,
    },
    /// The target server lacks roles that the backup names.
    #[error("the target server has no role {}", join(.roles))]
    RolesMissing {
        /// The roles.
        roles: BTreeSet<String>,
    },
    /// A large table of the backup has no rows stream.
    #[error("{id} has no rows of table {table}")]
    NoRows {
        /// The backup.
        id: BackupId,
        /// The table.
        table: QualifiedName,
    },
    /// A result could not be put into JSON.
    #[error("the {what} could not be written as JSON")]
    Json {
        /// What was to be written.
        what: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// What was exported could not be written.
    #[error("the export could not be written")]
    Output(#[source] io::Error),
    /// Tables could not be compared or recovered.
    #[error(transparent)]
    Tables(Box<TablesError>),
    /// WAL could not be pushed or fetched.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// The operation was told to stop.
    #[error("the operation was cancelled")]
    Cancelled,
}

impl From<TablesError> for Error {
    fn from(error: TablesError) -> Self {
        Self::Tables(Box::new(error))
    }
}

impl Error {
    /// The reason why the rows of `table` could not be read.
    pub(crate) fn reading(table: &QualifiedName, error: CopyError<Self>) -> Self {
        match error {
            CopyError::Sink(error) => error,
            CopyError::Postgres(source) => Self::ReadRows { table: table.clone(), source },
        }
    }

    /// Whether this error only repeats that another one happened.
    pub(crate) fn is_consequence(&self) -> bool {
        match self {
            Self::Cancelled => true,
            Self::Repository(error) => error.is_consequence(),
            _ => false,
        }
    }
}

fn findings(findings: &[Finding]) -> String {
    findings.iter().map(|found| format!("{}: {}", found.object, found.message)).collect::<Vec<_>>().join("; ")
}

fn problems_in_words(problems: &[Problem]) -> String {
    problems.iter().map(|it| format!("{}: {}", it.object, it.message)).collect::<Vec<_>>().join("; ")
}

fn join(names: &BTreeSet<String>) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

/// An error with everything that caused it, in one sentence.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
