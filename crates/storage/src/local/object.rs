//! One object as a file: reading it, and making it appear whole and durable.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::LocalStore;
use super::directories::errno_of;
use crate::key::TEMPORARY_SUFFIX;
use crate::{Created, Key, StoreError};

/// Permissions of a new file.
const FILE_MODE: u32 = 0o600;
/// How much of an existing object is compared at a time, in bytes.
const COMPARE_BYTES: usize = 256 << 10;
/// Random bytes in the name of a temporary file.
pub(super) const RANDOM_BYTES: usize = 8;

/// An object that is open for reading.
pub(super) struct Object {
    file: File,
    /// Its size in bytes when it was opened; an object never changes.
    pub(super) size: u64,
}

impl Object {
    pub(super) fn read_all(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        let size = usize::try_from(self.size).map_err(|_| StoreError::TooLarge {
            key: key.clone(),
            size: self.size,
            limit: usize::MAX as u64,
        })?;
        let mut bytes = vec![0; size];
        self.read_at(key, 0, &mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn read_at(&self, key: &Key, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        let end = offset.saturating_add(buffer.len() as u64);
        if end > self.size {
            return Err(StoreError::Short { key: key.clone(), end });
        }
        self.file.read_exact_at(buffer, offset).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => StoreError::Short { key: key.clone(), end },
            _ => StoreError::Io { action: "read", what: key.to_string(), source: error },
        })
    }

    fn equals(&self, key: &Key, bytes: &[u8]) -> Result<bool, StoreError> {
        if self.size != bytes.len() as u64 {
            return Ok(false);
        }
        let mut buffer = vec![0; COMPARE_BYTES.min(bytes.len())];
        let mut offset = 0;
        for expected in bytes.chunks(COMPARE_BYTES) {
            let part = buffer.get_mut(..expected.len()).unwrap_or_default();
            self.read_at(key, offset, part)?;
            if part != expected {
                return Ok(false);
            }
            offset += expected.len() as u64;
        }
        Ok(true)
    }
}

impl LocalStore {
    /// Opens the object at `key`, whose directory is `directory`.
    pub(super) fn open_object(&self, directory: &OwnedFd, key: &Key) -> Result<Object, StoreError> {
        // Without NONBLOCK, opening a pipe that somebody put there would wait forever.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let path = self.path(key.as_str());
        let file = match rustix::fs::openat(directory, key.split_name().1, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Err(StoreError::NotFound { key: key.clone() }),
            Err(Errno::LOOP | Errno::NXIO) => {
                return Err(StoreError::WrongType { path, expected: "a regular file" });
            }
            Err(errno) => return Err(StoreError::system("open", key.as_str(), errno)),
        };
        let stat = self.check_isolation(&file, &path)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            // A directory is no object; keys below it may be.
            FileType::Directory => return Err(StoreError::NotFound { key: key.clone() }),
            _ => return Err(StoreError::WrongType { path, expected: "a regular file" }),
        }
        Ok(Object { file: File::from(file), size: u64::try_from(stat.st_size).unwrap_or(0) })
    }

    /// What a put of `bytes` at `key` comes to when an object is already there; nothing when none is.
    pub(super) fn compare(
        &self,
        directory: &OwnedFd,
        key: &Key,
        bytes: &[u8],
    ) -> Result<Option<Result<Created, StoreError>>, StoreError> {
        let object = match self.open_object(directory, key) {
            Ok(object) => object,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        if !object.equals(key, bytes)? {
            return Ok(Some(Err(StoreError::Conflict { key: key.clone() })));
        }
        // Whoever renamed it into place may have died before syncing the directory.
        sync(directory, key)?;
        Ok(Some(Ok(Created::AlreadyThere)))
    }
}

/// Makes the object appear with `bytes`. Returns `false` when another object appeared first.
pub(super) fn create(directory: &OwnedFd, key: &Key, bytes: &[u8]) -> Result<bool, StoreError> {
    let temporary = Temporary::write(directory, key, bytes)?;
    let name = key.split_name().1;
    match rename_without_replacing(directory, &temporary.name, name) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Ok(false),
        Err(errno) => return Err(StoreError::writing("rename", key, errno)),
    }
    temporary.renamed();
    sync(directory, key).inspect_err(|_| {
        // Nothing is known of an entry that could not be synced, and another sync may claim that all is well: the object
        // goes, so that the next attempt writes it again.
        let _ = rustix::fs::unlinkat(directory, name, AtFlags::empty());
    })?;
    Ok(true)
}

/// Replaces the object by one with `bytes`.
pub(super) fn replace(directory: &OwnedFd, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
    let temporary = Temporary::write(directory, key, bytes)?;
    rustix::fs::renameat(directory, temporary.name.as_str(), directory, key.split_name().1)
        .map_err(|errno| StoreError::writing("rename", key, errno))?;
    temporary.renamed();
    sync(directory, key)
}

/// On file systems that cannot rename without replacing, a hard link does the same: it fails when the name is taken.
fn rename_without_replacing(directory: &OwnedFd, from: &str, to: &str) -> Result<(), Errno> {
    match rustix::fs::renameat_with(directory, from, directory, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            rustix::fs::linkat(directory, from, directory, to, AtFlags::empty())?;
            // The object is there already; a second name that stays is a leftover like any other.
            let _ = rustix::fs::unlinkat(directory, from, AtFlags::empty());
            Ok(())
        }
        result => result,
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync(directory: &OwnedFd, key: &Key) -> Result<(), StoreError> {
    rustix::fs::fsync(directory).map_err(|errno| StoreError::writing("sync the directory of", key, errno))
}

/// A file under a name that means nothing, with all its bytes synced. It is removed unless it was renamed.
struct Temporary<'a> {
    directory: &'a OwnedFd,
    name: String,
    is_leftover: bool,
}

impl<'a> Temporary<'a> {
    fn write(directory: &'a OwnedFd, key: &Key, bytes: &[u8]) -> Result<Self, StoreError> {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random).map_err(|error| StoreError::Io {
            action: "name a temporary file for",
            what: key.to_string(),
            source: std::io::Error::other(error.to_string()),
        })?;
        let name = format!("{}.{:016x}{TEMPORARY_SUFFIX}", key.split_name().1, u64::from_le_bytes(random));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(directory, name.as_str(), flags, Mode::from_raw_mode(FILE_MODE))
            .map_err(|errno| StoreError::writing("create", key, errno))?;
        let temporary = Self { directory, name, is_leftover: true };
        let mut file = File::from(file);
        file.write_all(bytes).map_err(|error| StoreError::writing("write", key, errno_of(&error)))?;
        file.sync_all().map_err(|error| StoreError::writing("sync", key, errno_of(&error)))?;
        Ok(temporary)
    }

    fn renamed(mut self) {
        self.is_leftover = false;
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if self.is_leftover {
            // A file that stays is a leftover, which means nothing and is swept later.
            let _ = rustix::fs::unlinkat(self.directory, self.name.as_str(), AtFlags::empty());
        }
    }
}
