//! Base backups of real servers: what is read is a cluster that starts and has the same rows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod failures;
mod incremental;
mod scene;
mod standby;
mod whole;
