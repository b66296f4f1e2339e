//! `wal push`, `wal fetch` and `wal status` through the real binary: with made-up segments, and as `archive_command` and
//! `restore_command` of real servers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../commands/harness.rs"]
#[allow(dead_code, reason = "these tests need a part of it")]
mod harness;

mod archiving;
mod fetch;
mod kill;
mod push;
mod receive;
mod recovery;
mod segments;
mod servers;
mod status;
