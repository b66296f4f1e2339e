//! Which code each typed error gets. The one place where a code is chosen for an error of another room.

use std::error::Error;
use std::io;

use operations::DirectoryError;
use operations::postgres::load::LoadError;
use operations::postgres::{
    ClusterError, Error as ServerError, ErrorKind as ServerErrorKind, PreflightError, ReplicationError,
    SandboxError, SnapshotError,
};
use operations::{ReceiveError, RecoverError, TablesError, WalError};
use repository::{InitError, KeyError, OpenError, Problem, ProblemKind};
use sample::SampleError;
use service::journal::JournalError;
use storage::StoreError;

use super::Code;
use crate::failure::Failure;

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::because(of_store(&error), &error)
    }
}

fn of_store(error: &StoreError) -> Code {
    match error {
        StoreError::NotFound { .. } => Code::ObjectMissing,
        StoreError::Conflict { .. } => Code::StorageConflict,
        StoreError::TooLarge { .. } | StoreError::Short { .. } => Code::ObjectChanged,
        StoreError::Full { .. } => Code::StorageFull,
        StoreError::Loose { .. } => Code::StorageLoose,
        StoreError::ForeignOwner { .. } => Code::StorageOwner,
        StoreError::WrongType { .. } => Code::StorageType,
        StoreError::Denied { .. } => Code::StorageDenied,
        StoreError::Io { .. } => Code::StorageIo,
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::because(of_open(&error), &error)
    }
}

fn of_open(error: &OpenError) -> Code {
    match error {
        OpenError::NotThere { .. } => Code::RepositoryMissing,
        OpenError::HeadMissing { .. } => Code::RepositoryHeadMissing,
        OpenError::HeadDamaged { .. } | OpenError::HeadChanged => Code::RepositoryHeadChanged,
        OpenError::Newer { .. } => Code::RepositoryNewer,
        OpenError::WrongKey { .. } => Code::KeyWrong,
        OpenError::Outdated { .. } => Code::KeyOutdated,
        OpenError::NoSlots { .. } | OpenError::SlotMissing { .. } => Code::KeySlotMissing,
        OpenError::SlotDamaged { .. } => Code::KeySlotChanged,
        OpenError::Store(error) => of_store(error),
    }
}

impl From<InitError> for Failure {
    fn from(error: InitError) -> Self {
        let code = match &error {
            InitError::AlreadyThere { .. } => Code::RepositoryExists,
            InitError::NotEmpty { .. } => Code::RepositoryHeadMissing,
            InitError::ReadBack { .. } => Code::StorageReadBack,
            InitError::Seal(_) => Code::Internal,
            InitError::Store(error) => of_store(error),
        };
        Self::because(code, &error)
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        let code = match &error {
            KeyError::Open(error) => of_open(error),
            KeyError::Repository(error) => of_repository(error),
            KeyError::Store(error) => of_store(error),
            KeyError::Form { .. } => Code::Internal,
            KeyError::ReadBack { .. } => Code::StorageReadBack,
            KeyError::SameKey => Code::KeySame,
            KeyError::Canary { .. } => Code::KeyCanary,
            KeyError::OtherRotation { .. } | KeyError::RotatedMeanwhile => Code::KeyRotating,
            KeyError::NotHolder => Code::KeyWrong,
            KeyError::NoSuchKey { .. } => Code::KeyUnknown,
            KeyError::LastKey { .. } => Code::KeyLast,
            KeyError::InUse { .. } => Code::KeyInUse,
        };
        Self::because(code, &error)
    }
}

impl From<repository::Error> for Failure {
    fn from(error: repository::Error) -> Self {
        Self::because(of_repository(&error), &error)
    }
}

fn of_repository(error: &repository::Error) -> Code {
    use repository::Error;
    match error {
        Error::Store(error) => of_store(error),
        Error::Damaged(problem) => of_problem(problem.kind),
        Error::NoSuchBackup { .. } => Code::BackupMissing,
        Error::NoSuchStream { .. } => Code::ObjectInconsistent,
        Error::PackVanished { .. } => Code::ObjectVanished,
        Error::IntentVanished { .. } => Code::BackupAbandoned,
        Error::PruneRunning { .. } => Code::PruneRunning,
        Error::LeaseLost { .. } => Code::LeaseLost,
        Error::WalDiffers { .. } => Code::WalDiffers,
        Error::WalLength { .. } | Error::WalMisnamed { .. } => Code::WalMisnamed,
        Error::WalUnfinished { .. } => Code::WalUnfinished,
        Error::Source(_) => Code::WalUnreadable,
        Error::Output(error) => behind(error, Code::OutputFailed),
        Error::Cancelled => Code::Cancelled,
        Error::Unfinished { .. }
        | Error::OpenedTwice { .. }
        | Error::TooLarge { .. }
        | Error::Seal { .. }
        | Error::Random { .. }
        | Error::Thread { .. }
        | Error::Abandoned
        | Error::Stopped => Code::Internal,
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::because(of_problem(problem.kind), &problem)
    }
}

fn of_problem(kind: ProblemKind) -> Code {
    match kind {
        ProblemKind::Missing => Code::ObjectMissing,
        ProblemKind::Truncated => Code::ObjectTruncated,
        ProblemKind::Changed => Code::ObjectChanged,
        ProblemKind::Swapped => Code::ObjectSwapped,
        ProblemKind::Foreign => Code::ObjectForeign,
        ProblemKind::WrongKey => Code::ObjectWrongKey,
        ProblemKind::NewerVersion => Code::ObjectNewer,
        ProblemKind::Inconsistent => Code::ObjectInconsistent,
        ProblemKind::Unreadable => Code::ObjectUnreadable,
    }
}

/// A journal that could not be written (`otherwise` is [`Code::JournalUnwritable`]) or read.
pub(crate) fn journal_failure(error: &JournalError, otherwise: Code) -> Failure {
    match error {
        JournalError::Repository(error) => Failure::because(of_repository(error), error),
        JournalError::Differs { .. } => Failure::because(Code::JournalBroken, error),
        JournalError::Loose { path, .. } => {
            let hint = format!("Run `chmod -R go= {}`.", path.display());
            Failure::because(otherwise, error).with_hint(hint)
        }
        JournalError::Io { .. } | JournalError::Busy { .. } => Failure::because(otherwise, error),
        JournalError::Entry(_) | JournalError::Raced => Failure::because(Code::Internal, error),
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        Self::because(of_server(&error), &error)
    }
}

/// SQLSTATEs: PostgreSQL documentation, appendix A.
fn of_server(error: &ServerError) -> Code {
    match error.code() {
        Some("42501") => return Code::ServerPrivileges,
        Some("53100") => return Code::ServerDiskFull,
        _ => {}
    }
    match error.kind() {
        ServerErrorKind::Unreachable => Code::ServerUnreachable,
        ServerErrorKind::Timeout => Code::ServerTimeout,
        ServerErrorKind::Tls => Code::ServerTls,
        ServerErrorKind::Authentication => Code::ServerPassword,
        ServerErrorKind::NoSuchDatabase => Code::ServerDatabase,
        ServerErrorKind::TooManyConnections => Code::ServerConnections,
        ServerErrorKind::NotReady => Code::ServerNotReady,
        ServerErrorKind::ConnectionLost => Code::ServerLost,
        ServerErrorKind::Cancelled => Code::ServerCancelled,
        ServerErrorKind::Server => Code::ServerFailed,
        ServerErrorKind::Protocol => Code::ServerProtocol,
    }
}

/// The code of the error of the server or of the repository that is behind `error`, or `otherwise`.
fn behind(error: &(dyn Error + 'static), otherwise: Code) -> Code {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(code) = known(error) {
            return code;
        }
        // An error of ours that went through a reader or writer is inside an `io::Error`, which skips it as a source.
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match inside {
            Some(inside) => Some(inside),
            None => error.source(),
        };
    }
    otherwise
}

/// The code of `error` itself, where its type tells.
fn known(error: &(dyn Error + 'static)) -> Option<Code> {
    let boxed = error.downcast_ref::<Box<ServerError>>().map(Box::as_ref);
    if let Some(error) = error.downcast_ref::<ServerError>().or(boxed) {
        return Some(of_server(error));
    }
    if let Some(error) = error.downcast_ref::<repository::Error>() {
        return Some(of_repository(error));
    }
    if let Some(error) = error.downcast_ref::<operations::Error>() {
        return Some(of_operation(error));
    }
    error.downcast_ref::<StoreError>().map(of_store)
}

fn of_snapshot(error: &SnapshotError) -> Code {
    match error {
        SnapshotError::Statement(_) | SnapshotError::Session(_) => behind(error, Code::ServerFailed),
        SnapshotError::Filter(error) => behind(error, Code::BackupFilters),
        SnapshotError::Unreadable { .. } => Code::ServerPrivileges,
        SnapshotError::RowsHidden { .. } => Code::ServerRowSecurity,
        SnapshotError::Stopped => Code::Cancelled,
        SnapshotError::Locked { .. } => Code::ServerLocked,
        SnapshotError::Changed { .. } => Code::ServerChanging,
        SnapshotError::LockCapacity { .. } => Code::ServerLocks,
        SnapshotError::Lost => Code::ServerLost,
    }
}

fn of_load(error: &LoadError) -> Code {
    match error {
        LoadError::UnknownTable { .. } | LoadError::AmbiguousTable { .. } => Code::TableMissing,
        LoadError::TableExists { .. } => Code::TableExists,
        LoadError::Locale { .. } => Code::TargetLocale,
        LoadError::Archive(error) => behind(error, Code::ArchiveIncomplete),
        LoadError::Restore { .. } | LoadError::Process { .. } => Code::TargetFailed,
        LoadError::Memory(_) => Code::Internal,
        LoadError::Database { .. } | LoadError::Role { .. } | LoadError::Query { .. } => {
            behind(error, Code::TargetFailed)
        }
    }
}

fn of_cluster(error: &ClusterError) -> Code {
    match error {
        ClusterError::Client(error) => of_server(error),
        ClusterError::Replication(error) => of_replication(error),
        ClusterError::Protocol { .. } | ClusterError::Manifest { .. } => Code::ServerProtocol,
        ClusterError::TimelineChanged { .. } | ClusterError::Promoted { .. } => Code::ServerChanging,
        ClusterError::EarlierMissing { .. } => Code::ObjectInconsistent,
        ClusterError::Read { .. } | ClusterError::Control { .. } | ClusterError::Name { .. } => {
            Code::ClusterUnreadable
        }
        ClusterError::WalGone { .. } => Code::ClusterWalGone,
        ClusterError::Unsuitable { .. } => Code::ClusterUnsuitable,
        ClusterError::Sink(_) => behind(error, Code::Internal),
        ClusterError::Cancelled => Code::Cancelled,
    }
}

fn of_replication(error: &ReplicationError) -> Code {
    match error {
        ReplicationError::NotPermitted { .. } | ReplicationError::NoAccessEntry { .. } => {
            Code::ReplicationDenied
        }
        ReplicationError::NoSenderLeft { .. }
        | ReplicationError::NoSlotLeft { .. }
        | ReplicationError::WalLevel { .. }
        | ReplicationError::TooOld { .. } => Code::ReplicationSettings,
        ReplicationError::SlotExists { .. }
        | ReplicationError::NoSlot { .. }
        | ReplicationError::SlotInUse { .. } => Code::ReplicationSlot,
        ReplicationError::WalGone { .. } => Code::ClusterWalGone,
        ReplicationError::Client(error) => of_server(error),
    }
}

fn of_directory(error: &DirectoryError) -> Code {
    match error {
        DirectoryError::Io { .. } | DirectoryError::Name { .. } => Code::DirectoryFailed,
        DirectoryError::ServerRuns { .. } => Code::DirectoryInUse,
        DirectoryError::OtherRestore { .. }
        | DirectoryError::NotEmpty { .. }
        | DirectoryError::NoDataDirectory { .. } => Code::DirectoryNotEmpty,
        DirectoryError::NoTablespace { .. } | DirectoryError::Overlap { .. } => Code::DirectoryTablespace,
    }
}

impl From<SandboxError> for Failure {
    fn from(error: SandboxError) -> Self {
        Self::because(Code::SandboxFailed, &error)
    }
}

impl From<SampleError> for Failure {
    fn from(error: SampleError) -> Self {
        Self::because(behind(&error, Code::ServerFailed), &error)
    }
}

impl From<operations::Error> for Failure {
    fn from(error: operations::Error) -> Self {
        Self::because(of_operation(&error), &error)
    }
}

fn of_operation(error: &operations::Error) -> Code {
    use operations::Error;
    match error {
        Error::Repository(error) => of_repository(error),
        Error::Server(error) => of_server(error),
        Error::Replication(error) => of_replication(error),
        Error::Receive(error) => of_receive(error),
        Error::Recover(error) => of_recover(error),
        Error::Tables(error) => of_tables(error),
        Error::Snapshot(error) => of_snapshot(error),
        Error::Tools(_) => Code::ToolsMissing,
        Error::Process(_) => Code::ToolsFailed,
        Error::Pipe(error) => behind(error, Code::ToolsFailed),
        Error::Archive(error) => behind(error, Code::ArchiveIncomplete),
        Error::Session(error) => behind(error, Code::ServerFailed),
        Error::TakeInventory(error) => behind(error, Code::ServerFailed),
        Error::PreflightQuery(PreflightError::Filter(error)) | Error::Filter(error) => {
            behind(error, Code::BackupFilters)
        }
        Error::PreflightQuery(error) => behind(error, Code::ServerFailed),
        Error::ReadRows { source, .. } | Error::LoadRows { source, .. } => of_server(source),
        Error::Preflight(_) => Code::ServerPreflight,
        Error::LargerThanLimit { .. } => Code::BackupTooLarge,
        Error::Load(error) => of_load(error),
        Error::Sandbox(_) => Code::SandboxFailed,
        Error::NotLogical { .. } => Code::BackupNotLogical,
        Error::NotPhysical { .. } => Code::BackupNotPhysical,
        Error::NoPhysicalBackup => Code::BackupNone,
        Error::Unreachable(_) => Code::RecoveryUnreachable,
        Error::Restored(error) => behind(error, Code::RestoredFailed),
        Error::Amcheck(error) => behind(error, Code::RestoredFailed),
        Error::Cluster(error) => of_cluster(error),
        Error::DataDirectory(error) => behind(error.as_ref(), Code::ClusterUnreadable),
        Error::Directory(error) => of_directory(error),
        Error::Malformed { .. } | Error::NoRows { .. } => Code::ObjectInconsistent,
        Error::TargetExists { .. } => Code::TargetExists,
        Error::TargetMissing { .. } => Code::TargetMissing,
        Error::TargetNotEmpty { .. } => Code::TargetNotEmpty,
        Error::ChecksFailed { .. } => Code::ChecksFailed,
        Error::RolesMissing { .. } => Code::RolesMissing,
        Error::Json { .. } => Code::Internal,
        Error::Wal(error) => of_wal(error),
        Error::Output(error) => behind(error, Code::OutputFailed),
        Error::Cancelled => Code::Cancelled,
    }
}

fn of_recover(error: &RecoverError) -> Code {
    match error {
        RecoverError::NoBackup { .. } => Code::RecoverNoBackup,
        RecoverError::Preflight { .. } => Code::RecoverPreflight,
        RecoverError::MayNotCreate => Code::ServerPrivileges,
        RecoverError::Site { .. } => Code::RecoverSite,
        RecoverError::Checks { .. } => Code::RecoverChecks,
        RecoverError::Changed { .. } => Code::RecoverChanged,
        RecoverError::NothingBehind { .. } => Code::RecoverNothingBehind,
        RecoverError::Incomplete { .. } | RecoverError::Record { .. } => Code::RecoverRecord,
        RecoverError::NotHere { .. } => Code::DrillNotHere,
        RecoverError::NoRoom { .. } => Code::StorageFull,
        RecoverError::MountPoint { .. } | RecoverError::Tablespaces => Code::RecoverBeside,
        RecoverError::ServerRuns { .. } => Code::DirectoryInUse,
    }
}

fn of_tables(error: &TablesError) -> Code {
    match error {
        TablesError::NoSandbox { .. } => Code::DrillNotHere,
        TablesError::NoDatabase { .. } => Code::RecoverDatabase,
        TablesError::NotOwner { .. } => Code::ServerPrivileges,
        TablesError::Locked { .. } => Code::RecoverLocked,
        TablesError::SchemaExists { .. } => Code::RecoverSchema,
        TablesError::ForeignKey(_) | TablesError::DraggedAlong { .. } => Code::RecoverForeignKey,
        TablesError::Write { source, .. } => match source.code() {
            Some("23503") => Code::RecoverForeignKey,
            Some(code) if code.starts_with("23") => Code::RecoverConstraint,
            _ => of_server(source),
        },
        TablesError::Encoding { .. }
        | TablesError::Malformed { .. }
        | TablesError::OutOfOrder { .. }
        | TablesError::Rules { .. }
        | TablesError::Moved { .. }
        | TablesError::StillDiffers { .. } => Code::RecoverTable,
    }
}

fn of_receive(error: &ReceiveError) -> Code {
    match error {
        ReceiveError::OtherCluster { .. } => Code::WalOtherCluster,
        ReceiveError::Differs { .. } => Code::WalDiverged,
        ReceiveError::History { .. } => Code::ServerProtocol,
        ReceiveError::ServerEnded => Code::ServerLost,
    }
}

fn of_wal(error: &WalError) -> Code {
    match error {
        WalError::Name { .. } => Code::WalName,
        WalError::Read { .. } => Code::WalUnreadable,
        WalError::Write { .. } => Code::OutputFailed,
        WalError::NotSegment { .. } => Code::WalMisnamed,
        WalError::NoSystem { .. } | WalError::Control { .. } => Code::WalNoSystem,
    }
}

impl From<WalError> for Failure {
    fn from(error: WalError) -> Self {
        Self::because(of_wal(&error), &error)
    }
}
