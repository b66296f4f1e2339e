//! The account that owns a sandbox: ourselves, or for root an unprivileged one.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::SandboxError;
use crate::conninfo::{Account, account_named};

/// Accounts that root hands the server to, in this order.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];

/// Who owns the files and runs the processes.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    /// `None`: we ourselves.
    account: Option<Account>,
}

impl Owner {
    pub(super) fn choose() -> Result<Self, SandboxError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self { account: None });
        }
        let account = ACCOUNTS.iter().find_map(|name| account_named(name));
        account.map(|account| Self { account: Some(account) }).ok_or(SandboxError::NoAccount)
    }

    /// Makes a directory with a new name and mode 0700 in `parent`.
    pub(super) fn create_directory(&self, parent: &Path, prefix: &str) -> Result<PathBuf, SandboxError> {
        let failed = |source| SandboxError::io("creating a directory in", parent, source);
        // Below, paths end up in settings of a server with another working directory.
        let parent = parent.canonicalize().map_err(failed)?;
        self.check_reachable(&parent)?;
        let directory = tempfile::Builder::new()
            .prefix(prefix)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(&parent)
            .map_err(failed)?;
        self.take(directory.path())?;
        Ok(directory.keep())
    }

    /// Makes a directory with mode 0700, if there is none.
    pub(super) fn make_directory(&self, path: &Path) -> Result<(), SandboxError> {
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(source) => Err(SandboxError::io("creating", path, source)),
            Ok(()) => self.take(path),
        }
    }

    /// Writes a file with mode 0600.
    pub(super) fn write_file(&self, path: &Path, bytes: &[u8]) -> Result<(), SandboxError> {
        let write = || -> io::Result<()> {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(bytes)
        };
        write().map_err(|source| SandboxError::io("writing", path, source))?;
        self.take(path)
    }

    /// Makes `command` run as this account, in `directory`, and apart from our process group, so that Ctrl-C on a terminal does
    /// not end it before we do.
    pub(super) fn run_as(&self, command: &mut Command, directory: &Path) {
        command.current_dir(directory).process_group(0);
        if let Some(account) = &self.account {
            command.uid(account.uid).gid(account.gid);
        }
    }

    /// Gives `path` to the account.
    pub(super) fn take(&self, path: &Path) -> Result<(), SandboxError> {
        let Some(account) = &self.account else { return Ok(()) };
        chown(path, Some(account.uid), Some(account.gid))
            .map_err(|source| SandboxError::io("changing the owner of", path, source))
    }

    /// Gives `path` and everything below it to the account. Links are given themselves, not what they point to.
    pub(super) fn take_tree(&self, path: &Path) -> Result<(), SandboxError> {
        let Some(account) = &self.account else { return Ok(()) };
        let failed = |path: &Path, source| SandboxError::io("changing the owner of", path, source);
        let mut waiting = vec![path.to_owned()];
        while let Some(path) = waiting.pop() {
            let metadata = fs::symlink_metadata(&path).map_err(|source| failed(&path, source))?;
            lchown(&path, Some(account.uid), Some(account.gid)).map_err(|source| failed(&path, source))?;
            if metadata.is_dir() {
                for entry in fs::read_dir(&path).map_err(|source| failed(&path, source))? {
                    waiting.push(entry.map_err(|source| failed(&path, source))?.path());
                }
            }
        }
        Ok(())
    }

    /// The account must be able to pass through every directory on the way.
    fn check_reachable(&self, path: &Path) -> Result<(), SandboxError> {
        let Some(account) = &self.account else { return Ok(()) };
        for directory in path.ancestors() {
            let metadata =
                fs::metadata(directory).map_err(|source| SandboxError::io("reading", directory, source))?;
            let shift = match (metadata.uid() == account.uid, metadata.gid() == account.gid) {
                (true, _) => 6,
                (false, true) => 3,
                (false, false) => 0,
            };
            if (metadata.mode() >> shift) & 1 == 0 {
                return Err(SandboxError::Hidden {
                    account: account.name.clone(),
                    path: directory.to_owned(),
                });
            }
        }
        Ok(())
    }
}
