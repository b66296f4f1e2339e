//! Recovery as an operator does it: damage first, then one command, on real servers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../commands/harness.rs"]
#[allow(dead_code, reason = "this test needs a part of it")]
mod harness;

mod application;
mod corruption;
mod demo;
mod drill;
mod interrupted;
mod load;
mod lost_host;
mod point_in_time;
mod scene;
