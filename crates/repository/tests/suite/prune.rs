//! Pruning, by a clock of our own.

mod damage;
pub(crate) mod gate;
mod holds;
mod interruption;
mod order;
mod race;
pub(crate) mod scene;
mod writers;
mod year;
