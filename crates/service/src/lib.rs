//! The daemon: schedule, worker, metrics, alerts, HTTP API, console.
//!
//! An empty room. Nothing in it is built yet; it is here so that the place of these things in the table of rooms is
//! fixed: they may use `model`, `operations`, `repository` and `storage`, never a terminal.
