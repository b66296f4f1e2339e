//! Receiving WAL over the replication protocol, for as long as somebody wants it.
//!
//! Invariants: a replication slot keeps on the server what is not archived; what is reported to the server as flushed is durable in
//! the archive, so that a commit which waits for us is safe when it returns; after any interruption, of the server, of the archive
//! or of this program, it goes on where the archive ends. Memory is two segments.
//!
//! Deliberately absent: which WAL is needed, and when it is deleted.

mod error;
mod event;
mod health;
mod keeper;
mod merging;
mod pump;
mod retry;
mod segment;
mod session;
mod start;

use std::time::Duration;

use model::Lsn;
use postgres::{ConnectOptions, SlotName};
use repository::Repository;

pub use error::ReceiveError;
pub use event::{Origin, ReceiveEvent};

use crate::{Context, Error};
use retry::Retry;
use session::State;

/// What WAL to receive, and how.
#[derive(Debug, Clone)]
pub struct ReceiveRequest {
    /// The server; its role needs the attribute REPLICATION. Its application name is the one for `synchronous_standby_names`.
    pub source: ConnectOptions,
    /// The slot that keeps WAL on the server until it is archived. It is made if it is not there, and stays.
    pub slot: SlotName,
    /// WAL is archived this long after it came, at the latest.
    pub flush_interval: Duration,
    /// WAL is archived as soon as it came, so that commits can wait for it.
    pub synchronous: bool,
    /// Level of zstd, or `None` to store without compression.
    pub compression: Option<i32>,
}

/// What was received.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReceiveReport {
    /// Bytes of WAL that came.
    pub received_bytes: u64,
    /// Whole segments that were stored.
    pub segments: u64,
    /// Pieces of segments that were stored.
    pub pieces: u64,
    /// How often the stream was interrupted.
    pub interruptions: u64,
    /// Behind the last byte before which everything is archived, if anything was received.
    pub archived_to: Option<Lsn>,
}

/// Receives WAL until the observer asks to stop; what came by then is archived.
///
/// Interruptions are told as events and tried again for ever. An error is returned for what only a person can change: before anything
/// has ever streamed, that the server refuses us; at any time, that it has other WAL than what is archived.
pub fn receive_wal(
    repository: &Repository,
    request: &ReceiveRequest,
    context: &Context<'_>,
) -> Result<ReceiveReport, Error> {
    let mut state = State::default();
    let mut retry = Retry::default();
    loop {
        let before = state.report.received_bytes;
        let Err(error) = session::run(repository, request, context, &mut state) else {
            return Ok(state.report);
        };
        if retry::is_final(&error, state.has_streamed) {
            return Err(error);
        }
        if state.report.received_bytes > before {
            retry.succeeded();
        }
        state.report.interruptions += 1;
        if !retry.wait(&error, context) {
            return Ok(state.report);
        }
    }
}
