//! The command line as a type: what can be said, with its help and examples.
//!
//! Invariant: nothing here looks at the environment, at files or at the clock; defaults that depend on those are made
//! in [`crate::settings`]. A command that this version does not have is not mentioned.

#![expect(
    clippy::doc_markdown,
    reason = "doc comments are the text of --help, where backticks would be seen"
)]

mod alert;
mod check;
mod cluster;
mod examples;
mod journal;
mod keys;
mod recover;
mod recover_tables;
mod removal;
mod wal;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use model::{BackupId, Level, Scenario};

pub(crate) use keys::{KeysAddArgs, KeysCommand, KeysEscrowArgs, KeysRemoveArgs, KeysRotateArgs};
pub(crate) use recover::{DrillArgs, LostHostArgs, RecoverCommand, RecoverListArgs, RecoveryArgs};
pub(crate) use recover_tables::{RecoverTablesArgs, TablesModeArg};
pub(crate) use removal::{DeleteArgs, HoldArgs, PruneArgs, RetentionArgs};
pub(crate) use wal::{
    WalCommand, WalFetchArgs, WalPrefetchArgs, WalPushArgs, WalReceiveArgs, WalRecoveredArgs, WalStatusArgs,
};

pub(crate) use check::CheckArgs;

pub(crate) use alert::{AlertCommand, AlertTestArgs};
pub(crate) use journal::{JournalCommand, JournalShowArgs};

pub(crate) use cluster::{
    ActionArg, CheckpointArg, ClusterBackupArgs, ClusterRestoreArgs, MethodArg, TimelineArg,
};

/// Backs up PostgreSQL and proves that every backup restores.
#[derive(Debug, Parser)]
#[command(
    name = "chronavault",
    version,
    about = "Backs up PostgreSQL and proves that every backup restores",
    long_about = examples::ABOUT,
    after_long_help = examples::TOP,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Print one JSON object on standard output.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Read settings from FILE [default: ./chronavault.toml, then /etc/chronavault/chronavault.toml].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Say more.
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
    /// Show no progress and no notes; only results, warnings and errors.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Keep the repository in DIR/isolated [environment: BACKUP_DIRECTORY; default: ./backups].
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "repository")]
    pub(crate) directory: Option<PathBuf>,
    /// The repository itself, as file:///PATH [environment: BACKUP_REPOSITORY].
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) repository: Option<String>,
    /// Read the encryption key from FILE [environment: BACKUP_ENCRYPTION_KEY_FILE].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// The schedule for which this runs, for the journal.
    #[arg(long, global = true, hide = true)]
    pub(crate) schedule: Option<String>,
    /// The moment that this run serves, for the journal.
    #[arg(long, global = true, hide = true)]
    pub(crate) planned_at: Option<String>,
    /// The process with which this one ends.
    #[arg(long, global = true, hide = true)]
    pub(crate) supervised_by: Option<i32>,
}

impl GlobalArgs {
    /// What to call this program with, so that it finds the same settings, ends with this process, and answers in JSON.
    pub(crate) fn again(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["--json".into(), "--quiet".into(), "--supervised-by".into()];
        arguments.push(std::process::id().to_string().into());
        let paths =
            [("--config", &self.config), ("--directory", &self.directory), ("--key-file", &self.key_file)];
        for (name, path) in paths {
            arguments.extend(path.iter().flat_map(|path| [name.into(), path.clone().into()]));
        }
        arguments.extend(self.repository.iter().flat_map(|url| ["--repository".into(), url.into()]));
        arguments
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create the repository, and a key if none is set.
    #[command(after_help = examples::INIT)]
    Init,
    /// Back up a database or a cluster and prove that the backup restores.
    #[command(after_help = examples::BACKUP)]
    Backup(Box<BackupArgs>),
    /// List the backups, newest first.
    #[command(after_help = examples::LIST, visible_alias = "ls")]
    List(ListArgs),
    /// Show everything that is known about a backup.
    #[command(after_help = examples::SHOW)]
    Show(ShowArgs),
    /// Verify backups: stored objects, their contents, or by a real restore.
    #[command(after_help = examples::VERIFY)]
    Verify(VerifyArgs),
    /// Restore a backup into a database, or a cluster into a data directory.
    #[command(after_help = examples::RESTORE)]
    Restore(RestoreArgs),
    /// Check a live database: keys, sequences, indexes, and the rules of its business that the settings name.
    #[command(after_help = examples::CHECK)]
    Check(CheckArgs),
    /// Write a backup as plain SQL or as an archive for pg_restore.
    #[command(after_help = examples::EXPORT)]
    Export(ExportArgs),
    /// Remove backups that expired, and what nothing needs any more.
    #[command(after_help = examples::PRUNE)]
    Prune(PruneArgs),
    /// Show, add, rotate and remove the keys that open the repository; print a recovery sheet.
    #[command(subcommand, after_help = examples::KEYS, arg_required_else_help = true)]
    Keys(KeysCommand),
    /// Delete backups by hand, with their packs; refuses the last proven one.
    #[command(after_help = examples::DELETE)]
    Delete(DeleteArgs),
    /// Hold a backup, so that it stays whatever its age; list holds; release them.
    #[command(after_help = examples::HOLD)]
    Hold(HoldArgs),
    /// Archive WAL, fetch it for a recovery, and show to which moments can be recovered.
    #[command(subcommand, after_help = examples::WAL, arg_required_else_help = true)]
    Wal(WalCommand),
    /// Show what was done, by whom and how it ended; verify that nobody changed it.
    #[command(subcommand, after_help = examples::JOURNAL, arg_required_else_help = true)]
    Journal(JournalCommand),
    /// Test the channels of alerts, and show what is wrong at present.
    #[command(subcommand, after_help = examples::ALERT, arg_required_else_help = true)]
    Alert(AlertCommand),
    /// Recover from damage, one procedure for each scenario: planned, run, resumed or undone, and reported.
    #[command(subcommand, after_help = examples::RECOVER, arg_required_else_help = true)]
    Recover(RecoverCommand),
    /// Rehearse a recovery in a sandbox, timed against RTO and RPO.
    #[command(after_help = examples::DRILL)]
    Drill(DrillArgs),
    /// Write the recovery document of this site, with its own names and commands; it is kept in the repository, too.
    #[command(after_help = examples::RUNBOOK)]
    Runbook(RunbookArgs),
    /// Run as a service: what is scheduled, the receiving of WAL, and watching over it.
    #[command(after_help = examples::SERVE)]
    Serve,
    /// Check the settings, or show each with its value and where it comes from.
    #[command(subcommand, after_help = examples::CONFIG, arg_required_else_help = true)]
    Config(ConfigCommand),
    /// Check settings, key, repository, tools and server; each finding says what to do next.
    #[command(after_help = examples::DOCTOR)]
    Doctor(DoctorArgs),
    /// Show the whole story on a throwaway cluster: back up, prove, destroy, restore.
    #[command(after_help = examples::DEMO)]
    Demo(DemoArgs),
    /// Print the completions for a shell.
    #[command(after_help = examples::COMPLETIONS)]
    Completions(CompletionsArgs),
    /// Write the manual pages.
    #[command(after_help = examples::MAN)]
    Man(ManArgs),
}

/// `backup`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct BackupArgs {
    /// What to back up.
    #[arg(long, value_enum, default_value_t = KindArg::Logical)]
    pub(crate) kind: KindArg,
    /// The source: a name in the `sources` table of the settings file, or the name to give to DATABASE_URL [default: the
    /// name of the database].
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Do not restore the backup to prove it.
    #[arg(long)]
    pub(crate) no_verify: bool,
    /// Only schemas that match PATTERN. May be repeated.
    #[arg(long = "schema", value_name = "PATTERN")]
    pub(crate) schemas: Vec<String>,
    /// Leave out tables that match PATTERN. May be repeated.
    #[arg(long = "exclude-table", value_name = "PATTERN")]
    pub(crate) exclude_tables: Vec<String>,
    /// Leave out the rows of tables that match PATTERN. May be repeated.
    #[arg(long = "exclude-table-data", value_name = "PATTERN")]
    pub(crate) exclude_table_data: Vec<String>,
    /// Read rows over N connections at the same time [default: the number of processors, at most 4].
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<u64>,
    /// Level of the zstd compression, 1 to 19 [default: 1; for physical backups 3].
    #[arg(long, value_name = "LEVEL")]
    pub(crate) compression_level: Option<u64>,
    /// Tables of at least this size on the server are split and read in parallel.
    #[arg(long, value_name = "MB")]
    pub(crate) large_table_mb: Option<u64>,
    /// The size of a database that is thought too large [environment: BACKUP_MAX_SIZE_GB; default: 10; 0 = no limit].
    #[arg(long, value_name = "GB")]
    pub(crate) max_size_gb: Option<String>,
    /// What to do when the database is larger than that.
    #[arg(long, value_enum, value_name = "POLICY")]
    pub(crate) max_size_policy: Option<MaxSizePolicy>,
    /// How long to wait for the lock of a table before trying again.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) lock_timeout: Option<u64>,
    #[command(flatten)]
    pub(crate) cluster: ClusterBackupArgs,
}

/// `list`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ListArgs {
    /// Only the backups of this source.
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
}

/// `show`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShowArgs {
    /// The backup.
    #[arg(value_name = "ID|latest", value_parser = parse_backup)]
    pub(crate) backup: BackupArg,
    /// With latest: the newest backup of this source.
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
}

/// `verify`.
#[derive(Debug, Clone, Args)]
pub(crate) struct VerifyArgs {
    /// The backup.
    #[arg(value_name = "ID|latest", value_parser = parse_backup, required_unless_present = "all")]
    pub(crate) backup: Option<BackupArg>,
    /// Every backup in the repository, or of the source.
    #[arg(long, conflicts_with = "backup")]
    pub(crate) all: bool,
    /// With latest or --all: only backups of this source.
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// How far to go: objects (hashes), contents (decrypt and decompress everything), restore (a real restore,
    /// compared row for row).
    #[arg(long, default_value = "restore", value_name = "LEVEL", value_parser = parse_level)]
    pub(crate) level: Level,
    /// Read and load over N connections at the same time [default: the number of processors, at most 4].
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<u64>,
}

/// `restore`.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct RestoreArgs {
    /// The backup.
    #[arg(value_name = "ID|latest", value_parser = parse_backup)]
    pub(crate) backup: BackupArg,
    /// With latest: the newest backup of this source.
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// The database to restore into: any connection string that libpq accepts. Put no password here, other users can
    /// read it in the process list; use PGPASSFILE or PGPASSWORD.
    #[arg(long, value_name = "URL", required_unless_present = "data_dir")]
    pub(crate) to: Option<String>,
    /// Create the database; it appears under its name only when it is complete.
    #[arg(long)]
    pub(crate) create: bool,
    /// Replace what is in the target; without it, a target that is not empty is refused.
    #[arg(long)]
    pub(crate) clean: bool,
    /// Create the roles that the backup refers to and the server lacks, without passwords.
    #[arg(long)]
    pub(crate) create_roles: bool,
    /// Restore only this table, with its indexes and constraints. May be repeated.
    #[arg(long = "table", value_name = "NAME")]
    pub(crate) tables: Vec<String>,
    /// Load over N connections, or write with N threads, at the same time [default: the number of processors, at most 4].
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<u64>,
    /// Say what the restore would do and everything that it would meet, with what to do about it; write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not run the checks in what was restored.
    #[arg(long, conflicts_with = "data_dir")]
    pub(crate) no_checks: bool,
    #[command(flatten)]
    pub(crate) cluster: ClusterRestoreArgs,
}

/// `export`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExportArgs {
    /// The backup.
    #[arg(value_name = "ID|latest", value_parser = parse_backup)]
    pub(crate) backup: BackupArg,
    /// With latest: the newest backup of this source.
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Only this table. May be repeated.
    #[arg(long = "table", value_name = "NAME")]
    pub(crate) tables: Vec<String>,
    /// Plain SQL for psql, or an archive for pg_restore.
    #[arg(long, value_enum, default_value_t = FormatArg::Sql)]
    pub(crate) format: FormatArg,
    /// Write to FILE (readable by its owner only) instead of standard output. The file is not encrypted.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// `runbook`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunbookArgs {
    /// Write to FILE (readable by its owner only) instead of standard output. A runbook that is there is replaced.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Only what is about this source; it is not kept in the repository then.
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
}

/// `config`.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check everything that the settings say, without a server or a repository.
    #[command(after_help = examples::CONFIG)]
    Check,
    /// Show each setting with its value and where it comes from. Secrets are not shown.
    #[command(after_help = examples::CONFIG)]
    Show,
}

/// `doctor`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DoctorArgs {
    /// What backups are to be of. What only the other kind needs is shown and is no fault.
    #[arg(long, value_enum, default_value_t = KindArg::Logical)]
    pub(crate) kind: KindArg,
    /// Check this source.
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
}

/// `demo`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArgs {
    /// Size of the sample database.
    #[arg(long, value_name = "MB", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) size: u64,
    /// Show a recovery instead, from this damage: corruption, point-in-time, lost-host or tables.
    #[arg(long, value_name = "NAME")]
    pub(crate) scenario: Option<Scenario>,
    /// Keep the repository and its key, and say where they are.
    #[arg(long, conflicts_with = "scenario")]
    pub(crate) keep: bool,
}

/// `completions`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// `man`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ManArgs {
    /// Write one page per command into DIR; without it, print the main page.
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}

/// A backup on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BackupArg {
    /// The newest one.
    Latest,
    /// This one.
    Id(BackupId),
}

/// What to back up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindArg {
    /// Schema and rows of one database.
    #[default]
    Logical,
    /// Data directory and WAL of a cluster.
    Physical,
}

/// What to do with a database that is larger than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MaxSizePolicy {
    /// Back it up and warn.
    Warn,
    /// Do not back it up.
    Refuse,
}

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    /// Plain SQL for psql.
    Sql,
    /// An archive in the custom format of `pg_dump`, for pg_restore.
    Custom,
}

fn parse_backup(text: &str) -> Result<BackupArg, model::ParseBackupIdError> {
    if text == "latest" { Ok(BackupArg::Latest) } else { text.parse().map(BackupArg::Id) }
}

fn parse_level(text: &str) -> Result<Level, model::ParseWordError> {
    text.parse()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_backup_is_an_id_or_latest() {
        let parse = |backup| Cli::try_parse_from(["chronavault", "show", backup]);
        assert!(parse("latest").is_ok());
        assert!(parse("backup-2026-11-23-120000-abc123").is_ok());
        let error = parse("backup-2026").unwrap_err().to_string();
        assert!(error.contains("is not a backup id"), "{error}");
    }

    #[test]
    fn every_command_has_examples() {
        let has_examples = |command: &clap::Command, name: &str| {
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(examples.contains(&format!("chronavault {name}")), "{name}");
        };
        for command in Cli::command().get_subcommands() {
            has_examples(command, command.get_name());
            for part in command.get_subcommands().filter(|part| !part.is_hide_set()) {
                has_examples(part, &format!("{} {}", command.get_name(), part.get_name()));
            }
        }
    }
}
