//! What of a command line belongs into the journal. Every value is named here: what is not, such as a file with a key, is left out.

use std::collections::BTreeMap;

use model::{Operation, Scenario};
use repository::KeyLabel;

use crate::args::{
    BackupArg, BackupArgs, CheckArgs, Command, DeleteArgs, DrillArgs, ExportArgs, FormatArg, HoldArgs,
    KeysCommand, KindArg, LostHostArgs, PruneArgs, RecoverCommand, RecoverTablesArgs, RestoreArgs,
    RetentionArgs, TablesModeArg, VerifyArgs, WalCommand, WalReceiveArgs,
};
use crate::connection;
use crate::environment::Environment;
use crate::usage;

/// Bytes of a value.
const VALUE_BYTES: usize = 300;
/// What stands for a value that holds a password.
const SECRET: &str = "(left out: it holds a password)";

/// What somebody asked for.
pub(super) struct Asked {
    pub(super) operation: Operation,
    /// Whether it changes backup data, so that it must not begin unrecorded.
    pub(super) changes: bool,
    pub(super) source: Option<String>,
    pub(super) parameters: BTreeMap<String, String>,
}

impl Asked {
    /// Nothing for commands that are not recorded: those that neither change nor read backup data, and `wal push` and `wal fetch`,
    /// which a server runs for every segment.
    pub(super) fn of(command: &Command, environment: &Environment) -> Option<Self> {
        Some(match command {
            Command::Init => Self::new(Operation::Init, true, None),
            Command::Backup(args) => Self::backup(args),
            Command::Verify(args) => Self::verify(args),
            Command::Restore(args) if !args.dry_run => Self::restore(args, environment),
            Command::Check(args) => Self::check(args, environment),
            Command::Export(args) => Self::export(args),
            Command::Prune(args) if !args.dry_run => Self::prune(args),
            Command::Delete(args) if !args.dry_run => Self::delete(args),
            Command::Hold(args) if args.release || args.reason.is_some() => Self::hold(args),
            Command::Recover(command) => return Self::recover(command, environment),
            Command::Drill(args) if !args.dry_run => Self::drill(args),
            Command::Wal(WalCommand::Receive(args)) => Self::receive(args),
            Command::Keys(command) => return Self::keys(command),
            Command::Wal(
                WalCommand::Push(_)
                | WalCommand::Fetch(_)
                | WalCommand::Status(_)
                | WalCommand::Recovered(_)
                | WalCommand::Prefetch(_),
            )
            | Command::Restore(_)
            | Command::Prune(_)
            | Command::Delete(_)
            | Command::Hold(_)
            | Command::List(_)
            | Command::Show(_)
            | Command::Journal(_)
            | Command::Alert(_)
            | Command::Drill(_)
            | Command::Runbook(_)
            | Command::Serve
            | Command::Config(_)
            | Command::Doctor(_)
            | Command::Demo(_)
            | Command::Completions(_)
            | Command::Man(_) => return None,
        })
    }

    fn new(operation: Operation, changes: bool, source: Option<&String>) -> Self {
        let source = source.map(|source| words_without_secret(source));
        Self { operation, changes, source, parameters: BTreeMap::new() }
    }

    fn with(mut self, name: &str, value: &impl ToString) -> Self {
        self.parameters.insert(name.to_owned(), words_without_secret(&value.to_string()));
        self
    }

    fn maybe<T: ToString>(self, name: &str, value: Option<&T>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    fn flag(self, name: &str, is_set: bool) -> Self {
        if is_set { self.with(name, &true) } else { self }
    }

    fn list(self, name: &str, values: &[String]) -> Self {
        if values.is_empty() { self } else { self.with(name, &values.join(", ")) }
    }

    fn backup(args: &BackupArgs) -> Self {
        let kind = match args.kind {
            KindArg::Logical => "logical",
            KindArg::Physical => "physical",
        };
        Self::new(Operation::Backup, true, args.source.as_ref())
            .with("kind", &kind)
            .flag("no_verify", args.no_verify)
            .list("schemas", &args.schemas)
            .list("exclude_tables", &args.exclude_tables)
            .list("exclude_table_data", &args.exclude_table_data)
            .maybe("jobs", args.jobs.as_ref())
            .maybe("compression_level", args.compression_level.as_ref())
    }

    fn verify(args: &VerifyArgs) -> Self {
        Self::new(Operation::Verify, false, args.source.as_ref())
            .maybe("backup", args.backup.as_ref().map(backup).as_ref())
            .flag("all", args.all)
            .with("level", &args.level)
    }

    fn restore(args: &RestoreArgs, environment: &Environment) -> Self {
        // What cannot be parsed is not restored to, either.
        let described = |to: &String| connection::parse(environment, to, "--to").ok().map(|to| to.describe());
        let cluster = &args.cluster;
        let directory = cluster.data_dir.as_ref();
        Self::new(Operation::Restore, false, args.source.as_ref())
            .with("backup", &backup(&args.backup))
            .maybe("to", args.to.as_ref().and_then(described).as_ref())
            .flag("create", args.create)
            .flag("clean", args.clean)
            .flag("create_roles", args.create_roles)
            .list("tables", &args.tables)
            .maybe("data_dir", directory.map(|directory| directory.display()).as_ref())
            .maybe("target", directory.map(|_| cluster.target.target()).as_ref())
            .flag("delta", cluster.delta)
            .flag("no_checks", args.no_checks)
    }

    fn check(args: &CheckArgs, environment: &Environment) -> Self {
        let described =
            |url: &String| connection::parse(environment, url, "--database").ok().map(|it| it.describe());
        Self::new(Operation::Check, false, args.source.as_ref())
            .maybe("database", args.database.as_ref().and_then(described).as_ref())
            .list("only", &args.only)
    }

    fn recover(command: &RecoverCommand, environment: &Environment) -> Option<Self> {
        let (scenario, at, args) = match command {
            RecoverCommand::Corruption(args) => (Scenario::Corruption, None, &args.recovery),
            RecoverCommand::PointInTime(args) => (Scenario::PointInTime, args.at, &args.recovery),
            RecoverCommand::LostHost(args) if args.dry_run => return None,
            RecoverCommand::LostHost(args) => return Some(Self::lost_host(args, environment)),
            RecoverCommand::Tables(args) => return Some(Self::recover_tables(args, environment)),
            RecoverCommand::List(_) => return None,
        };
        if args.dry_run {
            return None;
        }
        let described = |to: &String| connection::parse(environment, to, "--to").ok().map(|to| to.describe());
        let asked = Self::new(Operation::Recover, false, args.source.as_ref())
            .with("scenario", &scenario)
            .maybe("at", at.as_ref())
            .maybe("to", args.to.as_ref().and_then(described).as_ref())
            .maybe("data_dir", args.data_dir.as_ref().map(|directory| directory.display()).as_ref())
            .maybe("backup", args.backup.as_ref())
            .flag("create_roles", args.create_roles)
            .flag("despite_checks", args.despite_checks)
            .flag("resume", args.resume.is_some())
            .flag("rollback", args.rollback.is_some());
        Some(asked)
    }

    fn lost_host(args: &LostHostArgs, environment: &Environment) -> Self {
        let described = |to: &String| connection::parse(environment, to, "--to").ok().map(|to| to.describe());
        Self::new(Operation::Recover, false, None)
            .with("scenario", &Scenario::LostHost)
            .list("sources", &args.sources)
            .maybe("to", args.to.as_ref().and_then(described).as_ref())
            .maybe("data_dir", args.data_dir.as_ref().map(|directory| directory.display()).as_ref())
            .flag("despite_checks", args.despite_checks)
    }

    /// Also where rows are only compared: some of them are shown.
    fn recover_tables(args: &RecoverTablesArgs, environment: &Environment) -> Self {
        let described = |to: &String| connection::parse(environment, to, "--to").ok().map(|to| to.describe());
        let mode = args.mode.filter(|_| !args.dry_run).map_or("compare", TablesModeArg::as_str);
        Self::new(Operation::Recover, false, args.source.as_ref())
            .with("scenario", &"tables")
            .with("backup", &backup(&args.from))
            .list("tables", &args.tables)
            .with("mode", &mode)
            .maybe("at", args.at.as_ref())
            .maybe("to", args.to.as_ref().and_then(described).as_ref())
            .maybe("database", args.database.as_ref())
            .maybe("schema", args.schema.as_ref())
    }

    fn drill(args: &DrillArgs) -> Self {
        Self::new(Operation::Drill, false, args.source.as_ref()).with("scenario", &args.scenario)
    }

    fn export(args: &ExportArgs) -> Self {
        let format = match args.format {
            FormatArg::Sql => "sql",
            FormatArg::Custom => "custom",
        };
        Self::new(Operation::Export, false, args.source.as_ref())
            .with("backup", &backup(&args.backup))
            .list("tables", &args.tables)
            .with("format", &format)
            .maybe("output", args.output.as_ref().map(|output| output.display()).as_ref())
    }

    fn prune(args: &PruneArgs) -> Self {
        let RetentionArgs { days, wal_days, keep_last, keep_daily, keep_weekly, keep_monthly, keep_yearly } =
            &args.retention;
        Self::new(Operation::Prune, true, None)
            .flag("failed", args.failed)
            .flag("empty_trash", args.empty_trash)
            .maybe("limit", args.limit.as_ref())
            .maybe("days", days.as_ref())
            .maybe("wal_days", wal_days.as_ref())
            .maybe("keep_last", keep_last.as_ref())
            .maybe("keep_daily", keep_daily.as_ref())
            .maybe("keep_weekly", keep_weekly.as_ref())
            .maybe("keep_monthly", keep_monthly.as_ref())
            .maybe("keep_yearly", keep_yearly.as_ref())
    }

    fn delete(args: &DeleteArgs) -> Self {
        let backups: Vec<_> = args.backups.iter().map(ToString::to_string).collect();
        Self::new(Operation::Delete, true, None)
            .list("backups", &backups)
            .maybe("reason", args.reason.as_ref())
            .flag("shorten_window", args.shorten_window)
    }

    fn hold(args: &HoldArgs) -> Self {
        Self::new(Operation::Hold, true, None)
            .maybe("backup", args.backup.as_ref())
            .flag("release", args.release)
            .maybe("reason", args.reason.as_ref())
            .maybe("until", args.until.as_ref())
    }

    /// Never the name of a file with a key: where keys lie is nobody's business.
    fn keys(command: &KeysCommand) -> Option<Self> {
        Some(match command {
            KeysCommand::Add(args) => Self::new(Operation::KeysAdd, true, None)
                .maybe("label", args.label.as_ref().map(KeyLabel::as_str).as_ref()),
            KeysCommand::Rotate(args) if !args.dry_run => Self::new(Operation::KeysRotate, true, None)
                .maybe("label", args.label.as_ref().map(KeyLabel::as_str).as_ref())
                .with("also", &args.also.len()),
            KeysCommand::Remove(args) if !args.dry_run => {
                Self::new(Operation::KeysRemove, true, None).with("key", &args.slot).flag("force", args.force)
            }
            KeysCommand::Escrow(args) if args.check.is_none() => {
                Self::new(Operation::KeysEscrow, false, None)
            }
            KeysCommand::Escrow(_) | KeysCommand::List | KeysCommand::Rotate(_) | KeysCommand::Remove(_) => {
                return None;
            }
        })
    }

    fn receive(args: &WalReceiveArgs) -> Self {
        Self::new(Operation::WalReceive, true, args.source.as_ref())
            .maybe("slot", args.slot.as_ref())
            .flag("synchronous", args.synchronous)
    }
}

fn backup(backup: &BackupArg) -> String {
    match backup {
        BackupArg::Latest => "latest".to_owned(),
        BackupArg::Id(id) => id.to_string(),
    }
}

/// A value as the journal has it: without what may be a password, and not too long.
pub(super) fn words_without_secret(text: &str) -> String {
    if connection::has_password(text) {
        return SECRET.to_owned();
    }
    let text = usage::redact(text);
    let end = text.floor_char_boundary(VALUE_BYTES);
    if end < text.len() { format!("{}…", &text[..end]) } else { text }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;

    fn asked(arguments: &[&str]) -> Option<Asked> {
        let cli = Cli::parse_from([&["chronavault"], arguments].concat());
        Asked::of(&cli.command, &Environment::default())
    }

    #[test]
    fn what_changes_or_reads_backups_is_recorded_and_nothing_else() {
        let operation = |arguments: &[&str]| asked(arguments).map(|asked| (asked.operation, asked.changes));
        assert_eq!(operation(&["init"]), Some((Operation::Init, true)));
        assert_eq!(operation(&["backup"]), Some((Operation::Backup, true)));
        assert_eq!(operation(&["verify", "latest"]), Some((Operation::Verify, false)));
        assert_eq!(operation(&["restore", "latest", "--to", "x"]), Some((Operation::Restore, false)));
        assert_eq!(operation(&["export", "latest"]), Some((Operation::Export, false)));
        assert_eq!(operation(&["check"]), Some((Operation::Check, false)));
        assert_eq!(operation(&["prune"]), Some((Operation::Prune, true)));
        let id = "backup-2026-11-23-120000-abc123";
        assert_eq!(operation(&["delete", id, "--reason", "x"]), Some((Operation::Delete, true)));
        assert_eq!(operation(&["hold", id, "--reason", "x"]), Some((Operation::Hold, true)));
        assert_eq!(operation(&["hold", id, "--release"]), Some((Operation::Hold, true)));
        assert_eq!(operation(&["wal", "receive"]), Some((Operation::WalReceive, true)));
        assert_eq!(operation(&["keys", "add", "--from", "x"]), Some((Operation::KeysAdd, true)));
        assert_eq!(operation(&["keys", "rotate"]), Some((Operation::KeysRotate, true)));
        assert_eq!(operation(&["keys", "remove", "5ec2e7c0"]), Some((Operation::KeysRemove, true)));
        assert_eq!(operation(&["keys", "escrow"]), Some((Operation::KeysEscrow, false)));
        for silent in [
            &["list"][..],
            &["keys", "list"],
            &["keys", "rotate", "--dry-run"],
            &["keys", "remove", "5ec2e7c0", "--dry-run"],
            &["keys", "escrow", "--check"],
            &["prune", "--dry-run"],
            &["restore", "latest", "--to", "x", "--dry-run"],
            &["delete", id, "--dry-run"],
            &["hold"],
            &["hold", id],
            &["show", "latest"],
            &["doctor"],
            &["wal", "push", "x"],
            &["wal", "fetch", "000000010000000A000000FF", "x"],
            &["wal", "status"],
            &["journal", "show"],
            &["journal", "verify"],
        ] {
            assert_eq!(operation(silent), None, "{silent:?}");
        }
    }

    #[test]
    fn no_password_is_recorded_wherever_it_was_put() {
        for arguments in [
            &["restore", "latest", "--to", "postgres://u:hunter2@h/d"][..],
            &["restore", "latest", "--to", "host=h user=u dbname=d password = hunter2"],
            &[
                "restore",
                "latest",
                "--to",
                "postgres://u@h/d?password=hunter2",
                "--source",
                "x://u:hunter2@h",
            ],
            &["backup", "--source", "postgres://u:hunter2@h/d"],
            &["backup", "--source", "host=h password = 'hunter2'", "--schema", "a://b:hunter2@c"],
            &["check", "--database", "postgres://u:hunter2@h/d", "--source", "host=h password=hunter2"],
            &["export", "latest", "--output", "postgres://u:hunter2@h/d"],
        ] {
            let asked = asked(arguments).unwrap();
            let text = format!("{:?} {:?}", asked.source, asked.parameters);
            assert!(!text.contains("hunter2"), "{text}");
        }
        let asked = asked(&["restore", "latest", "--to", "postgres://u:hunter2@h:5433/d"]).unwrap();
        assert_eq!(asked.parameters["to"], "d on h:5433 as u");
    }

    #[test]
    fn values_are_bounded() {
        let long = "ä".repeat(1000);
        let value = words_without_secret(&long);
        assert!(value.len() <= VALUE_BYTES + 3 && value.ends_with('…'));
    }
}
