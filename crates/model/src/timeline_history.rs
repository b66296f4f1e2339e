//! The history of a timeline: where its ancestors ended (PostgreSQL documentation, section 26.3.6; `timeline.c` of the server's
//! source).
//!
//! Invariant: ancestors are in the order in which they followed each other; their numbers and the positions at which they ended
//! only grow.

use std::fmt;

use crate::{Lsn, SegmentSize, TimelineId, WalSegmentName};

/// A timeline and its ancestors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineHistory {
    timeline: TimelineId,
    ancestors: Vec<Ancestor>,
}

/// A timeline from which another one branched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ancestor {
    /// The timeline.
    pub timeline: TimelineId,
    /// Where its successor begins. The WAL of this timeline counts only up to here.
    pub end: Lsn,
}

/// A part of a history: the WAL from `begin` to `end` was written on `timeline`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leg {
    /// The timeline.
    pub timeline: TimelineId,
    /// Its first position.
    pub begin: Lsn,
    /// The position behind its last; nothing for the timeline itself, which goes on.
    pub end: Option<Lsn>,
}

/// The text is not the history of a timeline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseHistoryError {
    /// A line is not `timeline<TAB>position<TAB>reason`.
    #[error("line {line} does not name a timeline and a position")]
    Line {
        /// Its number, from 1.
        line: usize,
    },
    /// Timelines or positions do not grow.
    #[error("line {line} does not follow the one before it")]
    Order {
        /// Its number, from 1.
        line: usize,
    },
    /// An ancestor is not older than the timeline.
    #[error("it names timeline {ancestor} as an ancestor of timeline {timeline}")]
    Ancestor {
        /// The ancestor.
        ancestor: TimelineId,
        /// The timeline.
        timeline: TimelineId,
    },
    /// It is not text.
    #[error("it is not text")]
    NotText,
}

impl TimelineHistory {
    /// The history of a timeline without ancestors: that of a cluster that never recovered.
    pub const fn root(timeline: TimelineId) -> Self {
        Self { timeline, ancestors: Vec::new() }
    }

    /// Reads the file `….history` of `timeline`.
    pub fn parse(timeline: TimelineId, text: &[u8]) -> Result<Self, ParseHistoryError> {
        let text = std::str::from_utf8(text).map_err(|_| ParseHistoryError::NotText)?;
        let mut ancestors: Vec<Ancestor> = Vec::new();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim_start();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let ancestor = parse_line(content).ok_or(ParseHistoryError::Line { line })?;
            let follows = ancestors
                .last()
                .is_none_or(|last| last.timeline < ancestor.timeline && last.end <= ancestor.end);
            if !follows {
                return Err(ParseHistoryError::Order { line });
            }
            if ancestor.timeline >= timeline {
                return Err(ParseHistoryError::Ancestor { ancestor: ancestor.timeline, timeline });
            }
            ancestors.push(ancestor);
        }
        Ok(Self { timeline, ancestors })
    }

    /// The timeline whose history it is.
    pub fn timeline(&self) -> TimelineId {
        self.timeline
    }

    /// Its ancestors, the oldest first.
    pub fn ancestors(&self) -> &[Ancestor] {
        &self.ancestors
    }

    /// The timelines of its past, the oldest first and itself last, each with the WAL that counts.
    pub fn legs(&self) -> impl DoubleEndedIterator<Item = Leg> + '_ {
        let begins = std::iter::once(Lsn(0)).chain(self.ancestors.iter().map(|ancestor| ancestor.end));
        let begins: Vec<_> = begins.collect();
        let ancestors = self.ancestors.iter().map(|ancestor| (ancestor.timeline, Some(ancestor.end)));
        let ends: Vec<_> = ancestors.chain([(self.timeline, None)]).collect();
        begins.into_iter().zip(ends).map(|(begin, (timeline, end))| Leg { timeline, begin, end })
    }

    /// The timeline on which the byte at `lsn` was written.
    pub fn timeline_at(&self, lsn: Lsn) -> TimelineId {
        self.ancestors
            .iter()
            .find(|ancestor| lsn < ancestor.end)
            .map_or(self.timeline, |ancestor| ancestor.timeline)
    }

    /// Where `timeline` ended as an ancestor of this one; nothing when it is none.
    pub fn end_of(&self, timeline: TimelineId) -> Option<Lsn> {
        self.ancestors.iter().find(|ancestor| ancestor.timeline == timeline).map(|ancestor| ancestor.end)
    }

    /// Whether the byte before `lsn` was written on `timeline` in this history, or `lsn` is where it began: whether a server on
    /// `timeline` that has replayed up to `lsn` can go on to this timeline.
    pub fn passes(&self, timeline: TimelineId, lsn: Lsn) -> bool {
        self.legs()
            .any(|leg| leg.timeline == timeline && leg.begin <= lsn && leg.end.is_none_or(|end| lsn <= end))
    }

    /// The segment from which the byte at `lsn` is replayed. A segment in which a timeline ends is there twice, and the later
    /// timeline's begins with a copy of the earlier one's, so the latest timeline that reaches into it counts.
    pub fn segment_at(&self, lsn: Lsn, size: SegmentSize) -> WalSegmentName {
        let last_byte = lsn.plus(u64::from(size.bytes() - 1 - size.offset(lsn)));
        WalSegmentName::containing(self.timeline_at(last_byte), lsn, size)
    }
}

fn parse_line(line: &str) -> Option<Ancestor> {
    let mut words = line.split_ascii_whitespace();
    let timeline = words.next()?.parse().ok()?;
    Some(Ancestor { timeline, end: words.next()?.parse().ok()? })
}

impl fmt::Display for TimelineHistory {
    /// As PostgreSQL writes the file, without reasons.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ancestors
            .iter()
            .try_for_each(|ancestor| writeln!(f, "{}\t{}\t", ancestor.timeline, ancestor.end))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn timeline(number: u32) -> TimelineId {
        TimelineId::new(number).unwrap()
    }

    fn parse(number: u32, text: &str) -> Result<TimelineHistory, ParseHistoryError> {
        TimelineHistory::parse(timeline(number), text.as_bytes())
    }

    const SIZE: SegmentSize = SegmentSize::DEFAULT;

    #[test]
    fn a_file_of_the_server_is_read() {
        let text = "1\t0/3000148\tno recovery target specified\n\n# a remark\n\
                    3\t0/50000A0\tbefore 2026-11-23 12:00:00.000000+00\n";
        let history = parse(4, text).unwrap();
        let expected = [
            Ancestor { timeline: timeline(1), end: Lsn(0x0300_0148) },
            Ancestor { timeline: timeline(3), end: Lsn(0x0500_00a0) },
        ];
        assert_eq!(history.ancestors(), expected);
        assert_eq!(history.end_of(timeline(3)), Some(Lsn(0x0500_00a0)));
        assert_eq!(history.end_of(timeline(2)), None);
        for (lsn, expected) in [(0, 1), (0x0300_0147, 1), (0x0300_0148, 3), (0x0500_00a0, 4), (u64::MAX, 4)] {
            assert_eq!(history.timeline_at(Lsn(lsn)), timeline(expected), "{lsn:#x}");
        }
        assert_eq!(parse(1, "").unwrap(), TimelineHistory::root(timeline(1)));
    }

    #[test]
    fn what_is_no_history_is_refused() {
        for (text, line) in [("x\t0/1\t\n", 1), ("1\t0/1\t\n2\n", 2), ("\n1\tx\t\n", 2), ("0\t0/1\t", 1)] {
            assert_eq!(parse(9, text), Err(ParseHistoryError::Line { line }), "{text:?}");
        }
        for text in ["2\t0/1\t\n1\t0/2\t\n", "1\t0/1\t\n1\t0/2\t\n", "1\t0/2\t\n2\t0/1\t\n"] {
            assert_eq!(parse(9, text), Err(ParseHistoryError::Order { line: 2 }), "{text:?}");
        }
        let own = parse(2, "2\t0/1\t\n");
        assert_eq!(own, Err(ParseHistoryError::Ancestor { ancestor: timeline(2), timeline: timeline(2) }));
        assert_eq!(TimelineHistory::parse(timeline(2), b"\xff"), Err(ParseHistoryError::NotText));
    }

    #[test]
    fn a_segment_in_which_a_timeline_began_is_taken_from_the_latest() {
        let history = parse(3, "1\t0/3000148\t\n2\t0/3000200\t\n").unwrap();
        let name = |lsn| history.segment_at(Lsn(lsn), SIZE).to_string();
        assert_eq!(name(0x02ff_ffff), "000000010000000000000002");
        assert_eq!(name(0x0300_0000), "000000030000000000000003");
        // A timeline that begins with a segment leaves the one before to its parent.
        let history = parse(2, "1\t0/3000000\t\n").unwrap();
        assert_eq!(history.segment_at(Lsn(0x02ff_ffff), SIZE).to_string(), "000000010000000000000002");
        assert_eq!(history.segment_at(Lsn(0x0300_0000), SIZE).to_string(), "000000020000000000000003");
    }

    #[test]
    fn a_server_can_go_on_along_the_history_and_not_beside_it() {
        let history = parse(3, "1\t0/300\t\n2\t0/500\t\n").unwrap();
        for (on, lsn, passes) in [
            (1, 0x300, true),
            (1, 0x301, false),
            (2, 0x2ff, false),
            (2, 0x300, true),
            (3, 0x4ff, false),
            (3, 0x9_0000, true),
        ] {
            assert_eq!(history.passes(timeline(on), Lsn(lsn)), passes, "{on}, {lsn:#x}");
        }
        assert!(!history.passes(timeline(4), Lsn(0x600)));
    }

    proptest! {
        #[test]
        fn legs_cover_everything_once(
            ends in prop::collection::vec((1..4u32, 0..1000u64), 0..6),
            lsn in 0..6000u64,
        ) {
            let (mut number, mut position, mut text) = (0, 0, String::new());
            for (step, bytes) in &ends {
                number += step;
                position += bytes;
                writeln!(text, "{number}\t{}\twhy not", Lsn(position)).unwrap();
            }
            let history = parse(number + 1, &text).unwrap();
            prop_assert_eq!(TimelineHistory::parse(history.timeline(), history.to_string().as_bytes()).unwrap(), history.clone());
            let legs: Vec<_> = history.legs().collect();
            let holding: Vec<_> = legs
                .iter()
                .filter(|leg| leg.begin <= Lsn(lsn) && leg.end.is_none_or(|end| Lsn(lsn) < end))
                .map(|leg| leg.timeline)
                .collect();
            prop_assert_eq!(holding, vec![history.timeline_at(Lsn(lsn))]);
            prop_assert!(history.passes(history.timeline_at(Lsn(lsn)), Lsn(lsn)));
            let segment = history.segment_at(Lsn(lsn), SIZE);
            prop_assert!(segment.timeline >= history.timeline_at(Lsn(lsn)));
            prop_assert_eq!(segment.start(SIZE), Lsn(0));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = TimelineHistory::parse(timeline(7), &bytes);
        }
    }
}
