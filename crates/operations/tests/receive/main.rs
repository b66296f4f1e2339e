//! Receiving WAL from real servers: what is archived is what the server wrote, and it is enough to recover with.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../scene/mod.rs"]
mod scene;

mod interruptions;
mod stage;
mod stream;
mod synchronous;
