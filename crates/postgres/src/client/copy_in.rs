//! `COPY … FROM STDIN`: bytes to the server.
//!
//! Invariant: while rows are sent, the server's notices are read and its error is noticed; an error of the server is reported as
//! that error, and not as the broken pipe that follows. Rows count only after [`CopyIn::finish`].

use bytes::BufMut;
use postgres_protocol::message::frontend;

use super::Client;
use super::error::Error;

/// Bytes of one message to the server: enough to make headers and system calls cheap, small enough to stay in a cache.
const MESSAGE: usize = 128 * 1024;
/// Bytes of a message's type and length.
const HEADER: usize = 5;

/// A running `COPY … FROM STDIN`. Dropping it without [`CopyIn::finish`] makes the statement fail, so no row stays.
#[derive(Debug)]
pub struct CopyIn<'a> {
    client: &'a mut Client,
    /// Bytes in the message that is being composed in the output buffer.
    pending: usize,
    /// The statement is over, one way or the other.
    over: bool,
}

impl Client {
    /// Starts `COPY … FROM STDIN`. The rows follow through the value that is returned.
    pub fn copy_in(&mut self, sql: &str) -> Result<CopyIn<'_>, Error> {
        self.start_copy_in(sql)
    }

    /// The same for any command that takes COPY data.
    pub(super) fn start_copy_in(&mut self, command: &str) -> Result<CopyIn<'_>, Error> {
        self.start_simple(command)?;
        let (tag, body) = self.wire.next()?;
        match tag {
            b'G' => {}
            b'E' => return Err(self.statement_failed(body)),
            other => {
                self.unusable = Some("it was asked for a COPY and does something else");
                return Err(self.out_of_place(other));
            }
        }
        let mut copy = CopyIn { client: self, pending: 0, over: false };
        copy.begin_message();
        Ok(copy)
    }
}

impl CopyIn<'_> {
    /// Sends bytes of COPY data. They need not be whole rows.
    ///
    /// An error of the server shows here or in [`CopyIn::finish`], some time after the bytes that caused it. After an error
    /// nothing more can be sent.
    pub fn send(&mut self, mut data: &[u8]) -> Result<(), Error> {
        if self.over {
            return Err(self.ended());
        }
        while !data.is_empty() {
            let room = MESSAGE - self.pending;
            let (now, later) = data.split_at(data.len().min(room));
            self.client.wire.output.put_slice(now);
            self.pending += now.len();
            data = later;
            if self.pending == MESSAGE {
                self.flush()?;
                self.begin_message();
            }
        }
        Ok(())
    }

    /// Ends the data and waits for the server to accept it. Returns the number of rows.
    pub fn finish(mut self) -> Result<u64, Error> {
        let rows = self.end()?;
        rows.ok_or_else(|| self.client.wire.protocol_error("the end of a COPY without a number of rows"))
    }

    /// The same for a command that counts no rows.
    pub(super) fn complete(mut self) -> Result<(), Error> {
        self.end().map(drop)
    }

    fn end(&mut self) -> Result<Option<u64>, Error> {
        if self.over {
            return Err(self.ended());
        }
        self.flush()?;
        self.over = true;
        let client = &mut *self.client;
        frontend::copy_done(&mut client.wire.output);
        client.wire.flush().inspect_err(|_| client.unusable = Some("it was lost during a COPY"))?;
        let (tag, body) = client.wire.next()?;
        let rows = match tag {
            b'C' => super::rows_of_tag(client.wire.body(body)),
            b'E' => return Err(client.statement_failed(body)),
            other => return Err(client.out_of_place(other)),
        };
        client.ready()?;
        Ok(rows)
    }

    /// Makes the statement fail with `reason`. Returns an error only if the connection broke.
    pub fn abort(mut self, reason: &str) -> Result<(), Error> {
        self.fail(reason)
    }

    fn ended(&self) -> Error {
        Error::Unusable { host: self.client.host().to_owned(), reason: "this COPY has failed already" }
    }

    fn begin_message(&mut self) {
        self.pending = 0;
        let output = &mut self.client.wire.output;
        output.reserve(HEADER + MESSAGE);
        output.put_u8(b'd');
        output.put_u32(0);
    }

    /// Sends the message that is being composed, and looks whether the server had enough.
    fn flush(&mut self) -> Result<(), Error> {
        let output = &mut self.client.wire.output;
        if self.pending == 0 {
            output.clear();
            return Ok(());
        }
        let start = output.len() - self.pending - 4;
        // At most MESSAGE + 4.
        let length = u32::try_from(self.pending + 4).unwrap_or(u32::MAX);
        output[start..start + 4].copy_from_slice(&length.to_be_bytes());
        let result = self.client.wire.flush();
        let result = result.and_then(|()| self.client.wire.has_answer());
        match result {
            Ok(false) => Ok(()),
            Ok(true) => Err(self.take_answer()),
            Err(error) => {
                self.over = true;
                self.client.unusable = Some("it was lost during a COPY");
                Err(error)
            }
        }
    }

    /// The server answered before the end of the data, which must be an error. It then drops what we still send.
    fn take_answer(&mut self) -> Error {
        self.over = true;
        match self.client.wire.next() {
            Ok((b'E', body)) => self.client.statement_failed(body),
            Ok((other, _)) => self.client.out_of_place(other),
            Err(error) => error,
        }
    }

    fn fail(&mut self, reason: &str) -> Result<(), Error> {
        if self.over {
            return Ok(());
        }
        self.over = true;
        let client = &mut *self.client;
        client.wire.output.clear();
        let reason = reason.replace('\0', " ");
        frontend::copy_fail(&reason, &mut client.wire.output)
            .map_err(|error| Error::NotSendable { problem: error.to_string() })?;
        client.wire.flush().inspect_err(|_| client.unusable = Some("it was lost during a COPY"))?;
        match client.wire.next()? {
            (b'E', body) => match client.statement_failed(body) {
                Error::Server(_) => Ok(()),
                other => Err(other),
            },
            (other, _) => Err(client.out_of_place(other)),
        }
    }
}

impl Drop for CopyIn<'_> {
    fn drop(&mut self) {
        // There is nobody to tell; a broken connection shows with the next statement.
        if self.fail("the sender gave up").is_err() {
            self.client.unusable = Some("it was lost during a COPY");
        }
    }
}
