//! The daemon and what it is made of: schedule, worker, journal, observation, metrics, health, hooks.
//!
//! It may use `model`, `operations`, `repository` and `storage`, never a terminal. What comes from outside, such as the time and
//! who asked, is an argument.

pub mod alerts;
pub mod child;
pub mod daemon;
pub mod health;
pub mod hooks;
pub mod http;
pub mod journal;
mod lease;
pub mod metrics;
pub mod notify;
pub mod observation;
mod observe;
mod readiness;
pub mod scheduler;
mod status;
mod usage_history;
pub mod worker;

pub use lease::LeaseKeeper;
pub use observe::Observer;
pub use readiness::unready;
pub use status::{ChannelState, Status};
