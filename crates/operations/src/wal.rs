//! WAL between a cluster and the archive: pushed by `archive_command`, fetched by `restore_command`, and what can be recovered
//! with it.
//!
//! Invariant: WAL is said to be archived only when it is durable in the repository, and appears at the place where the server wants
//! it only when all of it was authenticated. What speeds things up (pushing what comes next, fetching ahead) can fail without
//! anybody noticing but for the time.

mod acknowledged;
mod cluster;
mod error;
mod fetch;
mod place;
mod prefetch;
mod push;
mod spool;
mod status;

pub use cluster::system_of;
pub use error::WalError;
pub use fetch::{FetchReport, FetchRequest, Fetched, fetch_wal};
pub use prefetch::{PrefetchReport, PrefetchRequest, prefetch_wal};
pub use push::{PushReport, PushRequest, push_wal};
pub use status::{NewestWal, WalStatus, WalWindow, wal_status};

/// Threads that push or fetch ahead hold at most so many bytes together; where the segments of a cluster are larger, nothing is
/// done ahead.
const AHEAD_BYTES: u64 = 128 << 20;

/// How many segments of `segment_bytes` may be handled ahead, of those that were asked for.
fn ahead(wanted: u32, segment_bytes: u32, threads: usize) -> u32 {
    let held = u64::from(segment_bytes).saturating_mul(2 * threads as u64);
    if held <= AHEAD_BYTES { wanted } else { 0 }
}
