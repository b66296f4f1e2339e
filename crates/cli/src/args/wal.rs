//! `wal`: what its parts take.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use model::{SystemId, WalName, WalSegmentName};
use operations::postgres::SlotName;

use super::examples;

/// Segments that a push takes along at most, when nothing is said.
const PUSH_AHEAD: u32 = 16;
/// Segments that are fetched ahead at most, when nothing is said.
const FETCH_AHEAD: u32 = 8;
/// More would hold up the server's own request for too long.
const MAX_AHEAD: i64 = 64;

/// Seconds after which WAL that came is archived, when nothing is said.
const FLUSH_SECONDS: &str = "10";
/// Shorter intervals, in seconds, would archive more objects than WAL.
const SHORTEST_FLUSH: f64 = 0.01;
/// The longest interval in seconds.
const LONGEST_FLUSH: f64 = 3600.0;

/// The parts of `wal`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum WalCommand {
    /// Archive a file of WAL: the archive_command of a server.
    #[command(after_help = examples::WAL_PUSH)]
    Push(WalPushArgs),
    /// Fetch a file of WAL from the archive: the restore_command of a server.
    #[command(after_help = examples::WAL_FETCH)]
    Fetch(WalFetchArgs),
    /// Receive WAL from a server as it is written, and archive it, until told to stop.
    #[command(after_help = examples::WAL_RECEIVE)]
    Receive(WalReceiveArgs),
    /// Show what WAL is archived and to which moments clusters can be recovered.
    #[command(after_help = examples::WAL_STATUS)]
    Status(WalStatusArgs),
    /// Remove the settings of a recovery that has ended: the recovery_end_command of a restored cluster.
    #[command(hide = true)]
    Recovered(WalRecoveredArgs),
    /// Fetch ahead. `fetch` starts it by itself.
    #[command(hide = true)]
    Prefetch(WalPrefetchArgs),
}

/// `wal push`.
#[derive(Debug, Clone, Args)]
pub(crate) struct WalPushArgs {
    /// The file, as the server names it: %p.
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// The system identifier of the cluster [default: from the segment, or from global/pg_control].
    #[arg(long, value_name = "ID")]
    pub(crate) system_id: Option<SystemId>,
    /// Take along up to N segments that are ready to be archived, too.
    #[arg(long, value_name = "N", default_value_t = PUSH_AHEAD, value_parser = ahead())]
    pub(crate) ahead: u32,
    /// Compress with N threads [default: the number of processors, at most 4].
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<u64>,
}

/// `wal fetch`.
#[derive(Debug, Clone, Args)]
pub(crate) struct WalFetchArgs {
    /// The name of the file: %f.
    #[arg(value_name = "NAME")]
    pub(crate) name: WalName,
    /// Where to write it: %p.
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// The system identifier of the cluster [default: from global/pg_control].
    #[arg(long, value_name = "ID")]
    pub(crate) system_id: Option<SystemId>,
    /// Have up to N segments that come next ready in chronavault-spool beside PATH; 0 uses no spool.
    #[arg(long, value_name = "N", default_value_t = FETCH_AHEAD, value_parser = ahead())]
    pub(crate) ahead: u32,
    /// Fetch ahead with N threads [default: the number of processors, at most 4].
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<u64>,
}

/// `wal receive`.
#[derive(Debug, Clone, Args)]
pub(crate) struct WalReceiveArgs {
    /// The source: a name in the `sources` table of the settings file, or the name to give to DATABASE_URL.
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// The replication slot that keeps WAL on the server until it is archived; it is made if it is not there [default:
    /// chronavault_ and the name of the source].
    #[arg(long, value_name = "NAME")]
    pub(crate) slot: Option<SlotName>,
    /// Archive WAL at most this many seconds after it came.
    #[arg(long, value_name = "SECONDS", default_value = FLUSH_SECONDS, value_parser = flush_interval)]
    pub(crate) flush_interval: Duration,
    /// Archive WAL as soon as it comes, so that commits can wait for it (synchronous_standby_names).
    #[arg(long)]
    pub(crate) synchronous: bool,
    /// The name for synchronous_standby_names [default: the application_name of the connection, else chronavault].
    #[arg(long, value_name = "NAME")]
    pub(crate) application_name: Option<String>,
}

/// `wal status`.
#[derive(Debug, Clone, Args)]
pub(crate) struct WalStatusArgs {
    /// Only the cluster with this system identifier.
    #[arg(long, value_name = "ID")]
    pub(crate) system_id: Option<SystemId>,
    /// Read and authenticate every segment; without it, what is archived is taken for sound.
    #[arg(long)]
    pub(crate) verify: bool,
    /// Read with N threads [default: the number of processors, at most 4].
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<u64>,
}

/// `wal recovered`.
#[derive(Debug, Clone, Args)]
pub(crate) struct WalRecoveredArgs {
    /// The data directory.
    #[arg(value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
}

/// `wal prefetch`.
#[derive(Debug, Clone, Args)]
pub(crate) struct WalPrefetchArgs {
    /// The segment that the server has.
    #[arg(value_name = "NAME")]
    pub(crate) after: WalSegmentName,
    /// Where the server has its WAL written to.
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// The system identifier of the cluster.
    #[arg(long, value_name = "ID")]
    pub(crate) system_id: SystemId,
    /// How many segments.
    #[arg(long, value_name = "N", value_parser = ahead())]
    pub(crate) ahead: u32,
    /// Threads.
    #[arg(long, value_name = "N")]
    pub(crate) jobs: u64,
}

fn ahead() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(0..=MAX_AHEAD)
}

fn flush_interval(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (SHORTEST_FLUSH..=LONGEST_FLUSH).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err(format!("it is not a number of seconds from {SHORTEST_FLUSH} to {LONGEST_FLUSH}")),
    }
}
