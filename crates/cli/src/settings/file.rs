//! `chronavault.toml`. Unknown names are errors, so that a misspelt setting is not silently without effect. Secrets have
//! no place in it, except a password that somebody puts into a URL.

mod alerts;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use model::{CheckSeverity, Kind, Scenario};
use serde::Deserialize;

pub(crate) use alerts::{
    AlertsTable, ChannelTable, ChannelType, MethodWord, PingTable, RouteTable, SecurityWord, SeverityWord,
};

use super::redacted;
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
    /// Its text without passwords.
    pub(crate) shown: String,
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
    /// `[service]`
    pub(crate) service: ServiceTable,
    /// `[[schedules]]`
    pub(crate) schedules: Vec<ScheduleTable>,
    /// `[hooks]`
    pub(crate) hooks: HooksTable,
    /// `[recovery]`
    pub(crate) recovery: RecoveryTable,
    /// `[retention]`
    pub(crate) retention: RetentionTable,
    /// `[sources.NAME]`
    pub(crate) sources: BTreeMap<String, SourceTable>,
    /// `[alerts]`
    pub(crate) alerts: AlertsTable,
    /// `[[checks]]`
    pub(crate) checks: Vec<CheckTable>,
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

/// `[service]`: the daemon.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServiceTable {
    /// Where the daemon remembers things.
    pub(crate) state_directory: Option<PathBuf>,
    /// What becomes of runs when the daemon is to end.
    pub(crate) on_stop: Option<OnStop>,
    /// Where it listens for those who look at it, or `off`.
    pub(crate) listen: Option<String>,
    /// How long they get to end.
    pub(crate) grace_seconds: Option<u64>,
    /// How often everything is looked at.
    pub(crate) observe_seconds: Option<u64>,
}

/// `[hooks]`: programs that run before and after what is done, each as a list of the program and its arguments.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HooksTable {
    /// Before a backup; when it fails, there is none.
    pub(crate) before_backup: Option<Vec<String>>,
    /// After a backup and its verification.
    pub(crate) after_backup: Option<Vec<String>>,
    /// Before a restore.
    pub(crate) before_restore: Option<Vec<String>>,
    /// After a restore.
    pub(crate) after_restore: Option<Vec<String>>,
    /// Before a prune.
    pub(crate) before_prune: Option<Vec<String>>,
    /// After a prune.
    pub(crate) after_prune: Option<Vec<String>>,
    /// How long each may take.
    pub(crate) limit_seconds: Option<u64>,
}

/// `[recovery]` and `[sources.NAME.recovery]`: objectives, and what there is to do around a recovery.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RecoveryTable {
    /// Hours that a recovery may take.
    pub(crate) rto_hours: Option<u64>,
    /// Hours of which the changes may be lost.
    pub(crate) rpo_hours: Option<u64>,
    /// Stops what uses the database: a program and its arguments.
    pub(crate) stop_services: Option<Vec<String>>,
    /// Starts it.
    pub(crate) start_services: Option<Vec<String>>,
    /// How long each of the two may take.
    pub(crate) limit_seconds: Option<u64>,
    /// What answers with a status of 200 to 299 when the application is well.
    pub(crate) health_url: Option<String>,
    /// How long it gets to become so.
    pub(crate) health_seconds: Option<u64>,
    /// Whom to call.
    pub(crate) contacts: Vec<String>,
}

/// What becomes of runs when the daemon is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnStop {
    /// They are stopped.
    Cancel,
    /// They are waited for.
    Finish,
}

/// What a schedule runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ScheduledTask {
    /// A backup.
    Backup,
    /// A verification of the backup whose proof is the oldest.
    Verify,
    /// A rehearsed recovery.
    Drill,
    /// A prune.
    Prune,
}

/// `[[schedules]]`: something that runs now and then.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleTable {
    /// What runs.
    pub(crate) task: ScheduledTask,
    /// The source; of a backup, the one that the environment names, where there is none.
    #[serde(default)]
    pub(crate) source: Option<String>,
    /// What a backup is of.
    #[serde(default)]
    pub(crate) kind: Option<Kind>,
    /// What a drill rehearses.
    #[serde(default)]
    pub(crate) scenario: Option<Scenario>,
    /// A cron expression.
    #[serde(default)]
    pub(crate) cron: Option<String>,
    /// The time zone of that.
    #[serde(default)]
    pub(crate) time_zone: Option<String>,
    /// Instead of an expression: hours between two runs.
    #[serde(default)]
    pub(crate) every_hours: Option<u64>,
    /// A run begins up to so much later.
    #[serde(default)]
    pub(crate) jitter_minutes: Option<u64>,
    /// Whether a run that was missed is made up for.
    #[serde(default)]
    pub(crate) catch_up: Option<bool>,
    /// How long a run may take.
    #[serde(default)]
    pub(crate) limit_hours: Option<u64>,
    /// How often a run that failed is tried again.
    #[serde(default)]
    pub(crate) retries: Option<u32>,
    /// How old the newest proven backup of the source may be.
    #[serde(default)]
    pub(crate) rpo_hours: Option<u64>,
}

/// `[[checks]]`: a rule that holds in a database.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckTable {
    /// Its name.
    pub(crate) name: String,
    /// One query.
    pub(crate) query: String,
    /// What it has to return.
    #[serde(default)]
    pub(crate) expect: Option<ExpectedValue>,
    /// How bad it is when it does not.
    #[serde(default)]
    pub(crate) severity: Option<CheckSeverity>,
    /// The sources that it is for; all where none is named.
    #[serde(default)]
    pub(crate) sources: Vec<String>,
    /// How long the query may take.
    #[serde(default)]
    pub(crate) limit_seconds: Option<u64>,
}

/// What a query has to return, as text, or as the value itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "a text, a whole number, true or false")]
pub(crate) enum ExpectedValue {
    /// `"no rows"`, `">= 1"`
    Text(String),
    /// `0`
    Number(i64),
    /// `true`
    Truth(bool),
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
    /// Whether the daemon receives its WAL.
    pub(crate) receive_wal: bool,
    /// The replication slot through which it does.
    pub(crate) slot: Option<String>,
    /// How long its backups are kept, where that is not as for all.
    pub(crate) retention: RetentionTable,
    /// What is particular to its recovery.
    pub(crate) recovery: RecoveryTable,
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
            let what = one_line(error.message());
            let message = format!("{}, line {line}: {what}", path.display());
            let failure = Failure::new(Code::SettingsFile, message);
            match nearest(&what) {
                Some(name) => failure.with_hint(format!("Did you mean `{name}`?")),
                None => failure,
            }
        })?;
        Ok(Self { path: Some(path.to_owned()), shown: redacted::without_secrets(text), content })
    }

    /// How messages call the setting `name` of this file.
    pub(crate) fn origin(&self, name: &str) -> String {
        match &self.path {
            Some(path) => format!("{name} in {}", path.display()),
            None => name.to_owned(),
        }
    }
}

/// The known name that is nearest to an unknown one, in a message like "unknown field `a`, expected one of `b`, `c`".
fn nearest(message: &str) -> Option<&str> {
    let mut quoted = message.strip_prefix("unknown ")?.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    let distance = |known: &&str| strsim::damerau_levenshtein(unknown, known);
    quoted.min_by_key(distance).filter(|known| distance(known) <= 1 + unknown.len() / 3)
}

/// Nothing is there. A directory on the way that is a file counts, too; a directory that may not be searched does not.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot read the settings file {}: {error}", path.display());
    Failure::new(Code::SettingsFileUnreadable, message)
}
