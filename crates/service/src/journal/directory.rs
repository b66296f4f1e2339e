//! The directory of a journal: its files and its lock.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use repository::{JournalId, parse_journal_file_name};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use super::JournalError;

/// Permission bits that open something to others than its owner.
const OTHERS: u32 = 0o077;
/// The file that is locked while an entry is written.
const LOCK: &str = "lock";
/// Longer than this, nobody writes an entry.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);
/// How often a lock that somebody else holds is tried.
const LOCK_RETRY: Duration = Duration::from_millis(5);

/// The directory with the files of a journal. It may hold journals of several repositories, and old ones.
#[derive(Debug, Clone)]
pub struct JournalDirectory {
    path: PathBuf,
    isolation: bool,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct JournalFile {
    pub(super) journal: JournalId,
    /// The number of its first entry, as its name says.
    pub(super) first: u64,
    pub(super) path: PathBuf,
}

/// A file as it was at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileStamp {
    path: PathBuf,
    bytes: u64,
    modified: Option<SystemTime>,
}

/// A lock; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "it is held open")] File);

impl JournalDirectory {
    /// The directory `path`, which need not exist yet. With `isolation`, files that other users can reach are refused.
    pub fn new(path: impl Into<PathBuf>, isolation: bool) -> Self {
        Self { path: path.into(), isolation }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory durably, if it is not there.
    pub(super) fn create(&self) -> Result<(), JournalError> {
        let missing: Vec<_> = self.path.ancestors().take_while(|path| !path.exists()).collect();
        if !missing.is_empty() {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o700);
            builder.create(&self.path).map_err(|source| failed("create", &self.path, source))?;
            for made in missing {
                sync_directory(made.parent().filter(|parent| !parent.as_os_str().is_empty()))?;
            }
        }
        let metadata = fs::metadata(&self.path).map_err(|source| failed("look at", &self.path, source))?;
        if !metadata.is_dir() {
            return Err(failed("use", &self.path, Errno::NOTDIR.into()));
        }
        self.check(&self.path, metadata.mode())
    }

    /// Waits until nobody else writes. The directory must be there.
    pub(super) fn lock_to_write(&self) -> Result<Lock, JournalError> {
        let path = self.path.join(LOCK);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.custom_flags(NOFOLLOW).open(&path);
        let file = file.map_err(|source| failed("open", &path, source))?;
        lock(&file, path, FlockOperation::NonBlockingLockExclusive).map(|()| Lock(file))
    }

    /// Waits until nobody writes; nothing when nobody ever did.
    pub(super) fn lock_to_read(&self) -> Result<Option<Lock>, JournalError> {
        let path = self.path.join(LOCK);
        match OpenOptions::new().read(true).custom_flags(NOFOLLOW).open(&path) {
            Ok(file) => lock(&file, path, FlockOperation::NonBlockingLockShared).map(|()| Some(Lock(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed("open", &path, source)),
        }
    }

    /// The files, by journal and then in the order of their entries; none when the directory is not there.
    pub(super) fn files(&self) -> Result<Vec<JournalFile>, JournalError> {
        let listed = match fs::read_dir(&self.path) {
            Ok(listed) => listed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(failed("list", &self.path, source)),
        };
        let mut files = Vec::new();
        for entry in listed {
            let entry = entry.map_err(|source| failed("list", &self.path, source))?;
            let name = entry.file_name();
            if let Some((first, journal)) = name.to_str().and_then(parse_journal_file_name) {
                files.push(JournalFile { journal, first, path: entry.path() });
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    /// What tells whether anything was written since.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(crate) fn stamps(&self) -> Result<Vec<FileStamp>, JournalError> {
        let stamp = |file: JournalFile| {
            let metadata = fs::symlink_metadata(&file.path);
            let metadata = metadata.map_err(|source| failed("look at", &file.path, source))?;
            Ok(FileStamp { path: file.path, bytes: metadata.len(), modified: metadata.modified().ok() })
        };
        self.files()?.into_iter().map(stamp).collect()
    }

    /// Opens a file to append to it, and makes it if it is not there.
    pub(super) fn open_to_append(&self, path: &Path) -> Result<File, JournalError> {
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).mode(0o600).custom_flags(NOFOLLOW).open(path);
        let file = file.map_err(|source| failed("open", path, source))?;
        let metadata = file.metadata().map_err(|source| failed("look at", path, source))?;
        if !metadata.is_file() {
            return Err(failed("append to", path, Errno::INVAL.into()));
        }
        self.check(path, metadata.mode())?;
        Ok(file)
    }

    /// Makes the names in the directory durable.
    pub(super) fn sync(&self) -> Result<(), JournalError> {
        sync_directory(Some(&self.path))
    }

    fn check(&self, path: &Path, mode: u32) -> Result<(), JournalError> {
        if self.isolation && mode & OTHERS != 0 {
            return Err(JournalError::Loose { path: path.to_owned(), mode: mode & 0o7777 });
        }
        Ok(())
    }
}

fn lock(file: &File, path: PathBuf, how: FlockOperation) -> Result<(), JournalError> {
    let began = Instant::now();
    loop {
        match flock(file, how) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK | Errno::INTR) if began.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(LOCK_RETRY);
            }
            Err(Errno::WOULDBLOCK) => return Err(JournalError::Busy { path }),
            Err(errno) => return Err(failed("lock", &path, errno.into())),
        }
    }
}

impl JournalFile {
    /// All that is in it.
    pub(super) fn read(&self) -> Result<Vec<u8>, JournalError> {
        let mut bytes = Vec::new();
        OpenOptions::new()
            .read(true)
            .custom_flags(NOFOLLOW)
            .open(&self.path)
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .map_err(|source| failed("read", &self.path, source))?;
        Ok(bytes)
    }
}

/// Also without waiting for the other end of a pipe that somebody put there.
const NOFOLLOW: i32 = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits().cast_signed();

/// `directory`, or the current one.
fn sync_directory(directory: Option<&Path>) -> Result<(), JournalError> {
    let directory = directory.unwrap_or(Path::new("."));
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|source| failed("sync", directory, source))
}

pub(super) fn failed(action: &'static str, path: &Path, source: io::Error) -> JournalError {
    JournalError::Io { action, path: path.to_owned(), source }
}
