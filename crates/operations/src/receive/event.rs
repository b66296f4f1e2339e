//! What receiving WAL tells while it runs.

use std::fmt;
use std::time::Duration;

use model::{Lsn, SystemId, TimelineId, WalSegmentName};

/// What decided where a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// What is archived ends there.
    Archive,
    /// The replication slot keeps WAL from there on.
    Slot,
    /// The server is there now.
    Server,
}

/// One thing that happened while WAL was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiveEvent {
    /// The slot did not exist and was made.
    SlotCreated {
        /// Its name.
        slot: String,
    },
    /// WAL streams.
    Streaming {
        /// Host and port, or the socket.
        host: String,
        /// The cluster.
        system: SystemId,
        /// The timeline.
        timeline: TimelineId,
        /// The first position.
        from: Lsn,
        /// Why from there.
        origin: Origin,
    },
    /// WAL of a segment that is not complete is durable in the archive.
    Flushed {
        /// Up to here.
        position: Lsn,
    },
    /// A segment is durable in the archive.
    Stored {
        /// Its name.
        segment: WalSegmentName,
    },
    /// A timeline ended and another one follows.
    TimelineEnded {
        /// The one that ended.
        timeline: TimelineId,
        /// The one that follows.
        next: TimelineId,
        /// Where.
        switch: Lsn,
    },
    /// The stream was interrupted. It is told again only when the reason changes, or after a long time.
    Interrupted {
        /// Why.
        message: String,
        /// When the next attempt is made.
        retry_in: Duration,
    },
}

impl Origin {
    /// A stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Slot => "slot",
            Self::Server => "server",
        }
    }
}

/// Completes "from …, ".
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Archive => "where the archive ends",
            Self::Slot => "where the replication slot begins to keep WAL",
            Self::Server => "where the server is now",
        })
    }
}

/// For people: a sentence without its full stop.
impl fmt::Display for ReceiveEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SlotCreated { slot } => write!(f, "the replication slot {slot} was made"),
            Self::Streaming { host, system, timeline, from, origin } => write!(
                f,
                "receiving WAL of cluster {system} from {host}, timeline {timeline}, from {from}, {origin}"
            ),
            Self::Flushed { position } => write!(f, "archived up to {position}"),
            Self::Stored { segment } => write!(f, "archived {segment}"),
            Self::TimelineEnded { timeline, next, switch } => {
                write!(f, "timeline {timeline} ended at {switch}, timeline {next} follows")
            }
            Self::Interrupted { message, retry_in } => {
                write!(f, "interrupted: {message}; the next attempt is in {} s", retry_in.as_secs())
            }
        }
    }
}
