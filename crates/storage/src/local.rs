//! The store in a local directory.
//!
//! Invariant: an object that is visible under its key is whole and durable, and nobody but its owner can reach it. Every
//! path is walked one part at a time without following symbolic links. Deliberately absent: retries (a failed sync is
//! final, and its caller still has the bytes) and caches of anything that another process can change.

mod directories;
mod leftovers;
mod object;
#[cfg(test)]
mod tests;
mod trash;

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::key::is_part;
use crate::{Created, Key, Listed, Store, StoreError};

use trash::Failed;

pub use leftovers::Swept;

/// Whether the files and directories of a store must be out of reach of other users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Everything belongs to the user of this process, and nobody else can reach it; anything else is refused.
    Required,
    /// Owners and permissions are not looked at. New files are still created for their owner only.
    Off,
}

/// Objects as files below a root directory, which is created by the first put.
#[derive(Debug)]
pub struct LocalStore {
    root: PathBuf,
    isolation: Isolation,
    /// Directories (relative to the root, which is the empty text) whose entry in their parent this store has synced. That
    /// a directory exists does not mean that its entry is durable: its maker may have died in between.
    synced: Mutex<BTreeSet<String>>,
}

impl LocalStore {
    /// The store below `root`, which need not exist yet.
    ///
    /// # Errors
    /// When there is no current directory to which a relative `root` could refer.
    pub fn new(root: impl AsRef<Path>, isolation: Isolation) -> Result<Self, StoreError> {
        let given = root.as_ref();
        let root = std::path::absolute(given).map_err(|source| StoreError::Io {
            action: "find",
            what: given.display().to_string(),
            source,
        })?;
        Ok(Self { root, isolation, synced: Mutex::default() })
    }

    /// The root directory, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    fn directory_of(&self, key: &Key) -> Result<OwnedFd, StoreError> {
        self.open_directory(key.split_name().0)?.ok_or_else(|| StoreError::NotFound { key: key.clone() })
    }

    /// Adds the objects below `directory` (which is `path` from the root) whose keys start with `prefix`.
    fn list_below(
        &self,
        directory: &OwnedFd,
        path: &str,
        prefix: &str,
        objects: &mut Vec<Listed>,
    ) -> Result<(), StoreError> {
        for name in names(directory).map_err(|errno| StoreError::system("list", self.shown(path), errno))? {
            let child = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            let Ok(key) = Key::new(child.as_str()) else { continue };
            if !child.starts_with(prefix) {
                continue;
            }
            match rustix::fs::statat(directory, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                    if let Some(below) = self.open_child(directory, &child)? {
                        self.list_below(&below, &child, prefix, objects)?;
                    }
                }
                // What is neither a file nor a directory is listed too, so that it fails when it is read, and is not hidden.
                Ok(stat) => objects.push(Listed { key, size: u64::try_from(stat.st_size).unwrap_or(0) }),
                // Deleted since it was listed.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(StoreError::system("list", child, errno)),
            }
        }
        Ok(())
    }

    fn shown(&self, path: &str) -> String {
        self.path(path).display().to_string()
    }
}

/// The names in a directory that can be part of a key.
fn names(directory: &OwnedFd) -> Result<Vec<String>, Errno> {
    let is_name = |name: &CStr| name.to_str().ok().filter(|name| is_part(name)).map(str::to_owned);
    Dir::read_from(directory)?
        .filter_map(|entry| entry.map(|entry| is_name(entry.file_name())).transpose())
        .collect()
}

impl Store for LocalStore {
    fn put(&self, key: &Key, bytes: &[u8]) -> Result<Created, StoreError> {
        let directory = self.make_directory(key)?;
        if let Some(there) = self.compare(&directory, key, bytes)? {
            return there;
        }
        if object::create(&directory, key, bytes)? {
            return Ok(Created::New);
        }
        // Another process was faster.
        self.compare(&directory, key, bytes)?
            .unwrap_or_else(|| Err(StoreError::system("write", key.as_str(), Errno::STALE)))
    }

    fn settle(&self, key: &Key) -> Result<(), StoreError> {
        self.open_object(&self.directory_of(key)?, key)?;
        // Its bytes were synced before it got its name.
        object::sync(&self.make_directory(key)?, key)
    }

    fn replace(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        let directory = self.directory_of(key)?;
        // Also refuses to replace what does not belong to us.
        self.open_object(&directory, key)?;
        object::replace(&directory, key, bytes)
    }

    fn get(&self, key: &Key, limit: u64) -> Result<Vec<u8>, StoreError> {
        let object = self.open_object(&self.directory_of(key)?, key)?;
        if object.size > limit {
            return Err(StoreError::TooLarge { key: key.clone(), size: object.size, limit });
        }
        object.read_all(key)
    }

    fn read_range(&self, key: &Key, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        self.open_object(&self.directory_of(key)?, key)?.read_at(key, offset, buffer)
    }

    fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        match self.directory_of(key).and_then(|directory| self.open_object(&directory, key)) {
            Ok(object) => Ok(Some(object.size)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let start = prefix.rsplit_once('/').map_or("", |(directory, _)| directory);
        let mut objects = Vec::new();
        if (start.is_empty() || Key::new(start).is_ok())
            && let Some(directory) = self.open_directory(start)?
        {
            self.list_below(&directory, start, prefix, &mut objects)?;
        }
        objects.sort();
        Ok(objects)
    }

    fn delete(&self, key: &Key) -> Result<bool, StoreError> {
        let Some(directory) = self.open_directory(key.split_name().0)? else { return Ok(false) };
        match rustix::fs::unlinkat(&directory, key.split_name().1, AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(StoreError::system("delete", key.as_str(), errno)),
        }
        rustix::fs::fsync(&directory).map_err(|errno| StoreError::system("delete", key.as_str(), errno))?;
        self.tidy_trash(key);
        Ok(true)
    }

    fn trash(&self, key: &Key, aside: &Key) -> Result<bool, StoreError> {
        match self.move_aside(key, aside) {
            // Whoever makes room needs none for it.
            Err(Failed::NoPlace) => self.delete(key),
            Err(Failed::Store(error)) => Err(error),
            Ok(was_there) => Ok(was_there),
        }
    }

    fn free_space(&self) -> Result<Option<u64>, StoreError> {
        // Before the first put, the space is that of the directory in which the root will be made.
        let there = self.root.ancestors().find(|path| path.is_dir()).unwrap_or(&self.root);
        let stat =
            rustix::fs::open(there, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .and_then(rustix::fs::fstatvfs)
                .map_err(|errno| StoreError::system("measure", self.shown(""), errno))?;
        Ok(Some(stat.f_bavail.saturating_mul(stat.f_frsize)))
    }

    fn describe(&self) -> String {
        self.root.display().to_string()
    }
}
