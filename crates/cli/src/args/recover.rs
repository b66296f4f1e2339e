//! `recover` and `drill`: what their parts take.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use model::{BackupId, Kind, Level, RecoveryId, Scenario};

use super::{RecoverTablesArgs, examples, parse_level};

/// The scenarios of `recover`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum RecoverCommand {
    /// A database or cluster is damaged or gone: restore the newest good backup beside it, check it, and put it in its place.
    #[command(after_help = examples::RECOVER_CORRUPTION)]
    Corruption(CorruptionArgs),
    /// Something went wrong at a known moment: restore what was there before, beside what is there now.
    #[command(after_help = examples::RECOVER_POINT_IN_TIME)]
    PointInTime(PointInTimeArgs),
    /// Rows of some tables are gone or wrong: compare them with a backup, or with a moment, and bring them back.
    #[command(after_help = examples::RECOVER_TABLES)]
    Tables(Box<RecoverTablesArgs>),
    /// The machine is gone: everything again on an empty one, from the repository and the key.
    #[command(after_help = examples::RECOVER_LOST_HOST)]
    LostHost(LostHostArgs),
    /// Show the recoveries and drills so far, with their times.
    #[command(after_help = examples::RECOVER_LIST)]
    List(RecoverListArgs),
}

/// `recover corruption`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CorruptionArgs {
    #[command(flatten)]
    pub(crate) recovery: RecoveryArgs,
}

/// `recover point-in-time`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PointInTimeArgs {
    /// The moment, with its zone, as 2026-11-26T03:00:00Z. What was committed later is left behind.
    #[arg(long, value_name = "TIME", value_parser = model::parse_moment, required_unless_present_any = ["resume", "rollback"])]
    pub(crate) at: Option<Timestamp>,
    /// Put the restored database in the place of the live one, which is kept; without it, both are there afterwards.
    #[arg(long)]
    pub(crate) switch: bool,
    #[command(flatten)]
    pub(crate) recovery: RecoveryArgs,
}

/// How a database or a cluster is recovered.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct RecoveryArgs {
    /// The source whose backups are used, and whose database is recovered.
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Recover this database instead of that of the source: any connection string that libpq accepts. Put no password here.
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<String>,
    /// Recover a whole cluster, from a physical backup and archived WAL, with this data directory.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["to", "create_roles"])]
    pub(crate) data_dir: Option<PathBuf>,
    /// Use this backup and no other.
    #[arg(long, value_name = "ID")]
    pub(crate) backup: Option<BackupId>,
    /// How far a backup is verified before it is used: objects (hashes) or contents (decrypt and decompress everything).
    /// What is restored is compared with the backup in any case.
    #[arg(long, default_value = "objects", value_name = "LEVEL", value_parser = parse_level)]
    pub(crate) level: Level,
    /// Create the roles that the backup refers to and the server lacks, without passwords.
    #[arg(long)]
    pub(crate) create_roles: bool,
    /// Load over N connections at the same time [default: the number of processors, at most 4].
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<u64>,
    /// Go on although some checks do not hold (`chronavault check`). That every row is as it was backed up is demanded in any case.
    #[arg(long)]
    pub(crate) despite_checks: bool,
    /// Say what would be done, in which steps, and how long each is expected to take; change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Go on with a recovery that stopped: this one, or the last one of the source.
    #[arg(long, value_name = "RECOVERY", num_args = 0..=1, conflicts_with_all = ["rollback", "dry_run", "backup"])]
    #[expect(clippy::option_option, reason = "the flag, and its value")]
    pub(crate) resume: Option<Option<RecoveryId>>,
    /// Undo a recovery: give the name back to the database that had it, and keep the restored one.
    #[arg(long, value_name = "RECOVERY", num_args = 0..=1, conflicts_with_all = ["dry_run", "backup"])]
    #[expect(clippy::option_option, reason = "the flag, and its value")]
    pub(crate) rollback: Option<Option<RecoveryId>>,
}

/// `recover lost-host`.
#[derive(Debug, Clone, Args)]
pub(crate) struct LostHostArgs {
    /// Make the databases on this server: any connection string that libpq accepts; its database does not matter. Put no password here
    /// [default: where the recovered settings have each source].
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<String>,
    /// Recover a cluster into this data directory, from a physical backup and archived WAL.
    #[arg(long, value_name = "DIR", conflicts_with = "to")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Only this source. May be repeated [default: every source that has backups].
    #[arg(long = "source", value_name = "NAME")]
    pub(crate) sources: Vec<String>,
    /// Write the recovered settings to FILE, unless it is there [default: where they were, else ./chronavault.toml].
    #[arg(long, value_name = "FILE")]
    pub(crate) configuration: Option<PathBuf>,
    /// How far a logical backup is verified before it is used: objects or contents.
    #[arg(long, default_value = "objects", value_name = "LEVEL", value_parser = parse_level)]
    pub(crate) level: Level,
    /// Restore over N connections at the same time [default: the number of processors, at most 4].
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<u64>,
    /// Go on although some checks do not hold.
    #[arg(long)]
    pub(crate) despite_checks: bool,
    /// Say what would be done, in which steps, and how long each is expected to take; change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// `recover list`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RecoverListArgs {
    /// Only those of this source.
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
}

/// `drill`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DrillArgs {
    /// What is rehearsed.
    #[arg(long, default_value = "corruption", value_name = "NAME")]
    pub(crate) scenario: Scenario,
    /// The source [default: the one that the settings name].
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Backups of this kind [default: that of the newest backup of the source].
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<Kind>,
    /// How far a logical backup is verified before it is used: objects or contents.
    #[arg(long, default_value = "objects", value_name = "LEVEL", value_parser = parse_level)]
    pub(crate) level: Level,
    /// Restore over N connections at the same time [default: the number of processors, at most 4].
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<u64>,
    /// Show the steps and how long each is expected to take; do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}
