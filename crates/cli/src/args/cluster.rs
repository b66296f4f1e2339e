//! What is said about physical backups: how a cluster is read, and how far a restored one recovers.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};
use jiff::Timestamp;
use model::{Lsn, RecoveryTarget, TimelineId};

/// `backup --kind physical`.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Physical backups")]
pub(crate) struct ClusterBackupArgs {
    /// How the files of the cluster are read.
    #[arg(long, value_enum, value_name = "METHOD", default_value_t = MethodArg::Auto)]
    pub(crate) method: MethodArg,
    /// The checkpoint at the start: at once, or spread over time with less load.
    #[arg(long, value_enum, value_name = "HOW", default_value_t = CheckpointArg::Fast)]
    pub(crate) checkpoint: CheckpointArg,
}

/// How the files of a cluster are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum MethodArg {
    /// From the data directory where that is readable here, else over the replication protocol.
    #[default]
    Auto,
    /// Over the replication protocol.
    BaseBackup,
    /// From the data directory.
    DataDirectory,
}

/// How the server does the checkpoint at the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckpointArg {
    /// At once.
    #[default]
    Fast,
    /// Spread over the time that checkpoints have.
    Spread,
}

/// `restore --data-dir`.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Physical backups")]
pub(crate) struct ClusterRestoreArgs {
    /// Restore the cluster into DIR, which is empty or is made.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["to", "create", "clean", "create_roles", "tables"])]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// End just before the target, not just after it.
    #[arg(long, requires = "data_dir")]
    pub(crate) exclusive: bool,
    /// Follow this timeline: its number, `current` (that of the backup) or `latest` [default: latest].
    #[arg(long, value_name = "T", value_parser = parse_timeline, requires = "data_dir")]
    pub(crate) timeline: Option<TimelineArg>,
    /// What the server does when it has reached the target.
    #[arg(long, value_enum, value_name = "ACTION", requires = "data_dir")]
    pub(crate) target_action: Option<ActionArg>,
    /// Use what is in DIR already, and write only what differs.
    #[arg(long, requires = "data_dir", action = ArgAction::SetTrue)]
    pub(crate) delta: bool,
    /// Put a tablespace (its old directory or OID) into another directory. May be repeated.
    #[arg(long = "tablespace", value_name = "OLD=NEW", value_parser = parse_mapping, requires = "data_dir")]
    pub(crate) tablespaces: Vec<(String, PathBuf)>,
}

/// Where recovery ends; at the end of the WAL when nothing is said.
#[derive(Debug, Clone, Default, Args)]
#[group(multiple = false)]
pub(crate) struct TargetArgs {
    /// Recover to this time, with its zone: '2026-11-23 12:00:00+01'.
    #[arg(long, value_name = "TIME", value_parser = model::parse_moment, requires = "data_dir")]
    pub(crate) at: Option<Timestamp>,
    /// Recover to this position in the WAL.
    #[arg(long, value_name = "LSN", requires = "data_dir")]
    pub(crate) lsn: Option<Lsn>,
    /// Recover to the commit of this transaction.
    #[arg(long, value_name = "N", requires = "data_dir")]
    pub(crate) xid: Option<u64>,
    /// Recover to this restore point.
    #[arg(long, value_name = "NAME", requires = "data_dir")]
    pub(crate) name: Option<String>,
    /// Recover no further than to the end of the backup.
    #[arg(long, requires = "data_dir")]
    pub(crate) immediate: bool,
}

impl TargetArgs {
    /// The target that was asked for.
    pub(crate) fn target(&self) -> RecoveryTarget {
        let time = self.at.map(RecoveryTarget::Time);
        let lsn = self.lsn.map(RecoveryTarget::Lsn);
        let xid = self.xid.map(RecoveryTarget::Xid);
        let name = self.name.clone().map(RecoveryTarget::Name);
        let immediate = self.immediate.then_some(RecoveryTarget::Immediate);
        time.or(lsn).or(xid).or(name).or(immediate).unwrap_or(RecoveryTarget::Latest)
    }
}

/// A timeline on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimelineArg {
    /// The newest that the backup leads to.
    Latest,
    /// The one of the backup.
    Current,
    /// This one.
    Id(TimelineId),
}

/// What a server does when it has reached its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ActionArg {
    /// Open for writing, on a new timeline.
    Promote,
    /// Stay open for reading.
    Pause,
    /// Shut down.
    Shutdown,
}

fn parse_timeline(text: &str) -> Result<TimelineArg, model::ParseIdError> {
    match text {
        "latest" => Ok(TimelineArg::Latest),
        "current" => Ok(TimelineArg::Current),
        number => number.parse().map(TimelineArg::Id),
    }
}

fn parse_mapping(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((old, new)) if !old.is_empty() && !new.is_empty() => Ok((old.to_owned(), PathBuf::from(new))),
        _ => Err("it does not have the form OLD=NEW".to_owned()),
    }
}
