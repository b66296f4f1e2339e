//! Which files and directories a backup consists of.
//!
//! Files that come to be after the listing are not in it: replay of the WAL makes them again. So does it with what is left out of
//! directories that vanish while they are listed.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use model::ClusterPath;

use super::exclusion::{self, Unlogged, WAL_DIRECTORY};
use crate::cluster::{ClusterError, Tablespace};
use crate::control::{CONTROL_PATH, ControlFile};

/// Where tablespaces are linked from.
const TABLESPACES: &str = "pg_tblspc";
/// The first major version that summarises its WAL.
const SUMMARIES_MAJOR: u32 = 17;
/// Permission bits of a mode.
const MODE_BITS: u32 = 0o7777;

/// A file, where it is and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Its path in the backup.
    pub(super) path: ClusterPath,
    /// Where it is here.
    pub(super) file: PathBuf,
    /// Bytes when it was listed.
    pub(super) bytes: u64,
    /// The backup is nothing without it, and it has exactly so many bytes. Others may vanish or change their size: replay of the WAL
    /// makes up for that.
    pub(super) required: bool,
}

/// A directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Directory {
    pub(super) path: ClusterPath,
    pub(super) mode: u32,
}

/// What a data directory holds. Everything is sorted by path.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) directories: Vec<Directory>,
    pub(super) files: Vec<Place>,
    pub(super) tablespaces: Vec<Tablespace>,
    /// Permission bits of `pg_control`, which is not among the files.
    pub(super) control_mode: u32,
    /// Sentences about what was left out although somebody put it there.
    pub(super) warnings: Vec<String>,
}

impl Listing {
    /// Lists the data directory `root` of a server of the version `major`.
    pub(super) fn of(root: &Path, control: &ControlFile, major: u32) -> Result<Self, ClusterError> {
        let control_file = root.join(CONTROL_PATH);
        let control_mode =
            mode(&fs::metadata(&control_file).map_err(|source| failed(&control_file, source))?);
        let mut lister = Lister {
            version_directory: format!("PG_{major}_{}", control.catalog_version),
            listing: Self {
                directories: Vec::new(),
                files: Vec::new(),
                tablespaces: Vec::new(),
                control_mode,
                warnings: Vec::new(),
            },
            elsewhere: BTreeSet::new(),
        };
        // Tablespaces first: one may be in the middle of the data directory, and must not come twice.
        lister.tablespaces(root)?;
        lister.directory(root, "")?;
        lister.wal_directories(root, major)?;
        let mut listing = lister.listing;
        listing.directories.sort();
        listing.files.sort();
        listing.tablespaces.sort();
        Ok(listing)
    }

    /// Bytes of all files, as they were when they were listed.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

struct Lister {
    /// The directory of this major version in each tablespace; those of others belong to other clusters.
    version_directory: String,
    listing: Listing,
    /// Directories of tablespaces within the data directory.
    elsewhere: BTreeSet<PathBuf>,
}

impl Lister {
    /// Follows the links of tablespaces. A directory instead of a link is a tablespace in place, and is listed as all others.
    fn tablespaces(&mut self, root: &Path) -> Result<(), ClusterError> {
        let links = root.join(TABLESPACES);
        for name in names(&links)?.unwrap_or_default() {
            let link = links.join(&name);
            let Ok(oid) = name.parse::<u32>() else { continue };
            let Ok(target) = fs::read_link(&link) else { continue };
            let location = target.to_str().ok_or_else(|| unnameable(&target))?.to_owned();
            if let Ok(real) = link.canonicalize() {
                self.elsewhere.insert(real);
            }
            self.listing.tablespaces.push(Tablespace { oid, location });
            let Some(metadata) = present(&link, fs::metadata(&link))? else { continue };
            self.named_directory(&format!("{TABLESPACES}/{name}"), &metadata)?;
            let path = format!("{TABLESPACES}/{name}/{}", self.version_directory);
            let directory = link.join(&self.version_directory);
            // Dropped a moment ago, or made by a server that has not put anything into it.
            let Some(metadata) = present(&directory, fs::metadata(&directory))? else { continue };
            self.named_directory(&path, &metadata)?;
            self.directory(&directory, &path)?;
        }
        Ok(())
    }

    /// Lists what is below `place`, whose path in the backup is `path`.
    fn directory(&mut self, place: &Path, path: &str) -> Result<(), ClusterError> {
        let Some(names) = names(place)? else { return Ok(()) };
        let unlogged = Unlogged::among(path, names.iter().map(String::as_str));
        for name in &names {
            let is_excluded = unlogged.as_ref().is_some_and(|unlogged| unlogged.excludes(name));
            if is_excluded || exclusion::is_excluded(path, name) {
                continue;
            }
            let below = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            self.entry(&place.join(name), &below)?;
        }
        Ok(())
    }

    fn entry(&mut self, place: &Path, path: &str) -> Result<(), ClusterError> {
        let Some(metadata) = present(place, fs::symlink_metadata(place))? else { return Ok(()) };
        if exclusion::is_emptied(path) {
            // It may be a link to another disk. What is in it is left out all the same.
            let Some(metadata) = present(place, fs::metadata(place))? else { return Ok(()) };
            return self.named_directory(path, &metadata);
        }
        if metadata.is_dir() {
            self.named_directory(path, &metadata)?;
            let is_elsewhere = self.elsewhere.contains(place);
            return if is_elsewhere { Ok(()) } else { self.directory(place, path) };
        }
        if metadata.is_file() {
            let file =
                Place { path: parse(path)?, file: place.to_owned(), bytes: metadata.len(), required: false };
            self.listing.files.push(file);
        } else if !(metadata.is_symlink() && path.starts_with(TABLESPACES)) {
            // The server leaves it out as well.
            self.listing
                .warnings
                .push(format!("{path} is not in the backup: it is no ordinary file or directory"));
        }
        Ok(())
    }

    fn named_directory(&mut self, path: &str, metadata: &Metadata) -> Result<(), ClusterError> {
        self.listing.directories.push(Directory { path: parse(path)?, mode: mode(metadata) });
        Ok(())
    }

    /// Directories that a server expects in `pg_wal`.
    fn wal_directories(&mut self, root: &Path, major: u32) -> Result<(), ClusterError> {
        let place = root.join(WAL_DIRECTORY);
        let metadata = fs::metadata(&place).map_err(|source| failed(&place, source))?;
        self.named_directory(&format!("{WAL_DIRECTORY}/archive_status"), &metadata)?;
        if major >= SUMMARIES_MAJOR {
            self.named_directory(&format!("{WAL_DIRECTORY}/summaries"), &metadata)?;
        }
        Ok(())
    }
}

/// The names in a directory; nothing if there is no such directory any more.
pub(super) fn names(directory: &Path) -> Result<Option<Vec<String>>, ClusterError> {
    let Some(entries) = present(directory, fs::read_dir(directory))? else { return Ok(None) };
    let mut names = Vec::new();
    for entry in entries {
        let Some(entry) = present(directory, entry)? else { break };
        names.push(entry.file_name().into_string().map_err(|name| unnameable(Path::new(&name)))?);
    }
    Ok(Some(names))
}

/// What was found; nothing if it is gone.
fn present<T>(place: &Path, found: io::Result<T>) -> Result<Option<T>, ClusterError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed(place, source)),
    }
}

fn mode(metadata: &Metadata) -> u32 {
    metadata.permissions().mode() & MODE_BITS
}

fn parse(path: &str) -> Result<ClusterPath, ClusterError> {
    path.parse().map_err(|_| ClusterError::Name { name: path.to_owned() })
}

fn unnameable(path: &Path) -> ClusterError {
    ClusterError::Name { name: path.to_string_lossy().into_owned() }
}

pub(super) fn failed(path: &Path, source: io::Error) -> ClusterError {
    ClusterError::Read { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
