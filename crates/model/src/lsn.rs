//! A position in the WAL (PostgreSQL documentation, section 8.20, `pg_lsn`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A byte position in the WAL of a cluster, written as two hexadecimal numbers: `16/B374D848`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lsn(pub u64);

/// The text is not an LSN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an LSN (expected two hexadecimal numbers, such as 16/B374D848)")]
pub struct ParseLsnError {
    text: String,
}

impl Lsn {
    /// This position moved `bytes` towards the end; the last possible position when there is nothing behind it.
    #[must_use]
    pub const fn plus(self, bytes: u64) -> Self {
        Self(self.0.saturating_add(bytes))
    }

    /// Bytes from `earlier` to here; 0 when `earlier` is not earlier.
    pub const fn bytes_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let half = |digits: &str| {
            let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
            is_number.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
        };
        text.split_once('/')
            .and_then(|(high, low)| Some(Self(u64::from(half(high)?) << 32 | u64::from(half(low)?))))
            .ok_or_else(|| ParseLsnError { text: text.chars().take(80).collect() })
    }
}

impl TryFrom<String> for Lsn {
    type Error = ParseLsnError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> Self {
        lsn.to_string()
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff))
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_lsn_survives_text() {
        for (text, value) in [("0/0", 0), ("16/B374D848", 0x16_b374_d848), ("FFFFFFFF/FFFFFFFF", u64::MAX)] {
            assert_eq!(text.parse(), Ok(Lsn(value)));
            assert_eq!(Lsn(value).to_string(), text);
        }
        assert_eq!("0/1a".parse(), Ok(Lsn(26)));
    }

    #[test]
    fn what_is_no_lsn_is_refused() {
        for text in ["", "/", "0", "0/", "/0", "0/G", "0/123456789", "0/0/0", "+1/0", " 0/0", "-1/0"] {
            assert!(text.parse::<Lsn>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn distances_never_go_below_zero() {
        assert_eq!(Lsn(5).bytes_since(Lsn(3)), 2);
        assert_eq!(Lsn(3).bytes_since(Lsn(5)), 0);
        assert_eq!(Lsn(u64::MAX).plus(1), Lsn(u64::MAX));
    }
}
