//! What tells clusters and their histories apart: the system identifier and the timeline.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The system identifier that `initdb` gives a cluster (`pg_control_system()`). A standby has that of its primary. In JSON it is
/// a text, since many readers cannot hold 64 bits in a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SystemId(pub u64);

/// A timeline: the history of a cluster from one recovery to the next (PostgreSQL documentation, section 26.3.6). The first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct TimelineId(NonZeroU32);

/// The text or number is no identifier of that sort.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}")]
pub struct ParseIdError {
    text: String,
    what: &'static str,
}

impl TimelineId {
    /// The timeline of a cluster that never recovered.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The timeline with this number; there is none with the number 0.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Its number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl FromStr for SystemId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        decimal(text).map(Self).ok_or_else(|| error(text, "system identifier"))
    }
}

impl FromStr for TimelineId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = decimal(text).and_then(|number| u32::try_from(number).ok());
        number.and_then(Self::new).ok_or_else(|| error(text, "timeline"))
    }
}

fn decimal(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn error(text: &str, what: &'static str) -> ParseIdError {
    ParseIdError { text: text.chars().take(80).collect(), what }
}

impl TryFrom<String> for SystemId {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SystemId> for String {
    fn from(id: SystemId) -> Self {
        id.to_string()
    }
}

impl TryFrom<u32> for TimelineId {
    type Error = ParseIdError;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        Self::new(number).ok_or_else(|| error(&number.to_string(), "timeline"))
    }
}

impl From<TimelineId> for u32 {
    fn from(timeline: TimelineId) -> Self {
        timeline.get()
    }
}

impl fmt::Display for SystemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for TimelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_survive_text() {
        assert_eq!("7312345678901234567".parse::<SystemId>().unwrap().to_string(), "7312345678901234567");
        assert_eq!("12".parse::<TimelineId>().unwrap().get(), 12);
        let json = serde_json::to_string(&(SystemId(u64::MAX), TimelineId::FIRST)).unwrap();
        assert_eq!(json, r#"["18446744073709551615",1]"#);
        assert_eq!(
            serde_json::from_str::<(SystemId, TimelineId)>(&json).unwrap(),
            (SystemId(u64::MAX), TimelineId::FIRST)
        );
    }

    #[test]
    fn what_is_no_identifier_is_refused() {
        for text in ["", "0", "-1", "+1", " 1", "1 ", "4294967296", "x"] {
            assert!(text.parse::<TimelineId>().is_err(), "{text:?}");
        }
        for text in ["", "-1", "+1", "18446744073709551616", "7x"] {
            assert!(text.parse::<SystemId>().is_err(), "{text:?}");
        }
        assert!(serde_json::from_str::<TimelineId>("0").is_err());
    }
}
