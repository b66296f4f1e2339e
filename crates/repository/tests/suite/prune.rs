//! Pruning, by a clock of our own.

mod damage;
mod holds;
mod interruption;
mod order;
mod race;
pub(crate) mod scene;
mod writers;
mod year;
