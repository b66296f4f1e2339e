//! What the daemon says over HTTP: `/metrics`, `/health` and `/ready`.
//!
//! Invariant: whoever connects can hold neither the daemon nor other clients up. Threads, waiting connections, the size of a request
//! and the time for it are bounded, and nothing that a client sends changes anything.
//!
//! Deliberately absent: TLS, authentication and keeping connections alive. It listens where only this machine comes, or behind
//! something that has them.

mod address;
mod answer;
mod connection;
mod request;
mod response;
mod server;

use std::sync::Arc;

use jiff::Timestamp;

pub use address::{Address, ParseAddressError};
pub use server::{HttpError, Server, serve, serve_within};

use crate::Status;

/// Where the daemon listens when nothing is said.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:9187";

/// What is shown.
#[derive(Clone)]
pub struct View {
    /// The status at this moment. Called for every request, so it only hands out what is there.
    pub status: Arc<dyn Fn() -> Arc<Status> + Send + Sync>,
    /// The time.
    pub clock: fn() -> Timestamp,
}

/// What a client may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests that are answered at the same time, a thread each.
    pub workers: usize,
    /// Connections that wait for a worker; one more is turned away.
    pub waiting: usize,
    /// Bytes of the head of a request.
    pub head_bytes: usize,
    /// Time from the moment a worker takes a connection until it is closed.
    pub time: std::time::Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { workers: 4, waiting: 16, head_bytes: 8192, time: std::time::Duration::from_secs(10) }
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("View(…)")
    }
}
