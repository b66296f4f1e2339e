//! From one stream into the archive.
//!
//! Invariants: what is reported as flushed is durable in the archive; on the way out, whatever the reason, what came is archived
//! first, if the archive still takes it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use model::{Lsn, SegmentSize, WalSegmentName};
use postgres::{StandbyStatus, WalEvent, WalStream};
use repository::WalArchive;

use super::ReceiveReport;
use super::error::ReceiveError;
use super::event::ReceiveEvent;
use super::keeper::{Keeper, Storing};
use super::merging::Merging;
use super::segment::{Differs, Segment};
use crate::{Context, Error, Event};

/// Time between two reports to the server when nothing happens. It gives up who is silent for `wal_sender_timeout` (60 s).
const REPORT_INTERVAL: Duration = Duration::from_secs(10);
/// How long a stop goes unnoticed.
const STOP_POLL: Duration = Duration::from_millis(250);
/// How long a segment that was stored goes unreported.
const STORED_POLL: Duration = Duration::from_millis(20);

/// Pieces by segment and offset.
pub(super) type Begun = BTreeMap<WalSegmentName, BTreeSet<u32>>;

/// What does not change while WAL streams.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) archive: &'a WalArchive,
    pub(super) size: SegmentSize,
    /// What came is archived after this time at the latest.
    pub(super) flush_interval: Duration,
    /// What came is archived as soon as nothing more is there.
    pub(super) synchronous: bool,
    /// Segments of which pieces were archived before, and the offsets of these.
    pub(super) begun: &'a Begun,
    pub(super) context: &'a Context<'a>,
}

impl Setting<'_> {
    /// A segment with what is archived of it.
    fn open(&self, name: WalSegmentName) -> Result<(Segment, Merging), repository::Error> {
        let Some(offsets) = self.begun.get(&name) else {
            return Ok((Segment::new(name, self.size, Vec::new()), Merging::default()));
        };
        let joined = self.archive.join_pieces(name)?;
        let end = joined.as_ref().map_or(0, |(unfinished, _)| unfinished.bytes);
        let segment = Segment::new(name, self.size, joined.map(|(_, bytes)| bytes).unwrap_or_default());
        Ok((segment, Merging::resume(offsets.iter().copied(), end)))
    }

    fn tell(&self, event: ReceiveEvent) {
        self.context.observer.event(Event::Wal(event));
    }
}

/// Why a stream is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// Somebody asked to stop.
    Stopped,
    /// The timeline ended.
    TimelineEnded,
}

/// Takes the WAL of one stream.
pub(super) struct Pump<'a> {
    setting: Setting<'a>,
    keeper: &'a mut Keeper,
    report: &'a mut ReceiveReport,
    segment: Segment,
    merging: Merging,
    /// What came behind the end of the segment.
    behind: Vec<u8>,
    flushed_at: Timestamp,
    reported_at: Timestamp,
}

impl<'a> Pump<'a> {
    pub(super) fn new(
        setting: Setting<'a>,
        keeper: &'a mut Keeper,
        report: &'a mut ReceiveReport,
        first: WalSegmentName,
    ) -> Result<Self, Error> {
        let now = setting.context.now();
        let (segment, merging) = setting.open(first)?;
        let behind = Vec::new();
        Ok(Self { setting, keeper, report, segment, merging, behind, flushed_at: now, reported_at: now })
    }

    /// Takes everything that comes until the stream is over. What came is then archived, and so it is before an error is returned, if
    /// that is possible.
    pub(super) fn run(&mut self, stream: &mut WalStream<'_>) -> Result<Over, Error> {
        let result = self.take_all(stream);
        let archived = match &result {
            // Bytes of another past must not get into the archive.
            Err(Error::Receive(ReceiveError::Differs { .. })) => Ok(()),
            _ => self.archive_all(),
        };
        let over = result?;
        archived?;
        // If the server does not hear it now, it hears it next time.
        let _ = self.tell_server(stream);
        Ok(over)
    }

    fn take_all(&mut self, stream: &mut WalStream<'_>) -> Result<Over, Error> {
        loop {
            if self.setting.context.observer.cancelled() {
                return Ok(Over::Stopped);
            }
            let (mut is_idle, mut is_asked) = (false, false);
            match stream.next(self.wait())? {
                WalEvent::Wal { bytes, .. } => {
                    self.report.received_bytes += bytes.len() as u64;
                    let taken = self.segment.take(bytes).map_err(|differs| self.differs(differs))?;
                    self.behind.extend_from_slice(&bytes[taken..]);
                }
                WalEvent::Keepalive { report_wanted, .. } => is_asked = report_wanted,
                WalEvent::Nothing => is_idle = true,
                WalEvent::TimelineEnds => return Ok(Over::TimelineEnded),
                WalEvent::ServerEnds => return Err(ReceiveError::ServerEnded.into()),
            }
            while self.segment.is_complete() {
                self.next_segment(stream)?;
            }
            self.settle(stream, is_idle, is_asked)?;
        }
    }

    /// How long there is nothing to do but to wait for WAL.
    fn wait(&self) -> Duration {
        let is_pending = self.segment.unarchived().is_some();
        if self.setting.synchronous && is_pending {
            return Duration::ZERO;
        }
        let poll = if self.keeper.is_busy() { STORED_POLL } else { STOP_POLL };
        if is_pending { self.left_of(self.flushed_at, self.setting.flush_interval).min(poll) } else { poll }
    }

    /// What is left of `interval` since `at`. Nothing when the clock was set back.
    fn left_of(&self, at: Timestamp, interval: Duration) -> Duration {
        match Duration::try_from(self.setting.context.now().duration_since(at)) {
            Ok(passed) => interval.saturating_sub(passed),
            Err(_) => Duration::ZERO,
        }
    }

    /// Archives and reports what is due.
    fn settle(&mut self, stream: &mut WalStream<'_>, is_idle: bool, is_asked: bool) -> Result<(), Error> {
        let mut has_news = self.note_stored(Duration::ZERO)?;
        let is_due = self.left_of(self.flushed_at, self.setting.flush_interval).is_zero()
            || is_asked
            || (self.setting.synchronous && is_idle);
        if is_due {
            has_news |= self.flush()?;
        }
        self.merge();
        if has_news || is_asked || self.left_of(self.reported_at, REPORT_INTERVAL).is_zero() {
            self.tell_server(stream)?;
        }
        Ok(())
    }

    /// Stores a piece of what came. Returns whether there was something.
    fn flush(&mut self) -> Result<bool, Error> {
        let now = self.setting.context.now();
        self.flushed_at = now;
        let Some((offset, bytes)) = self.segment.unarchived() else { return Ok(false) };
        let Setting { archive, size, .. } = self.setting;
        archive.put_piece(self.segment.name(), size, offset, bytes, now)?;
        self.segment.set_archived();
        self.merging.add(offset);
        self.report.pieces += 1;
        self.setting.tell(ReceiveEvent::Flushed { position: self.segment.archived_to() });
        Ok(true)
    }

    /// Has pieces merged, if there are enough and nothing else is to be done.
    fn merge(&mut self) {
        if self.keeper.is_busy() {
            return;
        }
        if let Some(offset) = self.merging.next() {
            let bytes = self.segment.archived_from(offset).to_vec();
            self.keeper.merge(self.segment.name(), offset, bytes, self.setting.context.now());
        }
    }

    /// The segment is whole: has it stored, and begins the next one.
    fn next_segment(&mut self, stream: &mut WalStream<'_>) -> Result<(), Error> {
        while self.keeper.is_busy() {
            if !self.note_stored(REPORT_INTERVAL)? && self.keeper.is_busy() {
                // The archive is slow, and the server must not give us up.
                self.tell_server(stream)?;
            }
        }
        if self.setting.synchronous {
            // Nobody should wait until all of it is stored again as a whole.
            self.flush()?;
        }
        let (next, merging) = self.setting.open(self.segment.name().next(self.setting.size))?;
        self.merging = merging;
        let whole = std::mem::replace(&mut self.segment, next);
        let storing = Storing { name: whole.name(), archived_to: whole.archived_to() };
        self.keeper.store(storing, whole.into_bytes(), self.setting.context.now());
        let behind = std::mem::take(&mut self.behind);
        let taken = self.segment.take(&behind).map_err(|differs| self.differs(differs))?;
        self.behind = behind[taken..].to_vec();
        Ok(())
    }

    /// Whether a segment was stored since. Waits `at_most` for it.
    fn note_stored(&mut self, at_most: Duration) -> Result<bool, Error> {
        let Some(segment) = self.keeper.stored(at_most)? else { return Ok(false) };
        self.report.segments += 1;
        self.setting.tell(ReceiveEvent::Stored { segment });
        Ok(true)
    }

    fn archive_all(&mut self) -> Result<(), Error> {
        while self.keeper.is_busy() {
            self.note_stored(REPORT_INTERVAL)?;
        }
        self.flush()?;
        self.report.archived_to = Some(self.archived_to());
        Ok(())
    }

    /// Behind the last byte before which everything is archived.
    fn archived_to(&self) -> Lsn {
        match self.keeper.storing() {
            Some(storing) if storing.archived_to < storing.name.end(self.setting.size) => storing.archived_to,
            _ => self.segment.archived_to(),
        }
    }

    fn tell_server(&mut self, stream: &mut WalStream<'_>) -> Result<(), Error> {
        let now = self.setting.context.now();
        self.reported_at = now;
        let flushed = self.archived_to();
        self.report.archived_to = Some(flushed);
        Ok(stream.report(StandbyStatus { written: stream.position(), flushed }, now)?)
    }

    fn differs(&self, differs: Differs) -> Error {
        let timeline = self.segment.name().timeline;
        ReceiveError::Differs { timeline, position: differs.position }.into()
    }
}
