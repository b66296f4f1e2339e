//! Everything that speaks to PostgreSQL.
//!
//! Architecture invariant: this room knows nothing of repositories. It reads rows into a sink or a pipe and loads
//! them from one; what happens to the bytes in between is not its business. It never prints and never reads the environment.

pub mod archive;
mod client;
mod conninfo;
pub mod load;
mod password;
mod process;
mod sandbox;
mod tools;

pub use client::{
    Canceller, Client, CopyError, CopyIn, Error, ErrorKind, Row, RowSink, ServerError, TransactionStatus,
};
pub use conninfo::{ClientEnvironment, ConnectOptions, ConninfoError, ConninfoWarning};
pub use process::{Input, Process, ProcessError};
pub use sandbox::{Locale, LocaleProvider, Sandbox, SandboxError, SandboxOptions, TlsServer};
pub use tools::{Programs, Tools, ToolsError};
