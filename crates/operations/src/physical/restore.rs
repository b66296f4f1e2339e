//! Restoring a physical backup into a data directory.
//!
//! Invariant: nothing is written before it is known that the backup can be read and that the places are free; and no server starts
//! on the directory before every file of it is durable.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{BackupId, RecoveryTarget, TargetTimeline};
use repository::{BackupReader, FileRecord, PhysicalRecord, Repository};

use super::directory::{self, Before, TargetDirectory};
use super::error::DirectoryError;
use super::files;
use super::plan::{self, StartFrom};
use super::recovery::{AUTO_CONF, RECOVERY_SIGNAL, Recovery, RecoveryCommands, TargetAction};
use crate::context::elapsed;
use crate::progress::Progress;
use crate::{Context, Error, Phase};

/// Where the server reads the places of its tablespaces from when it starts on a backup.
const TABLESPACE_MAP: &str = "tablespace_map";

/// Where to restore a cluster to, and how far it is to recover.
#[derive(Debug, Clone)]
pub struct ClusterRestoreRequest {
    /// The backup to start from.
    pub from: StartFrom,
    /// The data directory: empty or not there, unless `delta` is set.
    pub data_dir: PathBuf,
    /// Where recovery ends.
    pub target: RecoveryTarget,
    /// Whether it ends just before that.
    pub exclusive: bool,
    /// Which timeline it follows.
    pub timeline: TargetTimeline,
    /// What the server does then.
    pub action: TargetAction,
    /// Whether to use what is in the data directory, and write only what differs.
    pub delta: bool,
    /// New places of tablespaces, by OID or by old place. The others go where they were.
    pub tablespaces: Vec<(String, PathBuf)>,
    /// Threads that write at the same time.
    pub jobs: usize,
    /// What the server runs during recovery.
    pub commands: RecoveryCommands,
}

/// What came of a restore.
#[derive(Debug, Clone)]
pub struct ClusterRestoreReport {
    /// The backup.
    pub id: BackupId,
    /// The data directory.
    pub data_dir: PathBuf,
    /// How long it took.
    pub duration: Duration,
    /// Files restored.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Where recovery will end.
    pub target: RecoveryTarget,
}

/// A physical backup, open for reading.
pub(super) struct OpenedCluster {
    pub(super) reader: BackupReader,
    pub(super) record: PhysicalRecord,
    pub(super) files: Vec<FileRecord>,
}

impl OpenedCluster {
    pub(super) fn open(repository: &Repository, id: &BackupId) -> Result<Self, Error> {
        let reader = repository.read(id)?;
        let Some(record) = reader.manifest().physical.clone() else {
            return Err(Error::NotPhysical { id: id.clone() });
        };
        let files = reader.files()?;
        Ok(Self { reader, record, files })
    }

    fn id(&self) -> &BackupId {
        &self.reader.manifest().id
    }

    fn bytes(&self) -> u64 {
        self.files.iter().filter_map(|file| file.bytes).sum()
    }

    /// Writes all files into `path` and makes them durable. What is still missing is the control file, which is returned.
    pub(super) fn write(
        &self,
        path: &Path,
        before: Before,
        tablespaces: &BTreeMap<u32, PathBuf>,
        jobs: usize,
        context: &Context<'_>,
    ) -> Result<(TargetDirectory, Vec<u8>), Error> {
        let directory = TargetDirectory::open(path, self.id(), tablespaces)?;
        let progress = Progress::begin(context, Phase::Directory, self.bytes());
        let control = files::write(&self.reader, &self.files, &directory, before, jobs, &progress)?;
        if self.files.iter().any(|file| file.path.as_str() == TABLESPACE_MAP) {
            directory.write_file(TABLESPACE_MAP, tablespace_map(tablespaces).as_bytes())?;
        }
        Ok((directory, control))
    }
}

/// Restores a backup into a data directory. When this fails, the directory may be partly filled, and no server starts on it; the
/// same restore into it again goes on where this one ended.
pub fn restore_cluster(
    repository: &Repository,
    request: &ClusterRestoreRequest,
    context: &Context<'_>,
) -> Result<ClusterRestoreReport, Error> {
    let started_at = context.now();
    context.phase(Phase::Preflight);
    let plan =
        plan::plan(repository, &request.from, &request.target, request.timeline, request.jobs, context)?;
    let id = &plan.backup;
    let backup = OpenedCluster::open(repository, id)?;
    let tablespaces = places(&backup.record, &request.tablespaces)?;
    let before = directory::examine(&request.data_dir, id, request.delta)?;
    require_free(&request.data_dir, &tablespaces, before)?;

    let (directory, control) =
        backup.write(&request.data_dir, before, &tablespaces, request.jobs, context)?;
    let recovery = Recovery {
        target: request.target.clone(),
        exclusive: request.exclusive,
        timeline: (plan.timeline != backup.record.timeline).then_some(plan.timeline),
        action: request.action,
        commands: request.commands.clone(),
    };
    let conf_path = directory.path().join(AUTO_CONF);
    let conf =
        fs::read_to_string(&conf_path).map_err(|error| directory::failed("read", &conf_path, error))?;
    directory.write_file(AUTO_CONF, recovery.add_to(&conf).as_bytes())?;
    directory.write_file(RECOVERY_SIGNAL, b"")?;
    context.phase(Phase::Sync);
    directory.sync()?;
    directory.complete(&control)?;
    Ok(ClusterRestoreReport {
        id: id.clone(),
        data_dir: directory.path().to_owned(),
        duration: elapsed(started_at, context),
        files: backup.record.files,
        bytes: backup.bytes(),
        target: request.target.clone(),
    })
}

/// The backup from which a restore as `request` says starts.
pub(crate) fn choose_start(
    repository: &Repository,
    request: &ClusterRestoreRequest,
    context: &Context<'_>,
) -> Result<BackupId, Error> {
    let plan =
        plan::plan(repository, &request.from, &request.target, request.timeline, request.jobs, context)?;
    Ok(plan.backup)
}

/// The directories that a restore would fill.
pub(crate) struct Places {
    /// Whether there is nothing in the data directory.
    pub(crate) is_empty: bool,
    /// Where tablespaces go.
    pub(crate) tablespaces: Vec<PathBuf>,
}

/// Looks at the directories that a restore would fill, and refuses what it would. Writes nothing.
pub(crate) fn examine_places(
    record: &PhysicalRecord,
    id: &BackupId,
    request: &ClusterRestoreRequest,
) -> Result<Places, Error> {
    let tablespaces = places(record, &request.tablespaces)?;
    let before = directory::examine(&request.data_dir, id, request.delta)?;
    require_free(&request.data_dir, &tablespaces, before)?;
    Ok(Places { is_empty: before == Before::Empty, tablespaces: tablespaces.into_values().collect() })
}

/// The place of each tablespace.
fn places(record: &PhysicalRecord, wanted: &[(String, PathBuf)]) -> Result<BTreeMap<u32, PathBuf>, Error> {
    let mut places: BTreeMap<u32, PathBuf> =
        record.tablespaces.iter().map(|space| (space.oid, PathBuf::from(&space.location))).collect();
    for (name, place) in wanted {
        let is_named =
            |space: &&repository::TablespaceRecord| space.location == *name || space.oid.to_string() == *name;
        let Some(space) = record.tablespaces.iter().find(is_named) else {
            let known: Vec<_> = record
                .tablespaces
                .iter()
                .map(|space| format!("{} at {}", space.oid, space.location))
                .collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(DirectoryError::NoTablespace { name: name.clone(), known }.into());
        };
        let place = std::path::absolute(place).map_err(|error| directory::failed("found", place, error))?;
        places.insert(space.oid, place);
    }
    Ok(places)
}

/// Checks that the places of tablespaces are free and apart.
fn require_free(data_dir: &Path, tablespaces: &BTreeMap<u32, PathBuf>, before: Before) -> Result<(), Error> {
    let data_dir =
        std::path::absolute(data_dir).map_err(|error| directory::failed("found", data_dir, error))?;
    let mut used = vec![data_dir];
    for place in tablespaces.values() {
        if let Some(other) = used.iter().find(|other| place.starts_with(other) || other.starts_with(place)) {
            return Err(DirectoryError::Overlap { path: place.clone(), other: other.clone() }.into());
        }
        let is_free = match fs::read_dir(place) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        if !is_free && before == Before::Empty {
            return Err(DirectoryError::NotEmpty { path: place.clone() }.into());
        }
        used.push(place.clone());
    }
    Ok(())
}

/// The file that tells the server where its tablespaces are. A newline or backslash in a path is escaped (since PostgreSQL 9.5
/// a newline, since 14 both; neither occurs in practice).
fn tablespace_map(tablespaces: &BTreeMap<u32, PathBuf>) -> String {
    let escape = |place: &Path| place.to_string_lossy().replace('\\', "\\\\").replace('\n', "\\\n");
    let lines: Vec<_> = tablespaces.iter().map(|(oid, place)| format!("{oid} {}\n", escape(place))).collect();
    lines.concat()
}
