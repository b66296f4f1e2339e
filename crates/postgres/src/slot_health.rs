//! How a replication slot fares: whether the WAL that it keeps is safe, and how much that is.
//!
//! Deliberately absent: changing anything. A slot that is in danger is a matter for a person.

use std::fmt;

use model::{ByteSize, Lsn};

use crate::client::{Client, Error, SlotName};

/// WAL that a slot keeps without a limit before it is worth a word, in bytes.
const MUCH_BYTES: u64 = 16 * 1024 * 1024 * 1024;
/// A slot with less than this part of its limit left is in danger.
const LITTLE_LEFT: u64 = 4;

/// What `pg_replication_slots` says of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotHealth {
    /// The first position whose WAL it keeps; `None` when it keeps none (any more).
    pub restart_lsn: Option<Lsn>,
    /// Whether the WAL behind that is there.
    pub wal: SlotWal,
    /// Bytes of WAL that may still be written before it loses some; `None` without a limit.
    pub left_bytes: Option<u64>,
    /// The limit (`max_slot_wal_keep_size`) in bytes, if there is one.
    pub limit_bytes: Option<u64>,
    /// Bytes of WAL that it keeps.
    pub kept_bytes: u64,
}

/// `wal_status` of `pg_replication_slots`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotWal {
    /// All of it is there.
    Kept,
    /// Some of it goes with the next checkpoint.
    Unreserved,
    /// Some of it is gone.
    Lost,
}

/// What is wrong with a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotProblem {
    /// It has lost WAL.
    Lost,
    /// It loses WAL with the next checkpoint.
    Losing,
    /// It is near its limit.
    NearLimit {
        /// Bytes of WAL that may still be written before it loses some.
        left_bytes: u64,
        /// The limit in bytes.
        limit_bytes: u64,
    },
    /// It keeps much WAL, and nothing keeps it from filling the disk.
    KeepsMuch {
        /// Bytes of WAL that it keeps.
        kept_bytes: u64,
    },
}

impl SlotHealth {
    /// Asks the server; `None` when it has no such slot. Any role may ask.
    pub fn read(client: &mut Client, slot: &SlotName) -> Result<Option<Self>, Error> {
        let sql = "SELECT s.restart_lsn, s.wal_status, s.safe_wal_size, \
              (SELECT l.setting::bigint * 1048576 FROM pg_catalog.pg_settings l \
               WHERE l.name = 'max_slot_wal_keep_size' AND l.setting::bigint >= 0), \
              pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery() \
                THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END, s.restart_lsn) \
            FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = $1";
        let rows = client.query(sql, &[Some(slot.as_str())])?;
        let Some(row) = rows.first() else { return Ok(None) };
        let at_least_0 = |at: usize| {
            let number = row.get(at).map(|_| row.number::<i64>(at)).transpose();
            number.map(|number| number.map(|number| u64::try_from(number).unwrap_or(0)))
        };
        Ok(Some(Self {
            restart_lsn: row.get(0).map(|_| row.number(0)).transpose()?,
            wal: match row.get(1) {
                Some("unreserved") => SlotWal::Unreserved,
                Some("lost") => SlotWal::Lost,
                _ => SlotWal::Kept,
            },
            left_bytes: at_least_0(2)?,
            limit_bytes: at_least_0(3)?,
            kept_bytes: at_least_0(4)?.unwrap_or(0),
        }))
    }

    /// What is wrong with it, the worst first.
    pub fn problem(&self) -> Option<SlotProblem> {
        match (self.wal, self.limit_bytes) {
            (SlotWal::Lost, _) => Some(SlotProblem::Lost),
            (SlotWal::Unreserved, _) => Some(SlotProblem::Losing),
            (SlotWal::Kept, Some(limit_bytes)) => {
                let left_bytes = self.left_bytes.filter(|left| *left < limit_bytes / LITTLE_LEFT)?;
                Some(SlotProblem::NearLimit { left_bytes, limit_bytes })
            }
            (SlotWal::Kept, None) => {
                let kept_bytes = self.kept_bytes;
                (kept_bytes >= MUCH_BYTES).then_some(SlotProblem::KeepsMuch { kept_bytes })
            }
        }
    }
}

/// Completes "the replication slot …".
impl fmt::Display for SlotProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost => f.write_str("has lost WAL that was not fetched yet"),
            Self::Losing => f.write_str("loses WAL that was not fetched yet with the next checkpoint"),
            Self::NearLimit { left_bytes, limit_bytes } => write!(
                f,
                "loses WAL once {} more are written (max_slot_wal_keep_size is {})",
                ByteSize(*left_bytes),
                ByteSize(*limit_bytes)
            ),
            Self::KeepsMuch { kept_bytes } => write!(
                f,
                "keeps {} of WAL on the server, and nothing stops it from filling the disk (max_slot_wal_keep_size is -1)",
                ByteSize(*kept_bytes)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_worst_is_named() {
        let health = SlotHealth {
            restart_lsn: Some(Lsn(1)),
            wal: SlotWal::Kept,
            left_bytes: Some(GIB),
            limit_bytes: Some(4 * GIB),
            kept_bytes: 20 * GIB,
        };
        assert_eq!(health.problem(), None);
        let near = SlotHealth { left_bytes: Some(GIB - 1), ..health };
        let expected = SlotProblem::NearLimit { left_bytes: GIB - 1, limit_bytes: 4 * GIB };
        assert_eq!(near.problem(), Some(expected));
        assert_eq!(SlotHealth { wal: SlotWal::Unreserved, ..near }.problem(), Some(SlotProblem::Losing));
        assert_eq!(SlotHealth { wal: SlotWal::Lost, ..near }.problem(), Some(SlotProblem::Lost));
        let unlimited = SlotHealth { limit_bytes: None, left_bytes: None, ..health };
        assert_eq!(unlimited.problem(), Some(SlotProblem::KeepsMuch { kept_bytes: 20 * GIB }));
        assert_eq!(SlotHealth { kept_bytes: GIB, ..unlimited }.problem(), None);
    }
}
