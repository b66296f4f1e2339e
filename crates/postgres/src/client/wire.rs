//! Messages over a stream: one large input buffer that is walked in place, one output buffer.
//!
//! Invariants: memory is the named limits below, plus one message; notices, parameter changes and notifications are dealt with
//! here and never reach a caller; while output is waiting to be sent, input is read, so two full buffers cannot deadlock.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;
use std::time::Duration;

use bytes::BytesMut;

use super::error::{Error, ServerError};
use super::stream::Stream;

/// Bytes of input that are read at once.
pub(super) const READ_BUFFER: usize = 1024 * 1024;
/// Bytes of the largest message that is taken whole; as the server's own limit for one value.
const MESSAGE_LIMIT: usize = 1024 * 1024 * 1024;
/// Bytes of the largest message before the server is authenticated.
const EARLY_MESSAGE_LIMIT: usize = 64 * 1024;
/// Notices that are kept; older ones give way.
const NOTICE_LIMIT: usize = 100;
/// Settings that the server may report; it reports about a dozen.
const PARAMETER_LIMIT: usize = 1000;
/// Bytes of a message's type and length.
const HEADER: usize = 5;

/// Tag and length of the message at the start of some input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) tag: u8,
    /// Bytes of the message, header included.
    pub(super) total: usize,
}

impl Header {
    /// The header at the start of `input`, if it is complete. A length below its minimum gives a `total` below [`HEADER`].
    #[inline]
    pub(super) fn peek(input: &[u8]) -> Option<Self> {
        let [tag, a, b, c, d, ..] = *input else { return None };
        // A usize holds more than a u32 on every platform that rustls supports.
        Some(Self { tag, total: u32::from_be_bytes([a, b, c, d]) as usize + 1 })
    }

    /// A notice, a changed parameter or a notification: it may come between any two messages, and is no answer.
    pub(super) fn is_asynchronous(&self) -> bool {
        matches!(self.tag, b'N' | b'S' | b'A')
    }
}

/// A connection as messages.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) stream: Stream,
    host: String,
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// Messages that were composed and not sent.
    pub(super) output: BytesMut,
    notices: VecDeque<ServerError>,
    parameters: BTreeMap<String, String>,
    message_limit: usize,
}

impl Wire {
    pub(super) fn new(stream: Stream, host: String) -> Self {
        Self {
            stream,
            host,
            input: vec![0; READ_BUFFER],
            start: 0,
            end: 0,
            output: BytesMut::new(),
            notices: VecDeque::new(),
            parameters: BTreeMap::new(),
            message_limit: EARLY_MESSAGE_LIMIT,
        }
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    pub(super) fn take_notices(&mut self) -> Vec<ServerError> {
        self.notices.drain(..).collect()
    }

    /// The server is authenticated: large messages are allowed from here on.
    pub(super) fn trust(&mut self) {
        self.message_limit = MESSAGE_LIMIT;
    }

    /// Takes no message larger than `bytes` until [`Self::trust`] is called again.
    pub(super) fn distrust(&mut self, bytes: usize) {
        self.message_limit = bytes;
    }

    pub(super) fn protocol_error(&self, problem: impl Into<String>) -> Error {
        Error::Protocol { host: self.host.clone(), problem: problem.into() }
    }

    pub(super) fn lost(&self, source: Option<io::Error>) -> Error {
        Error::ConnectionLost { host: self.host.clone(), error: None, source }
    }

    /// Input that was received and not consumed.
    #[inline]
    pub(super) fn unread(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    /// Marks `count` bytes of [`Self::unread`] as dealt with.
    #[inline]
    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
    }

    /// The bytes of a message that [`Self::next`] returned, valid until more is read.
    pub(super) fn body(&self, range: Range<usize>) -> &[u8] {
        &self.input[range]
    }

    /// Waits for more input; the end of the stream is an error.
    pub(super) fn fill(&mut self) -> Result<(), Error> {
        self.make_room()?;
        let received = self.stream.receive(&mut self.input[self.end..]);
        self.received(received)
    }

    /// As [`Self::fill`], but waits no longer than `at_most`. Returns whether something came.
    pub(super) fn fill_within(&mut self, at_most: Duration) -> Result<bool, Error> {
        self.make_room()?;
        match self.stream.receive_within(&mut self.input[self.end..], at_most) {
            Ok(None) => Ok(false),
            Ok(Some(count)) => self.received(Ok(count)).map(|()| true),
            Err(source) => self.received(Err(source)).map(|()| true),
        }
    }

    fn received(&mut self, received: io::Result<usize>) -> Result<(), Error> {
        match received {
            Ok(0) => Err(self.lost(None)),
            Ok(count) => {
                self.end += count;
                Ok(())
            }
            Err(source) => Err(self.lost(Some(source))),
        }
    }

    /// Makes room for at least one more byte: moves what is left to the front, grows only for a message that needs it.
    fn make_room(&mut self) -> Result<(), Error> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.input.len() > READ_BUFFER {
                self.input.truncate(READ_BUFFER);
                self.input.shrink_to_fit();
            }
        }
        if self.end < self.input.len() {
            return Ok(());
        }
        if self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            return Ok(());
        }
        if self.input.len() > self.message_limit {
            return Err(self.protocol_error("a message larger than any that we asked for"));
        }
        // Doubling: a length field alone makes nobody allocate.
        self.input.resize(self.input.len() * 2, 0);
        Ok(())
    }

    /// The next message that is an answer: its tag and the place of its body, already consumed.
    pub(super) fn next(&mut self) -> Result<(u8, Range<usize>), Error> {
        loop {
            if let Some(message) = self.next_here()? {
                return Ok(message);
            }
            self.fill()?;
        }
    }

    /// As [`Self::next`], but `None` when nothing came within `at_most`. Part of a message counts as something: a caller that
    /// must do other things from time to time looks at its clock as well.
    pub(super) fn next_within(&mut self, at_most: Duration) -> Result<Option<(u8, Range<usize>)>, Error> {
        loop {
            if let Some(message) = self.next_here()? {
                return Ok(Some(message));
            }
            if !self.fill_within(at_most)? {
                return Ok(None);
            }
        }
    }

    /// As [`Self::next`], of what has been received already.
    pub(super) fn next_here(&mut self) -> Result<Option<(u8, Range<usize>)>, Error> {
        while let Some(header) = self.complete_message()? {
            let body = self.start + HEADER..self.start + header.total;
            self.start = body.end;
            if !header.is_asynchronous() {
                return Ok(Some((header.tag, body)));
            }
            self.absorb(header.tag, body)?;
        }
        Ok(None)
    }

    /// The header of the message at the front, if all of it is here.
    fn complete_message(&self) -> Result<Option<Header>, Error> {
        let Some(header) = Header::peek(self.unread()) else { return Ok(None) };
        if header.total < HEADER || header.total > self.message_limit {
            return Err(self.protocol_error(format!(
                "a message of type {:?} with an impossible length",
                char::from(header.tag)
            )));
        }
        Ok((self.unread().len() >= header.total).then_some(header))
    }

    /// Deals with one message that may come at any time.
    fn absorb(&mut self, tag: u8, body: Range<usize>) -> Result<(), Error> {
        match tag {
            b'N' => {
                if self.notices.len() == NOTICE_LIMIT {
                    self.notices.pop_front();
                }
                self.notices.push_back(ServerError::parse(&self.input[body]));
            }
            b'S' => {
                let mut fields = self.input[body].split(|byte| *byte == 0);
                let (Some(name), Some(value)) = (fields.next(), fields.next()) else {
                    return Err(self.protocol_error("a parameter without a value"));
                };
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                let (name, value) = (text(name), text(value));
                if self.parameters.len() < PARAMETER_LIMIT || self.parameters.contains_key(&name) {
                    self.parameters.insert(name, value);
                }
            }
            // Nobody listens to notifications.
            _ => {}
        }
        Ok(())
    }

    /// Sends all output. What the server sends meanwhile is read, so that it does not block on us.
    ///
    /// When sending fails, an error that the server sent before it closed the connection is the better explanation, and is returned.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        let output = self.output.split();
        let result = self.send(&output);
        if self.output.is_empty() {
            // Keeps the allocation for the next messages.
            self.output = output;
            self.output.clear();
        }
        result.map_err(|source| self.explain(source))
    }

    fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        loop {
            let done = if bytes.is_empty() {
                self.stream.flush_now()?
            } else {
                match self.stream.send_now(bytes) {
                    Ok(sent) => {
                        bytes = &bytes[sent..];
                        continue;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
                    Err(error) => return Err(error),
                }
            };
            if done {
                return Ok(());
            }
            let has_room = self.has_room();
            if self.stream.wait_to_send(has_room)?.read {
                self.receive_pending()?;
            }
        }
    }

    /// Whether more input can be taken without growing; consumes notices at the front to make it so.
    fn has_room(&mut self) -> bool {
        // What is malformed shows when the answer behind it is read, or does not matter.
        let _ = self.absorb_front();
        self.start > 0 || self.end < self.input.len()
    }

    /// Deals with complete messages at the front that may come at any time.
    pub(super) fn absorb_front(&mut self) -> Result<(), Error> {
        while let Some(header) = self.complete_message()?.filter(Header::is_asynchronous) {
            let body = self.start + HEADER..self.start + header.total;
            self.start = body.end;
            self.absorb(header.tag, body)?;
        }
        Ok(())
    }

    /// Receives what is there, without waiting. The end of the stream is an error.
    fn receive_pending(&mut self) -> io::Result<()> {
        if !self.has_room() {
            return Ok(());
        }
        self.make_room().map_err(io::Error::other)?;
        match self.stream.receive_now(&mut self.input[self.end..]) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.end += count;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether an answer (usually an error) arrived while we were sending. Does not wait.
    pub(super) fn has_answer(&mut self) -> Result<bool, Error> {
        self.receive_pending().map_err(|source| self.explain(source))?;
        self.has_room();
        self.complete_message().map(|message| message.is_some())
    }

    /// The connection failed while sending: if the server said why, that is the error.
    fn explain(&mut self, source: io::Error) -> Error {
        loop {
            match self.next() {
                Ok((b'E', body)) => {
                    let error = Box::new(ServerError::parse(self.body(body)));
                    return Error::ConnectionLost {
                        host: self.host.clone(),
                        error: Some(error),
                        source: Some(source),
                    };
                }
                Ok(_) => {}
                Err(_) => return self.lost(Some(source)),
            }
        }
    }

    /// The error in the body of an `ErrorResponse`: a fatal one means that the connection is gone as well.
    pub(super) fn server_error(&self, body: Range<usize>) -> Error {
        let error = Box::new(ServerError::parse(self.body(body)));
        if error.is_fatal() {
            return Error::ConnectionLost { host: self.host.clone(), error: Some(error), source: None };
        }
        Error::Server(error)
    }
}
