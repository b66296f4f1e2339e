//! Windows and gaps, against examples and against what one finds by trying every segment.

use proptest::prelude::*;

use super::*;

const SIZE: SegmentSize = SegmentSize::DEFAULT;
const BYTES: u64 = 16 << 20;

fn timeline(number: u32) -> TimelineId {
    TimelineId::new(number).unwrap()
}

fn name(on: u32, number: u64) -> WalSegmentName {
    WalSegmentName::containing(timeline(on), Lsn(number * BYTES), SIZE)
}

/// A backup from the middle of one segment to the middle of another.
fn backup(day: u8, on: u32, first: u64, last: u64) -> BackupSpan {
    let finished_at: Timestamp = format!("2026-11-{:02}T12:00:00Z", day + 1).parse().unwrap();
    BackupSpan {
        id: BackupId::new(finished_at, [day, 0, 0]),
        timeline: timeline(on),
        start: Lsn(first * BYTES + 40),
        stop: Lsn(last * BYTES + 1000),
        finished_at,
        holds_wal: false,
    }
}

fn archive(on: u32, history: &str, numbers: impl IntoIterator<Item = u64>) -> ArchivedTimeline {
    ArchivedTimeline {
        timeline: timeline(on),
        history: HistoryState::Known(TimelineHistory::parse(timeline(on), history.as_bytes()).unwrap()),
        segments: numbers.into_iter().map(|number| (name(on, number), SegmentState::Whole)).collect(),
        unfinished: None,
    }
}

fn gap(on: u32, first: u64, last: u64, cause: GapCause) -> Gap {
    Gap { first: name(on, first), last: name(on, last), segments: last - first + 1, cause }
}

/// The windows in short: timeline, first and last position in segments, backups.
fn shown(found: &Recoverability) -> Vec<(u32, u64, u64, usize)> {
    let number = |lsn: Lsn| lsn.0.div_ceil(BYTES);
    let show = |window: &RecoveryWindow| {
        (window.timeline.get(), window.from.0 / BYTES, number(window.to), window.backups.len())
    };
    found.windows.iter().map(show).collect()
}

#[test]
fn a_window_reaches_from_a_backup_to_the_last_wal() {
    let found = recoverability(SIZE, &[backup(0, 1, 3, 4)], &[archive(1, "", 2..=9)]);
    let [window] = &found.windows[..] else { panic!("{found:?}") };
    assert_eq!((window.from, window.to), (Lsn(4 * BYTES + 1000), Lsn(10 * BYTES)));
    assert_eq!(window.from_time, "2026-11-01T12:00:00Z".parse().unwrap());
    assert_eq!(window.last_segment, Some(name(1, 9)));
    assert_eq!((&found.gaps[..], found.unusable.len()), (&[][..], 0));
    let range =
        ArchivedRange { first: name(1, 2), last: name(1, 9), from: Lsn(2 * BYTES), to: Lsn(10 * BYTES) };
    assert_eq!(found.archived, [range]);
}

#[test]
fn a_gap_ends_a_window_and_is_named() {
    let wal = archive(1, "", [2, 3, 4, 5, 8, 9, 12]);
    let found = recoverability(SIZE, &[backup(0, 1, 3, 4), backup(1, 1, 4, 4), backup(2, 1, 8, 9)], &[wal]);
    assert_eq!(shown(&found), [(1, 4, 6, 2), (1, 9, 10, 1)]);
    assert_eq!(found.gaps, [gap(1, 6, 7, GapCause::Missing), gap(1, 10, 11, GapCause::Missing)]);
    assert_eq!(found.archived.len(), 3);
}

#[test]
fn what_lies_before_all_backups_is_no_gap() {
    let found = recoverability(SIZE, &[backup(0, 1, 8, 8)], &[archive(1, "", [2, 5, 8])]);
    assert_eq!((shown(&found), &found.gaps[..]), (vec![(1, 8, 9, 1)], &[][..]));
    // Without a backup, nobody knows what will be needed.
    let found = recoverability(SIZE, &[], &[archive(1, "", [2, 5, 6])]);
    assert_eq!((shown(&found), &found.gaps[..]), (vec![], &[gap(1, 3, 4, GapCause::Missing)][..]));
}

#[test]
fn a_backup_without_its_wal_is_unusable_unless_it_holds_it() {
    let (mut one, wal) = (backup(0, 1, 3, 5), archive(1, "", [3, 5, 6]));
    let found = recoverability(SIZE, &[one.clone()], std::slice::from_ref(&wal));
    assert_eq!((shown(&found), found.unusable.len()), (vec![], 1));
    assert_eq!(found.gaps, [gap(1, 4, 4, GapCause::Missing)]);
    one.holds_wal = true;
    let found = recoverability(SIZE, &[one.clone()], &[wal]);
    assert_eq!((shown(&found), &found.gaps[..]), (vec![(1, 5, 7, 1)], &[][..]));
    // Without any WAL it can still be recovered to where it ended.
    let found = recoverability(SIZE, &[one.clone()], &[]);
    let [window] = &found.windows[..] else { panic!("{found:?}") };
    assert_eq!((window.from, window.to, window.last_segment), (one.stop, one.stop, None));
    assert!(found.unusable.is_empty());
}

#[test]
fn pieces_extend_a_window() {
    let mut wal = archive(1, "", 3..=5);
    wal.unfinished = Some((name(1, 6), Lsn(6 * BYTES + 77)));
    let found = recoverability(SIZE, &[backup(0, 1, 3, 3)], std::slice::from_ref(&wal));
    let [window] = &found.windows[..] else { panic!("{found:?}") };
    assert_eq!((window.to, window.last_segment), (Lsn(6 * BYTES + 77), Some(name(1, 6))));
    assert_eq!(found.archived[0].to, window.to);
    wal.unfinished = Some((name(1, 8), Lsn(8 * BYTES + 77)));
    let found = recoverability(SIZE, &[backup(0, 1, 3, 3)], &[wal]);
    assert_eq!(
        (shown(&found), &found.gaps[..]),
        (vec![(1, 3, 6, 1)], &[gap(1, 6, 7, GapCause::Missing)][..])
    );
}

#[test]
fn damage_is_a_gap_with_its_cause() {
    let mut wal = archive(1, "", 3..=9);
    wal.segments.insert(name(1, 6), SegmentState::Damaged);
    wal.segments.remove(&name(1, 7));
    wal.segments.insert(name(1, 10), SegmentState::Damaged);
    let found = recoverability(SIZE, &[backup(0, 1, 3, 3)], &[wal]);
    assert_eq!(shown(&found), [(1, 3, 6, 1)]);
    let expected =
        [gap(1, 6, 6, GapCause::Damaged), gap(1, 7, 7, GapCause::Missing), gap(1, 10, 10, GapCause::Damaged)];
    assert_eq!(found.gaps, expected);
}

/// Timeline 2 branches off within segment 5 of timeline 1.
fn branch(
    rest_of_first: impl IntoIterator<Item = u64>,
    second: impl IntoIterator<Item = u64>,
) -> [ArchivedTimeline; 2] {
    let history = format!("1\t{}\tno reason\n", Lsn(5 * BYTES + 500));
    [archive(1, "", (3..5).chain(rest_of_first)), archive(2, &history, second)]
}

#[test]
fn recovery_follows_a_timeline_to_its_children() {
    // The first timeline ended where the second begins: one window.
    let found = recoverability(SIZE, &[backup(0, 1, 3, 3)], &branch([], 5..=7));
    assert_eq!((shown(&found), &found.gaps[..]), (vec![(2, 3, 8, 1)], &[][..]));
    // It went on: two windows.
    let found = recoverability(SIZE, &[backup(0, 1, 3, 3)], &branch([5, 6], 5..=7));
    assert_eq!((shown(&found), &found.gaps[..]), (vec![(1, 3, 7, 1), (2, 3, 8, 1)], &[][..]));
    // A backup beside the branch cannot get onto it.
    let beside = recoverability(SIZE, &[backup(0, 1, 5, 6)], &branch([5, 6], 5..=7));
    assert_eq!(shown(&beside), [(1, 6, 7, 1)]);
    // One on the second timeline needs nothing of the first.
    let found = recoverability(SIZE, &[backup(0, 2, 6, 6)], &branch([], [6, 7]));
    assert_eq!((shown(&found), &found.gaps[..]), (vec![(2, 6, 8, 1)], &[][..]));
}

#[test]
fn gaps_on_both_sides_of_a_branch_have_the_names_of_their_timelines() {
    let [mut first, mut second] = branch([], 5..=7);
    first.segments.remove(&name(1, 4));
    second.segments.remove(&name(2, 5));
    let found = recoverability(SIZE, &[backup(0, 1, 3, 3)], &[first, second]);
    assert_eq!(found.gaps, [gap(1, 4, 4, GapCause::Missing), gap(2, 5, 5, GapCause::Missing)]);
    assert_eq!(shown(&found), [(1, 3, 4, 1)]);
}

#[test]
fn a_timeline_without_history_is_out_of_reach() {
    for (state, cause) in
        [(HistoryState::Missing, GapCause::NoHistory), (HistoryState::Damaged, GapCause::HistoryDamaged)]
    {
        let [first, mut second] = branch([], 5..=7);
        second.history = state;
        let found = recoverability(SIZE, &[backup(0, 1, 3, 3)], &[first.clone(), second.clone()]);
        assert_eq!((shown(&found), &found.gaps[..]), (vec![(1, 3, 5, 1)], &[gap(2, 5, 7, cause)][..]));
        // A backup that was taken on it does not need it.
        let found = recoverability(SIZE, &[backup(0, 2, 6, 6)], &[first, second]);
        assert_eq!(shown(&found), [(2, 6, 8, 1)]);
    }
    let mut first = archive(1, "", 3..=4);
    first.history = HistoryState::Missing;
    assert_eq!(recoverability(SIZE, &[], &[first]).gaps, [], "the first timeline has none");
}

#[test]
fn a_far_away_segment_does_not_take_forever() {
    let mut wal = archive(1, "", 3..=4);
    let far = WalSegmentName { timeline: timeline(1), log: u32::MAX, segment: 200 };
    wal.segments.insert(far, SegmentState::Whole);
    let found = recoverability(SIZE, &[backup(0, 1, 3, 3)], &[wal]);
    assert_eq!(found.gaps.len(), 1);
    assert_eq!(found.gaps[0].segments, (u64::from(u32::MAX) << 8) + 200 - 5);
}

/// Whether the segment that recovery to `history` needs at `number` is there, by looking.
fn is_there(history: &TimelineHistory, number: u64, wal: &[ArchivedTimeline]) -> bool {
    // As the server does: the latest timeline that begins in or before the segment.
    let reaches = |leg: &crate::Leg| leg.begin.0 / BYTES <= number;
    let on = history.legs().rev().find(reaches).unwrap().timeline;
    let timeline = wal.iter().find(|archived| archived.timeline == on);
    timeline
        .is_some_and(|archived| archived.segments.get(&name(on.get(), number)) == Some(&SegmentState::Whole))
}

prop_compose! {
    /// Three timelines, of which 2 branches off 1 and 3 off 1 or 2, with some segments missing or damaged.
    fn archives()(
        first in 4..20u64,
        second in 0..10u64,
        aligned in any::<[bool; 2]>(),
        third_of_first in any::<bool>(),
        states in prop::collection::vec(0..10u8, 90),
    ) -> Vec<ArchivedTimeline> {
        let at = |number: u64, aligned: bool| Lsn(number * BYTES + if aligned { 0 } else { 500 });
        let one = format!("1\t{}\tx\n", at(first, aligned[0]));
        let two = if third_of_first {
            format!("1\t{}\tx\n", at(second, aligned[1]))
        } else {
            format!("{one}2\t{}\tx\n", at(first + second, aligned[1]).max(at(first, aligned[0])))
        };
        let numbers = |on: usize| {
            let states = states[30 * on..30 * on + 30].to_vec();
            (0..30u64).zip(states).filter(|(_, state)| *state > 1).collect::<Vec<_>>()
        };
        (1u32..).zip([String::new(), one, two]).map(|(on, history)| {
            let numbers = numbers(on as usize - 1);
            let mut archived = archive(on, &history, numbers.iter().map(|(number, _)| *number));
            for (number, state) in numbers {
                if state == 2 {
                    archived.segments.insert(name(on, number), SegmentState::Damaged);
                }
            }
            archived
        }).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn windows_and_gaps_are_what_one_finds_by_trying(
        wal in archives(),
        spans in prop::collection::vec((1..4u32, 0..28u64, 0..3u64), 0..5),
    ) {
        let spans = (0u8..).zip(spans);
        let backups: Vec<_> = spans.map(|(day, (on, first, more))| backup(day, on, first, first + more)).collect();
        let found = recoverability(SIZE, &backups, &wal);
        let history = |on: TimelineId| match &wal[on.get() as usize - 1].history {
            HistoryState::Known(history) => history,
            _ => unreachable!(),
        };
        // Everything from the start of each backup to the end of its window is there, and the next segment is not.
        for window in &found.windows {
            for id in &window.backups {
                let span = backups.iter().find(|backup| backup.id == *id).unwrap();
                prop_assert!(history(window.timeline).passes(span.timeline, span.stop));
                prop_assert!(span.stop >= window.from && span.stop <= window.to);
                for number in span.start.0 / BYTES..window.to.0 / BYTES {
                    prop_assert!(is_there(history(window.timeline), number, &wal), "{window:?} {number}");
                }
            }
            prop_assert!(!is_there(history(window.timeline), window.to.0 / BYTES, &wal), "{window:?}");
        }
        // A backup is usable exactly when some way has all its WAL.
        for span in &backups {
            let usable = wal.iter().map(|archived| history(archived.timeline)).any(|history| {
                history.passes(span.timeline, span.stop)
                    && (span.start.0 / BYTES..=span.stop.0 / BYTES).all(|number| is_there(history, number, &wal))
            });
            prop_assert_eq!(!found.unusable.contains(&span.id), usable, "{:?}", span);
        }
        // No segment of a gap is there, and each is named once.
        let mut named = BTreeSet::new();
        for gap in &found.gaps {
            let (mut at, mut count) = (gap.first, 0);
            loop {
                let state = wal[at.timeline.get() as usize - 1].segments.get(&at);
                let expected = if gap.cause == GapCause::Damaged { Some(&SegmentState::Damaged) } else { None };
                prop_assert_eq!(state, expected, "{:?} {}", gap, at);
                named.insert(at);
                count += 1;
                if at == gap.last { break; }
                at = at.next(SIZE);
            }
            prop_assert_eq!(count, gap.segments);
        }
        // Whatever ends a window before the last WAL of its way is named.
        for window in &found.windows {
            let history = history(window.timeline);
            let later = (window.to.0 / BYTES..30).any(|number| is_there(history, number, &wal));
            if later {
                prop_assert!(named.contains(&history.segment_at(window.to, SIZE)), "{:?}", window);
            }
        }
    }
}
