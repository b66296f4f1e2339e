//! To which moments a cluster can be recovered: from a backup on, along the history of a timeline, as far as the archived WAL goes
//! without a gap.
//!
//! Invariant: no position of a window lies behind a gap, and every gap behind the oldest backup is named with its cause.
//! Deliberately absent: what the WAL holds; a segment counts as whole until somebody has found it damaged.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use crate::{BackupId, Lsn, SegmentSize, TimelineHistory, TimelineId, WalSegmentName};

/// A physical backup, as far as recovery is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSpan {
    /// The backup.
    pub id: BackupId,
    /// The timeline on which it was taken.
    pub timeline: TimelineId,
    /// From where on it needs WAL.
    pub start: Lsn,
    /// The earliest position to which it can be recovered.
    pub stop: Lsn,
    /// When it was complete: the earliest moment to which it can be recovered.
    pub finished_at: Timestamp,
    /// Whether the backup itself holds the WAL from `start` to `stop`.
    pub holds_wal: bool,
}

/// What is archived of one timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedTimeline {
    /// The timeline.
    pub timeline: TimelineId,
    /// Where it came from.
    pub history: HistoryState,
    /// Its segments.
    pub segments: BTreeMap<WalSegmentName, SegmentState>,
    /// The segment behind them of which there are only pieces, and the position up to which they go.
    pub unfinished: Option<(WalSegmentName, Lsn)>,
}

/// What is known of the history of a timeline. The first timeline needs none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryState {
    /// It is archived.
    Known(TimelineHistory),
    /// It is not archived.
    Missing,
    /// It is archived and cannot be read.
    Damaged,
}

/// What is known of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentState {
    /// It is archived as a whole.
    Whole,
    /// It was found to be damaged.
    Damaged,
}

/// Positions to which a cluster can be recovered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryWindow {
    /// The timeline that is recovered to (`recovery_target_timeline`).
    pub timeline: TimelineId,
    /// The earliest position.
    pub from: Lsn,
    /// The earliest moment.
    pub from_time: Timestamp,
    /// The latest position: behind the last WAL.
    pub to: Lsn,
    /// The segment with the last WAL; nothing when all of it is in the backup.
    pub last_segment: Option<WalSegmentName>,
    /// The backups that it can start from, the oldest first.
    pub backups: Vec<BackupId>,
}

/// Segments of one timeline without a gap between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchivedRange {
    /// The first.
    pub first: WalSegmentName,
    /// The last.
    pub last: WalSegmentName,
    /// The position of the first byte.
    pub from: Lsn,
    /// The position behind the last byte.
    pub to: Lsn,
}

/// Segments that recovery would need and cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gap {
    /// The first.
    pub first: WalSegmentName,
    /// The last.
    pub last: WalSegmentName,
    /// How many they are.
    pub segments: u64,
    /// Why not.
    pub cause: GapCause,
}

/// Why segments cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GapCause {
    /// They are not archived.
    Missing,
    /// They are damaged.
    Damaged,
    /// They are there, but the history of their timeline is not: no backup of another timeline can be recovered to them.
    NoHistory,
    /// The same, since the history is damaged.
    HistoryDamaged,
}

/// What can be recovered of a cluster, and what cannot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recoverability {
    /// The windows, by timeline and position.
    pub windows: Vec<RecoveryWindow>,
    /// All WAL that is archived, whether there is a backup before it or not.
    pub archived: Vec<ArchivedRange>,
    /// What lies between.
    pub gaps: Vec<Gap>,
    /// Backups that cannot be recovered at all, since the WAL that was written meanwhile is not there.
    pub unusable: BTreeSet<BackupId>,
}

/// Works out the windows and gaps of one cluster with segments of `size`.
pub fn recoverability(
    size: SegmentSize,
    backups: &[BackupSpan],
    timelines: &[ArchivedTimeline],
) -> Recoverability {
    let mut paths = paths(size, timelines);
    for backup in backups {
        if !paths.iter().any(|path| path.history.timeline() == backup.timeline) {
            // A backup without any WAL in the archive: what it holds itself is all that there is.
            paths.push(Path::new(size, TimelineHistory::root(backup.timeline), timelines));
        }
    }
    let mut windows: Vec<_> = paths.iter().flat_map(|path| path.windows(backups)).collect();
    let usable: BTreeSet<_> = windows.iter().flat_map(|window| window.backups.clone()).collect();
    let all = windows.clone();
    windows.retain(|window| !all.iter().any(|other| is_part_of(window, other, &paths)));
    windows.sort_by_key(|window| (window.timeline, window.from));
    let mut gaps: Vec<_> = paths.iter().flat_map(|path| path.gaps(backups)).collect();
    gaps.extend(timelines.iter().filter_map(|timeline| without_history(size, timeline)));
    gaps.sort_unstable();
    gaps.dedup();
    Recoverability {
        windows,
        archived: timelines.iter().flat_map(|timeline| archived(size, timeline)).collect(),
        gaps,
        unusable: backups.iter().map(|backup| backup.id.clone()).filter(|id| !usable.contains(id)).collect(),
    }
}

/// The ways through the archive, one to each timeline.
fn paths(size: SegmentSize, timelines: &[ArchivedTimeline]) -> Vec<Path> {
    let path = |archived: &ArchivedTimeline| {
        let history = match &archived.history {
            HistoryState::Known(history) => history.clone(),
            HistoryState::Missing | HistoryState::Damaged => TimelineHistory::root(archived.timeline),
        };
        Path::new(size, history, timelines)
    };
    timelines.iter().map(path).collect()
}

/// Whether whoever recovers to `other` passes everything that `window` has, from the same backups.
fn is_part_of(window: &RecoveryWindow, other: &RecoveryWindow, paths: &[Path]) -> bool {
    let history = paths.iter().map(|path| &path.history).find(|history| history.timeline() == other.timeline);
    let branch = history.and_then(|history| history.end_of(window.timeline));
    branch.is_some_and(|branch| window.to <= branch && window.to <= other.to)
        && window.backups.iter().all(|backup| other.backups.contains(backup))
}

/// The way through the archive to one timeline.
struct Path {
    size: SegmentSize,
    history: TimelineHistory,
    /// WAL without a gap: from the start of a segment to behind its last byte.
    runs: Vec<Run>,
    damaged: BTreeSet<Lsn>,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    from: Lsn,
    to: Lsn,
}

impl Path {
    fn new(size: SegmentSize, history: TimelineHistory, timelines: &[ArchivedTimeline]) -> Self {
        let (mut whole, mut damaged) = (BTreeSet::new(), BTreeSet::new());
        let mut last = None;
        for archived in timelines {
            let counts = |name: &WalSegmentName| history.segment_at(name.start(size), size) == *name;
            for (name, state) in archived.segments.iter().filter(|(name, _)| counts(name)) {
                match state {
                    SegmentState::Whole => whole.insert(name.start(size)),
                    SegmentState::Damaged => damaged.insert(name.start(size)),
                };
            }
            last = last.max(
                archived.unfinished.filter(|(name, _)| counts(name)).map(|(name, to)| (name.start(size), to)),
            );
        }
        let mut runs: Vec<Run> = Vec::new();
        let whole = whole.into_iter().map(|from| (from, from.plus(size.bytes().into())));
        let unfinished = last.filter(|(from, _)| !damaged.contains(from));
        for (from, to) in whole.chain(unfinished) {
            match runs.last_mut() {
                Some(run) if run.to == from => run.to = to,
                Some(run) if run.to > from => {}
                _ => runs.push(Run { from, to }),
            }
        }
        Self { size, history, runs, damaged }
    }

    /// The start of the segment that holds `lsn`.
    fn segment_start(&self, lsn: Lsn) -> Lsn {
        Lsn(lsn.0 - u64::from(self.size.offset(lsn)))
    }

    /// The backups that can be recovered along this way.
    fn usable<'a>(&'a self, backups: &'a [BackupSpan]) -> impl Iterator<Item = &'a BackupSpan> {
        backups.iter().filter(|backup| self.history.passes(backup.timeline, backup.stop))
    }

    /// How far WAL goes from `lsn` on without a gap, and the last segment with any of it.
    fn reach(&self, lsn: Lsn) -> Option<(Lsn, WalSegmentName)> {
        let run = self.runs.iter().find(|run| run.from <= lsn && lsn <= run.to)?;
        let last = Lsn(run.to.0.saturating_sub(1));
        Some((run.to, self.history.segment_at(last, self.size)))
    }

    fn window(&self, backup: &BackupSpan) -> Option<RecoveryWindow> {
        let needed = if backup.holds_wal { backup.stop } else { backup.start };
        let reach = self.reach(needed).filter(|(to, _)| *to >= backup.stop);
        let (to, last_segment) = match reach {
            Some((to, last)) => (to, Some(last)),
            None if backup.holds_wal => (backup.stop, None),
            None => return None,
        };
        Some(RecoveryWindow {
            timeline: self.history.timeline(),
            from: backup.stop,
            from_time: backup.finished_at,
            to,
            last_segment,
            backups: vec![backup.id.clone()],
        })
    }

    /// The windows of this way that reach the timeline to which it leads, those with the same end as one.
    fn windows(&self, backups: &[BackupSpan]) -> Vec<RecoveryWindow> {
        let timeline = self.history.timeline();
        let begin = self.history.ancestors().last().map_or(Lsn(0), |ancestor| ancestor.end);
        let mut usable: Vec<_> = self.usable(backups).collect();
        usable.sort_by_key(|backup| (backup.stop, backup.id.clone()));
        let mut windows: Vec<RecoveryWindow> = Vec::new();
        for backup in usable {
            let Some(window) = self.window(backup) else { continue };
            if window.to <= begin && backup.timeline != timeline {
                continue;
            }
            match windows.last_mut().filter(|last| last.to == window.to) {
                Some(last) => {
                    last.from_time = last.from_time.min(window.from_time);
                    last.backups.extend(window.backups);
                }
                None => windows.push(window),
            }
        }
        windows
    }

    /// What is missing on this way behind the oldest backup, or behind the first WAL where there is no backup.
    fn gaps(&self, backups: &[BackupSpan]) -> Vec<Gap> {
        let needed = self
            .usable(backups)
            .map(|backup| self.segment_start(if backup.holds_wal { backup.stop } else { backup.start }));
        let known = self.runs.iter().map(|run| run.from).chain(self.damaged.iter().copied());
        let Some(mut at) = needed.min().or_else(|| known.clone().min()) else { return Vec::new() };
        let mut gaps = Vec::new();
        for run in &self.runs {
            if run.from > at {
                self.gap(at, run.from, &mut gaps);
            }
            at = at.max(self.segment_start(run.to));
        }
        // Damaged segments at the end are there, so somebody relies on them.
        if let Some(last) = self.damaged.last().filter(|last| **last >= at) {
            self.gap(at, last.plus(self.size.bytes().into()), &mut gaps);
        }
        gaps
    }

    /// The segments from `from` to `to`, cut where the timeline or the cause changes.
    fn gap(&self, from: Lsn, to: Lsn, gaps: &mut Vec<Gap>) {
        let bytes = u64::from(self.size.bytes());
        let begins = self.history.ancestors().iter().map(|ancestor| self.segment_start(ancestor.end));
        let damaged = self.damaged.iter().flat_map(|start| [*start, start.plus(bytes)]);
        let mut cuts: Vec<Lsn> = begins.chain(damaged).filter(|cut| from < *cut && *cut < to).collect();
        cuts.extend([from, to]);
        cuts.sort_unstable();
        cuts.dedup();
        for (from, to) in cuts.iter().zip(cuts.iter().skip(1)) {
            let cause = if self.damaged.contains(from) { GapCause::Damaged } else { GapCause::Missing };
            let first = self.history.segment_at(*from, self.size);
            let last = WalSegmentName::containing(first.timeline, Lsn(to.0 - 1), self.size);
            gaps.push(Gap { first, last, segments: to.bytes_since(*from) / bytes, cause });
        }
    }
}

/// The gap that all WAL of a timeline is when its history is not known.
fn without_history(size: SegmentSize, archived: &ArchivedTimeline) -> Option<Gap> {
    let cause = match &archived.history {
        HistoryState::Known(_) => return None,
        HistoryState::Missing if archived.timeline == TimelineId::FIRST => return None,
        HistoryState::Missing => GapCause::NoHistory,
        HistoryState::Damaged => GapCause::HistoryDamaged,
    };
    let unfinished = archived.unfinished.map(|(name, _)| name);
    let first = *archived.segments.keys().chain(&unfinished).min()?;
    let last = *archived.segments.keys().chain(&unfinished).max()?;
    let segments = last.end(size).bytes_since(first.start(size)) / u64::from(size.bytes());
    Some(Gap { first, last, segments, cause })
}

/// The ranges of whole segments of a timeline.
fn archived(size: SegmentSize, archived: &ArchivedTimeline) -> Vec<ArchivedRange> {
    let mut ranges: Vec<ArchivedRange> = Vec::new();
    let whole = archived.segments.iter().filter(|(_, state)| **state == SegmentState::Whole);
    let whole = whole.map(|(name, _)| (*name, name.end(size)));
    for (name, to) in whole.chain(archived.unfinished) {
        match ranges.last_mut() {
            Some(range) if range.to == name.start(size) => (range.last, range.to) = (name, to),
            _ => ranges.push(ArchivedRange { first: name, last: name, from: name.start(size), to }),
        }
    }
    ranges
}

#[cfg(test)]
mod tests;
