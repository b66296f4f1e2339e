//! The files of real clusters. Each test starts servers of its own.

#![expect(clippy::unwrap_used, reason = "failing is panicking in a test")]

mod changes;
mod control;
mod data_directory;
mod incremental;
mod inspection;
mod page;
mod restored;
mod server;
mod sink;
mod standby;
mod usable;
