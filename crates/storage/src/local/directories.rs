//! Walking to the directory of an object, and making it durably.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{Isolation, LocalStore};
use crate::{Key, StoreError};

/// Permissions of a new directory.
const DIRECTORY_MODE: u32 = 0o700;
/// Permission bits that open something to others than its owner.
const OTHERS: u32 = 0o077;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl LocalStore {
    /// The directory `path` below the root, or nothing when it is not there.
    pub(super) fn open_directory(&self, path: &str) -> Result<Option<OwnedFd>, StoreError> {
        // The root itself may be a symbolic link: that is the choice of whoever named it.
        let mut directory = match rustix::fs::open(&self.root, DIRECTORY, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(not_a_directory(self.root.clone(), errno)),
        };
        self.check_isolation(&directory, &self.root)?;
        for child in prefixes(path) {
            match self.open_child(&directory, child)? {
                Some(below) => directory = below,
                None => return Ok(None),
            }
        }
        Ok(Some(directory))
    }

    /// The directory `path` (from the root), of which `parent` is the parent; nothing when it is not there.
    pub(super) fn open_child(&self, parent: &OwnedFd, path: &str) -> Result<Option<OwnedFd>, StoreError> {
        let name = last_part(path);
        match rustix::fs::openat(parent, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(directory) => {
                self.check_isolation(&directory, &self.path(path))?;
                Ok(Some(directory))
            }
            Err(Errno::NOENT) => Ok(None),
            // A file where a directory would be: no key below it exists.
            Err(Errno::NOTDIR) if is_regular_file(parent, name) => Ok(None),
            Err(errno) => Err(not_a_directory(self.path(path), errno)),
        }
    }

    /// The directory that holds the object at `key`, made when it is not there. It and every directory above it, down from
    /// the root's parent, have durable entries.
    pub(super) fn make_directory(&self, key: &Key) -> Result<OwnedFd, StoreError> {
        let mut directory = self.make_root(key)?;
        for path in prefixes(key.split_name().0) {
            let below = match self.open_child(&directory, path)? {
                Some(below) => below,
                None => self.make_child(&directory, path, key)?,
            };
            self.sync_entry(path, || rustix::fs::fsync(&directory)).map_err(|errno| {
                // Nothing is known of a directory whose entry could not be synced. An empty one is made again.
                let _ = rustix::fs::unlinkat(&directory, last_part(path), AtFlags::REMOVEDIR);
                StoreError::writing("sync the directory of", key, errno)
            })?;
            directory = below;
        }
        Ok(directory)
    }

    fn make_root(&self, key: &Key) -> Result<OwnedFd, StoreError> {
        if let Some(root) = self.open_directory("")? {
            match self.sync_entry("", || sync_parent(&self.root)) {
                // Somebody else made the root, in a directory that we may not read: they answer for its entry.
                Ok(()) | Err(Errno::ACCESS) => return Ok(root),
                Err(errno) => return Err(StoreError::writing("sync the directory of", key, errno)),
            }
        }
        let missing: Vec<&Path> = self.root.ancestors().take_while(|path| !path.exists()).collect();
        for path in missing.into_iter().rev() {
            let made = std::fs::DirBuilder::new().mode(DIRECTORY_MODE).create(path);
            if let Err(error) = made.or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Ok(()),
                _ => Err(error),
            }) {
                return Err(StoreError::writing("make the directory of", key, errno_of(&error)));
            }
            sync_parent(path).map_err(|errno| StoreError::writing("sync the directory of", key, errno))?;
        }
        self.open_directory("")?.ok_or_else(|| not_a_directory(self.root.clone(), Errno::NOENT))
    }

    fn make_child(&self, parent: &OwnedFd, path: &str, key: &Key) -> Result<OwnedFd, StoreError> {
        match rustix::fs::mkdirat(parent, last_part(path), Mode::from_raw_mode(DIRECTORY_MODE)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(StoreError::writing("make the directory of", key, errno)),
        }
        self.open_child(parent, path)?
            .ok_or_else(|| StoreError::WrongType { path: self.path(path), expected: "a directory" })
    }

    /// Runs `sync` once per directory and store.
    fn sync_entry(&self, path: &str, sync: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
        let known = |synced: &std::collections::BTreeSet<String>| synced.contains(path);
        if known(&self.synced.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        // The lock is not held meanwhile: two threads that both sync do no harm.
        sync()?;
        self.synced.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
        Ok(())
    }

    /// Refuses what others can reach, unless isolation is off.
    pub(super) fn check_isolation(&self, file: &OwnedFd, path: &Path) -> Result<Stat, StoreError> {
        let stat = rustix::fs::fstat(file)
            .map_err(|errno| StoreError::system("look at", path.display().to_string(), errno))?;
        if self.isolation == Isolation::Required {
            let expected = rustix::process::geteuid().as_raw();
            if stat.st_uid != expected {
                return Err(StoreError::ForeignOwner { path: path.to_owned(), owner: stat.st_uid, expected });
            }
            let mode = stat.st_mode & 0o7777;
            if mode & OTHERS != 0 {
                return Err(StoreError::Loose { path: path.to_owned(), mode });
            }
        }
        Ok(stat)
    }
}

fn sync_parent(path: &Path) -> Result<(), Errno> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    rustix::fs::fsync(rustix::fs::open(parent, DIRECTORY, Mode::empty())?)
}

fn is_regular_file(parent: &OwnedFd, name: &str) -> bool {
    rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}

fn not_a_directory(path: PathBuf, errno: Errno) -> StoreError {
    match errno {
        Errno::NOTDIR | Errno::LOOP => StoreError::WrongType { path, expected: "a directory" },
        _ => StoreError::system("open", path.display().to_string(), errno),
    }
}

/// The error number of an I/O error that came from a system call.
pub(super) fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// `a`, `a/b`, `a/b/c` for `a/b/c`; nothing for an empty path.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let ends = path.char_indices().filter(|(_, c)| *c == '/').map(|(at, _)| at).chain([path.len()]);
    ends.filter_map(|end| path.get(..end)).filter(|prefix| !prefix.is_empty())
}

fn last_part(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}
