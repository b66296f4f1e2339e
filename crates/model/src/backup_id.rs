//! The name of a backup: `backup-YYYY-MM-DD-HHMMSS-xxxxxx`, in UTC, so that names sort by time.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// The name of one backup. Two ids compare in the order in which their backups started.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupId(String);

/// The text is not a backup id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a backup id (expected backup-YYYY-MM-DD-HHMMSS-xxxxxx)")]
pub struct ParseBackupIdError {
    text: String,
}

impl BackupId {
    /// The id of a backup that starts at `now`; `random` tells backups of one second apart.
    pub fn new(now: Timestamp, random: [u8; 3]) -> Self {
        let utc = now.to_zoned_datetime(TimeZone::UTC);
        let [a, b, c] = random;
        Self(format!("backup-{}-{a:02x}{b:02x}{c:02x}", utc.strftime("%Y-%m-%d-%H%M%S")))
    }

    /// The id as it is written everywhere.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The second (UTC) at which the backup started.
    pub fn started_at(&self) -> Timestamp {
        parse_time(&self.0).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

fn parse_time(text: &str) -> Option<Timestamp> {
    let stamp = text.strip_prefix("backup-")?.get(..17)?;
    let time = DateTime::strptime("%Y-%m-%d-%H%M%S", stamp).ok()?;
    time.to_zoned_datetime(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

impl FromStr for BackupId {
    type Err = ParseBackupIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shape = b"backup-dddd-dd-dd-dddddd-xxxxxx";
        let fits = text.len() == shape.len()
            && text.bytes().zip(shape).all(|(byte, expected)| match expected {
                b'd' => byte.is_ascii_digit(),
                b'x' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
                literal => byte == *literal,
            });
        // "backup" itself contains no 'd' or 'x', so the shape is unambiguous.
        if fits && parse_time(text).is_some() {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseBackupIdError { text: text.chars().take(80).collect() })
        }
    }
}

impl TryFrom<String> for BackupId {
    type Error = ParseBackupIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> Self {
        id.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_when_its_backup_started() {
        let now: Timestamp = "2026-11-23T12:00:00.75Z".parse().unwrap();
        let id = BackupId::new(now, [0xab, 0xc1, 0x23]);
        assert_eq!(id.as_str(), "backup-2026-11-23-120000-abc123");
        assert_eq!(id.started_at(), "2026-11-23T12:00:00Z".parse().unwrap());
        assert_eq!(id.as_str().parse::<BackupId>().unwrap(), id);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "backup-2026-11-23-120000-abc12",
            "backup-2026-11-23-120000-ABC123",
            "backup-2026-13-23-120000-abc123",
            "backup-2026-11-23-250000-abc123",
            "backup-2026-11-23-120000-abc123/",
            "../kup-2026-11-23-120000-abc123",
            "backup-2026-11-23-120000-äbc12",
        ] {
            assert!(text.parse::<BackupId>().is_err(), "{text}");
        }
    }

    #[test]
    fn ids_sort_by_time() {
        let early: BackupId = "backup-2026-11-23-120000-ffffff".parse().unwrap();
        let late: BackupId = "backup-2026-11-23-120001-000000".parse().unwrap();
        assert!(early < late);
    }
}
