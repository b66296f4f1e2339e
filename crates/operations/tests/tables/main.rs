//! Tables come back: compared with what they were, and put in place or beside the live ones.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../scene/mod.rs"]
mod scene;

mod asking;
mod dropped;
mod model;
mod moment;
mod repair;
