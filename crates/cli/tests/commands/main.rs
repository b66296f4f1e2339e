//! Runs the real binary, each time with an environment of nothing but what the test sets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod alert;
mod check;
mod damage;
mod harness;
mod init;
mod journal;
mod keys;
mod memory;
mod preflight;
mod prune;
mod recover_tables;
mod round_trip;
mod runbook;
mod serve;
mod serve_keys;
mod server;
mod settings;
mod signals;
mod usage;
