//! Retention by example. The laws that hold for all histories are in `laws.rs`.

use std::collections::BTreeMap;

use super::*;
use crate::{HistoryState, SegmentState, TimelineHistory};

const SIZE: SegmentSize = SegmentSize::DEFAULT;
const BYTES: u64 = 16 << 20;

/// Midnight of a day counted from the first of January 2026.
fn day(number: i64) -> Timestamp {
    "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(24 * number)
}

fn policy(days: u32, wal_days: u32) -> RetentionPolicies {
    RetentionPolicy { days, wal_days, ..RetentionPolicy::default() }.into()
}

/// A logical backup of `books` that was complete at midnight.
fn logical(on: i64, standing: Standing) -> StoredBackup {
    StoredBackup {
        id: BackupId::new(day(on), [1, 0, 0]),
        kind: Kind::Logical,
        source: "books".into(),
        finished_at: day(on),
        standing,
        is_filtered: false,
        held_until: None,
        cluster: None,
    }
}

/// A physical backup of `books`, from the middle of a segment to the middle of the next.
fn physical(on: i64, standing: Standing, timeline: u32, segment: u64) -> StoredBackup {
    let cluster = StoredCluster {
        system: SystemId(7),
        segment_size: SIZE,
        timeline: TimelineId::new(timeline).unwrap(),
        start: Lsn(segment * BYTES + 40),
        stop: Lsn((segment + 1) * BYTES + 1000),
        holds_wal: true,
    };
    let id = BackupId::new(day(on), [2, 0, 0]);
    StoredBackup { id, kind: Kind::Physical, cluster: Some(cluster), ..logical(on, standing) }
}

fn timeline(number: u32, history: &str, segments: impl IntoIterator<Item = u64>) -> StoredTimeline {
    let timeline = TimelineId::new(number).unwrap();
    let name = |segment| WalSegmentName::containing(timeline, Lsn(segment * BYTES), SIZE);
    let history = TimelineHistory::parse(timeline, history.as_bytes()).unwrap();
    let archived = ArchivedTimeline {
        timeline,
        history: HistoryState::Known(history),
        segments: segments.into_iter().map(|segment| (name(segment), SegmentState::Whole)).collect(),
        unfinished: None,
    };
    StoredTimeline { archived, written_until: None }
}

fn wal(timelines: impl IntoIterator<Item = StoredTimeline>) -> StoredWal {
    StoredWal { system: SystemId(7), timelines: timelines.into_iter().collect() }
}

/// The days of the backups that go.
fn going(plan: &RetentionPlan) -> Vec<i64> {
    plan.going().map(|id| id.started_at().duration_since(day(0)).as_hours() / 24).collect()
}

fn fates(plan: &RetentionPlan) -> BTreeMap<i64, Fate> {
    let number = |id: &BackupId| id.started_at().duration_since(day(0)).as_hours() / 24;
    plan.backups.iter().map(|verdict| (number(&verdict.id), verdict.fate)).collect()
}

fn plan(days: u32, now: i64, backups: &[StoredBackup]) -> RetentionPlan {
    plan_retention(&policy(days, days), day(now), backups, &[])
}

use Standing::{Failed, Proven, Unproven};

#[test]
fn a_backup_goes_when_it_is_older_than_the_policy_says() {
    let backups: Vec<_> = (0..10).map(|on| logical(on, Proven)).collect();
    assert_eq!(going(&plan(7, 9, &backups)), [0, 1, 2], "seven days are over on the seventh midnight");
    assert_eq!(fates(&plan(7, 9, &backups))[&3], Fate::Stays(Kept::Young));
    let moment_before = day(9) - SignedDuration::from_nanos(1);
    let plan = plan_retention(&policy(7, 7), moment_before, &backups[..9], &[]);
    assert_eq!(going(&plan), [0, 1]);
    assert_eq!(plan.halt, None);
}

/// P7: retention never removes the last proven backup.
#[test]
fn the_last_proven_backup_stays_however_old_it_is() {
    let mut backups: Vec<_> = [(0, Proven), (1, Proven), (50, Unproven), (51, Unproven)]
        .map(|(on, standing)| logical(on, standing))
        .to_vec();
    let found = fates(&plan(7, 60, &backups));
    assert_eq!(found[&1], Fate::Stays(Kept::LastProven));
    assert_eq!(found[&51], Fate::Stays(Kept::Newest));
    assert_eq!([found[&0], found[&50]], [Fate::Goes; 2]);

    // Each source and kind has one of its own, and so have backups that leave something out.
    let mut other = logical(2, Proven);
    other.source = "shop".into();
    let mut filtered = logical(3, Proven);
    filtered.is_filtered = true;
    backups.extend([other, filtered, physical(4, Proven, 1, 3)]);
    let found = fates(&plan(7, 60, &backups));
    for on in [1, 2, 3, 4] {
        assert_eq!(found[&on], Fate::Stays(Kept::LastProven), "{on}");
    }
}

/// P7: retention never runs after a failed backup.
#[test]
fn nothing_goes_of_a_source_whose_newest_backup_failed() {
    let mut backups: Vec<_> = (0..10).map(|on| logical(on, if on == 9 { Failed } else { Proven })).collect();
    let mut other = logical(0, Proven);
    other.source = "shop".into();
    other.id = BackupId::new(day(0), [9, 0, 0]);
    let mut newer = logical(10, Proven);
    newer.source = "shop".into();
    backups.extend([other.clone(), newer]);
    let found = plan(7, 10, &backups);
    assert_eq!(found.going().collect::<Vec<_>>(), [&other.id], "another source is not held up");
    assert_eq!(found.backups[2].fate, Fate::Stays(Kept::SourceFailed));
    assert_eq!(found.backups[8].fate, Fate::Stays(Kept::Young));
    // A failed logical backup holds up physical ones, too.
    let backups =
        [logical(5, Failed), physical(0, Proven, 1, 3), physical(1, Proven, 1, 5), logical(1, Proven)];
    assert_eq!(going(&plan(3, 5, &backups)), [0; 0]);
    // It is over as soon as there is a good one, and what failed goes like any other.
    let mut backups: Vec<_> = (0..10).map(|on| logical(on, if on == 2 { Failed } else { Proven })).collect();
    assert_eq!(going(&plan(7, 9, &backups)), [0, 1, 2]);
    backups.truncate(3);
    assert_eq!(going(&plan(1, 30, &backups)), [0; 0]);
}

#[test]
fn a_clock_that_jumped_deletes_nothing() {
    let backups: Vec<_> = (0..10).map(|on| logical(on, Proven)).collect();
    let found = plan_retention(&policy(2, 2), day(9) - SignedDuration::from_secs(1), &backups, &[]);
    let backup = backups[9].id.clone();
    assert_eq!(found.halt, Some(Halt::ClockBehind { backup, finished_at: day(9) }));
    assert_eq!(found.going().count(), 0);
    assert_eq!(found.backups[0].fate, Fate::Stays(Kept::Halted));

    let found = plan(7, 400, &backups);
    assert_eq!(found.halt, Some(Halt::TooMany { source: "books".into(), going: 9, of: 10 }));
    assert_eq!(found.going().count(), 0);
    // Half of them is not more than half, and three are never too many.
    assert_eq!(going(&plan(5, 9, &backups)), [0, 1, 2, 3, 4]);
    assert_eq!(plan(4, 9, &backups).halt, Some(Halt::TooMany { source: "books".into(), going: 6, of: 10 }));
    assert_eq!(going(&plan(7, 400, &backups[..4])), [0, 1, 2]);
    // One source that looks wrong stops all: it is one clock.
    let mut others: Vec<_> = (0..3).map(|on| logical(on, Proven)).collect();
    for backup in &mut others {
        backup.source = "shop".into();
    }
    assert_eq!(plan(7, 400, &[&backups[..], &others].concat()).going().count(), 0);
}

/// The cuts in short: timeline and first segment that stays.
fn cuts(plan: &RetentionPlan) -> Vec<(u32, Result<u64, WalKept>)> {
    let show = |verdict: &WalVerdict| match &verdict.fate {
        WalFate::Stays(kept) => Err(*kept),
        WalFate::Cut(cut) => {
            let name = |segment| WalSegmentName::containing(verdict.timeline, Lsn(segment * BYTES), SIZE);
            let stays = cut.before.0 / BYTES;
            assert!(!cut.takes(name(stays)) && (stays == 0 || cut.takes(name(stays - 1))));
            Ok(stays)
        }
    };
    plan.wal.iter().map(|verdict| (verdict.timeline.get(), show(verdict))).collect()
}

#[test]
fn wal_goes_up_to_the_newest_backup_from_before_the_window() {
    let backups: Vec<_> =
        (0..10).map(|on| physical(on, Proven, 1, u64::try_from(on).unwrap() * 10)).collect();
    let archive = wal([timeline(1, "", 0..100)]);
    let found = plan_retention(&policy(7, 3), day(9), &backups, std::slice::from_ref(&archive));
    assert_eq!(going(&found), [0, 1, 2]);
    // Three days before day 9: the backup of day 6 was complete just then.
    assert_eq!(cuts(&found), [(1, Ok(60))]);
    let WalFate::Cut(cut) = &found.wal[0].fate else { panic!("{found:?}") };
    assert_eq!(cut.needed_by, backups[6].id);
    // A window that is longer than backups are kept holds the one from which it is reached.
    let found = plan_retention(&policy(5, 7), day(9), &backups, std::slice::from_ref(&archive));
    assert_eq!(fates(&found)[&2], Fate::Stays(Kept::RecoveryWindow));
    assert_eq!((going(&found), cuts(&found)), (vec![0, 1, 3, 4], vec![(1, Ok(20))]));
    // Before there is a backup from before the window, everything stays.
    let found = plan_retention(&policy(30, 30), day(9), &backups, &[archive]);
    assert_eq!(cuts(&found), [(1, Err(WalKept::NoBackupBefore))]);
}

#[test]
fn the_window_begins_at_a_backup_that_is_known_to_restore() {
    let archive = wal([timeline(1, "", 0..100)]);
    let with = |standings: &[Standing]| {
        let backups: Vec<_> = (0..)
            .zip(standings.iter().copied())
            .map(|(on, standing)| physical(on, standing, 1, 10 * u64::try_from(on).unwrap()))
            .collect();
        let newest = physical(20, Proven, 1, 90);
        let found = plan_retention(
            &policy(7, 7),
            day(20),
            &[&backups[..], &[newest]].concat(),
            std::slice::from_ref(&archive),
        );
        (going(&found), cuts(&found)[0].1)
    };
    assert_eq!(with(&[Proven, Proven, Unproven, Unproven]), (vec![0, 2], Ok(10)));
    assert_eq!(with(&[Proven, Proven, Unproven, Failed]), (vec![0, 3], Ok(10)));
    assert_eq!(with(&[Unproven, Unproven, Unproven, Failed]), (vec![0, 1, 3], Ok(20)));
    assert_eq!(with(&[Failed, Failed, Failed]), (vec![0, 1, 2], Err(WalKept::NoBackupBefore)));
}

#[test]
fn a_proven_backup_behind_a_gap_does_not_reach_the_window() {
    // Day 0 is proven, but segment 15 is missing between it and the next one.
    let archive = wal([timeline(1, "", (0..15).chain(16..100))]);
    let backups = [
        physical(0, Proven, 1, 10),
        physical(1, Unproven, 1, 20),
        physical(2, Unproven, 1, 30),
        physical(3, Proven, 1, 90),
    ];
    let found = plan_retention(&policy(1, 1), day(3), &backups, &[archive]);
    assert_eq!((going(&found), cuts(&found)), (vec![0, 1], vec![(1, Ok(30))]));
}

#[test]
fn moments_behind_a_gap_in_the_window_are_still_reached() {
    let archive = wal([timeline(1, "", (0..25).chain(26..100))]);
    let backups = [
        physical(0, Proven, 1, 10),
        physical(1, Proven, 1, 20),
        physical(2, Unproven, 1, 30),
        physical(3, Proven, 1, 40),
        physical(4, Proven, 1, 50),
        physical(9, Proven, 1, 90),
    ];
    // The window of eight days begins on day 1. Only the backup of day 2 reaches what follows the gap at once; that of day 3 is proven.
    let found = plan_retention(&policy(1, 8), day(9), &backups, &[archive]);
    assert_eq!((going(&found), cuts(&found)), (vec![0, 4], vec![(1, Ok(20))]));
    assert_eq!([fates(&found)[&2], fates(&found)[&3]], [Fate::Stays(Kept::RecoveryWindow); 2]);
}

#[test]
fn ancestors_go_with_their_descendants_and_branches_stay() {
    // 2 left 1 within segment 40; 3 left 1 within segment 30 and went nowhere.
    let (second, third) = ("1\t0/28000100\tx\n", "1\t0/1E000100\tx\n");
    let archive = wal([timeline(1, "", 0..60), timeline(2, second, 40..100), timeline(3, third, 30..35)]);
    let backups = [physical(0, Proven, 1, 10), physical(1, Proven, 2, 50), physical(20, Proven, 2, 90)];
    let found = plan_retention(&policy(7, 7), day(20), &backups, std::slice::from_ref(&archive));
    // 3 may hold moments of the window as far as anybody knows; it is reached from the first backup.
    assert_eq!(
        (going(&found), cuts(&found)),
        (vec![], vec![(1, Ok(10)), (2, Ok(10)), (3, Err(WalKept::NoBackupBefore))])
    );
    // When it is known that it ended before, it is in nobody's way, and stays all the same.
    let mut ended = archive;
    ended.timelines[0].written_until = Some(day(1));
    ended.timelines[2].written_until = Some(day(1));
    let found = plan_retention(&policy(7, 7), day(20), &backups, &[ended]);
    let expected = vec![(1, Ok(50)), (2, Ok(50)), (3, Err(WalKept::NoBackupBefore))];
    assert_eq!((going(&found), cuts(&found)), (vec![0], expected));
}

#[test]
fn wal_stays_where_nobody_knows_what_needs_it() {
    let backups = [physical(0, Proven, 1, 10), physical(10, Proven, 1, 50), physical(20, Proven, 1, 90)];
    let archive = wal([timeline(1, "", 0..100)]);
    let cuts_of = |backups: &[StoredBackup], archive: &StoredWal| {
        cuts(&plan_retention(&policy(7, 7), day(20), backups, std::slice::from_ref(archive)))
    };
    assert_eq!(cuts_of(&backups, &archive), [(1, Ok(50))]);
    assert_eq!(cuts_of(&[logical(20, Proven)], &archive), [(1, Err(WalKept::NoBackup))]);
    let mut foreign = archive.clone();
    foreign.system = SystemId(8);
    assert_eq!(cuts_of(&backups, &foreign), [(1, Err(WalKept::NoBackup))]);

    let mut damaged = timeline(2, "1\t0/28000100\tx\n", 40..50);
    damaged.archived.history = HistoryState::Damaged;
    let damaged = wal([timeline(1, "", 0..100), damaged]);
    let all = |kept| [(1, Err(kept)), (2, Err(kept))];
    assert_eq!(cuts_of(&backups, &damaged), all(WalKept::HistoryDamaged));

    let mut failed = backups.to_vec();
    failed.push(logical(20, Failed));
    assert_eq!(cuts_of(&failed, &archive), [(1, Err(WalKept::SourceFailed))]);
    let mut small = backups.clone();
    small[0].cluster.as_mut().unwrap().segment_size = SegmentSize::new(1 << 20).unwrap();
    assert_eq!(cuts_of(&small, &archive), [(1, Err(WalKept::SegmentSizes))]);
    let early = plan_retention(&policy(7, 7), day(19), &backups, std::slice::from_ref(&archive));
    assert_eq!(cuts(&early), [(1, Err(WalKept::Halted))]);

    // A backup without its own WAL keeps it, whatever the window is.
    let mut lacking = backups.clone();
    lacking[0].cluster.as_mut().unwrap().holds_wal = false;
    assert_eq!(cuts_of(&lacking, &archive), [(1, Ok(50))], "it goes, so it needs nothing");
    lacking[0].source = "shop".into();
    assert_eq!(cuts_of(&lacking, &archive), [(1, Ok(10))]);
}

#[test]
fn without_archived_wal_backups_of_the_window_are_all_there_is_of_it() {
    let backups: Vec<_> =
        (0..10).map(|on| physical(on, Unproven, 1, u64::try_from(on).unwrap() * 10)).collect();
    assert_eq!(going(&plan_retention(&policy(3, 7), day(9), &backups, &[])), [0, 1]);
    assert_eq!(going(&plan_retention(&policy(7, 3), day(9), &backups, &[])), [0, 1, 2]);
}

/// The reasons of the backups that stay, by day.
fn kept(plan: &RetentionPlan) -> Vec<(i64, Kept)> {
    let stays = fates(plan).into_iter().filter_map(|(on, fate)| match fate {
        Fate::Stays(kept) => Some((on, kept)),
        Fate::Goes => None,
    });
    stays.collect()
}

#[test]
fn a_calendar_keeps_what_stands_for_a_day_a_week_a_month_and_a_year() {
    // The first of January 2026 is a Thursday.
    let backups: Vec<_> = (0..70).map(|on| logical(on, Proven)).collect();
    let keep =
        RetentionPolicy { days: 2, keep_daily: 4, keep_weekly: 3, keep_monthly: 9, ..policy(0, 0).general };
    let policies = RetentionPolicies { limit: Some(100), ..keep.into() };
    let found = plan_retention(&policies, day(69), &backups, &[]);
    let expected = [
        (30, Kept::Monthly),
        (58, Kept::Monthly),
        (59, Kept::Weekly),
        (66, Kept::Daily),
        (67, Kept::Daily),
        (68, Kept::Young),
        (69, Kept::Young),
    ];
    // Sunday the first of March is the sixtieth day, and ends a week.
    assert_eq!(kept(&found), expected);

    let last = RetentionPolicy { days: 1, keep_last: 3, ..RetentionPolicy::default() };
    let policies = RetentionPolicies { limit: Some(100), ..last.into() };
    let found = plan_retention(&policies, day(69), &backups, &[]);
    assert_eq!(kept(&found), [(67, Kept::Last), (68, Kept::Last), (69, Kept::Young)]);
}

#[test]
fn a_proven_backup_stands_for_a_week_where_there_is_one() {
    let standing = |on| [Unproven, Proven, Unproven, Failed][usize::try_from(on % 4).unwrap_or(0)];
    let mut backups: Vec<_> = (0..15).map(|on| logical(on, standing(on))).collect();
    backups.push(logical(40, Proven));
    let keep = RetentionPolicy { days: 1, keep_weekly: 9, ..RetentionPolicy::default() };
    let found =
        plan_retention(&RetentionPolicies { limit: Some(100), ..keep.into() }, day(40), &backups, &[]);
    assert_eq!(kept(&found), [(1, Kept::Weekly), (9, Kept::Weekly), (13, Kept::Weekly), (40, Kept::Young)]);
}

#[test]
fn each_source_has_a_policy_of_its_own() {
    let of = |source: &str, on| StoredBackup {
        source: source.into(),
        id: BackupId::new(day(on), [u8::try_from(source.len()).unwrap_or(0), 0, 0]),
        ..logical(on, Proven)
    };
    let backups: Vec<_> = (0..6).flat_map(|on| [of("books", on), of("shops", on)]).collect();
    let backups: Vec<_> = backups
        .into_iter()
        .enumerate()
        .map(|(number, mut backup)| {
            backup.id = BackupId::new(backup.finished_at, [u8::try_from(number).unwrap_or(0), 0, 0]);
            backup
        })
        .collect();
    let mut policies = policy(4, 4);
    policies.sources.insert("shops".into(), RetentionPolicy { days: 5, ..policy(5, 5).general });
    let found = plan_retention(&policies, day(6), &backups, &[]);
    let gone: BTreeSet<_> = found.going().collect();
    let days = |source: &str| {
        let of = backups.iter().filter(|backup| backup.source == source && gone.contains(&backup.id));
        of.map(|backup| backup.finished_at.duration_since(day(0)).as_hours() / 24).collect::<Vec<_>>()
    };
    assert_eq!((days("books"), days("shops")), (vec![0, 1, 2], vec![0, 1]));
}

#[test]
fn what_is_held_stays_until_its_time() {
    let mut backups: Vec<_> = (0..10).map(|on| logical(on, Proven)).collect();
    backups[0].held_until = Some(day(10));
    let before = plan_retention(&policy(7, 7), day(10) - SignedDuration::from_secs(1), &backups, &[]);
    assert_eq!((fates(&before)[&0], going(&before)), (Fate::Stays(Kept::Held), vec![1, 2]));
    assert_eq!(going(&plan_retention(&policy(7, 7), day(10), &backups, &[])), [0, 1, 2, 3]);
}

#[test]
fn how_many_may_go_at_once_can_be_said() {
    let backups: Vec<_> = (0..10).map(|on| logical(on, Proven)).collect();
    let plan = |limit| {
        let policies = RetentionPolicies { limit, ..policy(1, 1) };
        plan_retention(&policies, day(9), &backups, &[])
    };
    let too_many = Halt::TooMany { source: "books".into(), going: 9, of: 10 };
    assert_eq!((plan(None).halt, plan(Some(8)).halt), (Some(too_many.clone()), Some(too_many)));
    assert_eq!(going(&plan(Some(9))).len(), 9);
}

#[test]
fn only_what_was_asked_for_is_removed_and_nothing_that_is_needed() {
    let mut backups: Vec<_> = (0..5).map(|on| logical(on, Proven)).collect();
    backups[1].held_until = Some(day(100));
    backups.extend([physical(0, Proven, 1, 0), physical(3, Proven, 1, 3), physical(4, Proven, 1, 4)]);
    let archive = wal([timeline(1, "", 0..8)]);
    let remove = |asked: &[usize], shortens_window| {
        let asked = asked.iter().map(|index| backups[*index].id.clone()).collect();
        plan_removal(&policy(2, 2), day(4), &backups, std::slice::from_ref(&archive), &asked, shortens_window)
    };
    let fates = |plan: &RetentionPlan| plan.backups.iter().map(|verdict| verdict.fate).collect::<Vec<_>>();
    let not = Fate::Stays(Kept::NotAsked);
    let found = remove(&[0, 1, 4, 5, 6], false);
    let (held, last, window) =
        (Fate::Stays(Kept::Held), Fate::Stays(Kept::LastProven), Fate::Stays(Kept::RecoveryWindow));
    assert_eq!(fates(&found), [Fate::Goes, held, not, not, last, window, Fate::Goes, not]);
    assert!(found.wal.iter().all(|wal| wal.fate == WalFate::Stays(WalKept::NotAsked)));
    assert_eq!(fates(&remove(&[5], true))[5], Fate::Goes);
}

#[test]
fn a_failed_backup_is_superseded_by_a_later_proven_one() {
    let backups = [logical(0, Failed), logical(1, Proven), logical(2, Failed), physical(0, Failed, 1, 0)];
    assert_eq!(superseded_failures(&backups), [backups[0].id.clone()].into());
}
