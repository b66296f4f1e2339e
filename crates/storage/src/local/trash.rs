//! Taking objects away without destroying them at once: a rename into `trash/`.
//!
//! Invariant: an object that was moved is gone from its key durably, and its bytes are either where it went or gone. Directories
//! below `trash/` go with the last object in them; no put ever goes there that could need one at that moment.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::{LocalStore, object};
use crate::{Key, StoreError, TRASH};

/// Why an object was not moved.
pub(super) enum Failed {
    /// There is no room for its new name, or that is on another file system.
    NoPlace,
    /// Anything else.
    Store(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full { .. } => Self::NoPlace,
            other => Self::Store(other),
        }
    }
}

impl LocalStore {
    /// Moves the object at `key` to `aside`. Returns whether it was there.
    pub(super) fn move_aside(&self, key: &Key, aside: &Key) -> Result<bool, Failed> {
        let (path, name) = key.split_name();
        let Some(from) = self.open_directory(path)? else { return Ok(false) };
        if !is_object(&from, name).map_err(|errno| StoreError::system("look at", key.as_str(), errno))? {
            return Ok(false);
        }
        let to = self.make_directory(aside)?;
        match rustix::fs::renameat(&from, name, &to, aside.split_name().1) {
            Ok(()) => {}
            // Somebody else took it away meanwhile.
            Err(Errno::NOENT) => return Ok(false),
            Err(Errno::XDEV) => return Err(Failed::NoPlace),
            Err(errno) => return Err(StoreError::writing("trash", key, errno).into()),
        }
        // In this order a crash leaves it in the trash rather than nowhere.
        object::sync(&to, aside).and_then(|()| object::sync(&from, key)).map_err(Failed::Store)?;
        Ok(true)
    }

    /// Removes the directories of a deleted object up to `trash/` that hold nothing any more.
    pub(super) fn tidy_trash(&self, key: &Key) {
        let mut path = key.split_name().0;
        while path.starts_with(TRASH) {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            let removed = match self.open_directory(parent) {
                Ok(Some(parent)) => rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR).is_ok(),
                Ok(None) | Err(_) => false,
            };
            // One that stays means nothing.
            if !removed {
                return;
            }
            path = parent;
        }
    }
}

/// Whether there is anything but a directory of this name: keys below a directory are no object.
fn is_object(directory: &OwnedFd, name: &str) -> Result<bool, Errno> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode) != FileType::Directory),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}
