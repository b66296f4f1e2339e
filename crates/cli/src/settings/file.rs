//! `chronavault.toml`. Unknown names are errors, so that a misspelt setting is not silently without effect. Secrets have
//! no place in it, except a password that somebody puts into a URL.

mod alerts;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub(crate) use alerts::{
    AlertsTable, ChannelTable, ChannelType, MethodWord, PingTable, RouteTable, SecurityWord, ServiceTable,
    SeverityWord,
};

use crate::args::MaxSizePolicy;
use crate::catalogue::Code;
use crate::failure::{Failure, one_line};

/// Where settings are looked for when `--config` names no file.
const DEFAULT_FILES: [&str; 2] = ["chronavault.toml", "/etc/chronavault/chronavault.toml"];

/// The settings file as it was read.
#[derive(Debug, Default)]
pub(crate) struct SettingsFile {
    /// Its path; nothing when there is none.
    pub(crate) path: Option<PathBuf>,
    /// What it says.
    pub(crate) content: Content,
}

/// What a settings file can say.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Content {
    /// `[repository]`
    pub(crate) repository: RepositoryTable,
    /// `[backup]`
    pub(crate) backup: BackupTable,
    /// `[retention]`
    pub(crate) retention: RetentionTable,
    /// `[sources.NAME]`
    pub(crate) sources: BTreeMap<String, SourceTable>,
    /// `[service]`
    pub(crate) service: ServiceTable,
    /// `[alerts]`
    pub(crate) alerts: AlertsTable,
}

/// `[repository]`: where backups are kept and which file has the key.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RepositoryTable {
    /// As `BACKUP_DIRECTORY`.
    pub(crate) directory: Option<PathBuf>,
    /// As `BACKUP_REPOSITORY`.
    pub(crate) url: Option<String>,
    /// As `BACKUP_ENCRYPTION_KEY_FILE`.
    pub(crate) key_file: Option<PathBuf>,
    /// As `BACKUP_JOURNAL_DIRECTORY`.
    pub(crate) journal_directory: Option<PathBuf>,
    /// As `BACKUP_ISOLATION_ENABLED`.
    pub(crate) isolation: Option<bool>,
}

/// `[backup]`: how backups are made.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BackupTable {
    /// The source of a command that names none.
    pub(crate) source: Option<String>,
    /// As `BACKUP_MAX_SIZE_GB`.
    pub(crate) max_size_gb: Option<f64>,
    /// As `--max-size-policy`.
    pub(crate) max_size_policy: Option<MaxSizePolicy>,
    /// As `BACKUP_COMPRESSION_ENABLED`.
    pub(crate) compression: Option<bool>,
    /// As `--compression-level`.
    pub(crate) compression_level: Option<u64>,
    /// As `BACKUP_VERIFICATION_ENABLED`.
    pub(crate) verification: Option<bool>,
    /// As `BACKUP_INTERVAL_HOURS`.
    pub(crate) interval_hours: Option<u64>,
    /// As `--jobs`.
    pub(crate) jobs: Option<u64>,
    /// As `--large-table-mb`.
    pub(crate) large_table_mb: Option<u64>,
    /// As `--lock-timeout`.
    pub(crate) lock_timeout_seconds: Option<u64>,
    /// Where throwaway clusters are made, instead of `TMPDIR`.
    pub(crate) sandbox_directory: Option<PathBuf>,
}

/// `[retention]` and `[sources.NAME.retention]`: how long backups and WAL are kept.
#[derive(Debug, Default, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RetentionTable {
    /// As `BACKUP_RETENTION_DAYS`.
    pub(crate) days: Option<u64>,
    /// As `--wal-days`.
    pub(crate) wal_days: Option<u64>,
    /// As `--keep-last`.
    pub(crate) keep_last: Option<u64>,
    /// As `--keep-daily`.
    pub(crate) keep_daily: Option<u64>,
    /// As `--keep-weekly`.
    pub(crate) keep_weekly: Option<u64>,
    /// As `--keep-monthly`.
    pub(crate) keep_monthly: Option<u64>,
    /// As `--keep-yearly`.
    pub(crate) keep_yearly: Option<u64>,
}

/// `[sources.NAME]`: one database and what to leave out of its backups.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SourceTable {
    /// As `DATABASE_URL`.
    pub(crate) url: Option<String>,
    /// As `--schema`.
    pub(crate) schemas: Vec<String>,
    /// As `--exclude-table`.
    pub(crate) exclude_tables: Vec<String>,
    /// As `--exclude-table-data`.
    pub(crate) exclude_table_data: Vec<String>,
    /// How long its backups are kept, where that is not as for all.
    pub(crate) retention: RetentionTable,
}

impl SettingsFile {
    /// Reads the file that `named` names, else the first default file that is there, else none.
    pub(crate) fn read(named: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = named else {
            for path in DEFAULT_FILES.map(Path::new) {
                match fs::read_to_string(path) {
                    Ok(text) => return Self::parse(path, &text),
                    Err(error) if is_absent(&error) => {}
                    Err(error) => return Err(unreadable(path, &error)),
                }
            }
            return Ok(Self::default());
        };
        let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Failure> {
        let content = toml::from_str(text).map_err(|error| {
            // Without the excerpt that the error shows: the line may hold a password.
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            let message = format!("{}, line {line}: {}", path.display(), one_line(error.message()));
            Failure::new(Code::SettingsFile, message)
        })?;
        Ok(Self { path: Some(path.to_owned()), content })
    }

    /// How messages call the setting `name` of this file.
    pub(crate) fn origin(&self, name: &str) -> String {
        match &self.path {
            Some(path) => format!("{name} in {}", path.display()),
            None => name.to_owned(),
        }
    }
}

/// Nothing is there. A directory on the way that is a file counts, too; a directory that may not be searched does not.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot read the settings file {}: {error}", path.display());
    Failure::new(Code::SettingsFileUnreadable, message)
}
