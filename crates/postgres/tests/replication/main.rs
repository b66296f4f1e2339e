//! Replication commands on real servers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod commands;
mod preflight;
mod stream;
