//! What can go wrong with a connection, so that a caller can tell the cases apart without reading messages.

use std::fmt;
use std::io;
use std::time::Duration;

/// Messages end up in logs and on terminals; no field of one is kept beyond this many bytes.
const FIELD_LIMIT: usize = 16 * 1024;

/// An error that the server reported (PostgreSQL documentation, 55.8).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerError {
    /// `ERROR`, `FATAL` or `PANIC`, not translated.
    pub severity: String,
    /// The SQLSTATE, five characters.
    pub code: String,
    /// The primary message.
    pub message: String,
    /// A secondary message with more detail.
    pub detail: Option<String>,
    /// The server's suggestion.
    pub hint: Option<String>,
    /// Where in the statement, in characters from 1.
    pub position: Option<String>,
    /// The statement of the server's own in which it happened.
    pub internal_query: Option<String>,
    /// The call stack: functions, or the line of a COPY.
    pub context: Option<String>,
    /// The schema of the object concerned.
    pub schema: Option<String>,
    /// The table concerned.
    pub table: Option<String>,
    /// The column concerned.
    pub column: Option<String>,
    /// The data type concerned.
    pub data_type: Option<String>,
    /// The constraint concerned.
    pub constraint: Option<String>,
    /// File, line and function of the server's source, as `file:line, function`.
    pub source_location: Option<String>,
}

impl ServerError {
    /// Reads the fields of an `ErrorResponse` or a `NoticeResponse`. What is malformed is left out.
    pub(super) fn parse(body: &[u8]) -> Self {
        let mut error = Self::default();
        let (mut file, mut line, mut routine) = (None, None, None);
        for field in body.split(|byte| *byte == 0) {
            let Some((kind, value)) = field.split_first() else { break };
            let value = String::from_utf8_lossy(&value[..value.len().min(FIELD_LIMIT)]).into_owned();
            match kind {
                b'V' => error.severity = value,
                b'S' if error.severity.is_empty() => error.severity = value,
                b'C' => error.code = value,
                b'M' => error.message = value,
                b'D' => error.detail = Some(value),
                b'H' => error.hint = Some(value),
                b'P' => error.position = Some(value),
                b'q' => error.internal_query = Some(value),
                b'W' => error.context = Some(value),
                b's' => error.schema = Some(value),
                b't' => error.table = Some(value),
                b'c' => error.column = Some(value),
                b'd' => error.data_type = Some(value),
                b'n' => error.constraint = Some(value),
                b'F' => file = Some(value),
                b'L' => line = Some(value),
                b'R' => routine = Some(value),
                _ => {}
            }
        }
        if let (Some(file), Some(line), Some(routine)) = (file, line, routine) {
            error.source_location = Some(format!("{file}:{line}, {routine}"));
        }
        error
    }

    /// The server ends this session after the error.
    pub fn is_fatal(&self) -> bool {
        matches!(self.severity.as_str(), "FATAL" | "PANIC")
    }
}

/// `ERROR: relation "x" does not exist (42P01)`, in one line.
impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.severity, self.message, self.code)?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, "; {detail}"))
    }
}

impl std::error::Error for ServerError {}

/// A connection could not be made, a statement failed, or the server is gone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server answers there.
    #[error("{host} cannot be reached")]
    Unreachable {
        /// Host and port, or socket.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The attempt to connect took too long.
    #[error("{host} did not complete the connection within {} s", timeout.as_secs())]
    Timeout {
        /// Host and port, or socket.
        host: String,
        /// How long we waited.
        timeout: Duration,
    },
    /// An encrypted connection was not possible, or the server's certificate is not trusted.
    #[error("no trusted TLS connection to {host}: {reason}")]
    Tls {
        /// Host and port.
        host: String,
        /// What failed.
        reason: String,
    },
    /// A file for TLS cannot be used.
    #[error("{path}, the {role}, cannot be used: {reason}")]
    TlsFile {
        /// What the file is for.
        role: &'static str,
        /// The file.
        path: String,
        /// Why not.
        reason: String,
    },
    /// The server asked for a proof of identity that we cannot or must not give.
    #[error("authentication with {host} is not possible: {reason}")]
    Authentication {
        /// Host and port, or socket.
        host: String,
        /// Why.
        reason: String,
    },
    /// The server refused the connection.
    #[error("{host} refused the connection to {database}: {error}")]
    Refused {
        /// Host and port, or socket.
        host: String,
        /// The database that was asked for.
        database: String,
        /// What the server said.
        error: Box<ServerError>,
    },
    /// The server is not of the kind that `target_session_attrs` asks for.
    #[error("{host} is not {wanted}, as target_session_attrs demands")]
    SessionAttributes {
        /// Host and port, or socket.
        host: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// None of several hosts could be used.
    #[error("none of {} hosts could be used: {}", failures.len(), sentences(failures))]
    AllHosts {
        /// One failure per attempt, in order.
        failures: Vec<Error>,
    },
    /// A statement failed.
    #[error("{0}")]
    Server(Box<ServerError>),
    /// The connection broke: the server ended, was ended, or cannot be reached any more.
    #[error("the connection to {host} was lost{}", said(error.as_deref()))]
    ConnectionLost {
        /// Host and port, or socket.
        host: String,
        /// What the server said before, if it could.
        error: Option<Box<ServerError>>,
        /// What the operating system said, if anything.
        #[source]
        source: Option<io::Error>,
    },
    /// The server sent something that does not belong there.
    #[error("{host} does not follow the protocol: {problem}")]
    Protocol {
        /// Host and port, or socket.
        host: String,
        /// What was wrong.
        problem: String,
    },
    /// The connection was left in the middle of an operation that failed on our side.
    #[error("the connection to {host} cannot be used any more: {reason}")]
    Unusable {
        /// Host and port, or socket.
        host: String,
        /// Why.
        reason: &'static str,
    },
    /// A result is not what the caller asked for.
    #[error("the result of a query is not as expected: {problem}")]
    Unexpected {
        /// What was wrong.
        problem: String,
    },
    /// SQL text or a parameter with a NUL character, or one too large for a message.
    #[error("the text of a statement or a parameter cannot be sent: {problem}")]
    NotSendable {
        /// What was wrong.
        problem: String,
    },
    /// The number of rows that arrived is not the number that the server says it sent.
    #[error("COPY sent {said} rows, but {seen} arrived")]
    RowCount {
        /// The server's number.
        said: u64,
        /// Our number.
        seen: u64,
    },
}

/// The cases that a caller treats differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// No server answers at that place.
    Unreachable,
    /// Connecting took too long.
    Timeout,
    /// Encryption or certificates.
    Tls,
    /// Wrong password, unknown user, or not allowed to connect (SQLSTATE class 28).
    Authentication,
    /// The database does not exist (3D000).
    NoSuchDatabase,
    /// No free connection (53300).
    TooManyConnections,
    /// The server is starting or shutting down (57P03), or no host is of the wanted kind.
    NotReady,
    /// The connection existed and is gone (class 08, 57P01, 57P02, 57P05, or the end of the stream).
    ConnectionLost,
    /// The statement was cancelled (57014).
    Cancelled,
    /// Any other error of the server.
    Server,
    /// Bytes that do not follow the protocol, or a bug of ours.
    Protocol,
}

impl Error {
    /// Which case this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreachable { .. } => ErrorKind::Unreachable,
            Self::Timeout { .. } => ErrorKind::Timeout,
            Self::Tls { .. } | Self::TlsFile { .. } => ErrorKind::Tls,
            Self::Authentication { .. } => ErrorKind::Authentication,
            Self::Refused { error, .. } | Self::Server(error) => kind_of_code(&error.code),
            Self::SessionAttributes { .. } => ErrorKind::NotReady,
            // The last host tells; libpq users order them by preference, but a refusal ends the search.
            Self::AllHosts { failures } => failures.last().map_or(ErrorKind::Unreachable, Self::kind),
            Self::ConnectionLost { .. } => ErrorKind::ConnectionLost,
            Self::Protocol { .. }
            | Self::Unusable { .. }
            | Self::Unexpected { .. }
            | Self::NotSendable { .. }
            | Self::RowCount { .. } => ErrorKind::Protocol,
        }
    }

    /// What the server said, if it said something.
    pub fn server(&self) -> Option<&ServerError> {
        match self {
            Self::Refused { error, .. } | Self::Server(error) => Some(error),
            Self::ConnectionLost { error, .. } => error.as_deref(),
            Self::AllHosts { failures } => failures.last().and_then(Self::server),
            _ => None,
        }
    }

    /// The SQLSTATE, if the server gave one.
    pub fn code(&self) -> Option<&str> {
        self.server().map(|error| error.code.as_str())
    }
}

fn kind_of_code(code: &str) -> ErrorKind {
    match code {
        "3D000" => ErrorKind::NoSuchDatabase,
        "53300" => ErrorKind::TooManyConnections,
        "57P03" => ErrorKind::NotReady,
        "57P01" | "57P02" | "57P05" => ErrorKind::ConnectionLost,
        "57014" => ErrorKind::Cancelled,
        _ if code.starts_with("28") => ErrorKind::Authentication,
        _ if code.starts_with("08") => ErrorKind::ConnectionLost,
        _ => ErrorKind::Server,
    }
}

/// Errors in one line; their sources are added, since the list is all that anyone sees of them.
fn sentences(failures: &[Error]) -> String {
    let sentence = |error: &Error| match std::error::Error::source(error) {
        Some(source) => format!("{error} ({source})"),
        None => error.to_string(),
    };
    failures.iter().map(sentence).collect::<Vec<_>>().join("; ")
}

fn said(error: Option<&ServerError>) -> String {
    error.map_or(String::new(), |error| format!(": {error}"))
}
