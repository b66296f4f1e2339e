//! Whether the server has room for all the locks of a backup (PostgreSQL documentation, 20.12 and 19.4.1).

use super::{Finding, Severity};
use crate::filter::Selection;
use crate::{Client, Error};

/// How the locks that a backup needs compare with what the server has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LockRoom {
    /// Objects that will be locked at a time: by us and by `pg_dump`, which locks sequences and views too. Two sessions
    /// that lock the same table take room for one.
    needed: u64,
    /// Objects that others have locked by now.
    taken: u64,
    /// The setting `max_locks_per_transaction`.
    setting: u64,
    /// What the setting is multiplied with: connections, background processes and prepared transactions.
    factor: u64,
}

impl LockRoom {
    pub(crate) fn measure(client: &mut Client, selection: &Selection) -> Result<Self, Error> {
        let sql = format!(
            "SELECT (SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relkind IN ('r', 'p', 'S', 'v', 'm') AND c.relpersistence <> 't' AND {} AND {}), \
               (SELECT count(DISTINCT (locktype, database, relation, objid)) FROM pg_catalog.pg_locks WHERE NOT fastpath), \
               pg_catalog.current_setting('max_locks_per_transaction'), \
               (SELECT sum(s.setting::bigint) + 1 FROM pg_catalog.pg_settings s WHERE s.name IN ('max_connections', \
                 'max_prepared_transactions', 'autovacuum_max_workers', 'max_worker_processes', 'max_wal_senders'))",
            selection.schema_sql("n.oid", "n.nspname"),
            selection.relation_sql("c.oid")
        );
        let row = client.query_one(&sql, &[])?;
        Ok(Self {
            needed: row.number(0)?,
            taken: row.number(1)?,
            setting: row.number(2)?,
            factor: row.number(3)?,
        })
    }

    /// Locks that the server promises room for. It takes half as many again before it gives up, as long as nothing else
    /// needs that memory.
    fn promised(&self) -> u64 {
        self.setting * self.factor
    }

    /// A value of `max_locks_per_transaction` that is enough, with a quarter to spare: a multiple of 64, like the default.
    pub(crate) fn sufficient_setting(&self) -> u64 {
        let wanted = (self.needed + self.taken) * 5 / 4;
        wanted.div_ceil(self.factor.max(1)).next_multiple_of(64).max(self.setting)
    }

    pub(crate) fn finding(&self) -> Option<Finding> {
        let wanted = self.needed + self.taken;
        if wanted <= self.promised() {
            return None;
        }
        let fails = wanted > self.promised() * 3 / 2;
        let severity = if fails { Severity::Error } else { Severity::Warning };
        let message = format!(
            "the backup locks {} tables, sequences and views, but the server promises room for {} locks: \
             set max_locks_per_transaction to {} (now {}) and restart it",
            self.needed,
            self.promised(),
            self.sufficient_setting(),
            self.setting
        );
        Some(Finding { object: "server".into(), message, severity })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(needed: u64) -> LockRoom {
        LockRoom { needed, taken: 8, setting: 64, factor: 122 }
    }

    #[test]
    fn a_setting_is_named_that_is_enough() {
        assert_eq!(room(7800).finding(), None);
        assert_eq!(room(7801).finding().unwrap().severity, Severity::Warning);
        let finding = room(20_000).finding().unwrap();
        assert_eq!(finding.severity, Severity::Error);
        assert!(finding.message.contains("max_locks_per_transaction to 256 (now 64)"), "{}", finding.message);
        assert_eq!(LockRoom { setting: 256, ..room(20_000) }.finding(), None);
    }
}
