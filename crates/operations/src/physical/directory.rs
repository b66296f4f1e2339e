//! The data directory that a restore fills.
//!
//! Invariant: nothing is written outside the directory and the directories of its tablespaces, whatever symbolic links lie in
//! them; and until the restore is complete there is no `global/pg_control`, so that no server starts on half of it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use model::{BackupId, ClusterPath};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

use super::error::DirectoryError;
use crate::Error;

/// Tells of a restore that is under way, and of what.
pub(super) const MARKER: &str = "chronavault-restore.json";
/// The file without which no server starts.
pub(super) const CONTROL: &str = "global/pg_control";
/// Where the symbolic links to tablespaces are.
const TABLESPACES: &str = "pg_tblspc";
/// What the name of a file ends in while it is being written.
const TEMPORARY: &str = ".chronavault";

#[derive(Serialize, Deserialize)]
struct Marker {
    backup: BackupId,
}

/// What is in the directory before a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing.
    Empty,
    /// Files of which those that are right may stay.
    Files,
}

/// A data directory, open for writing.
#[derive(Debug)]
pub(super) struct TargetDirectory {
    path: PathBuf,
    root: OwnedFd,
    tablespaces: BTreeMap<u32, Place>,
    owner: Option<(Uid, Gid)>,
}

/// A directory outside the data directory.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    directory: OwnedFd,
}

/// The error of a system call on `path`.
pub(crate) fn failed(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Error {
    DirectoryError::Io { action, path: path.to_owned(), source: source.into() }.into()
}

/// Says what is in `path`, and refuses what must not be touched. Writes nothing.
pub(super) fn examine(path: &Path, backup: &BackupId, delta: bool) -> Result<Before, Error> {
    let mut entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Before::Empty),
        Err(error) => return Err(failed("read", path, error)),
    };
    // A restore that was killed before it had said what it is leaves this, and nothing else.
    let begun = format!("{MARKER}{TEMPORARY}");
    if entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == begun.as_str())) {
        return Ok(Before::Empty);
    }
    if let Some(pid) = running_server(path) {
        return Err(DirectoryError::ServerRuns { path: path.to_owned(), pid }.into());
    }
    let interrupted = fs::read(path.join(MARKER)).ok().and_then(|text| {
        let marker: Option<Marker> = serde_json::from_slice(&text).ok();
        marker.map(|marker| marker.backup)
    });
    match interrupted {
        Some(other) if other == *backup => Ok(Before::Files),
        Some(other) if !delta => {
            Err(DirectoryError::OtherRestore { path: path.to_owned(), backup: other }.into())
        }
        None if !delta => Err(DirectoryError::NotEmpty { path: path.to_owned() }.into()),
        None if !path.join("PG_VERSION").is_file() => {
            Err(DirectoryError::NoDataDirectory { path: path.to_owned() }.into())
        }
        _ => Ok(Before::Files),
    }
}

/// The process that runs on a data directory, as far as its `postmaster.pid` tells.
pub(crate) fn running_server(path: &Path) -> Option<i32> {
    let text = fs::read_to_string(path.join("postmaster.pid")).ok()?;
    let pid: i32 = text.lines().next()?.trim().parse().ok()?;
    let alive = test_kill_process(Pid::from_raw(pid)?);
    // A process that we may not signal lives as well.
    matches!(alive, Ok(()) | Err(Errno::PERM)).then_some(pid)
}

impl TargetDirectory {
    /// Opens the directory and those of its tablespaces (by OID), and makes what is missing. From here on it tells of the restore
    /// of `backup`, and has no control file.
    pub(super) fn open(
        path: &Path,
        backup: &BackupId,
        tablespaces: &BTreeMap<u32, PathBuf>,
    ) -> Result<Self, Error> {
        let owner = owner_for(path)?;
        let (path, root) = make_directory(path, owner)?;
        let mut target = Self { path, root, tablespaces: BTreeMap::new(), owner };
        target.remove_file(&control_path()?)?;
        let marker = serde_json::to_vec(&Marker { backup: backup.clone() })
            .map_err(|source| Error::Json { what: "state of the restore", source })?;
        target.write_file(MARKER, &marker)?;
        if !tablespaces.is_empty() {
            target.directory(&parse(TABLESPACES)?, 0o700)?;
        }
        for (oid, place) in tablespaces {
            target.add_tablespace(*oid, place)?;
        }
        Ok(target)
    }

    fn add_tablespace(&mut self, oid: u32, place: &Path) -> Result<(), Error> {
        let (path, directory) = make_directory(place, self.owner)?;
        let link = format!("{TABLESPACES}/{oid}");
        match rustix::fs::unlinkat(&self.root, &link, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed("replaced", &self.path.join(&link), errno)),
        }
        rustix::fs::symlinkat(&path, &self.root, &link)
            .map_err(|errno| failed("linked", &self.path.join(&link), errno))?;
        self.tablespaces.insert(oid, Place { path, directory });
        Ok(())
    }

    /// The data directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that a path is to be resolved in, without following links, and the path from there.
    fn resolve<'a>(&self, path: &'a str) -> (&OwnedFd, &'a str) {
        let below = path.strip_prefix(TABLESPACES).and_then(|rest| rest.strip_prefix('/'));
        let found = below.and_then(|rest| {
            let (oid, rest) = rest.split_once('/')?;
            Some((&self.tablespaces.get(&oid.parse().ok()?)?.directory, rest))
        });
        found.unwrap_or((&self.root, path))
    }

    /// Makes a directory and those above it.
    pub(super) fn directory(&self, path: &ClusterPath, mode: u32) -> Result<(), Error> {
        let (root, relative) = self.resolve(path.as_str());
        let mut end = 0;
        while end < relative.len() {
            end = relative[end..].find('/').map_or(relative.len(), |at| end + at);
            let (part, is_last) = (&relative[..end], end == relative.len());
            let mode = if is_last { Mode::from_raw_mode(mode & 0o777) } else { Mode::RWXU };
            match rustix::fs::mkdirat(root, part, mode) {
                Ok(()) => self
                    .take(root, part)
                    .map_err(|errno| failed("given to its owner", &self.path.join(part), errno))?,
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(failed("created", &self.path.join(path.as_str()), errno)),
            }
            end += 1;
        }
        Ok(())
    }

    fn take(&self, root: &OwnedFd, path: &str) -> rustix::io::Result<()> {
        match self.owner {
            Some((uid, gid)) => {
                rustix::fs::chownat(root, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            }
            None => Ok(()),
        }
    }

    /// Opens a file for reading and writing, and makes it with its directories where it is missing.
    pub(super) fn file(&self, path: &ClusterPath, mode: u32) -> Result<OwnedFd, Error> {
        let wrap = |errno| failed("written", &self.path.join(path.as_str()), errno);
        let (root, relative) = self.resolve(path.as_str());
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(mode & 0o777);
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let open = || rustix::fs::openat2(root, relative, flags, mode, resolve);
        let file = match open() {
            Err(Errno::NOENT) => {
                if let Some(parent) = path.parent() {
                    self.directory(&parse(parent)?, 0o700)?;
                }
                open()
            }
            other => other,
        };
        let file = file.map_err(wrap)?;
        if let Some((uid, gid)) = self.owner {
            rustix::fs::fchown(&file, Some(uid), Some(gid)).map_err(wrap)?;
        }
        Ok(file)
    }

    /// Removes a file if it is there.
    pub(super) fn remove_file(&self, path: &ClusterPath) -> Result<(), Error> {
        let (root, relative) = self.resolve(path.as_str());
        match rustix::fs::unlinkat(root, relative, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(errno) => Err(failed("removed", &self.path.join(path.as_str()), errno)),
        }
    }

    /// Puts a small file in the data directory in place of what is there, at once or not at all, and durably.
    pub(super) fn write_file(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path: ClusterPath = parse(name)?;
        let temporary: ClusterPath = parse(&format!("{name}{TEMPORARY}"))?;
        self.remove_file(&temporary)?;
        let file = fs::File::from(self.file(&temporary, 0o600)?);
        let place = self.path.join(name);
        let write = || -> io::Result<()> {
            io::Write::write_all(&mut &file, bytes)?;
            file.sync_all()?;
            rustix::fs::renameat(&self.root, temporary.as_str(), &self.root, path.as_str())?;
            let directory = path.parent().unwrap_or(".");
            let directory = rustix::fs::openat(
                &self.root,
                directory,
                OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW,
                Mode::empty(),
            )?;
            Ok(rustix::fs::fsync(directory)?)
        };
        write().map_err(|error| failed("written", &place, error))
    }

    /// The paths of all files that are there, tablespaces included.
    pub(super) fn list(&self) -> Result<Vec<ClusterPath>, Error> {
        let mut files = Vec::new();
        list_below(&self.path, "", &mut files)?;
        for (oid, place) in &self.tablespaces {
            list_below(&place.path, &format!("{TABLESPACES}/{oid}"), &mut files)?;
        }
        Ok(files)
    }

    /// Makes everything durable that was written. Since Linux 5.8 this also reports what could not be written.
    pub(super) fn sync(&self) -> Result<(), Error> {
        let places = self.tablespaces.values().map(|place| (&place.path, &place.directory));
        for (path, directory) in places.chain([(&self.path, &self.root)]) {
            rustix::fs::syncfs(directory).map_err(|errno| failed("synced", path, errno))?;
        }
        Ok(())
    }

    /// Puts the control file in place, which makes the directory one that a server starts on.
    pub(super) fn complete(&self, control: &[u8]) -> Result<(), Error> {
        self.write_file(CONTROL, control)?;
        self.remove_file(&parse(MARKER)?)?;
        rustix::fs::fsync(&self.root).map_err(|errno| failed("synced", &self.path, errno))
    }
}

pub(super) fn control_path() -> Result<ClusterPath, Error> {
    parse(CONTROL)
}

fn parse(path: &str) -> Result<ClusterPath, Error> {
    path.parse().map_err(|_| DirectoryError::Name { name: path.to_owned() }.into())
}

/// Root restores for somebody else: for the owner of the directory, or of the one that it will be in.
fn owner_for(path: &Path) -> Result<Option<(Uid, Gid)>, Error> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let metadata = fs::metadata(there).map_err(|error| failed("read", there, error))?;
    Ok((metadata.uid() != 0).then(|| (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()))))
}

/// Makes a directory that only its owner can enter, or takes one that is there, and returns its absolute path.
fn make_directory(path: &Path, owner: Option<(Uid, Gid)>) -> Result<(PathBuf, OwnedFd), Error> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {
            if let Some((uid, gid)) = owner {
                rustix::fs::chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|errno| failed("given to its owner", path, errno))?;
            }
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // A server refuses a data directory that others can reach.
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))
                .map_err(|error| failed("protected", path, error))?;
        }
        Err(error) => return Err(failed("created", path, error)),
    }
    let path = path.canonicalize().map_err(|error| failed("found", path, error))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let directory =
        rustix::fs::open(&path, flags, Mode::empty()).map_err(|errno| failed("opened", &path, errno))?;
    Ok((path, directory))
}

/// Adds the files below `directory`, which is `prefix` from the data directory. Symbolic links are not followed.
pub(super) fn list_below(directory: &Path, prefix: &str, files: &mut Vec<ClusterPath>) -> Result<(), Error> {
    for entry in fs::read_dir(directory).map_err(|error| failed("read", directory, error))? {
        let entry = entry.map_err(|error| failed("read", directory, error))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(DirectoryError::Name { name: name.to_string_lossy().into_owned() }.into());
        };
        let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        let kind = entry.file_type().map_err(|error| failed("read", &entry.path(), error))?;
        if kind.is_dir() {
            list_below(&entry.path(), &path, files)?;
        } else if kind.is_file() {
            files.push(parse(&path)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Marked as being written when the restore of a backup was killed.
    #[test]
    fn a_restore_that_was_killed_at_its_very_beginning_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let backup: BackupId = "backup-2026-11-23-120000-abc123".parse().unwrap();
        let begun = directory.path().join(format!("{MARKER}{TEMPORARY}"));
        fs::write(&begun, b"{").unwrap();
        assert_eq!(examine(directory.path(), &backup, false).unwrap(), Before::Empty);
        let target = TargetDirectory::open(directory.path(), &backup, &BTreeMap::new()).unwrap();
        assert!(!begun.exists());
        assert_eq!(examine(directory.path(), &backup, false).unwrap(), Before::Files);
        drop(target);
        fs::rename(directory.path().join(MARKER), &begun).unwrap();
        fs::write(directory.path().join("notes.txt"), b"somebody's").unwrap();
        assert!(matches!(
            examine(directory.path(), &backup, false),
            Err(Error::Directory(DirectoryError::NotEmpty { .. }))
        ));
    }
}
