//! Everything that speaks to PostgreSQL.
//!
//! Architecture invariant: this room knows nothing of repositories. It reads rows into a sink or a pipe and loads
//! them from one; what happens to the bytes in between is not its business. It never prints and never reads the environment.

pub mod archive;
mod process;

pub use process::{Input, Process, ProcessError};
