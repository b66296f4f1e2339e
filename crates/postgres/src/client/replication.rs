//! Replication connections: sessions that read a cluster instead of a database (PostgreSQL documentation, 55.4).
//!
//! Invariant: such a session runs one command at a time; after an error of the server it can be used again, but its temporary
//! slots are gone.
//!
//! Deliberately absent: logical replication, and SQL, which these sessions do not have.

mod backup;
mod error;
mod slot;
mod wal_stream;

use model::{Lsn, SegmentSize, SystemId, TimelineId};

pub(crate) use backup::{BackupPiece, BaseBackupStream, NEW_FORM_MAJOR};
use error::About;
pub use error::ReplicationError;
pub use slot::{SlotLifetime, SlotName, SlotNameError, SlotState};
pub use wal_stream::{NextTimeline, StandbyStatus, WalEvent, WalStream};

use super::connect;
use super::error::{Error, ServerError};
use super::row::{self, Row};
use super::startup::Purpose;
use super::{Client, TransactionStatus};
use crate::conninfo::{ConnectOptions, SessionAttributes};

/// The name under which replication stands in password files.
const DATABASE: &str = "replication";
/// Bytes of the largest history of a timeline: some 60 bytes for each timeline before it.
const HISTORY_LIMIT: usize = 16 * 1024 * 1024;

/// A replication connection. Dropping it ends the session.
#[derive(Debug)]
pub struct ReplicationClient {
    client: Client,
    /// The database of the options with which it was made.
    database: String,
}

/// What `IDENTIFY_SYSTEM` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemIdentity {
    /// The system identifier.
    pub system_id: SystemId,
    /// The timeline that is written or, on a standby, replayed.
    pub timeline: TimelineId,
    /// How far WAL is on the server's disk.
    pub flushed: Lsn,
}

impl ReplicationClient {
    /// Connects as `options` say, whatever their database is.
    pub fn connect(options: &ConnectOptions) -> Result<Self, ReplicationError> {
        let database = options.database().to_owned();
        let options = options.with_database(DATABASE);
        match connect::connect(&options, Purpose::Replication) {
            Ok(client) => Ok(Self { client, database }),
            Err(error) => {
                let host = refusing_host(&error).unwrap_or_default();
                Err(About { host: &host, user: options.user(), slot: None }.classify(error))
            }
        }
    }

    /// The version as a number: 150018 is 15.18.
    pub fn server_version(&self) -> u32 {
        self.client.server_version()
    }

    /// The major version: 15.
    pub fn server_major(&self) -> u32 {
        self.client.server_major()
    }

    /// Host and port, or the socket.
    pub fn host(&self) -> &str {
        self.client.host()
    }

    /// How to open a session for SQL with the same server.
    pub fn sql_options(&self) -> ConnectOptions {
        self.client.options().with_database(&self.database)
    }

    /// The process id of the WAL sender.
    pub fn backend_pid(&self) -> i32 {
        self.client.backend_pid()
    }

    /// Notices and warnings since the last call; only the latest hundred are kept.
    pub fn take_notices(&mut self) -> Vec<ServerError> {
        self.client.take_notices()
    }

    /// Which cluster this is, and where it is.
    pub fn identify_system(&mut self) -> Result<SystemIdentity, ReplicationError> {
        let rows = self.command("IDENTIFY_SYSTEM", None)?;
        let row = only(&rows)?;
        Ok(SystemIdentity { system_id: row.number(0)?, timeline: row.number(1)?, flushed: row.number(2)? })
    }

    /// The value of a setting. Those that only superusers may see are refused.
    pub fn show(&mut self, setting: &'static str) -> Result<String, ReplicationError> {
        let rows = self.command(&format!("SHOW {setting}"), None)?;
        Ok(only(&rows)?.text(0)?.to_owned())
    }

    /// The size of WAL segments.
    pub fn segment_size(&mut self) -> Result<SegmentSize, ReplicationError> {
        let text = self.show("wal_segment_size")?;
        let size = bytes_of(&text).and_then(|bytes| SegmentSize::new(bytes).ok());
        let wrong = || Error::Unexpected { problem: format!("wal_segment_size is {text:?}") };
        Ok(size.ok_or_else(wrong)?)
    }

    /// The server is a standby. `None` when a replication connection cannot tell: 13 with `default_transaction_read_only`.
    pub fn in_recovery(&mut self) -> Result<Option<bool>, ReplicationError> {
        Ok(in_recovery(&mut self.client)?)
    }

    /// The history file of a timeline, as it is; there is none of the first.
    pub fn timeline_history(&mut self, timeline: TimelineId) -> Result<Vec<u8>, ReplicationError> {
        let command = format!("TIMELINE_HISTORY {timeline}");
        // A comment in it may be in any encoding.
        let rows = self.client.simple_values(&command).map_err(|error| self.classified(error, None))?;
        let content = match rows.as_slice() {
            [row] => row.get(1).cloned().flatten().filter(|content| content.len() <= HISTORY_LIMIT),
            _ => None,
        };
        let wrong = || Error::Unexpected { problem: format!("no history of timeline {timeline}") };
        Ok(content.ok_or_else(wrong)?)
    }

    /// Ends the session in an orderly way.
    pub fn close(self) -> Result<(), ReplicationError> {
        Ok(self.client.close()?)
    }

    /// Runs a command and returns its rows.
    fn command(&mut self, command: &str, slot: Option<&SlotName>) -> Result<Vec<Row>, ReplicationError> {
        self.client.simple_rows(command).map_err(|error| self.classified(error, slot))
    }

    fn classified(&self, error: Error, slot: Option<&SlotName>) -> ReplicationError {
        let about = About {
            host: self.client.host(),
            user: self.client.options().user(),
            slot: slot.map(SlotName::as_str),
        };
        about.classify(error)
    }
}

impl Client {
    /// Runs one command with the simple protocol and returns all rows of all its results.
    fn simple_rows(&mut self, command: &str) -> Result<Vec<Row>, Error> {
        self.simple(command, Row::parse)
    }

    fn simple_values(&mut self, command: &str) -> Result<Vec<Vec<Option<Vec<u8>>>>, Error> {
        self.simple(command, |body| {
            let values = row::values(body)?;
            Ok(values.into_iter().map(|value| value.map(<[u8]>::to_vec)).collect())
        })
    }

    fn simple<T>(
        &mut self,
        command: &str,
        parse: impl Fn(&[u8]) -> Result<T, &'static str>,
    ) -> Result<Vec<T>, Error> {
        self.start_simple(command)?;
        self.rest_of_simple(parse)
    }

    /// Reads to the end of the command.
    fn rest_of_simple<T>(
        &mut self,
        parse: impl Fn(&[u8]) -> Result<T, &'static str>,
    ) -> Result<Vec<T>, Error> {
        let mut rows = Vec::new();
        let mut wrong = None;
        loop {
            let (tag, body) = self.wire.next()?;
            match tag {
                b'D' => match parse(self.wire.body(body)) {
                    Ok(row) => rows.push(row),
                    Err(problem) => wrong = Some(problem),
                },
                b'T' | b'C' | b'I' => {}
                b'Z' => {
                    self.status = TransactionStatus::Idle;
                    break;
                }
                b'E' => return Err(self.statement_failed(body)),
                other => return Err(self.out_of_place(other)),
            }
        }
        match wrong {
            None => Ok(rows),
            Some(problem) => Err(Error::Unexpected { problem: problem.to_owned() }),
        }
    }
}

/// The error of a stream, which names WAL that is gone.
fn gone_or(client: &Client, error: Error) -> ReplicationError {
    About { host: client.host(), user: client.options().user(), slot: None }.classify(error)
}

/// The one row of a result.
fn only(rows: &[Row]) -> Result<&Row, Error> {
    match rows {
        [row] => Ok(row),
        _ => Err(Error::Unexpected { problem: format!("{} rows instead of one", rows.len()) }),
    }
}

/// Whether the server of a replication connection is of the wanted kind.
pub(super) fn has_attributes(client: &mut Client, wanted: SessionAttributes) -> Result<bool, Error> {
    Ok(match wanted {
        SessionAttributes::Any | SessionAttributes::PreferStandby => true,
        SessionAttributes::Primary => in_recovery(client)? == Some(false),
        SessionAttributes::Standby => in_recovery(client)? == Some(true),
        SessionAttributes::ReadWrite => !is_on(client, "transaction_read_only")?,
        SessionAttributes::ReadOnly => is_on(client, "transaction_read_only")?,
    })
}

/// From 14 on the server reports `in_hot_standby`. Before, a transaction that is read-only without being asked to tells it.
fn in_recovery(client: &mut Client) -> Result<Option<bool>, Error> {
    if let Some(value) = client.parameter("in_hot_standby") {
        return Ok(Some(value == "on"));
    }
    if !is_on(client, "transaction_read_only")? {
        return Ok(Some(false));
    }
    Ok(if is_on(client, "default_transaction_read_only")? { None } else { Some(true) })
}

fn is_on(client: &mut Client, setting: &str) -> Result<bool, Error> {
    let rows = client.simple_rows(&format!("SHOW {setting}"))?;
    Ok(only(&rows)?.text(0)? == "on")
}

/// Bytes of a size as `SHOW` writes it: `16MB`.
fn bytes_of(text: &str) -> Option<u32> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "B" | "" => 1,
        "kB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1_u32 << 30,
        _ => return None,
    };
    digits.parse::<u32>().ok()?.checked_mul(unit)
}

fn refusing_host(error: &Error) -> Option<String> {
    match error {
        Error::Refused { host, .. } => Some(host.clone()),
        Error::AllHosts { failures } => failures.last().and_then(refusing_host),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_show_writes_them() {
        for (text, bytes) in [("16MB", 16 << 20), ("1GB", 1 << 30), ("8192", 8192), ("8kB", 8192)] {
            assert_eq!(bytes_of(text), Some(bytes));
        }
        for text in ["", "MB", "16 MB", "16XB", "8GB", "-1MB"] {
            assert_eq!(bytes_of(text), None, "{text:?}");
        }
    }
}
