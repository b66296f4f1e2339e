//! Temporary files that killed processes left behind.

use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, FileType};
use rustix::io::Errno;

use super::object::RANDOM_BYTES;
use super::{LocalStore, names};
use crate::StoreError;
use crate::key::{TEMPORARY_SUFFIX, is_part};

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Number of files.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

impl LocalStore {
    /// Removes leftovers that were last written before `before`. Choose a moment that no running put can be older than.
    ///
    /// # Errors
    /// When a directory cannot be read or a leftover cannot be removed.
    pub fn sweep(&self, before: SystemTime) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        if let Some(root) = self.open_directory("")? {
            self.sweep_below(&root, "", before, &mut swept)?;
        }
        Ok(swept)
    }

    fn sweep_below(
        &self,
        directory: &OwnedFd,
        path: &str,
        before: SystemTime,
        swept: &mut Swept,
    ) -> Result<(), StoreError> {
        let failed = |errno| StoreError::system("sweep", self.shown(path), errno);
        for name in leftovers(directory).map_err(failed)? {
            let stat = match rustix::fs::statat(directory, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                // Its put has just finished.
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(failed(errno)),
            };
            let age = u64::try_from(stat.st_mtime).map_or(Duration::ZERO, Duration::from_secs);
            let is_old = SystemTime::UNIX_EPOCH.checked_add(age).is_some_and(|written| written < before);
            if is_old && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                rustix::fs::unlinkat(directory, name.as_str(), AtFlags::empty()).map_err(failed)?;
                swept.files += 1;
                swept.bytes += u64::try_from(stat.st_size).unwrap_or(0);
            }
        }
        for name in names(directory).map_err(failed)? {
            let child = if path.is_empty() { name } else { format!("{path}/{name}") };
            let is_directory = rustix::fs::statat(directory, last(&child), AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
            if is_directory && let Some(below) = self.open_child(directory, &child)? {
                self.sweep_below(&below, &child, before, swept)?;
            }
        }
        Ok(())
    }
}

fn last(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// The names in a directory that a put gave to temporary files: those of anybody else are left alone.
fn leftovers(directory: &OwnedFd) -> Result<Vec<String>, Errno> {
    let mut found = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        let Some((object, random)) =
            name.strip_suffix(TEMPORARY_SUFFIX).and_then(|stem| stem.rsplit_once('.'))
        else {
            continue;
        };
        if is_part(object)
            && random.len() == 2 * RANDOM_BYTES
            && random.bytes().all(|b| b.is_ascii_hexdigit())
        {
            found.push(name.to_owned());
        }
    }
    Ok(found)
}
