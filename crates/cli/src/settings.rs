//! The settings: flags over environment over `chronavault.toml` over defaults.
//!
//! Invariant: a value is checked once, here, and an error names the flag, variable or line of the file that it came
//! from. Values that may hold a secret are never part of an error.

mod alerts;
mod checks;
mod file;
mod recovery;
mod redacted;
mod retention;
mod service;
mod shown;
mod source;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use model::Check;
use repository::Repository;

pub(crate) use file::SettingsFile;
pub(crate) use recovery::RecoverySettings;
pub(crate) use redacted::of_connection as connection_without_password;
pub(crate) use service::ServiceSettings;
pub(crate) use shown::{Shown, cadence};

use crate::args::{BackupArgs, GlobalArgs, MaxSizePolicy};
use crate::catalogue::Code;
use crate::environment::{ENCRYPTION_KEY, Environment};
use crate::failure::Failure;
use crate::key::KeySource;

/// zstd level of new backups.
const COMPRESSION_LEVEL: u64 = 1;
/// Tables of at least this many megabytes are split.
const LARGE_TABLE_MB: u64 = 16;
/// Seconds to wait for the lock of a table before trying again.
const LOCK_TIMEOUT_SECONDS: u64 = 10;
/// `BACKUP_MAX_SIZE_GB`, 10, in bytes.
const MAX_SIZE_BYTES: u64 = 10_000_000_000;
/// `BACKUP_RETENTION_DAYS`.
const RETENTION_DAYS: u64 = 30;
/// Days for which anything can be kept.
const DAYS: std::ops::RangeInclusive<u64> = 1..=36_500;
/// `BACKUP_INTERVAL_HOURS`.
const INTERVAL_HOURS: u64 = 24;
/// Connections that are used at the same time when nothing is said.
const JOBS_LIMIT: usize = 4;

/// Where everything that does not come from the command line comes from.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The environment.
    pub(crate) environment: Environment,
    /// The settings file.
    pub(crate) file: SettingsFile,
    /// Root directory of the repository.
    pub(crate) root: PathBuf,
    /// Whether everything below the root must be out of reach of other users.
    pub(crate) isolation: bool,
    /// Where the journal of this machine is.
    pub(crate) journal_directory: PathBuf,
    /// Where the key is.
    pub(crate) key: KeySource,
    /// Days for which backups are kept.
    pub(crate) retention_days: u64,
    /// Hours between two backups.
    pub(crate) interval_hours: u64,
    /// Where throwaway clusters are made.
    pub(crate) sandbox_directory: PathBuf,
    /// The repository, once it was opened with these settings.
    pub(crate) opened: OnceLock<Repository>,
}

/// How a backup is made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BackupSettings {
    /// Whether it is restored to prove it.
    pub(crate) verification: bool,
    /// zstd level, or nothing to store without compression.
    pub(crate) compression: Option<i32>,
    /// Size of the database, in bytes, that is thought too large.
    pub(crate) max_size_bytes: Option<u64>,
    /// What happens then.
    pub(crate) max_size_policy: MaxSizePolicy,
    /// Connections that read at the same time.
    pub(crate) jobs: usize,
    /// Size in bytes from which on a table is split.
    pub(crate) large_table_bytes: u64,
    /// How long to wait for a lock.
    pub(crate) lock_timeout: Duration,
    /// The checks that have to hold in what is restored to prove it.
    pub(crate) checks: Vec<Check>,
}

impl Default for BackupSettings {
    fn default() -> Self {
        Self {
            verification: true,
            compression: i32::try_from(COMPRESSION_LEVEL).ok(),
            max_size_bytes: Some(MAX_SIZE_BYTES),
            max_size_policy: MaxSizePolicy::Warn,
            jobs: default_jobs(),
            large_table_bytes: LARGE_TABLE_MB * 1_000_000,
            lock_timeout: Duration::from_secs(LOCK_TIMEOUT_SECONDS),
            checks: Vec::new(),
        }
    }
}

impl Settings {
    /// Reads the settings file and checks everything that all commands share.
    pub(crate) fn load(flags: &GlobalArgs, environment: Environment) -> Result<Self, Failure> {
        let file = SettingsFile::read(flags.config.as_deref())?;
        let from = Layers { environment: &environment, file: &file };
        let table = &file.content.repository;
        let isolation = from.switch("BACKUP_ISOLATION_ENABLED", table.isolation)?;
        let root = root(flags, &from)?;
        let journal_directory = journal_directory(&root, &from)?;
        let key = key_source(flags, &from)?;
        let backup = &file.content.backup;
        let days =
            Number { flag: None, variable: "BACKUP_RETENTION_DAYS", file: file.content.retention.days };
        let hours = Number { flag: None, variable: "BACKUP_INTERVAL_HOURS", file: backup.interval_hours };
        let retention_days = from.number("retention.days", &days, DAYS)?.unwrap_or(RETENTION_DAYS);
        let interval_hours =
            from.number("backup.interval_hours", &hours, 1..=8_784)?.unwrap_or(INTERVAL_HOURS);
        let sandbox_directory = backup
            .sandbox_directory
            .clone()
            .or_else(|| environment.path("TMPDIR"))
            .unwrap_or_else(|| PathBuf::from("/tmp"));
        Ok(Self {
            environment,
            file,
            root,
            isolation,
            journal_directory,
            key,
            retention_days,
            interval_hours,
            sandbox_directory,
            opened: OnceLock::new(),
        })
    }

    /// A directory of ours beside the repository.
    fn beside_repository(&self, name: &str) -> PathBuf {
        beside(&self.root, name)
    }

    /// The settings of a backup.
    pub(crate) fn backup(&self, flags: &BackupArgs) -> Result<BackupSettings, Failure> {
        let from = Layers { environment: &self.environment, file: &self.file };
        let table = &self.file.content.backup;
        let level =
            only(flags.compression_level.map(|n| ("--compression-level", n)), table.compression_level);
        let large = only(flags.large_table_mb.map(|n| ("--large-table-mb", n)), table.large_table_mb);
        let timeout = only(flags.lock_timeout.map(|n| ("--lock-timeout", n)), table.lock_timeout_seconds);
        let level = from.number("backup.compression_level", &level, 1..=19)?.unwrap_or(COMPRESSION_LEVEL);
        let large = from.number("backup.large_table_mb", &large, 1..=1_000_000)?.unwrap_or(LARGE_TABLE_MB);
        let timeout =
            from.number("backup.lock_timeout_seconds", &timeout, 1..=86_400)?.unwrap_or(LOCK_TIMEOUT_SECONDS);
        let compressed = from.switch("BACKUP_COMPRESSION_ENABLED", table.compression)?;
        let verified = from.switch("BACKUP_VERIFICATION_ENABLED", table.verification)?;
        Ok(BackupSettings {
            verification: verified && !flags.no_verify,
            compression: if compressed { i32::try_from(level).ok() } else { None },
            max_size_bytes: max_size(flags.max_size_gb.as_deref(), &from)?,
            max_size_policy: flags.max_size_policy.or(table.max_size_policy).unwrap_or(MaxSizePolicy::Warn),
            jobs: self.jobs(flags.jobs)?,
            large_table_bytes: large * 1_000_000,
            lock_timeout: Duration::from_secs(timeout),
            checks: self.checks()?,
        })
    }

    /// How many connections to use at the same time.
    pub(crate) fn jobs(&self, flag: Option<u64>) -> Result<usize, Failure> {
        let from = Layers { environment: &self.environment, file: &self.file };
        let jobs = only(flag.map(|n| ("--jobs", n)), self.file.content.backup.jobs);
        let given = from.number("backup.jobs", &jobs, 1..=64)?.and_then(|jobs| usize::try_from(jobs).ok());
        Ok(given.unwrap_or_else(default_jobs))
    }

    /// The value of `PATH`, where PostgreSQL's programs are looked for.
    pub(crate) fn tool_path(&self) -> Option<OsString> {
        self.environment.raw("PATH").map(OsString::from)
    }
}

/// One connection for each processor, up to a limit: the server has other work, too.
fn default_jobs() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(JOBS_LIMIT)
}

/// A whole number of which each layer may have a value.
struct Number {
    flag: Option<(&'static str, u64)>,
    /// Empty when there is no variable for it.
    variable: &'static str,
    file: Option<u64>,
}

/// A number without a variable.
fn only(flag: Option<(&'static str, u64)>, file: Option<u64>) -> Number {
    Number { flag, variable: "", file }
}

/// The layers below the flags.
struct Layers<'a> {
    environment: &'a Environment,
    file: &'a SettingsFile,
}

impl Layers<'_> {
    /// A switch that is on unless a variable or the file turns it off.
    fn switch(&self, variable: &str, file: Option<bool>) -> Result<bool, Failure> {
        let Some(text) = self.environment.text(variable)? else { return Ok(file.unwrap_or(true)) };
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(wrong_value(variable, text, "true or false")),
        }
    }

    fn number(
        &self,
        name: &str,
        number: &Number,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, Failure> {
        let expected = || format!("a whole number from {} to {}", range.start(), range.end());
        let variable = match number.variable {
            "" => None,
            variable => self.environment.text(variable)?,
        };
        let (origin, value) = match (number.flag, variable, number.file) {
            (Some((flag, value)), ..) => (flag.to_owned(), value),
            (None, Some(text), _) => {
                let value =
                    text.trim().parse().map_err(|_| wrong_value(number.variable, text, &expected()))?;
                (number.variable.to_owned(), value)
            }
            (None, None, Some(value)) => (self.file.origin(name), value),
            (None, None, None) => return Ok(None),
        };
        if range.contains(&value) {
            Ok(Some(value))
        } else {
            Err(wrong_value(&origin, &value.to_string(), &expected()))
        }
    }
}

fn wrong_value(origin: &str, value: &str, expected: &str) -> Failure {
    let value: String = value.chars().take(80).collect();
    Failure::new(Code::SettingsValue, format!("{origin} is {value:?}, which is not {expected}"))
}

/// The limit for the size of a database in bytes.
fn max_size(flag: Option<&str>, from: &Layers<'_>) -> Result<Option<u64>, Failure> {
    const VARIABLE: &str = "BACKUP_MAX_SIZE_GB";
    let table = from.file.content.backup.max_size_gb;
    let (origin, text) = match (flag, from.environment.text(VARIABLE)?, table) {
        (Some(text), ..) => ("--max-size-gb".to_owned(), text.to_owned()),
        (None, Some(text), _) => (VARIABLE.to_owned(), text.to_owned()),
        (None, None, Some(number)) => (from.file.origin("backup.max_size_gb"), number.to_string()),
        (None, None, None) => return Ok(Some(MAX_SIZE_BYTES)),
    };
    match text.trim().parse::<f64>() {
        Ok(0.0) => Ok(None),
        Ok(gigabytes) if gigabytes > 0.0 && gigabytes <= 1e6 => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked in the guard"
            )]
            let bytes = (gigabytes * 1e9).round() as u64;
            Ok(Some(bytes))
        }
        _ => Err(wrong_value(&origin, &text, "a number of gigabytes from 0 (no limit) to 1000000")),
    }
}

/// The root directory of the repository. `isolated` is appended to a backup directory, and to nothing else; also without
/// isolation, so that no switch makes backups disappear.
fn root(flags: &GlobalArgs, from: &Layers<'_>) -> Result<PathBuf, Failure> {
    let table = &from.file.content.repository;
    let places = [
        ("--directory and --repository".to_owned(), flags.directory.clone(), flags.repository.clone()),
        (
            "BACKUP_DIRECTORY and BACKUP_REPOSITORY".to_owned(),
            from.environment.path("BACKUP_DIRECTORY"),
            from.environment.text("BACKUP_REPOSITORY")?.map(str::to_owned),
        ),
        (
            from.file.origin("repository.directory and repository.url"),
            table.directory.clone(),
            table.url.clone(),
        ),
    ];
    let below = |directory: PathBuf| directory.join("isolated");
    for (origin, directory, url) in places {
        match (directory, url) {
            (Some(_), Some(_)) => {
                return Err(Failure::new(Code::SettingsConflict, format!("{origin} are both set")));
            }
            (Some(directory), None) => return Ok(below(directory)),
            (None, Some(url)) => return file_url(&url),
            (None, None) => {}
        }
    }
    Ok(below(PathBuf::from("./backups")))
}

/// The directory of the journal: beside the repository, unless somebody says where. Among the objects of the repository it would not be
/// out of reach of what happens to them.
fn journal_directory(root: &Path, from: &Layers<'_>) -> Result<PathBuf, Failure> {
    const VARIABLE: &str = "BACKUP_JOURNAL_DIRECTORY";
    let of_file = from.file.content.repository.journal_directory.clone();
    let (origin, directory) = match (from.environment.path(VARIABLE), of_file) {
        (Some(directory), _) => (VARIABLE.to_owned(), directory),
        (None, Some(directory)) => (from.file.origin("repository.journal_directory"), directory),
        (None, None) => return Ok(beside(root, "journal")),
    };
    if directory.starts_with(root) {
        let message = format!("{origin} is {}, which is inside the repository", directory.display());
        return Err(Failure::new(Code::SettingsValue, message));
    }
    Ok(directory)
}

/// `name` beside `isolated`; beside a repository of another name, that name with `-name` behind it.
fn beside(root: &Path, name: &str) -> PathBuf {
    let parent = root.parent().unwrap_or(root);
    match root.file_name() {
        Some(own) if own != "isolated" => {
            let mut own = own.to_owned();
            own.push("-");
            own.push(name);
            parent.join(own)
        }
        _ => parent.join(name),
    }
}

/// The path of a `file://` URL.
fn file_url(url: &str) -> Result<PathBuf, Failure> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("file") => {}
        Some(scheme @ ("s3" | "gs" | "az")) => {
            let message = format!("this version cannot keep a repository in object storage ({scheme}://)");
            return Err(Failure::new(Code::SettingsScheme, message));
        }
        _ => {
            // The text itself is not shown: it could be a database URL with a password.
            let message = "the repository is not named by a URL that starts with file://";
            return Err(Failure::new(Code::SettingsScheme, message));
        }
    }
    let path = &url["file://".len()..];
    let path = path.strip_prefix("localhost").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    if !path.starts_with('/') || path.contains(['?', '#']) {
        let message = "the repository URL does not have the form file:///PATH with an absolute path";
        return Err(Failure::new(Code::SettingsScheme, message));
    }
    decode_percent(path).ok_or_else(|| {
        Failure::new(
            Code::SettingsScheme,
            "the repository URL has a % that is not followed by two hexadecimal digits",
        )
    })
}

fn decode_percent(path: &str) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let mut parts = path.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.extend(hex::decode(part.get(..2)?).ok()?);
        bytes.extend(&part.as_bytes()[2..]);
    }
    (!bytes.contains(&0)).then(|| PathBuf::from(OsString::from_vec(bytes)))
}

/// Where the key comes from. Below a flag, the variable with the key itself and the one with a file exclude each other.
fn key_source(flags: &GlobalArgs, from: &Layers<'_>) -> Result<KeySource, Failure> {
    const FILE: &str = "BACKUP_ENCRYPTION_KEY_FILE";
    let file =
        |path: &Path, origin: &str| KeySource::File { path: path.to_owned(), origin: origin.to_owned() };
    if let Some(path) = &flags.key_file {
        return Ok(file(path, "--key-file"));
    }
    match (from.environment.key(), from.environment.path(FILE)) {
        (Some(_), Some(_)) => {
            Err(Failure::new(Code::SettingsConflict, format!("{ENCRYPTION_KEY} and {FILE} are both set")))
        }
        (Some(_), None) => Ok(KeySource::Environment),
        (None, Some(path)) => Ok(file(&path, FILE)),
        (None, None) => Ok(match &from.file.content.repository.key_file {
            Some(path) => file(path, &from.file.origin("repository.key_file")),
            None => KeySource::by_default(from.environment),
        }),
    }
}
