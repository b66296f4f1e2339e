//! Where records of recoveries are kept: one file each, replaced as a whole at every step.
//!
//! Invariant: a step begins only when its begin is durable, so that whoever resumes knows what may have been done.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use model::RecoveryId;
use tempfile::Builder;

use super::RecoverError;
use super::record::RecoveryRecord;

/// A directory of records.
#[derive(Debug, Clone)]
pub struct RecoveryDirectory {
    path: PathBuf,
}

impl RecoveryDirectory {
    /// The directory at `path`, which is made when something is to be kept.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where the report of a recovery is, in the form that `extension` names: `md` or `json`.
    pub fn place(&self, id: &RecoveryId, extension: &str) -> PathBuf {
        self.path.join(format!("{id}.{extension}"))
    }

    /// All records, the newest first. What is no record is left out.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn all(&self) -> Result<Vec<RecoveryRecord>, RecoverError> {
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|source| failed("read", &self.path, source))?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry.map_err(|source| failed("read", &self.path, source))?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".json"));
            ids.extend(id.and_then(|id| id.parse::<RecoveryId>().ok()));
        }
        let mut records: Vec<_> = ids.iter().filter_map(|id| self.load(id).ok()).collect();
        // Ids tell seconds apart, and no less.
        records.sort_by_key(|record| std::cmp::Reverse(record.began_at));
        Ok(records)
    }

    /// One record.
    fn load(&self, id: &RecoveryId) -> Result<RecoveryRecord, RecoverError> {
        let path = self.place(id, "json");
        let text = fs::read(&path).map_err(|source| failed("read", &path, source))?;
        serde_json::from_slice(&text).map_err(|error| failed("understood", &path, error.into()))
    }

    /// Keeps a record; it is durable when this returns.
    pub(super) fn keep(&self, record: &RecoveryRecord) -> Result<(), RecoverError> {
        let path = self.place(&record.id, "json");
        let mut text =
            serde_json::to_vec_pretty(record).map_err(|error| failed("written", &path, error.into()))?;
        text.push(b'\n');
        self.write(&path, &text)
    }

    /// Writes the report for people.
    pub(super) fn write_report(&self, id: &RecoveryId, text: &str) -> Result<(), RecoverError> {
        self.write(&self.place(id, "md"), text.as_bytes())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), RecoverError> {
        let write = || {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
            let mut file = Builder::new()
                .prefix(".new-")
                .permissions(fs::Permissions::from_mode(0o600))
                .tempfile_in(&self.path)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|error| error.error)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|source| failed("written", path, source))
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> RecoverError {
    RecoverError::Record { action, path: path.to_owned(), source }
}
