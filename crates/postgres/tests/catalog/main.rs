//! Reading the catalog and the rows of real databases. Each test starts a server of its own.

#![expect(clippy::unwrap_used, reason = "failing is panicking in a test")]

mod filter;
mod foreign_key;
mod inventory;
mod mutations;
mod preflight;
mod sampled;
mod sequence_feed;
mod server;
mod session;
mod snapshot;
mod table;
