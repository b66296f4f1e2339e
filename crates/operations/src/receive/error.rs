//! Why WAL cannot be received, where neither the server nor the repository failed.

use model::{Lsn, ParseHistoryError, SystemId, TimelineId};

/// Why WAL cannot be received, where neither the server nor the repository failed.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// Behind the same address there is another cluster now.
    #[error("the server is of cluster {now} now, and was of cluster {before}")]
    OtherCluster {
        /// The cluster before.
        before: SystemId,
        /// The cluster now.
        now: SystemId,
    },
    /// The server has other WAL than what is archived, on the same timeline.
    #[error(
        "the WAL of the server differs from what is archived, from {position} on, on timeline {timeline}"
    )]
    Differs {
        /// The timeline.
        timeline: TimelineId,
        /// The first position that differs.
        position: Lsn,
    },
    /// The server's history of a timeline cannot be read.
    #[error("the server's history of timeline {timeline} cannot be read")]
    History {
        /// The timeline.
        timeline: TimelineId,
        /// What is wrong with it.
        #[source]
        source: ParseHistoryError,
    },
    /// The server shut down.
    #[error("the server shut down")]
    ServerEnded,
}
