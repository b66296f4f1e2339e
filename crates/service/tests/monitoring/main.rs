//! What monitoring systems and service managers get to see, read by programs of others.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod contrib;
mod http;
mod metrics;
mod reader;
mod scene;
