//! The repository from outside, over stores in memory and on disk.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;
mod damage;
mod gate;
mod journal;
mod keys;
mod leases;
mod ledger;
mod prune;
mod remembering;
mod reuse;
mod round_trip;
mod segments;
mod site_documents;
mod wal;
mod wal_damage;
mod write_order;
