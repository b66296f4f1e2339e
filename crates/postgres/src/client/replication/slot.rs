//! Replication slots: what keeps WAL on a server until somebody has fetched it.

use std::fmt;
use std::str::FromStr;

use model::{Lsn, TimelineId};

use super::{ReplicationClient, ReplicationError};
use crate::client::error::Error;

/// Bytes of the longest name of a slot (`NAMEDATALEN` without its NUL).
const NAME_LIMIT: usize = 63;
/// The first major version with `READ_REPLICATION_SLOT`.
const READ_SLOT_MAJOR: u32 = 15;

/// The name of a replication slot: lower-case letters, digits and underscores, 63 at most.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotName(String);

/// The text cannot be the name of a replication slot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} cannot be the name of a replication slot: 1 to 63 lower-case letters, digits and underscores"
)]
pub struct SlotNameError {
    text: String,
}

impl SlotName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SlotName {
    type Err = SlotNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_letter = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        if (1..=NAME_LIMIT).contains(&text.len()) && text.bytes().all(is_letter) {
            Ok(Self(text.to_owned()))
        } else {
            Err(SlotNameError { text: text.chars().take(80).collect() })
        }
    }
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How long a slot lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotLifetime {
    /// As long as the session that made it, or until its first error.
    Temporary,
    /// Until it is dropped. It keeps WAL all the while, whether somebody fetches it or not.
    Permanent,
}

/// Where a physical slot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotState {
    /// The first position whose WAL it keeps; `None` when it keeps none.
    pub restart_lsn: Option<Lsn>,
    /// The timeline of that position.
    pub restart_timeline: Option<TimelineId>,
}

impl ReplicationClient {
    /// Makes a physical slot that keeps WAL from the last checkpoint's redo position on.
    pub fn create_slot(&mut self, slot: &SlotName, lifetime: SlotLifetime) -> Result<(), ReplicationError> {
        let lifetime = match lifetime {
            SlotLifetime::Temporary => "TEMPORARY ",
            SlotLifetime::Permanent => "",
        };
        // The grammar before 15, which later versions still take.
        let command = format!("CREATE_REPLICATION_SLOT {slot} {lifetime}PHYSICAL RESERVE_WAL");
        self.command(&command, Some(slot)).map(drop)
    }

    /// Removes a slot that nobody uses.
    pub fn drop_slot(&mut self, slot: &SlotName) -> Result<(), ReplicationError> {
        self.command(&format!("DROP_REPLICATION_SLOT {slot}"), Some(slot)).map(drop)
    }

    /// Where a physical slot is; `None` when there is none. PostgreSQL 15 and later; before, `pg_replication_slots` tells.
    pub fn read_slot(&mut self, slot: &SlotName) -> Result<Option<SlotState>, ReplicationError> {
        let major = self.server_major();
        if major < READ_SLOT_MAJOR {
            return Err(ReplicationError::TooOld { major, what: "READ_REPLICATION_SLOT" });
        }
        let rows = self.command(&format!("READ_REPLICATION_SLOT {slot}"), Some(slot))?;
        let row = super::only(&rows)?;
        if row.get(0).is_none() {
            return Ok(None);
        }
        let wrong = |problem: String| Error::Unexpected { problem };
        let restart_lsn = row.get(1).map(str::parse).transpose();
        let restart_timeline = row.get(2).map(str::parse).transpose();
        Ok(Some(SlotState {
            restart_lsn: restart_lsn.map_err(|error: model::ParseLsnError| wrong(error.to_string()))?,
            restart_timeline: restart_timeline
                .map_err(|error: model::ParseIdError| wrong(error.to_string()))?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_server_takes() {
        for name in ["a", "chronavault_books", "0_0", &"x".repeat(63)] {
            assert_eq!(name.parse::<SlotName>().unwrap().to_string(), name);
        }
        for name in ["", "A", "a-b", "a b", "ä", "a;", &"x".repeat(64)] {
            assert!(name.parse::<SlotName>().is_err(), "{name:?}");
        }
    }
}
