//! What is known of the WAL of a timeline beyond its names: where it came from, and how far its last segment goes.
//!
//! Invariant: what is damaged is part of the answer, and never an error.

use jiff::Timestamp;
use model::{ArchivedTimeline, HistoryState, SegmentState, TimelineHistory, TimelineId, WalName};

use super::{TimelineWal, WalArchive};
use crate::Error;
use crate::error::{Problem, ProblemKind};

impl WalArchive {
    /// Reads the history of a timeline, whose names are `wal`, and how far the pieces behind its last segment go. Segments count as
    /// whole. Adds what is damaged to `problems`.
    ///
    /// Store calls: 1 size and 1 range for the history, if it is there; those of [`WalArchive::unfinished`], if there are pieces behind
    /// the last segment.
    ///
    /// # Errors
    /// When the store fails.
    pub fn archived(
        &self,
        timeline: TimelineId,
        wal: &TimelineWal,
        problems: &mut Vec<Problem>,
    ) -> Result<ArchivedTimeline, Error> {
        let unfinished = match wal.last().filter(|last| !wal.segments.contains_key(last)) {
            Some(last) => tolerate(self.unfinished(last), problems)?
                .map(|known| (last, last.start(known.size).plus(known.bytes.into()))),
            None => None,
        };
        Ok(ArchivedTimeline {
            timeline,
            history: self.history_state(timeline, wal, problems)?,
            segments: wal.segments.keys().map(|name| (*name, SegmentState::Whole)).collect(),
            unfinished,
        })
    }

    fn history_state(
        &self,
        timeline: TimelineId,
        wal: &TimelineWal,
        problems: &mut Vec<Problem>,
    ) -> Result<HistoryState, Error> {
        if !wal.has_history {
            return Ok(match timeline {
                TimelineId::FIRST => HistoryState::Known(TimelineHistory::root(timeline)),
                _ => HistoryState::Missing,
            });
        }
        let Some(text) = tolerate(self.history(timeline), problems)? else {
            return Ok(HistoryState::Damaged);
        };
        match TimelineHistory::parse(timeline, &text) {
            Ok(history) => Ok(HistoryState::Known(history)),
            Err(error) => {
                let key = self.key(WalName::History(timeline)).to_string();
                problems.push(Problem::new(key, ProblemKind::Inconsistent, error.to_string()));
                Ok(HistoryState::Damaged)
            }
        }
    }

    /// When the last WAL of a timeline was archived, so that nothing of it was written later; nothing when that cannot be read.
    ///
    /// Store calls: 1 size and 1 range for a whole segment, else those of [`WalArchive::unfinished`].
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn written_until(&self, wal: &TimelineWal) -> Result<Option<Timestamp>, Error> {
        let Some(last) = wal.last() else { return Ok(None) };
        let mut ignored = Vec::new();
        Ok(if wal.segments.contains_key(&last) {
            tolerate(self.head(WalName::Segment(last)), &mut ignored)?.map(|head| head.archived_at)
        } else {
            tolerate(self.unfinished(last), &mut ignored)?.map(|known| known.archived_at)
        })
    }
}

/// A result, or nothing when the object is damaged, which is noted.
fn tolerate<T>(result: Result<Option<T>, Error>, problems: &mut Vec<Problem>) -> Result<Option<T>, Error> {
    match result {
        Err(Error::Damaged(problem)) => {
            if !problems.contains(&problem) {
                problems.push(problem);
            }
            Ok(None)
        }
        other => other,
    }
}
