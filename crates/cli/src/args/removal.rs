//! `prune`, `delete` and `hold`: what goes, and what stays.

use clap::Args;
use model::BackupId;

/// `prune`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PruneArgs {
    /// Say what would go and what stays, and why; remove nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) retention: RetentionArgs,
    /// Remove backups that failed their verification and were followed by a proven one, whatever their age, and nothing else.
    #[arg(long, conflicts_with_all = ["days", "wal_days", "empty_trash"])]
    pub(crate) failed: bool,
    /// Let up to N backups of a source go at once, although that is more than usual.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Free what lies in trash/ and what goes now at once, instead of after 72 hours.
    #[arg(long)]
    pub(crate) empty_trash: bool,
}

/// How long things are kept.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RetentionArgs {
    /// Keep backups for N days [environment: BACKUP_RETENTION_DAYS; default: 30].
    #[arg(long, value_name = "N")]
    pub(crate) days: Option<u64>,
    /// Keep WAL so that clusters can be recovered to every moment of the last N days [default: as backups].
    #[arg(long, value_name = "N")]
    pub(crate) wal_days: Option<u64>,
    /// Keep the newest N backups, however old they are.
    #[arg(long, value_name = "N")]
    pub(crate) keep_last: Option<u64>,
    /// Keep one backup of each of the last N days that have one.
    #[arg(long, value_name = "N")]
    pub(crate) keep_daily: Option<u64>,
    /// Keep one backup of each of the last N weeks that have one.
    #[arg(long, value_name = "N")]
    pub(crate) keep_weekly: Option<u64>,
    /// Keep one backup of each of the last N months that have one.
    #[arg(long, value_name = "N")]
    pub(crate) keep_monthly: Option<u64>,
    /// Keep one backup of each of the last N years that have one.
    #[arg(long, value_name = "N")]
    pub(crate) keep_yearly: Option<u64>,
}

/// `delete`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DeleteArgs {
    /// The backups.
    #[arg(value_name = "ID", required = true)]
    pub(crate) backups: Vec<BackupId>,
    /// Why they are deleted; for the journal.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    pub(crate) reason: Option<String>,
    /// Say what would go; remove nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Delete also what moments of the recovery window are reached from.
    #[arg(long)]
    pub(crate) shorten_window: bool,
}

/// `hold`.
#[derive(Debug, Clone, Args)]
pub(crate) struct HoldArgs {
    /// The backup; without it, all holds are listed.
    #[arg(value_name = "ID")]
    pub(crate) backup: Option<BackupId>,
    /// Why it has to stay.
    #[arg(long, value_name = "TEXT", conflicts_with = "release", requires = "backup")]
    pub(crate) reason: Option<String>,
    /// When the hold ends, as YYYY-MM-DD (UTC) or as a time with its zone [default: when it is released].
    #[arg(long, value_name = "TIME", requires = "reason")]
    pub(crate) until: Option<String>,
    /// Release the backup.
    #[arg(long, requires = "backup")]
    pub(crate) release: bool,
}
