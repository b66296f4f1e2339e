//! `START_REPLICATION … PHYSICAL` (PostgreSQL documentation, 55.4): WAL as it is written, and reports of how far it is safe.
//!
//! Invariants: bytes come without gaps, in order, from the position that was asked for; the stream ends only where the server
//! says that the timeline ends or that it shuts down. What is reported as flushed is the caller's word.
//!
//! Deliberately absent: what the WAL means, and where it goes.

use std::ops::Range;
use std::time::Duration;

use bytes::BufMut;
use jiff::Timestamp;
use model::{Lsn, TimelineId};
use postgres_protocol::message::frontend;

use super::{ReplicationClient, ReplicationError, SlotName};
use crate::client::Client;
use crate::client::error::Error;
use crate::client::row::Row;

/// Bytes before the WAL in a message: its kind, where it starts, where the server's WAL ends, and the server's clock.
const WAL_HEADER: usize = 25;
/// Bytes of a keepalive: its kind, where the server's WAL ends, its clock, and whether it wants an answer.
const KEEPALIVE: usize = 18;

/// A running stream of WAL. Dropping it leaves the connection unusable.
#[derive(Debug)]
pub struct WalStream<'a> {
    client: &'a mut Client,
    /// The position that the next bytes must have.
    position: Lsn,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Streaming,
    /// The server said that the timeline ends, and waits for us to agree.
    Ending,
    /// There was nothing to stream.
    AtEnd(NextTimeline),
}

/// What a stream brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalEvent<'a> {
    /// Bytes of WAL.
    Wal {
        /// The position of the first byte.
        start: Lsn,
        /// The bytes, never none.
        bytes: &'a [u8],
        /// Where the server's WAL ends.
        server_end: Lsn,
    },
    /// The server is alive.
    Keepalive {
        /// Where the server's WAL ends.
        server_end: Lsn,
        /// It wants a report now: it is about to give us up, or waits for us to shut down.
        report_wanted: bool,
    },
    /// Nothing came in time.
    Nothing,
    /// All WAL of the timeline came. [`WalStream::end`] tells what follows.
    TimelineEnds,
    /// The server shuts down, and all of its WAL came.
    ServerEnds,
}

/// What follows a timeline that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextTimeline {
    /// The timeline that branched off.
    pub timeline: TimelineId,
    /// Where.
    pub switch: Lsn,
}

/// How far WAL is safe with us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandbyStatus {
    /// Behind the last byte that came.
    pub written: Lsn,
    /// Behind the last byte that survives a crash. A commit that waits for us returns when it is passed.
    pub flushed: Lsn,
}

/// Parts of the input instead of the bytes in it.
enum Part {
    Wal { start: Lsn, server_end: Lsn, bytes: Range<usize> },
    Other(WalEvent<'static>),
}

impl ReplicationClient {
    /// Streams WAL of `timeline` from `from` on, through `slot` if there is one.
    pub fn stream_wal(
        &mut self,
        slot: Option<&SlotName>,
        timeline: TimelineId,
        from: Lsn,
    ) -> Result<WalStream<'_>, ReplicationError> {
        let named = slot.map(|slot| format!("SLOT {slot} ")).unwrap_or_default();
        let command = format!("START_REPLICATION {named}PHYSICAL {from} TIMELINE {timeline}");
        let state = start(&mut self.client, &command).map_err(|error| self.classified(error, slot))?;
        Ok(WalStream { client: &mut self.client, position: from, state })
    }
}

fn start(client: &mut Client, command: &str) -> Result<State, Error> {
    client.start_simple(command)?;
    match client.wire.next()? {
        (b'W', _) => {
            client.unusable = Some("it streams WAL");
            Ok(State::Streaming)
        }
        // Where the timeline ends there is nothing to stream, and what follows comes at once.
        (b'T', _) => Ok(State::AtEnd(next_timeline(client)?)),
        (b'E', body) => Err(client.statement_failed(body)),
        (other, _) => Err(client.out_of_place(other)),
    }
}

/// The result that names what follows, to the end of the command.
fn next_timeline(client: &mut Client) -> Result<NextTimeline, Error> {
    let rows = client.rest_of_simple(Row::parse)?;
    match rows.as_slice() {
        [row] => Ok(NextTimeline { timeline: row.number(0)?, switch: row.number(1)? }),
        _ => Err(Error::Unexpected { problem: "no timeline that follows the one that ended".to_owned() }),
    }
}

impl WalStream<'_> {
    /// What comes next, waiting `at_most` for it.
    pub fn next(&mut self, at_most: Duration) -> Result<WalEvent<'_>, ReplicationError> {
        Ok(match self.next_part(at_most)? {
            Part::Other(event) => event,
            Part::Wal { start, server_end, bytes } => {
                WalEvent::Wal { start, bytes: self.client.wire.body(bytes), server_end }
            }
        })
    }

    fn next_part(&mut self, at_most: Duration) -> Result<Part, ReplicationError> {
        if self.state != State::Streaming {
            return Ok(Part::Other(WalEvent::TimelineEnds));
        }
        let Some((tag, body)) = self.client.wire.next_within(at_most)? else {
            return Ok(Part::Other(WalEvent::Nothing));
        };
        match tag {
            b'd' => Ok(self.message(body)?),
            b'c' => {
                self.state = State::Ending;
                Ok(Part::Other(WalEvent::TimelineEnds))
            }
            b'C' => Ok(Part::Other(WalEvent::ServerEnds)),
            b'E' => {
                let error = self.client.statement_failed(body);
                Err(super::gone_or(self.client, error))
            }
            other => Err(self.client.out_of_place(other).into()),
        }
    }

    /// A message within the stream.
    fn message(&mut self, body: Range<usize>) -> Result<Part, Error> {
        let message = self.client.wire.body(body.clone());
        let position = |at: usize| {
            let bytes = message.get(at..at + 8)?;
            Some(Lsn(u64::from_be_bytes(bytes.try_into().ok()?)))
        };
        match (message.first(), position(1), position(9)) {
            (Some(b'w'), Some(start), Some(server_end)) if message.len() > WAL_HEADER => {
                if start != self.position {
                    let expected = self.position;
                    let problem = format!("WAL from {start} instead of {expected}");
                    return Err(self.client.wire.protocol_error(problem));
                }
                let bytes = body.start + WAL_HEADER..body.end;
                self.position = start.plus(bytes.len() as u64);
                Ok(Part::Wal { start, server_end, bytes })
            }
            (Some(b'k'), Some(server_end), Some(_)) if message.len() == KEEPALIVE => {
                let report_wanted = message.last() == Some(&1);
                Ok(Part::Other(WalEvent::Keepalive { server_end, report_wanted }))
            }
            _ => Err(self.client.wire.protocol_error("an unknown message in a stream of WAL")),
        }
    }

    /// Behind the last byte that came.
    pub fn position(&self) -> Lsn {
        self.position
    }

    /// Tells the server how far WAL is safe.
    pub fn report(&mut self, status: StandbyStatus, now: Timestamp) -> Result<(), ReplicationError> {
        if self.state != State::Streaming {
            return Ok(());
        }
        let mut body = [0; 34];
        let mut fields = &mut body[..];
        fields.put_u8(b'r');
        fields.put_u64(status.written.0);
        fields.put_u64(status.flushed.0);
        // Nothing is ever applied here; a commit that waits for that would wait for ever, as it should.
        fields.put_u64(0);
        fields.put_i64(server_clock(now));
        fields.put_u8(0);
        let output = &mut self.client.wire.output;
        output.put_u8(b'd');
        // 34 and the length itself.
        output.put_u32(38);
        output.put_slice(&body);
        Ok(self.client.wire.flush()?)
    }

    /// Behind [`WalEvent::TimelineEnds`]: agrees, and learns what follows. The connection can then be used again.
    pub fn end(self) -> Result<NextTimeline, ReplicationError> {
        match self.state {
            State::AtEnd(next) => Ok(next),
            State::Ending => {
                frontend::copy_done(&mut self.client.wire.output);
                self.client.wire.flush()?;
                let next = next_timeline(self.client)?;
                self.client.unusable = None;
                Ok(next)
            }
            State::Streaming => {
                Err(Error::Unexpected { problem: "the timeline does not end here".to_owned() }.into())
            }
        }
    }

    /// Ends the stream anywhere. What still comes is dropped; the connection can then be used again.
    pub fn stop(self) -> Result<(), ReplicationError> {
        if matches!(self.state, State::AtEnd(_)) {
            return Ok(());
        }
        frontend::copy_done(&mut self.client.wire.output);
        self.client.wire.flush()?;
        loop {
            match self.client.wire.next()? {
                (b'd' | b'c' | b'C' | b'T' | b'D', _) => {}
                (b'Z', _) => break,
                (b'E', body) => return Err(self.client.statement_failed(body).into()),
                (other, _) => return Err(self.client.out_of_place(other).into()),
            }
        }
        self.client.unusable = None;
        Ok(())
    }
}

/// Microseconds since the beginning of 2000, as the server counts time.
fn server_clock(now: Timestamp) -> i64 {
    const EPOCH_SECONDS: i64 = 946_684_800;
    now.as_microsecond() - EPOCH_SECONDS * 1_000_000
}

#[cfg(test)]
mod tests {
    use jiff::civil::datetime;
    use jiff::tz::Offset;

    use super::*;

    #[test]
    fn the_clock_of_the_server_begins_in_2000() {
        let epoch = Offset::UTC.to_timestamp(datetime(2000, 1, 1, 0, 0, 0, 0)).unwrap();
        assert_eq!(server_clock(epoch), 0);
        let later = Offset::UTC.to_timestamp(datetime(2000, 1, 1, 0, 0, 1, 500_000)).unwrap();
        assert_eq!(server_clock(later), 1_000_500);
    }
}
