//! Which backup a recovery starts from.
//!
//! Invariant: a backup is chosen only for a target that the archived WAL leads to without a gap; what cannot be known before
//! replay (where a transaction or a restore point is in the WAL) is searched from the earliest backup on, which never passes it.

use jiff::Timestamp;

use crate::{BackupId, BackupSpan, Lsn, RecoveryTarget, RecoveryWindow, TimelineId};

/// Which timeline a recovery follows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TargetTimeline {
    /// The newest in the archive that the backup leads to.
    #[default]
    Latest,
    /// The one of the backup.
    Current,
    /// This one.
    Id(TimelineId),
}

/// A window, and when its last WAL was written as far as anybody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedWindow {
    /// The window.
    pub window: RecoveryWindow,
    /// The latest moment that can be reached.
    pub to_time: Timestamp,
}

/// Where a recovery starts, and which timeline it follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryPlan {
    /// The backup.
    pub backup: BackupId,
    /// The timeline on which it ends.
    pub timeline: TimelineId,
    /// The position behind the last WAL that can be replayed.
    pub to: Lsn,
}

/// Chooses the newest backup, of those that `may_use` allows, from which `target` can be reached; nothing when there is none.
pub fn plan_recovery(
    target: &RecoveryTarget,
    timeline: TargetTimeline,
    windows: &[TimedWindow],
    backups: &[BackupSpan],
    may_use: &dyn Fn(&BackupId) -> bool,
) -> Option<RecoveryPlan> {
    let mut allowed: Vec<&BackupSpan> = backups.iter().filter(|backup| may_use(&backup.id)).collect();
    // Ids sort by time.
    allowed.sort_by(|a, b| b.id.cmp(&a.id));
    if is_searched(target) {
        allowed.reverse();
    }
    let reaches = |backup: &BackupSpan, timed: &TimedWindow| {
        timed.window.backups.contains(&backup.id)
            && follows(timeline, backup, &timed.window)
            && is_within(target, backup, timed)
    };
    allowed.into_iter().find_map(|backup| {
        // The newest timeline that the backup leads to.
        let best = windows
            .iter()
            .filter(|timed| reaches(backup, timed))
            .max_by_key(|timed| timed.window.timeline)?;
        Some(RecoveryPlan { backup: backup.id.clone(), timeline: best.window.timeline, to: best.window.to })
    })
}

/// Whether only replay shows where the target is.
const fn is_searched(target: &RecoveryTarget) -> bool {
    matches!(target, RecoveryTarget::Xid(_) | RecoveryTarget::Name(_))
}

fn follows(timeline: TargetTimeline, backup: &BackupSpan, window: &RecoveryWindow) -> bool {
    match timeline {
        TargetTimeline::Latest => true,
        TargetTimeline::Current => window.timeline == backup.timeline,
        TargetTimeline::Id(timeline) => window.timeline == timeline,
    }
}

fn is_within(target: &RecoveryTarget, backup: &BackupSpan, timed: &TimedWindow) -> bool {
    match target {
        RecoveryTarget::Latest
        | RecoveryTarget::Immediate
        | RecoveryTarget::Xid(_)
        | RecoveryTarget::Name(_) => true,
        RecoveryTarget::Lsn(lsn) => backup.stop <= *lsn && *lsn <= timed.window.to,
        RecoveryTarget::Time(time) => backup.finished_at <= *time && *time <= timed.to_time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(day: u8) -> BackupId {
        format!("backup-2026-11-{day:02}-000000-abc123").parse().unwrap()
    }

    fn day(day: u8) -> Timestamp {
        format!("2026-11-{day:02}T00:00:00Z").parse().unwrap()
    }

    fn backup(number: u8, timeline: u32, position: u64) -> BackupSpan {
        BackupSpan {
            id: id(number),
            timeline: TimelineId::new(timeline).unwrap(),
            start: Lsn(position),
            stop: Lsn(position + 10),
            finished_at: day(number),
            holds_wal: true,
        }
    }

    fn window(timeline: u32, from: u64, to: u64, days: (u8, u8), backups: &[u8]) -> TimedWindow {
        let window = RecoveryWindow {
            timeline: TimelineId::new(timeline).unwrap(),
            from: Lsn(from),
            from_time: day(days.0),
            to: Lsn(to),
            last_segment: None,
            backups: backups.iter().map(|number| id(*number)).collect(),
        };
        TimedWindow { window, to_time: day(days.1) }
    }

    /// Backups on days 1, 3 and 10; the WAL has a gap between days 5 and 10; a second timeline begins on day 12.
    fn scene() -> (Vec<TimedWindow>, Vec<BackupSpan>) {
        let windows = vec![
            window(1, 110, 500, (1, 5), &[1, 3]),
            window(1, 1010, 1400, (10, 14), &[10]),
            window(2, 1010, 2000, (10, 20), &[10]),
        ];
        (windows, vec![backup(1, 1, 100), backup(3, 1, 300), backup(10, 1, 1000)])
    }

    fn plan(target: &RecoveryTarget, timeline: TargetTimeline) -> Option<(BackupId, u32)> {
        let (windows, backups) = scene();
        let plan = plan_recovery(target, timeline, &windows, &backups, &|_| true)?;
        Some((plan.backup, plan.timeline.get()))
    }

    #[test]
    fn the_newest_backup_that_reaches_the_target_is_chosen() {
        use RecoveryTarget::{Immediate, Latest, Lsn as At, Time};
        let latest = |target: &RecoveryTarget| plan(target, TargetTimeline::Latest);
        assert_eq!(latest(&Latest), Some((id(10), 2)));
        assert_eq!(latest(&Immediate), Some((id(10), 2)));
        assert_eq!(latest(&Time(day(4))), Some((id(3), 1)));
        assert_eq!(latest(&Time(day(2))), Some((id(1), 1)));
        assert_eq!(latest(&Time(day(11))), Some((id(10), 2)));
        assert_eq!(latest(&At(Lsn(200))), Some((id(1), 1)));
        assert_eq!(latest(&At(Lsn(310))), Some((id(3), 1)));
    }

    #[test]
    fn what_lies_in_a_gap_or_outside_is_not_reached() {
        use RecoveryTarget::{Lsn as At, Time};
        for target in [
            Time("2026-10-31T00:00:00Z".parse().unwrap()),
            Time(day(7)),
            Time(day(21)),
            At(Lsn(105)),
            At(Lsn(700)),
            At(Lsn(2001)),
        ] {
            assert_eq!(plan(&target, TargetTimeline::Latest), None, "{target}");
        }
    }

    #[test]
    fn a_timeline_may_be_pinned() {
        let second = TimelineId::new(2).unwrap();
        assert_eq!(plan(&RecoveryTarget::Latest, TargetTimeline::Current), Some((id(10), 1)));
        assert_eq!(plan(&RecoveryTarget::Latest, TargetTimeline::Id(second)), Some((id(10), 2)));
        assert_eq!(plan(&RecoveryTarget::Time(day(15)), TargetTimeline::Current), None);
        assert_eq!(plan(&RecoveryTarget::Time(day(4)), TargetTimeline::Id(second)), None);
    }

    #[test]
    fn what_replay_has_to_find_is_searched_from_the_earliest_backup() {
        let target = RecoveryTarget::Name("before".to_owned());
        assert_eq!(plan(&target, TargetTimeline::Latest), Some((id(1), 1)));
        let (windows, backups) = scene();
        let chosen = |backup: &BackupId| *backup == id(10);
        let plan = plan_recovery(&target, TargetTimeline::Latest, &windows, &backups, &chosen);
        assert_eq!(plan.map(|plan| plan.backup), Some(id(10)));
    }
}
