//! The name of a recovery, rehearsed or not: `recovery-YYYY-MM-DD-HHMMSS-xxxxxx`, in UTC, so that names sort by time.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::BackupId;

const BACKUP: &str = "backup-";
const RECOVERY: &str = "recovery-";

/// The name of one recovery. It has the form of a [`BackupId`], and is fit for the name of a file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecoveryId(BackupId);

/// The text is not the name of a recovery.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the id of a recovery (expected recovery-YYYY-MM-DD-HHMMSS-xxxxxx)")]
pub struct ParseRecoveryIdError {
    text: String,
}

impl RecoveryId {
    /// The id of a recovery that begins at `now`; `random` tells those of one second apart.
    pub fn new(now: Timestamp, random: [u8; 3]) -> Self {
        Self(BackupId::new(now, random))
    }

    /// What is particular to it, as a part of the names of what it makes: `20261126_034512_abc123`.
    pub fn stamp(&self) -> String {
        let digits = self.rest().replace('-', "");
        let (date, rest) = digits.split_at(8);
        let (time, random) = rest.split_at(6);
        format!("{date}_{time}_{random}")
    }

    fn rest(&self) -> &str {
        self.0.as_str().trim_start_matches(BACKUP)
    }
}

impl FromStr for RecoveryId {
    type Err = ParseRecoveryIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let inner = text.strip_prefix(RECOVERY).and_then(|rest| format!("{BACKUP}{rest}").parse().ok());
        inner.map(Self).ok_or_else(|| ParseRecoveryIdError { text: text.chars().take(80).collect() })
    }
}

impl TryFrom<String> for RecoveryId {
    type Error = ParseRecoveryIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RecoveryId> for String {
    fn from(id: RecoveryId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for RecoveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{RECOVERY}{}", self.rest())
    }
}

impl fmt::Debug for RecoveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_name_of_a_file_and_a_part_of_names() {
        let now: Timestamp = "2026-11-26T03:45:12Z".parse().unwrap();
        let id = RecoveryId::new(now, [0xab, 0xc1, 0x23]);
        assert_eq!(id.to_string(), "recovery-2026-11-26-034512-abc123");
        assert_eq!(id.stamp(), "20261126_034512_abc123");
        assert_eq!(id.to_string().parse::<RecoveryId>().unwrap(), id);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "backup-2026-11-26-034512-abc123", "recovery-2026-11-26-034512-abc12", "recovery-../x"]
        {
            assert!(text.parse::<RecoveryId>().is_err(), "{text}");
        }
    }
}
