//! The laws of retention, on made-up histories: up to three timelines that branch, WAL with holes, backups of every standing, and
//! moments tried one by one.

use proptest::prelude::*;

use super::*;
use crate::{BackupSpan, HistoryState, RecoveryWindow, SegmentState, TimelineHistory, recoverability};

const SIZE: SegmentSize = SegmentSize::DEFAULT;
/// Positions and moments are tried in steps of a quarter of a segment.
const STEP: u64 = (16 << 20) / 4;
const SYSTEM: SystemId = SystemId(7);

/// One timeline: where it left its parent, where it ended, and when what was written. Positions are in steps, moments in hours.
#[derive(Debug, Clone)]
struct Branch {
    parent: Option<usize>,
    fork: u64,
    end: u64,
    began: i64,
    pace: i64,
    missing: Vec<u64>,
    history: u8,
    is_ended_known: bool,
}

#[derive(Debug, Clone)]
struct World {
    branches: Vec<Branch>,
    backups: Vec<StoredBackup>,
    policies: RetentionPolicies,
    now: Timestamp,
}

fn hour(number: i64) -> Timestamp {
    "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(number)
}

fn timeline(branch: usize) -> TimelineId {
    TimelineId::new(u32::try_from(branch).unwrap() + 1).unwrap()
}

impl Branch {
    fn written(&self, position: u64) -> i64 {
        self.began + i64::try_from(position - self.fork).unwrap() * self.pace
    }
}

impl World {
    fn history(&self, branch: usize) -> TimelineHistory {
        let mut text = String::new();
        let mut at = branch;
        while let Some(parent) = self.branches[at].parent {
            text = format!("{}\t{}\tx\n{text}", timeline(parent), Lsn(self.branches[at].fork * STEP));
            at = parent;
        }
        TimelineHistory::parse(timeline(branch), text.as_bytes()).unwrap()
    }

    fn wal(&self) -> StoredWal {
        let archived = |(number, branch): (usize, &Branch)| {
            let name =
                |segment: u64| WalSegmentName::containing(timeline(number), Lsn(segment * 4 * STEP), SIZE);
            let whole = (branch.fork / 4..branch.end / 4).filter(|segment| !branch.missing.contains(segment));
            let history = match branch.history {
                0 => HistoryState::Missing,
                1 => HistoryState::Damaged,
                _ => HistoryState::Known(self.history(number)),
            };
            let unfinished = (branch.end % 4 != 0).then(|| (name(branch.end / 4), Lsn(branch.end * STEP)));
            let segments = whole.map(|segment| (name(segment), SegmentState::Whole)).collect();
            let archived = ArchivedTimeline { timeline: timeline(number), history, segments, unfinished };
            let written_until = branch.is_ended_known.then(|| hour(branch.written(branch.end)));
            StoredTimeline { archived, written_until }
        };
        StoredWal { system: SYSTEM, timelines: self.branches.iter().enumerate().map(archived).collect() }
    }

    fn plan(&self) -> RetentionPlan {
        plan_retention(&self.policies, self.now, &self.backups, &[self.wal()])
    }

    fn window_start(&self) -> Timestamp {
        self.policies.general.window_start(self.now)
    }

    /// What is there after the plan was carried out.
    fn after(&self, plan: &RetentionPlan) -> (Vec<StoredBackup>, StoredWal) {
        let going: BTreeSet<_> = plan.going().collect();
        let backups = self.backups.iter().filter(|backup| !going.contains(&backup.id)).cloned().collect();
        let mut wal = self.wal();
        for verdict in &plan.wal {
            let WalFate::Cut(cut) = &verdict.fate else { continue };
            let left =
                wal.timelines.iter_mut().find(|left| left.archived.timeline == verdict.timeline).unwrap();
            left.archived.segments.retain(|name, _| !cut.takes(*name));
            left.archived.unfinished = left.archived.unfinished.filter(|(name, _)| !cut.takes(*name));
        }
        (backups, wal)
    }

    /// Moments of the recovery window that can be reached with these backups and this WAL: by branch and position.
    fn reached(&self, backups: &[&StoredBackup], wal: &StoredWal) -> BTreeSet<(usize, u64)> {
        let spans: Vec<_> = backups.iter().filter_map(|backup| span(backup)).collect();
        let archived: Vec<_> = wal.timelines.iter().map(|timeline| timeline.archived.clone()).collect();
        let windows = recoverability(SIZE, &spans, &archived).windows;
        let history = |window: &RecoveryWindow| {
            let of = archived.iter().find(|archived| archived.timeline == window.timeline);
            match of.map(|archived| &archived.history) {
                Some(HistoryState::Known(history)) => history.clone(),
                _ => TimelineHistory::root(window.timeline),
            }
        };
        let windows: Vec<_> = windows.iter().map(|window| (window, history(window))).collect();
        let mut reached = BTreeSet::new();
        for (number, branch) in self.branches.iter().enumerate() {
            for position in branch.fork + 1..=branch.end {
                let lsn = Lsn(position * STEP);
                let is_on = |(window, history): &(&RecoveryWindow, TimelineHistory)| {
                    window.from <= lsn
                        && lsn <= window.to
                        && history.timeline_at(Lsn(lsn.0 - 1)) == timeline(number)
                };
                let is_in = hour(branch.written(position)) >= self.window_start();
                if is_in && windows.iter().any(is_on) {
                    reached.insert((number, position));
                }
            }
        }
        reached
    }
}

fn span(backup: &StoredBackup) -> Option<BackupSpan> {
    let StoredCluster { timeline, start, stop, holds_wal, .. } = backup.cluster?;
    Some(BackupSpan {
        id: backup.id.clone(),
        timeline,
        start,
        stop,
        finished_at: backup.finished_at,
        holds_wal,
    })
}

/// Physical backups that have not failed, or all when all have.
fn usable(backups: &[StoredBackup]) -> Vec<&StoredBackup> {
    let physical = || backups.iter().filter(|backup| backup.cluster.is_some());
    let good: Vec<_> = physical().filter(|backup| backup.standing != Standing::Failed).collect();
    if good.is_empty() { physical().collect() } else { good }
}

fn standings() -> impl Strategy<Value = Standing> {
    prop_oneof![5 => Just(Standing::Proven), 3 => Just(Standing::Unproven), 1 => Just(Standing::Failed)]
}

fn branches() -> impl Strategy<Value = Vec<Branch>> {
    let one = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        4..100u64,
        0..48i64,
        1..6i64,
        prop::collection::vec(0..60u64, 0..4),
        0..20u8,
        any::<bool>(),
    );
    prop::collection::vec(one, 1..4).prop_map(|drawn| {
        let mut branches: Vec<Branch> = Vec::new();
        for (parent, fork, length, delay, pace, missing, history, is_ended_known) in drawn {
            let parent = (!branches.is_empty()).then(|| parent.index(branches.len()));
            let (fork, began) = parent.map_or((0, 0), |parent| {
                let parent = &branches[parent];
                let fork =
                    parent.fork + 1 + fork.index(usize::try_from(parent.end - parent.fork).unwrap()) as u64;
                (fork, parent.written(fork) + delay)
            });
            branches.push(Branch {
                parent,
                fork,
                end: fork + length,
                began,
                pace,
                missing,
                history,
                is_ended_known,
            });
        }
        branches
    })
}

/// A physical backup on one of the branches.
fn physical(branches: Vec<Branch>) -> impl Strategy<Value = StoredBackup> {
    let drawn = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        1..6u64,
        0..10i64,
        standings(),
        0..8u8,
        any::<[u8; 3]>(),
    );
    drawn.prop_map(move |(branch, start, length, late, standing, odd, random)| {
        let number = branch.index(branches.len());
        let branch = &branches[number];
        let start = branch.fork + start.index(usize::try_from(branch.end - branch.fork).unwrap()) as u64;
        let stop = (start + length).min(branch.end);
        let finished_at = hour(branch.written(stop) + late);
        let cluster = StoredCluster {
            system: SYSTEM,
            segment_size: SIZE,
            timeline: timeline(number),
            start: Lsn(start * STEP),
            stop: Lsn(stop * STEP),
            holds_wal: odd != 0,
        };
        StoredBackup {
            id: BackupId::new(finished_at, random),
            kind: Kind::Physical,
            source: if odd == 1 { "shop" } else { "books" }.into(),
            finished_at,
            standing,
            is_filtered: false,
            held_until: None,
            cluster: Some(cluster),
        }
    })
}

fn logical() -> impl Strategy<Value = StoredBackup> {
    (0..600i64, standings(), any::<bool>(), 0..4u8, any::<[u8; 3]>()).prop_map(
        |(at, standing, is_shop, filtered, random)| StoredBackup {
            id: BackupId::new(hour(at), random),
            kind: Kind::Logical,
            source: if is_shop { "shop" } else { "books" }.into(),
            finished_at: hour(at),
            standing,
            is_filtered: filtered == 0,
            held_until: None,
            cluster: None,
        },
    )
}

prop_compose! {
    fn worlds()(branches in branches())(
        physical in prop::collection::vec(physical(branches.clone()), 0..10),
        logical in prop::collection::vec(logical(), 0..8),
        branches in Just(branches),
        days in 0..30u32,
        wal_days in 0..20u32,
        keep in prop::option::of([0..4u32, 0..6u32, 0..4u32, 0..3u32, 0..2u32]),
        held in prop::collection::vec((any::<prop::sample::Index>(), -200..200i64), 0..3),
        late in -20..200i64,
    ) -> World {
        let mut backups = [physical, logical].concat();
        backups.sort_by(|a, b| a.id.cmp(&b.id));
        backups.dedup_by(|a, b| a.id == b.id);
        let last = backups.iter().map(|backup| backup.finished_at).max().unwrap_or(hour(0));
        let now = last + SignedDuration::from_hours(late);
        for (index, hours) in held {
            let until = now + SignedDuration::from_hours(hours);
            if !backups.is_empty() {
                index.get_mut(&mut backups).held_until = Some(until);
            }
        }
        let [keep_last, keep_daily, keep_weekly, keep_monthly, keep_yearly] = keep.unwrap_or_default();
        let policy = RetentionPolicy { days, wal_days, keep_last, keep_daily, keep_weekly, keep_monthly, keep_yearly };
        World { branches, backups, policies: policy.into(), now }
    }
}

/// The newest of the backups that `counts` of each source, kind and filter.
fn newest(backups: &[StoredBackup], counts: impl Fn(&StoredBackup) -> bool) -> Vec<&StoredBackup> {
    let same = |a: &StoredBackup, b: &StoredBackup| {
        (&a.source, a.kind, a.is_filtered) == (&b.source, b.kind, b.is_filtered)
    };
    let all = || backups.iter().filter(|backup| counts(backup));
    all().filter(|backup| !all().any(|other| same(other, backup) && other.id > backup.id)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// P7, and the age that the policy demands.
    #[test]
    fn what_must_stay_stays(world in worlds()) {
        let plan = world.plan();
        let going: BTreeSet<_> = plan.going().collect();
        let of = |source: &str| world.backups.iter().filter(|backup| backup.source == source).collect::<Vec<_>>();
        for backup in &world.backups {
            let age = world.now.duration_since(backup.finished_at);
            if going.contains(&backup.id) {
                prop_assert!(age >= SignedDuration::from_hours(24 * i64::from(world.policies.general.days)));
                for kind in [Kind::Logical, Kind::Physical] {
                    let newest = of(&backup.source).into_iter().rfind(|other| other.kind == kind);
                    prop_assert!(newest.is_none_or(|newest| newest.standing != Standing::Failed));
                }
            }
        }
        let proven = newest(&world.backups, |backup| backup.standing == Standing::Proven);
        let not_failed = newest(&world.backups, |backup| backup.standing != Standing::Failed);
        prop_assert!(proven.iter().chain(&not_failed).all(|backup| !going.contains(&backup.id)));
        for source in ["books", "shop"] {
            let all = of(source);
            let gone = all.iter().filter(|backup| going.contains(&backup.id)).count();
            prop_assert!(gone <= EXPIRING_AT_ONCE || 2 * gone <= all.len());
        }
        let is_behind = world.backups.iter().any(|backup| backup.finished_at > world.now);
        prop_assert!(!is_behind || (plan.halt.is_some() && going.is_empty()));
        let (_, wal) = world.after(&plan);
        prop_assert!(plan.halt.is_none() || wal == world.wal());
    }

    /// What is held stays, so many of the newest, and a backup for each of the last so many days, as good as there was one.
    #[test]
    fn what_the_calendar_keeps_stays(world in worlds()) {
        let plan = world.plan();
        let going: BTreeSet<_> = plan.going().collect();
        let keep = world.policies.general;
        prop_assert!(world.backups.iter().all(|it| it.held_until <= Some(world.now) || !going.contains(&it.id)));
        let group = |source: &str, kind, is_filtered| {
            let mut group: Vec<_> = world.backups.iter().filter(|it| {
                it.source == source && it.kind == kind && it.is_filtered == is_filtered && it.standing != Standing::Failed
            }).collect();
            group.sort_by_key(|it| (it.finished_at, it.id.clone()));
            group.reverse();
            group
        };
        for source in ["books", "shop"] {
            for (kind, is_filtered) in [(Kind::Logical, false), (Kind::Logical, true), (Kind::Physical, false)] {
                let group = group(source, kind, is_filtered);
                prop_assert!(group.iter().take(keep.keep_last as usize).all(|it| !going.contains(&it.id)));
                let mut days: Vec<String> = group.iter().map(|it| it.finished_at.to_string()[..10].to_owned()).collect();
                days.dedup();
                for day in days.iter().take(keep.keep_daily as usize) {
                    let of_day = || group.iter().filter(|it| it.finished_at.to_string().starts_with(day));
                    prop_assert!(of_day().any(|it| !going.contains(&it.id)));
                    let proven = || of_day().filter(|it| it.standing == Standing::Proven);
                    prop_assert!(proven().count() == 0 || proven().any(|it| !going.contains(&it.id)));
                }
            }
        }
    }

    /// Whatever moment of the window could be reached, can be reached afterwards; and from a proven backup where it could.
    #[test]
    fn every_moment_of_the_window_is_still_reached(world in worlds()) {
        let plan = world.plan();
        let (backups, wal) = world.after(&plan);
        let relied: Vec<_> = usable(&world.backups);
        let left: Vec<_> = backups.iter().filter(|backup| relied.iter().any(|other| other.id == backup.id)).collect();
        let before = world.reached(&relied, &world.wal());
        let after = world.reached(&left, &wal);
        prop_assert!(before.is_subset(&after), "lost: {:?}", before.difference(&after).collect::<Vec<_>>());
        let proven = |backups: &[&StoredBackup], wal: &StoredWal| {
            let proven: Vec<_> = backups.iter().copied().filter(|backup| backup.standing == Standing::Proven).collect();
            world.reached(&proven, wal)
        };
        let (before, after) = (proven(&relied, &world.wal()), proven(&left, &wal));
        prop_assert!(before.is_subset(&after), "no longer proven: {:?}", before.difference(&after).collect::<Vec<_>>());
    }

    /// A backup that can be recovered stays one that can.
    #[test]
    fn no_backup_that_stays_loses_the_wal_that_it_needs(world in worlds()) {
        let plan = world.plan();
        let (backups, wal) = world.after(&plan);
        let unusable = |backups: &[StoredBackup], wal: &StoredWal| {
            let spans: Vec<_> = backups.iter().filter_map(span).collect();
            let archived: Vec<_> = wal.timelines.iter().map(|timeline| timeline.archived.clone()).collect();
            recoverability(SIZE, &spans, &archived).unusable
        };
        let (before, after) = (unusable(&world.backups, &world.wal()), unusable(&backups, &wal));
        prop_assert!(after.is_subset(&before), "{:?}", after.difference(&before).collect::<Vec<_>>());
    }

    /// WAL goes from its beginning on, and only where a backup of before the window follows.
    #[test]
    fn wal_goes_only_from_its_beginning_on(world in worlds()) {
        let plan = world.plan();
        let (backups, wal) = world.after(&plan);
        for (left, all) in wal.timelines.iter().zip(&world.wal().timelines) {
            let (left, all) = (&left.archived.segments, &all.archived.segments);
            let gone = all.keys().filter(|name| !left.contains_key(*name)).max();
            prop_assert!(left.keys().all(|name| gone.is_none_or(|gone| gone < name)));
            let follows = |backup: &StoredBackup| {
                let begins = backup.cluster.map(|cluster| cluster.start);
                backup.finished_at <= world.window_start() && begins >= gone.map(|gone| gone.end(SIZE))
            };
            prop_assert!(gone.is_none() || backups.iter().any(follows));
        }
        if world.backups.iter().all(|backup| backup.cluster.is_none()) {
            prop_assert_eq!(&wal, &world.wal());
        }
    }

    /// A plan that was carried out in part leads to the same end, and one that was carried out leaves nothing to do.
    #[test]
    fn an_interrupted_plan_is_completed_by_the_next(world in worlds(), done in prop::collection::vec(any::<bool>(), 18)) {
        let plan = world.plan();
        let (backups, wal) = world.after(&plan);
        let going: BTreeSet<_> = plan.going().cloned().collect();
        let mut is_done = done.iter().copied().cycle();
        let is_left = |backup: &&StoredBackup| !going.contains(&backup.id) || !is_done.next().unwrap_or(false);
        let partly: Vec<_> = world.backups.iter().filter(is_left).cloned().collect();
        let again = plan_retention(&world.policies, world.now, &partly, &[world.wal()]);
        let all: BTreeSet<_> = again.going().cloned().collect();
        let left: BTreeSet<_> =
            going.iter().filter(|id| partly.iter().any(|backup| backup.id == **id)).cloned().collect();
        prop_assert!(all.is_subset(&left));
        // Of branches, a backup that has gone can have been all that told when one ended.
        if world.branches.len() == 1 {
            prop_assert_eq!(all, left);
            prop_assert_eq!(&again.wal, &plan.wal);
            let nothing = plan_retention(&world.policies, world.now, &backups, &[wal]);
            prop_assert_eq!(nothing.going().count(), 0);
        }
    }
}
