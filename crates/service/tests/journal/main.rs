//! The journal from outside: what is recorded is there, and what is done to it behind its back is found.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod copies;
mod damage;
mod machine;
mod processes;
