//! Brings WAL into a sandbox, segment by segment, as the server asks for it.
//!
//! Invariant: the server gets nothing but the WAL: no key, no way to where it is kept, no network. Its `restore_command` is a few words of
//! shell that write the name into one pipe and wait at another for the answer. That something is not there ends a recovery in good order;
//! whatever else goes wrong ends it with an error, so that it is never taken for the end of the WAL.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, thread};

use rustix::fs::{CWD, FileType, Mode};

use super::super::error::SandboxError;
use super::super::owner::Owner;
use super::error::RestoredError;

/// The pipe with the names that are asked for.
const WANTED: &str = "wal-wanted";
/// The pipe with the answers.
const ANSWERS: &str = "wal-answers";
/// Where WAL is put, for the server to take it away.
const SHELF: &str = "wal";

/// Brings WAL.
pub trait WalSupply: Sync {
    /// Writes the WAL file `name` to `target`, which is not there. Returns whether there is such WAL.
    fn supply(&self, name: &str, target: &Path) -> Result<bool, Box<dyn std::error::Error + Send + Sync>>;
}

/// The two pipes and the shelf. Dropping removes the pipes, so that whoever asks later learns that there is nothing.
pub(super) struct WalFeed {
    base: PathBuf,
    owner: Owner,
    wanted: File,
    answers: File,
}

impl WalFeed {
    pub(super) fn create(base: &Path, owner: &Owner) -> Result<Self, SandboxError> {
        owner.make_directory(&base.join(SHELF))?;
        let pipe = |name: &str| {
            let path = base.join(name);
            let failed = |source| SandboxError::io("making", &path, source);
            rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
                .map_err(|errno| failed(errno.into()))?;
            // Open at both ends, so that nobody waits for the other and none sees an end.
            let file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
            owner.take(&path)?;
            Ok::<_, SandboxError>(file)
        };
        Ok(Self {
            base: base.to_owned(),
            owner: owner.clone(),
            wanted: pipe(WANTED)?,
            answers: pipe(ANSWERS)?,
        })
    }

    /// The `restore_command`. A status above 125 is an error to the server, and not the end of the WAL (`RestoreArchivedFile` in its source).
    pub(super) fn command(&self) -> String {
        let path = |name: &str| {
            let path = self.base.join(name).to_string_lossy().into_owned();
            format!("'{}'", path.replace('\'', "'\\''").replace('%', "%%"))
        };
        let (wanted, answers, shelf) = (path(WANTED), path(ANSWERS), path(SHELF));
        format!(
            "test -p {wanted} || exit 1; echo %f > {wanted}; while read -r name answer; do test \"$name\" = %f || continue; \
             case $answer in yes) exec mv {shelf}/%f %p;; no) exit 1;; *) exit 126;; esac; done < {answers}; exit 126"
        )
    }

    /// Brings WAL as long as `work` lasts.
    pub(super) fn during<T>(
        self,
        supply: &dyn WalSupply,
        work: impl FnOnce() -> Result<T, RestoredError>,
    ) -> Result<T, RestoredError> {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let serving = scope.spawn(|| self.serve(supply, &is_over));
            let result = work();
            is_over.store(true, Ordering::Release);
            // An empty name wakes it. The pipe has room, or it is awake.
            let _ = (&self.wanted).write_all(b"\n");
            let served = serving.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            // A server that got no answer says less than whoever did not have one.
            served.and(result)
        })
    }

    /// Answers until it is over. Returns the first error; the server ends after it.
    fn serve(&self, supply: &dyn WalSupply, is_over: &AtomicBool) -> Result<(), RestoredError> {
        let mut failed = None;
        for name in BufReader::new(&self.wanted).lines() {
            if is_over.load(Ordering::Acquire) {
                break;
            }
            let name = name.map_err(|source| SandboxError::io("reading", &self.base.join(WANTED), source))?;
            let answer = match self.bring(supply, &name) {
                Ok(true) => "yes",
                Ok(false) => "no",
                Err(error) => {
                    failed.get_or_insert(error);
                    "failed"
                }
            };
            writeln!(&self.answers, "{name} {answer}")
                .map_err(|source| SandboxError::io("writing", &self.base.join(ANSWERS), source))?;
        }
        failed.map_or(Ok(()), Err)
    }

    fn bring(&self, supply: &dyn WalSupply, name: &str) -> Result<bool, RestoredError> {
        // A name is a name, whoever asks.
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.') {
            return Ok(false);
        }
        let target = self.base.join(SHELF).join(name);
        let found = supply.supply(name, &target);
        let found = found.map_err(|source| RestoredError::Supply { name: name.to_owned(), source })?;
        if found {
            self.owner.take(&target)?;
        }
        Ok(found)
    }
}

impl Drop for WalFeed {
    fn drop(&mut self) {
        for name in [WANTED, ANSWERS] {
            let _ = fs::remove_file(self.base.join(name));
        }
    }
}
