//! `COPY … TO STDOUT`: rows as slices of the input buffer.
//!
//! Invariant: rows are counted, and the count must be what the server says in the end. A COPY without its end never succeeds.

use super::Client;
use super::error::{Error, ServerError};
use super::wire::{Header, Wire};

/// Bytes of a message's type and length.
const HEADER: usize = 5;

/// Takes rows. Methods are called in the order in which the server sends rows.
pub trait RowSink {
    /// What can go wrong on this side.
    type Error;

    /// One whole row of COPY text, newline included.
    fn row(&mut self, row: &[u8]) -> Result<(), Self::Error>;

    /// A piece of a row that is larger than the read buffer (1 MiB). The pieces of a row come in order, without another row between them;
    /// the last one ends in the newline. No piece is empty.
    fn row_part(&mut self, part: &[u8], last: bool) -> Result<(), Self::Error>;
}

/// A COPY to us failed: either on the server's side or in the sink.
#[derive(Debug)]
pub enum CopyError<E> {
    /// The server or the connection.
    Postgres(Error),
    /// The sink. The connection cannot be used any more: the rest of the rows is still on its way.
    Sink(E),
}

impl<E: std::fmt::Display> std::fmt::Display for CopyError<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Postgres(error) => error.fmt(f),
            Self::Sink(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for CopyError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Postgres(error) => error.source(),
            Self::Sink(error) => error.source(),
        }
    }
}

impl<E> From<Error> for CopyError<E> {
    fn from(error: Error) -> Self {
        Self::Postgres(error)
    }
}

impl Client {
    /// Runs `COPY … TO STDOUT` in text format and hands every row to `sink`. Returns the number of rows.
    ///
    /// After an error of the server the session can be used again, unless the error was fatal. After an error of the sink it cannot.
    pub fn copy_out<S: RowSink>(&mut self, sql: &str, sink: &mut S) -> Result<u64, CopyError<S::Error>> {
        self.start_simple(sql)?;
        let result = self.rows(sink);
        if let Err(CopyError::Sink(_)) = &result {
            self.unusable = Some("a COPY was given up in the middle");
        }
        result
    }

    fn rows<S: RowSink>(&mut self, sink: &mut S) -> Result<u64, CopyError<S::Error>> {
        let (tag, body) = self.wire.next()?;
        match tag {
            b'H' if self.wire.body(body.clone()).first() == Some(&0) => {}
            b'E' => return Err(self.statement_failed(body).into()),
            b'H' => {
                self.unusable = Some("it was asked for a binary COPY");
                return Err(self.wire.protocol_error("COPY in binary format").into());
            }
            _ => {
                self.unusable = Some("it was asked for a COPY and does something else");
                return Err(self.wire.protocol_error("a statement that is not COPY … TO STDOUT").into());
            }
        }
        let mut seen = 0;
        loop {
            walk(&mut self.wire, &mut seen, sink)?;
            // What is at the front now is no complete row.
            let Some(header) = Header::peek(self.wire.unread()) else {
                self.wire.fill()?;
                continue;
            };
            if header.is_asynchronous() {
                self.wire.absorb_front()?;
                if Header::peek(self.wire.unread()).is_none_or(|header| header.is_asynchronous()) {
                    self.wire.fill()?;
                }
                continue;
            }
            if header.tag != b'd' {
                break;
            }
            if header.total > super::wire::READ_BUFFER {
                large_row(&mut self.wire, header, sink)?;
                seen += 1;
            } else if header.total <= HEADER {
                return Err(self.wire.protocol_error("an empty row").into());
            } else {
                self.wire.fill()?;
            }
        }
        self.end_of_copy_out(seen).map_err(CopyError::Postgres)
    }

    fn end_of_copy_out(&mut self, seen: u64) -> Result<u64, Error> {
        let (tag, body) = self.wire.next()?;
        match tag {
            b'c' => {}
            b'E' => return Err(self.statement_failed(body)),
            other => return Err(self.out_of_place(other)),
        }
        let (tag, body) = self.wire.next()?;
        let said = match tag {
            b'C' => super::rows_of_tag(self.wire.body(body)),
            b'E' => return Err(self.statement_failed(body)),
            other => return Err(self.out_of_place(other)),
        };
        self.ready()?;
        match said {
            Some(said) if said == seen => Ok(seen),
            Some(said) => Err(Error::RowCount { said, seen }),
            None => Err(self.wire.protocol_error("the end of a COPY without a number of rows")),
        }
    }
}

/// Hands all complete rows at the front of the input to the sink. This loop is where a dump spends its time on our side.
#[inline]
fn walk<S: RowSink>(wire: &mut Wire, seen: &mut u64, sink: &mut S) -> Result<(), CopyError<S::Error>> {
    let unread = wire.unread();
    let mut at = 0;
    let mut rows = 0;
    let result = loop {
        let input = &unread[at..];
        let Some(header) = Header::peek(input) else { break Ok(()) };
        if header.tag != b'd' {
            break Ok(());
        }
        // An impossible length gives no slice, as does an incomplete row.
        let Some(row) = input.get(HEADER..header.total) else { break Ok(()) };
        if row.last() != Some(&b'\n') {
            break Err(None);
        }
        at += header.total;
        rows += 1;
        if let Err(error) = sink.row(row) {
            break Err(Some(error));
        }
    };
    wire.consume(at);
    *seen += rows;
    result.map_err(|error| match error {
        Some(error) => CopyError::Sink(error),
        None => CopyError::Postgres(wire.protocol_error("a row of COPY text that does not end in a newline")),
    })
}

/// Hands a row that is larger than the buffer to the sink, piece by piece.
fn large_row<S: RowSink>(wire: &mut Wire, header: Header, sink: &mut S) -> Result<(), CopyError<S::Error>> {
    wire.consume(HEADER);
    let mut left = header.total - HEADER;
    while left > 0 {
        if wire.unread().is_empty() {
            wire.fill()?;
        }
        let piece = wire.unread().len().min(left);
        left -= piece;
        let part = &wire.unread()[..piece];
        if left == 0 && part.last() != Some(&b'\n') {
            return Err(wire.protocol_error("a row of COPY text that does not end in a newline").into());
        }
        sink.row_part(part, left == 0).map_err(CopyError::Sink)?;
        wire.consume(piece);
    }
    Ok(())
}

impl Client {
    /// The statement ended with an error: reads up to the point where the next one can start.
    pub(super) fn statement_failed(&mut self, body: std::ops::Range<usize>) -> Error {
        let error = self.wire.server_error(body);
        // The first error says why. That the connection broke as well shows with the next statement.
        let is_over = match &error {
            Error::Server(_) => self.skip_to_ready().is_err(),
            _ => true,
        };
        if is_over {
            self.unusable = Some("the session ended with an error");
        }
        error
    }

    pub(super) fn out_of_place(&mut self, tag: u8) -> Error {
        self.unusable = Some("the server sent something that does not belong there");
        self.wire.protocol_error(format!("a message of type {:?} out of place", char::from(tag)))
    }

    fn skip_to_ready(&mut self) -> Result<(), Error> {
        loop {
            match self.wire.next()? {
                (b'Z', body) => {
                    self.set_status(body);
                    return Ok(());
                }
                // A second error can only be the end of the session.
                (b'E', body) => {
                    return Err(Error::ConnectionLost {
                        host: self.wire.host().to_owned(),
                        error: Some(Box::new(ServerError::parse(self.wire.body(body)))),
                        source: None,
                    });
                }
                _ => {}
            }
        }
    }
}
