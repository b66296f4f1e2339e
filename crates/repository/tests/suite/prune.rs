//! Pruning, by a clock of our own.

mod damage;
mod interruption;
mod order;
mod race;
mod scene;
mod writers;
mod year;
