//! Runs the real binary, each time with an environment of nothing but what the test sets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod harness;
mod init;
mod settings;
mod usage;
