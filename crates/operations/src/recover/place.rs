//! A data directory that takes the place of another: made ready for its own server, exchanged, and given back.
//!
//! Invariant: the exchange is one system call, so that at no moment the name belongs to neither directory; and what is put in place is
//! durable, and belongs to whom the other belonged to.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::physical::{AUTO_CONF, failed, running_server, without_recovery};

/// What the server notes there is of no use elsewhere.
const OPTIONS: &str = "postmaster.opts";
/// Where a server looks for WAL that it is to archive.
const STATUS: &str = "pg_wal/archive_status";

/// The directories of a recovery: names change, inodes do not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directories {
    /// The name that is to be taken.
    pub data_dir: PathBuf,
    /// Where the restored one is until then; the damaged one after that.
    pub beside: PathBuf,
    /// The inode of the restored one, as soon as it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_inode: Option<u64>,
    /// Whether there was another one when the restored one took the name.
    #[serde(default)]
    pub replaced: bool,
}

impl Directories {
    /// Those of the recovery with this stamp.
    pub(super) fn new(data_dir: &Path, stamp: &str) -> Result<Self, Error> {
        let data_dir = std::path::absolute(data_dir).map_err(|error| failed("found", data_dir, error))?;
        let mut name = data_dir.file_name().map(OsString::from).unwrap_or_default();
        name.push(format!("_recovered_{stamp}"));
        let beside = data_dir.with_file_name(name);
        Ok(Self { data_dir, beside, restored_inode: None, replaced: false })
    }

    /// The directory that holds both.
    pub(super) fn parent(&self) -> &Path {
        self.data_dir.parent().unwrap_or(Path::new("/"))
    }

    /// Whether the directory is a place of its own that cannot change its name with another one.
    pub(super) fn is_mount_point(&self) -> Result<bool, Error> {
        let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev());
        match device(&self.data_dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("read", &self.data_dir, error)),
            Ok(own) => {
                let above = device(self.parent()).map_err(|error| failed("read", self.parent(), error))?;
                Ok(own != above)
            }
        }
    }

    /// The server that runs on the directory.
    pub(super) fn server(&self) -> Option<i32> {
        running_server(&self.data_dir)
    }

    /// Whether the restored one has the name.
    pub(super) fn is_switched(&self) -> Result<bool, Error> {
        Ok(self.restored_inode.is_some() && inode(&self.data_dir)? == self.restored_inode)
    }

    /// Whether the restored one is where it was put.
    pub(super) fn is_beside(&self) -> Result<bool, Error> {
        Ok(self.restored_inode.is_some() && inode(&self.beside)? == self.restored_inode)
    }

    /// Whether there is a directory that has the name now.
    pub(super) fn has_other(&self) -> bool {
        self.data_dir.exists()
    }

    /// Exchanges the two names; where there is no other directory, the restored one gets its name.
    pub(super) fn exchange(&self, has_other: bool) -> Result<(), Error> {
        let flags = if has_other { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
        rustix::fs::renameat_with(CWD, &self.beside, CWD, &self.data_dir, flags)
            .map_err(|errno| failed("exchanged", &self.data_dir, errno))?;
        sync(self.parent())
    }

    /// Makes what was moved beside ready for its own server: settings as the cluster had them, owner and mode as those of the directory
    /// that it replaces, or of the one above where there is none; and durable.
    pub(super) fn settle(&self, auto_conf: &[u8]) -> Result<u64, Error> {
        let auto_conf = without_recovery(&String::from_utf8_lossy(auto_conf));
        let path = self.beside.join(AUTO_CONF);
        fs::write(&path, auto_conf).map_err(|error| failed("written", &path, error))?;
        match fs::remove_file(self.beside.join(OPTIONS)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("removed", &self.beside.join(OPTIONS), error));
            }
            _ => {}
        }
        self.have_histories_archived()?;
        self.give_away()?;
        sync_file_system(&self.beside)?;
        inode(&self.beside)?.ok_or_else(|| failed("found", &self.beside, io::ErrorKind::NotFound))
    }

    /// A server archives the history of a timeline when it begins it; the one in the sandbox archived nothing.
    fn have_histories_archived(&self) -> Result<(), Error> {
        let wal = self.beside.join("pg_wal");
        let entries = fs::read_dir(&wal).map_err(|error| failed("read", &wal, error))?;
        for entry in entries {
            let name = entry.map_err(|error| failed("read", &wal, error))?.file_name();
            let Some(name) = name.to_str().filter(|name| name.ends_with(".history")) else { continue };
            let status = self.beside.join(STATUS);
            if !status.join(format!("{name}.done")).exists() {
                let ready = status.join(format!("{name}.ready"));
                fs::write(&ready, b"").map_err(|error| failed("written", &ready, error))?;
            }
        }
        Ok(())
    }

    fn give_away(&self) -> Result<(), Error> {
        let like = if self.has_other() { self.data_dir.as_path() } else { self.parent() };
        let metadata = fs::metadata(like).map_err(|error| failed("read", like, error))?;
        if self.has_other() {
            fs::set_permissions(&self.beside, Permissions::from_mode(metadata.mode() & 0o750))
                .map_err(|error| failed("changed", &self.beside, error))?;
        }
        if !rustix::process::geteuid().is_root() || metadata.uid() == 0 {
            // A server does not run as root, so what belongs to the account of the sandbox stays so.
            return Ok(());
        }
        let mut waiting = vec![self.beside.clone()];
        while let Some(path) = waiting.pop() {
            let is_directory = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
            lchown(&path, Some(metadata.uid()), Some(metadata.gid()))
                .map_err(|error| failed("changed", &path, error))?;
            if is_directory {
                let entries = fs::read_dir(&path).map_err(|error| failed("read", &path, error))?;
                for entry in entries {
                    waiting.push(entry.map_err(|error| failed("read", &path, error))?.path());
                }
            }
        }
        Ok(())
    }
}

fn inode(path: &Path) -> Result<Option<u64>, Error> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path, error)),
    }
}

fn sync(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| failed("synced", path, error))
}

/// Everything that the sandbox left to the system to write, and the names.
fn sync_file_system(path: &Path) -> Result<(), Error> {
    let file = File::open(path).map_err(|error| failed("synced", path, error))?;
    rustix::fs::syncfs(&file).map_err(|errno| failed("synced", path, errno))
}
