//! Names of what lies in `pg_wal` and in an archive of it (`xlog_internal.h` of the server's source).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Lsn, TimelineId};

/// The size of the WAL segments of a cluster (`wal_segment_size`): a power of two from 1 MiB to 1 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct SegmentSize(u32);

/// The name of a WAL segment: `000000010000000A000000FF`. Names of one timeline sort as their positions do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WalSegmentName {
    /// The timeline on which it was written.
    pub timeline: TimelineId,
    /// The high 32 bits of the positions in it.
    pub log: u32,
    /// Its number within those.
    pub segment: u32,
}

/// The name of any file that PostgreSQL archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum WalName {
    /// A whole segment.
    Segment(WalSegmentName),
    /// The last segment of a timeline that ended within it: `….partial`.
    Partial(WalSegmentName),
    /// The history of a timeline: `00000002.history`.
    History(TimelineId),
    /// What a base backup left behind: `000000010000000A000000FF.00000028.backup`, with the offset in the segment at which it began.
    Backup(WalSegmentName, u32),
}

/// The text is no name of WAL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the name of {what}")]
pub struct ParseWalNameError {
    text: String,
    what: &'static str,
}

/// The number is no size of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a size of WAL segments: a power of two from 1 MiB to 1 GiB")]
pub struct SegmentSizeError(u32);

impl SegmentSize {
    /// The size unless `initdb --wal-segsize` said otherwise: 16 MiB.
    pub const DEFAULT: Self = Self(16 << 20);

    /// Segments of `bytes`.
    pub const fn new(bytes: u32) -> Result<Self, SegmentSizeError> {
        if bytes.is_power_of_two() && bytes >= 1 << 20 && bytes <= 1 << 30 {
            Ok(Self(bytes))
        } else {
            Err(SegmentSizeError(bytes))
        }
    }

    /// In bytes.
    pub const fn bytes(self) -> u32 {
        self.0
    }

    /// Where `lsn` is in its segment, in bytes.
    #[expect(clippy::cast_possible_truncation, reason = "it is less than the size, which is a u32")]
    pub const fn offset(self, lsn: Lsn) -> u32 {
        (lsn.0 % self.0 as u64) as u32
    }

    const fn per_log(self) -> u64 {
        (1 << 32) / self.0 as u64
    }
}

impl TryFrom<u32> for SegmentSize {
    type Error = SegmentSizeError;

    fn try_from(bytes: u32) -> Result<Self, Self::Error> {
        Self::new(bytes)
    }
}

impl From<SegmentSize> for u32 {
    fn from(size: SegmentSize) -> Self {
        size.0
    }
}

impl WalSegmentName {
    /// The segment that holds the byte at `lsn`.
    #[expect(clippy::cast_possible_truncation, reason = "both halves are below 2^32")]
    pub const fn containing(timeline: TimelineId, lsn: Lsn, size: SegmentSize) -> Self {
        let number = lsn.0 / size.0 as u64;
        Self { timeline, log: (number / size.per_log()) as u32, segment: (number % size.per_log()) as u32 }
    }

    /// The position of its first byte.
    pub const fn start(self, size: SegmentSize) -> Lsn {
        Lsn(((self.log as u64) << 32) | (self.segment as u64 * size.0 as u64))
    }

    /// The position behind its last byte.
    pub const fn end(self, size: SegmentSize) -> Lsn {
        self.start(size).plus(size.0 as u64)
    }

    /// The segment after it on the same timeline.
    #[must_use]
    pub const fn next(self, size: SegmentSize) -> Self {
        Self::containing(self.timeline, self.end(size), size)
    }

    /// Whether a cluster with segments of `size` can have such a segment.
    pub const fn fits(self, size: SegmentSize) -> bool {
        (self.segment as u64) < size.per_log()
    }
}

fn hex(text: &str) -> Option<u32> {
    let is_hex = text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
    is_hex.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

impl FromStr for WalSegmentName {
    type Err = ParseWalNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            if text.len() != 24 {
                return None;
            }
            let timeline = TimelineId::new(hex(text.get(..8)?)?)?;
            Some(Self { timeline, log: hex(text.get(8..16)?)?, segment: hex(text.get(16..)?)? })
        };
        parse().ok_or_else(|| error(text, "a WAL segment"))
    }
}

impl FromStr for WalName {
    type Err = ParseWalNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let Some((name, suffix)) = text.split_once('.') else {
                return text.parse().ok().map(Self::Segment);
            };
            match suffix {
                "history" => TimelineId::new(hex(name)?).map(Self::History),
                "partial" => name.parse().ok().map(Self::Partial),
                _ => Some(Self::Backup(name.parse().ok()?, hex(suffix.strip_suffix(".backup")?)?)),
            }
        };
        parse().ok_or_else(|| error(text, "a file that PostgreSQL archives"))
    }
}

fn error(text: &str, what: &'static str) -> ParseWalNameError {
    ParseWalNameError { text: text.chars().take(80).collect(), what }
}

macro_rules! text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = ParseWalNameError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.to_string()
            }
        }
    };
}
text!(WalSegmentName);
text!(WalName);

impl fmt::Display for WalSegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:08X}{:08X}{:08X}", self.timeline.get(), self.log, self.segment))
    }
}

impl fmt::Display for WalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(segment) => segment.fmt(f),
            Self::Partial(segment) => f.pad(&format!("{segment}.partial")),
            Self::History(timeline) => f.pad(&format!("{:08X}.history", timeline.get())),
            Self::Backup(segment, offset) => f.pad(&format!("{segment}.{offset:08X}.backup")),
        }
    }
}

impl WalName {
    /// The timeline that it belongs to.
    pub const fn timeline(&self) -> TimelineId {
        match self {
            Self::Segment(segment) | Self::Partial(segment) | Self::Backup(segment, _) => segment.timeline,
            Self::History(timeline) => *timeline,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_survive_text() {
        for text in [
            "000000010000000A000000FF",
            "000000010000000A000000FF.partial",
            "00000002.history",
            "000000010000000A000000FF.00000028.backup",
        ] {
            assert_eq!(text.parse::<WalName>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "000000010000000A000000F",
            "000000010000000A000000FFF",
            "000000010000000a000000ff",
            "000000000000000A000000FF",
            "00000000.history",
            "0000000:0000000A000000FF",
            "RECOVERYXLOG",
            "../000000010000000A000000",
            "000000010000000A000000FF.28.backup",
            "000000010000000A000000FF.00000028.backup.partial",
            "ä0000010000000A000000FF",
        ] {
            assert!(text.parse::<WalName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_are_powers_of_two_within_limits() {
        assert_eq!(SegmentSize::new(16 << 20), Ok(SegmentSize::DEFAULT));
        for bytes in [0, 1, 1 << 19, (16 << 20) + 1, 3 << 20, 1 << 31] {
            assert!(SegmentSize::new(bytes).is_err(), "{bytes}");
        }
        let large = WalSegmentName { timeline: TimelineId::FIRST, log: 0, segment: 4 };
        assert!(large.fits(SegmentSize::DEFAULT) && !large.fits(SegmentSize::new(1 << 30).unwrap()));
    }

    proptest! {
        #[test]
        fn a_position_is_in_its_segment(lsn in 0..u64::MAX >> 8, log in 20..=30u32) {
            let (lsn, size) = (Lsn(lsn), SegmentSize::new(1 << log).unwrap());
            let name = WalSegmentName::containing(TimelineId::FIRST, lsn, size);
            prop_assert!(name.fits(size));
            prop_assert!(name.start(size) <= lsn && lsn < name.end(size));
            prop_assert_eq!(name.start(size).plus(u64::from(size.offset(lsn))), lsn);
            prop_assert_eq!(name.next(size).start(size), name.end(size));
            prop_assert!(name.to_string() < name.next(size).to_string());
        }
    }
}
