//! The ledger: a double-entry accounting database, made from a seed, of the kind that Chronavault protects.
//!
//! Architecture invariant: the same seed and size give the same rows, on every run and every server version from 13 to
//! 18 (a table that a version cannot have is missing there). There is no clock and no randomness in it. Deliberately
//! absent: anything of backup.
//!
//! [`load`] makes the full ledger, with every kind of object that a careless tool loses; [`grow`] lets a day pass in it.
//! [`bench::load`] and [`bench::grow`] make a plain one of four tables, whose rows never change between releases because
//! published figures rest on them.

pub mod bench;
mod error;
pub mod extension;
mod ledger;
mod rules;
mod script;

pub use error::SampleError;
pub use ledger::{LedgerOptions, LedgerSummary, grow, load};
pub use rules::{RULES, Rule};
