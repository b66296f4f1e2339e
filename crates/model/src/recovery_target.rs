//! How far a recovery replays WAL (PostgreSQL documentation, section 20.5.6).

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::Lsn;

/// Where a recovery ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecoveryTarget {
    /// At the end of the WAL.
    Latest,
    /// As soon as the cluster is consistent: at the end of the backup.
    Immediate,
    /// After the last transaction that was committed at or before this time.
    Time(Timestamp),
    /// After the record at this position.
    Lsn(Lsn),
    /// After this transaction was committed.
    Xid(u64),
    /// At this named restore point (`pg_create_restore_point`).
    Name(String),
}

/// The text is no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a time with its zone (such as 2026-11-23 12:00:00+01 or 2026-11-23T11:00:00Z)")]
pub struct ParseMomentError {
    text: String,
}

/// The moment that a text names. It must say in which zone: a time that means something else on another machine is not a target.
pub fn parse_moment(text: &str) -> Result<Timestamp, ParseMomentError> {
    let text = text.trim();
    let zoned = || text.parse::<jiff::ZonedDateTime>().ok().map(|zoned| zoned.timestamp());
    text.parse().ok().or_else(zoned).ok_or_else(|| ParseMomentError { text: text.chars().take(80).collect() })
}

impl RecoveryTarget {
    /// The server's setting for this target and its value; nothing for the end of the WAL.
    pub fn setting(&self) -> Option<(&'static str, String)> {
        Some(match self {
            Self::Latest => return None,
            Self::Immediate => ("recovery_target", "immediate".to_owned()),
            Self::Time(time) => ("recovery_target_time", server_time(*time)),
            Self::Lsn(lsn) => ("recovery_target_lsn", lsn.to_string()),
            Self::Xid(xid) => ("recovery_target_xid", xid.to_string()),
            Self::Name(name) => ("recovery_target_name", name.clone()),
        })
    }

    /// Whether a recovery can end just before this target instead of just after it.
    pub const fn may_be_exclusive(&self) -> bool {
        matches!(self, Self::Time(_) | Self::Lsn(_) | Self::Xid(_))
    }
}

/// A time as the server reads it, whatever its own zone.
fn server_time(time: Timestamp) -> String {
    time.to_zoned_datetime(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S%.6f+00").to_string()
}

impl fmt::Display for RecoveryTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("the end of the WAL"),
            Self::Immediate => f.write_str("the end of the backup"),
            Self::Time(time) => write!(f, "{time}"),
            Self::Lsn(lsn) => write!(f, "LSN {lsn}"),
            Self::Xid(xid) => write!(f, "transaction {xid}"),
            Self::Name(name) => write!(f, "restore point {name:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_a_zone() {
        let noon: Timestamp = "2026-11-23T11:00:00Z".parse().unwrap();
        for text in [
            "2026-11-23T11:00:00Z",
            "2026-11-23 12:00:00+01",
            "2026-11-23 12:00:00+01:00",
            "2026-11-23T12:00:00+01:00[Europe/Berlin]",
            " 2026-11-23 11:00:00Z ",
        ] {
            assert_eq!(parse_moment(text), Ok(noon), "{text}");
        }
        for text in ["2026-11-23 12:00:00", "2026-11-23", "12:00", "yesterday", ""] {
            assert!(parse_moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn targets_become_settings() {
        let time = "2026-11-23T11:00:00.123456Z".parse().unwrap();
        let settings = [
            (RecoveryTarget::Immediate, "recovery_target", "immediate"),
            (RecoveryTarget::Time(time), "recovery_target_time", "2026-11-23 11:00:00.123456+00"),
            (RecoveryTarget::Lsn(Lsn(0x16_b374_d848)), "recovery_target_lsn", "16/B374D848"),
            (RecoveryTarget::Xid(731), "recovery_target_xid", "731"),
            (RecoveryTarget::Name("before".to_owned()), "recovery_target_name", "before"),
        ];
        for (target, name, value) in settings {
            assert_eq!(target.setting(), Some((name, value.to_owned())));
        }
        assert_eq!(RecoveryTarget::Latest.setting(), None);
    }
}
