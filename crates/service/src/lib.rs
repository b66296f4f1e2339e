//! The journal of what is done; later the daemon: schedule, worker, metrics, alerts, HTTP API, console.
//!
//! It may use `model`, `operations`, `repository` and `storage`, never a terminal. What comes from outside, such as the time and
//! who asked, is an argument.

pub mod alerts;
pub mod journal;
mod lease;
pub mod observation;

pub use lease::LeaseKeeper;
