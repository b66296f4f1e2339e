//! From which backups the recovery window of a cluster is reached, and up to where its WAL can go.
//!
//! Invariant: what can be reached is what [`recoverability`] says. Of each of its windows that goes on into the recovery window, one
//! backup stays that reaches all of that: the newest from before, so that the least WAL is needed, or where there is none the
//! earliest. The same holds among proven backups alone. WAL goes only from its beginning on, and never what one of those needs.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{StoredBackup, StoredCluster, StoredTimeline, StoredWal, WalCut, WalFate, WalKept, WalVerdict};
use crate::retention::Standing;
use crate::{
    BackupId, BackupSpan, HistoryState, Lsn, RecoveryWindow, SystemId, TimelineHistory, TimelineId,
    recoverability,
};

/// A cluster with its backups and its WAL.
pub(super) struct System<'a> {
    id: SystemId,
    backups: Vec<Physical<'a>>,
    timelines: &'a [StoredTimeline],
    histories: BTreeMap<TimelineId, TimelineHistory>,
    /// When the recovery window begins.
    since: Timestamp,
    /// The backups that stay because moments of the recovery window are reached from them.
    anchors: Vec<Physical<'a>>,
}

#[derive(Clone, Copy)]
struct Physical<'a> {
    backup: &'a StoredBackup,
    cluster: StoredCluster,
}

/// All clusters of which there is anything.
pub(super) fn systems<'a>(
    backups: &'a [StoredBackup],
    wal: &'a [StoredWal],
    since: &dyn Fn(&mut dyn Iterator<Item = &'a str>) -> Timestamp,
) -> Vec<System<'a>> {
    let mut by_system: BTreeMap<SystemId, Vec<Physical<'a>>> = BTreeMap::new();
    for wal in wal {
        by_system.entry(wal.system).or_default();
    }
    for backup in backups {
        if let Some(cluster) = backup.cluster {
            by_system.entry(cluster.system).or_default().push(Physical { backup, cluster });
        }
    }
    let timelines =
        |system| wal.iter().find(|wal| wal.system == system).map_or(&[][..], |wal| &wal.timelines);
    by_system
        .into_iter()
        .map(|(system, backups)| {
            let since = since(&mut backups.iter().map(|physical| physical.backup.source.as_str()));
            System::new(system, backups, timelines(system), since)
        })
        .collect()
}

impl<'a> System<'a> {
    fn new(
        id: SystemId,
        backups: Vec<Physical<'a>>,
        timelines: &'a [StoredTimeline],
        since: Timestamp,
    ) -> Self {
        let known = timelines.iter().filter_map(|timeline| match &timeline.archived.history {
            HistoryState::Known(history) => Some((timeline.archived.timeline, history.clone())),
            HistoryState::Missing | HistoryState::Damaged => None,
        });
        let histories = known.collect();
        let mut system = Self { id, backups, timelines, histories, since, anchors: Vec::new() };
        system.anchors = system.find_anchors();
        system
    }

    /// The backups that the recovery window is reached from.
    pub(super) fn anchors(&self) -> impl Iterator<Item = &'a BackupId> {
        self.anchors.iter().map(|anchor| &anchor.backup.id)
    }

    /// The backups that may be relied on: those that have not failed, or all when all have.
    fn usable(&self) -> Vec<Physical<'a>> {
        let good = |physical: &Physical<'_>| physical.backup.standing != Standing::Failed;
        let any_is_good = self.backups.iter().any(good);
        self.backups.iter().copied().filter(|physical| !any_is_good || good(physical)).collect()
    }

    fn find_anchors(&self) -> Vec<Physical<'a>> {
        let Some(size) = self.backups.first().map(|first| first.cluster.segment_size) else {
            return Vec::new();
        };
        let usable = self.usable();
        let spans: Vec<_> = usable.iter().map(Physical::span).collect();
        let archived: Vec<_> = self.timelines.iter().map(|timeline| timeline.archived.clone()).collect();
        let windows = recoverability(size, &spans, &archived).windows;
        let newest =
            usable.iter().filter(|physical| self.is_before(physical)).max_by_key(|physical| physical.age());
        let mut anchors: BTreeMap<&BackupId, Physical<'a>> = BTreeMap::new();
        anchors.extend(newest.map(|newest| (&newest.backup.id, *newest)));
        for window in &windows {
            let begins = newest.is_some_and(|newest| window.backups.contains(&newest.backup.id));
            if begins || !self.has_ended(window) {
                let of_window: Vec<_> = usable
                    .iter()
                    .copied()
                    .filter(|physical| window.backups.contains(&physical.backup.id))
                    .collect();
                let proven: Vec<_> = of_window.iter().copied().filter(Physical::is_proven).collect();
                let chosen = [self.reaching(&of_window), self.reaching(&proven)];
                anchors.extend(chosen.into_iter().flatten().map(|physical| (&physical.backup.id, physical)));
            }
        }
        anchors.into_values().collect()
    }

    /// Of backups with one window the one that reaches what all of them reach of the recovery window.
    fn reaching(&self, backups: &[Physical<'a>]) -> Option<Physical<'a>> {
        let before = backups.iter().filter(|physical| self.is_before(physical));
        let earliest = || backups.iter().min_by_key(|physical| (physical.cluster.stop, &physical.backup.id));
        before.max_by_key(|physical| physical.age()).or_else(earliest).copied()
    }

    fn is_before(&self, physical: &Physical<'_>) -> bool {
        physical.backup.finished_at <= self.since
    }

    /// Whether nothing of a window was written after the recovery window began.
    fn has_ended(&self, window: &RecoveryWindow) -> bool {
        // What lies in the past of a backup was written before the backup was complete.
        let last_byte = Lsn(window.to.0.saturating_sub(1));
        let written_on = self.history(window.timeline).timeline_at(last_byte);
        let lies_before = |physical: &Physical<'_>| {
            self.is_before(physical)
                && window.to <= physical.cluster.stop
                && self.history(physical.cluster.timeline).timeline_at(last_byte) == written_on
        };
        if self.backups.iter().any(lies_before) {
            return true;
        }
        let Some(last) = window.last_segment else { return false };
        let timeline = self.timelines.iter().find(|timeline| timeline.archived.timeline == last.timeline);
        timeline.and_then(|timeline| timeline.written_until).is_some_and(|until| until < self.since)
    }

    fn history(&self, timeline: TimelineId) -> TimelineHistory {
        self.histories.get(&timeline).cloned().unwrap_or_else(|| TimelineHistory::root(timeline))
    }

    /// Whether somebody who recovers may pass both timelines.
    fn are_passed_together(&self, one: TimelineId, other: TimelineId) -> bool {
        let passes = |history: &TimelineHistory, timeline| {
            history.timeline() == timeline || history.end_of(timeline).is_some()
        };
        one == other || self.histories.values().any(|history| passes(history, one) && passes(history, other))
    }

    /// Whether `timeline` is `other` or one of its ancestors.
    fn leads_to(&self, timeline: TimelineId, other: TimelineId) -> bool {
        timeline <= other && self.are_passed_together(timeline, other)
    }

    /// What happens to the WAL of each timeline. `failed` are the sources of which nothing goes, `stays` says which backups do not.
    pub(super) fn verdicts(
        &self,
        failed: &BTreeSet<&str>,
        is_halted: bool,
        stays: &dyn Fn(&BackupId) -> bool,
    ) -> Vec<WalVerdict> {
        let all = self.all_stays(failed, is_halted);
        let fate = |timeline| match all {
            Some(kept) => WalFate::Stays(kept),
            None => self.cut(timeline, stays).map_or(WalFate::Stays(WalKept::NoBackupBefore), WalFate::Cut),
        };
        let timelines = self.timelines.iter().map(|timeline| timeline.archived.timeline);
        let verdict = |timeline| WalVerdict { system: self.id, timeline, fate: fate(timeline) };
        timelines.map(verdict).collect()
    }

    /// Why no WAL of the cluster goes.
    fn all_stays(&self, failed: &BTreeSet<&str>, is_halted: bool) -> Option<WalKept> {
        let sizes: BTreeSet<u32> =
            self.backups.iter().map(|physical| physical.cluster.segment_size.bytes()).collect();
        let is_damaged =
            |timeline: &StoredTimeline| matches!(timeline.archived.history, HistoryState::Damaged);
        if self.backups.is_empty() {
            Some(WalKept::NoBackup)
        } else if is_halted {
            Some(WalKept::Halted)
        } else if self.backups.iter().any(|physical| failed.contains(physical.backup.source.as_str())) {
            Some(WalKept::SourceFailed)
        } else if self.timelines.iter().any(is_damaged) {
            Some(WalKept::HistoryDamaged)
        } else if sizes.len() > 1 {
            Some(WalKept::SegmentSizes)
        } else {
            None
        }
    }

    /// Up to where the WAL of a timeline goes: to where the first of all backups begins that lead along it and need WAL.
    fn cut(&self, timeline: TimelineId, stays: &dyn Fn(&BackupId) -> bool) -> Option<WalCut> {
        let leads = |anchor: &&Physical<'_>| self.leads_to(timeline, anchor.cluster.timeline);
        self.anchors.iter().filter(|anchor| self.is_before(anchor)).find(leads)?;
        let lacking =
            self.backups.iter().filter(|physical| !physical.cluster.holds_wal && stays(&physical.backup.id));
        let needing = self.anchors.iter().chain(lacking);
        let along = needing.filter(|physical| self.are_passed_together(timeline, physical.cluster.timeline));
        let first = along.min_by_key(|physical| physical.cluster.start)?;
        Some(WalCut {
            before: first.cluster.start,
            needed_by: first.backup.id.clone(),
            size: first.cluster.segment_size,
        })
    }
}

impl<'a> Physical<'a> {
    fn is_proven(&self) -> bool {
        self.backup.standing == Standing::Proven
    }

    /// Backups compare by this as they followed each other.
    fn age(&self) -> (Timestamp, &'a BackupId) {
        (self.backup.finished_at, &self.backup.id)
    }

    fn span(&self) -> BackupSpan {
        BackupSpan {
            id: self.backup.id.clone(),
            timeline: self.cluster.timeline,
            start: self.cluster.start,
            stop: self.cluster.stop,
            finished_at: self.backup.finished_at,
            holds_wal: self.cluster.holds_wal,
        }
    }
}
