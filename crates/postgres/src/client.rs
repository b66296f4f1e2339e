//! A synchronous PostgreSQL client: simple and extended queries in text format, and COPY in both directions
//! (PostgreSQL documentation, chapter 55).
//!
//! Invariants: one thread uses a connection at a time; after an error of the server the session can be used again, after anything
//! worse every call says that it cannot; no result counts before the server said that the statement is complete.
//!
//! Replication connections are sessions of a type of their own, [`ReplicationClient`].
//!
//! Deliberately absent: binary formats, pipelining, notifications, logical replication.

mod cancel;
mod connect;
mod copy_in;
mod copy_out;
mod error;
mod replication;
mod row;
mod sampled;
mod startup;
mod stream;
mod tls;
mod wire;

use std::ops::Range;

use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;

pub use cancel::Canceller;
pub use copy_in::CopyIn;
pub use copy_out::{CopyError, RowSink};
pub use error::{Error, ErrorKind, ServerError};
pub(crate) use replication::{BackupPiece, BaseBackupStream, NEW_FORM_MAJOR};
pub use replication::{
    NextTimeline, ReplicationClient, ReplicationError, SlotLifetime, SlotName, SlotNameError, SlotState,
    StandbyStatus, SystemIdentity, WalEvent, WalStream,
};
pub use row::Row;
pub use sampled::{Sample, SampleLimits};

use crate::conninfo::ConnectOptions;
use connect::Endpoint;
use startup::{Purpose, Session};
use wire::Wire;

/// Whether a session is in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// In none.
    Idle,
    /// In one that can go on.
    InTransaction,
    /// In one that failed and can only be rolled back.
    Failed,
}

/// A session with a server. Dropping it ends the session.
#[derive(Debug)]
pub struct Client {
    wire: Wire,
    session: Session,
    options: ConnectOptions,
    endpoint: Endpoint,
    server_version: u32,
    status: TransactionStatus,
    /// Set when the stream is not at the start of a statement any more.
    unusable: Option<&'static str>,
}

impl Client {
    /// Connects as `options` say. Hosts are tried in turn; the error of each is in the result.
    pub fn connect(options: &ConnectOptions) -> Result<Client, Error> {
        connect::connect(options, Purpose::Sql)
    }

    fn new(wire: Wire, session: Session, options: ConnectOptions, endpoint: Endpoint) -> Result<Self, Error> {
        let version = wire.parameter("server_version").and_then(parse_version);
        let server_version =
            version.ok_or_else(|| wire.protocol_error("a server version that cannot be read"))?;
        let status = TransactionStatus::Idle;
        Ok(Self { wire, session, options, endpoint, server_version, status, unusable: None })
    }

    /// The options with the one host and address that this client is connected to, for further sessions and for children that
    /// must reach the same server.
    pub fn options(&self) -> &ConnectOptions {
        &self.options
    }

    /// The version as a number: 150018 is 15.18.
    pub fn server_version(&self) -> u32 {
        self.server_version
    }

    /// The major version: 15.
    pub fn server_major(&self) -> u32 {
        self.server_version / 10_000
    }

    /// The value of a setting that the server reports on its own, such as `server_encoding` or `TimeZone`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.wire.parameter(name)
    }

    /// The process id of the server process.
    pub fn backend_pid(&self) -> i32 {
        self.session.pid
    }

    /// Whether the session is in a transaction, as of the last statement.
    pub fn transaction_status(&self) -> TransactionStatus {
        self.status
    }

    /// The connection is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.wire.stream.tls().is_some()
    }

    /// Notices and warnings since the last call; only the latest hundred are kept.
    pub fn take_notices(&mut self) -> Vec<ServerError> {
        self.wire.take_notices()
    }

    /// Cancels statements of this session from another thread.
    pub fn canceller(&self) -> Canceller {
        Canceller {
            options: self.options.clone(),
            endpoint: self.endpoint.clone(),
            encrypted: self.is_encrypted(),
            session: self.session,
        }
    }

    /// Runs one or more statements without parameters and drops what they return. The first error ends it.
    pub fn execute(&mut self, sql: &str) -> Result<(), Error> {
        self.start_simple(sql)?;
        loop {
            let (tag, body) = self.wire.next()?;
            match tag {
                b'T' | b'D' | b'C' | b'I' => {}
                b'Z' => {
                    self.set_status(body);
                    return Ok(());
                }
                b'E' => return Err(self.statement_failed(body)),
                b'G' | b'H' | b'W' => {
                    self.unusable = Some("it was left in a COPY");
                    return Err(Error::Unexpected { problem: "COPY needs copy_in or copy_out".to_owned() });
                }
                other => return Err(self.out_of_place(other)),
            }
        }
    }

    /// Runs one statement with parameters (`$1` …) and returns its rows. Values are text in both directions; the server derives the types.
    pub fn query(&mut self, sql: &str, params: &[Option<&str>]) -> Result<Vec<Row>, Error> {
        self.usable()?;
        self.compose_query(sql, params).map_err(|error| {
            self.wire.output.clear();
            Error::NotSendable { problem: error.to_string() }
        })?;
        self.flush()?;
        let mut rows = Vec::new();
        let mut wrong = None;
        loop {
            let (tag, body) = self.wire.next()?;
            match tag {
                b'D' => match Row::parse(self.wire.body(body)) {
                    Ok(row) => rows.push(row),
                    // The answer is read to its end, so that the session stays usable.
                    Err(problem) => wrong = Some(problem),
                },
                b'1' | b'2' | b'T' | b'n' | b'C' | b'I' => {}
                b'Z' => {
                    self.set_status(body);
                    break;
                }
                b'E' => return Err(self.statement_failed(body)),
                b'G' | b'H' | b'W' => {
                    self.unusable = Some("it was left in a COPY");
                    return Err(Error::Unexpected { problem: "COPY needs copy_in or copy_out".to_owned() });
                }
                other => return Err(self.out_of_place(other)),
            }
        }
        match wrong {
            None => Ok(rows),
            Some(problem) => Err(Error::Unexpected { problem: problem.to_owned() }),
        }
    }

    /// As [`Client::query`], for a statement that returns exactly one row.
    pub fn query_one(&mut self, sql: &str, params: &[Option<&str>]) -> Result<Row, Error> {
        let mut rows = self.query(sql, params)?;
        match rows.len() {
            1 => Ok(rows.swap_remove(0)),
            count => Err(Error::Unexpected { problem: format!("{count} rows instead of one") }),
        }
    }

    /// Ends the session in an orderly way. Dropping the client does the same and does not say whether it worked.
    pub fn close(mut self) -> Result<(), Error> {
        self.usable()?;
        self.terminate()
    }

    /// Host and port, or the socket.
    pub(crate) fn host(&self) -> &str {
        self.wire.host()
    }

    fn compose_query(&mut self, sql: &str, params: &[Option<&str>]) -> std::io::Result<()> {
        let output = &mut self.wire.output;
        frontend::parse("", sql, [], output)?;
        let bound = frontend::bind(
            "",
            "",
            [],
            params,
            |param, buffer| {
                let Some(text) = param else { return Ok(IsNull::Yes) };
                buffer.extend_from_slice(text.as_bytes());
                Ok(IsNull::No)
            },
            [],
            output,
        );
        bound.map_err(|error| match error {
            frontend::BindError::Conversion(error) => std::io::Error::other(error),
            frontend::BindError::Serialization(error) => error,
        })?;
        frontend::describe(b'P', "", output)?;
        frontend::execute("", 0, output)?;
        frontend::sync(output);
        Ok(())
    }

    fn usable(&self) -> Result<(), Error> {
        match self.unusable {
            None => Ok(()),
            Some(reason) => Err(Error::Unusable { host: self.host().to_owned(), reason }),
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.wire.flush().inspect_err(|_| self.unusable = Some("it was lost"))
    }

    /// Sends a statement with the simple protocol.
    fn start_simple(&mut self, sql: &str) -> Result<(), Error> {
        self.usable()?;
        frontend::query(sql, &mut self.wire.output).map_err(|error| {
            self.wire.output.clear();
            Error::NotSendable { problem: error.to_string() }
        })?;
        self.flush()
    }

    /// Waits for the end of the statement.
    fn ready(&mut self) -> Result<(), Error> {
        match self.wire.next()? {
            (b'Z', body) => {
                self.set_status(body);
                Ok(())
            }
            (b'E', body) => Err(self.statement_failed(body)),
            (other, _) => Err(self.out_of_place(other)),
        }
    }

    fn set_status(&mut self, body: Range<usize>) {
        self.status = match self.wire.body(body).first() {
            Some(b'T') => TransactionStatus::InTransaction,
            Some(b'E') => TransactionStatus::Failed,
            _ => TransactionStatus::Idle,
        };
    }

    fn terminate(&mut self) -> Result<(), Error> {
        self.unusable = Some("it was closed");
        self.wire.output.clear();
        frontend::terminate(&mut self.wire.output);
        self.wire.flush()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.unusable.is_none() {
            // The server notices the end of the stream as well.
            let _ = self.terminate();
        }
    }
}

/// `15.18 (Debian 15.18-0+deb12u1)` or `18beta1` as a number like `server_version_num`.
fn parse_version(text: &str) -> Option<u32> {
    let number = text.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
    let mut parts = number.split('.');
    let major: u32 = parts.next()?.parse().ok()?;
    let minor = parts.next().and_then(|minor| minor.parse().ok()).unwrap_or(0);
    // Before 10 the major version had two parts; such servers are refused elsewhere, so the number need not be exact.
    major.checked_mul(10_000)?.checked_add(minor)
}

/// The number at the end of a command tag: `COPY 42`.
fn rows_of_tag(body: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(body.strip_suffix(&[0])?).ok()?;
    text.strip_prefix("COPY ")?.parse().ok()
}
