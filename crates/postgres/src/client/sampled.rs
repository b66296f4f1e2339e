//! One statement of somebody else's, of whose result only the beginning is wanted.
//!
//! Invariants: the server sees one statement, whatever the text says, since the extended protocol takes no more; it is not run
//! before it is known to return rows; of the result, no more is kept than the limits say, and no more is read
//! than one row besides.

use std::ops::Range;

use postgres_protocol::message::frontend;

use super::Client;
use super::error::Error;
use super::row::values;

/// Bytes of the largest row that is taken.
const ROW_LIMIT: usize = 64 * 1024 * 1024;

/// How much of a result is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleLimits {
    /// Rows that are read.
    pub rows: u16,
    /// Bytes of a value that are kept.
    pub value_bytes: usize,
}

/// The beginning of a result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The first rows; NULL is nothing. What is no UTF-8 is replaced, and what is too long is cut off with `…`.
    pub rows: Vec<Vec<Option<String>>>,
    /// Whether there are more.
    pub more: bool,
}

impl Client {
    /// Runs one statement without parameters, in the transaction that the session is in, and reads the beginning of its result.
    /// `None`, and the statement was not run, when it is of a kind that returns no rows.
    pub fn query_sample(&mut self, sql: &str, limits: SampleLimits) -> Result<Option<Sample>, Error> {
        self.usable()?;
        let not_sendable = |client: &mut Self, error: std::io::Error| {
            client.wire.output.clear();
            Error::NotSendable { problem: error.to_string() }
        };
        self.compose_description(sql).map_err(|error| not_sendable(self, error))?;
        self.flush()?;
        let Some(columns) = self.described()? else { return Ok(None) };
        let mut sample = Sample { columns, ..Sample::default() };
        self.compose_execution(limits).map_err(|error| not_sendable(self, error))?;
        self.flush()?;
        self.wire.distrust(ROW_LIMIT);
        let read = self.read_sample(&mut sample, limits);
        self.wire.trust();
        // A row that is too large is left where it is.
        read.inspect_err(|error| {
            if matches!(error, Error::Protocol { .. }) {
                self.unusable = Some("a row was too large");
            }
        })?;
        Ok(Some(sample))
    }

    fn compose_description(&mut self, sql: &str) -> std::io::Result<()> {
        let output = &mut self.wire.output;
        frontend::parse("", sql, [], output)?;
        frontend::describe(b'S', "", output)?;
        frontend::sync(output);
        Ok(())
    }

    /// The names of the columns of what was parsed, if it has some.
    fn described(&mut self) -> Result<Option<Vec<String>>, Error> {
        let mut columns = None;
        loop {
            let (tag, body) = self.wire.next()?;
            match tag {
                b'T' => columns = Some(self.column_names(body)?),
                b'1' | b't' | b'n' => {}
                b'Z' => {
                    self.set_status(body);
                    return Ok(columns);
                }
                b'E' => return Err(self.statement_failed(body)),
                other => return Err(self.out_of_place(other)),
            }
        }
    }

    fn column_names(&self, body: Range<usize>) -> Result<Vec<String>, Error> {
        names(self.wire.body(body)).ok_or_else(|| self.wire.protocol_error("a description that ends early"))
    }

    fn compose_execution(&mut self, limits: SampleLimits) -> std::io::Result<()> {
        let output = &mut self.wire.output;
        let no_parameters: [&str; 0] = [];
        let bound =
            frontend::bind("", "", [], no_parameters, |_, _| Ok(postgres_protocol::IsNull::Yes), [], output);
        bound.map_err(|error| match error {
            frontend::BindError::Conversion(error) => std::io::Error::other(error),
            frontend::BindError::Serialization(error) => error,
        })?;
        // One more than is kept tells whether there are more.
        frontend::execute("", i32::from(limits.rows) + 1, output)?;
        frontend::sync(output);
        Ok(())
    }

    fn read_sample(&mut self, sample: &mut Sample, limits: SampleLimits) -> Result<(), Error> {
        let mut wrong = None;
        loop {
            let (tag, body) = self.wire.next()?;
            match tag {
                b'D' if sample.rows.len() == usize::from(limits.rows) => sample.more = true,
                b'D' => match values(self.wire.body(body)) {
                    Ok(values) => sample
                        .rows
                        .push(values.into_iter().map(|value| Some(shortened(value?, limits))).collect()),
                    // The answer is read to its end, so that the session stays usable.
                    Err(problem) => wrong = Some(problem),
                },
                // The portal is suspended where there are more rows; it goes with the transaction.
                b'2' | b'C' | b's' | b'I' => {}
                b'Z' => {
                    self.set_status(body);
                    break;
                }
                b'E' => return Err(self.statement_failed(body)),
                b'G' | b'H' | b'W' => {
                    self.unusable = Some("it was left in a COPY");
                    return Err(Error::Unexpected { problem: "COPY is no query".to_owned() });
                }
                other => return Err(self.out_of_place(other)),
            }
        }
        match wrong {
            None => Ok(()),
            Some(problem) => Err(Error::Unexpected { problem: problem.to_owned() }),
        }
    }
}

/// The names in the body of a `RowDescription`: each is followed by 18 bytes about the column.
fn names(body: &[u8]) -> Option<Vec<String>> {
    const ABOUT: usize = 18;
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut names = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let end = rest.iter().position(|byte| *byte == 0)?;
        names.push(String::from_utf8_lossy(&rest[..end]).into_owned());
        rest = rest.get(end + 1 + ABOUT..)?;
    }
    Some(names)
}

/// A value as it is kept.
fn shortened(value: &[u8], limits: SampleLimits) -> String {
    if value.len() <= limits.value_bytes {
        return String::from_utf8_lossy(value).into_owned();
    }
    // Not in the middle of a character, where the value has characters.
    let mut end = limits.value_bytes;
    while end > 0 && limits.value_bytes - end < 3 && value[end] & 0b1100_0000 == 0b1000_0000 {
        end -= 1;
    }
    format!("{}…", String::from_utf8_lossy(&value[..end]))
}
