//! What has changed since an earlier backup, as the server's summaries of its WAL tell (17 and newer, `summarize_wal`).
//!
//! Invariant: a region is only said to be unchanged when the earlier backup has all of it, and the WAL since the start of that
//! backup neither changed a block of it nor cut it off, as the server reasons for its own incremental backups
//! (`basebackup_incremental.c`). What was written before that start was on the disk when the earlier backup read it, and what is
//! written after the start of this one is replayed. Whatever the summaries cannot tell is read: forks other than the main one, which
//! are not logged in full, new files, and databases that were copied as files. The summaries must go from start to start
//! without a gap, on one timeline.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use model::{ClusterPath, Lsn};

use crate::client::{Client, Error, ErrorKind};
use crate::cluster::{ClusterError, ClusterStart, EarlierBackup};
use crate::page::{Fork, RelationFile};

/// The first major version with summaries.
const OLDEST_MAJOR: u32 = 17;
/// How long the server may take to summarise the WAL up to the start of the backup. It takes less than a second for a segment, but
/// where little is written it may sleep for half a minute before.
const SUMMARY_LIMIT: Duration = Duration::from_mins(1);
/// Time between two looks.
const SUMMARY_INTERVAL: Duration = Duration::from_millis(20);
/// The OIDs of the tablespaces in the data directory.
const DEFAULT_SPACE: u32 = 1663;
const GLOBAL_SPACE: u32 = 1664;

/// A relation, as the WAL names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Relation {
    space: u32,
    database: u32,
    number: u32,
}

/// What the WAL says of one relation.
#[derive(Debug, Default, PartialEq, Eq)]
struct Change {
    /// Regions of the relation, counted over all its files, in which a block changed.
    regions: BTreeSet<u32>,
    /// The block from which on everything was cut off at some time.
    limit: Option<u32>,
}

/// What has changed.
#[derive(Debug)]
pub(super) struct Changes {
    /// Sizes of the files of the earlier backup in bytes.
    sizes: BTreeMap<ClusterPath, u64>,
    relations: BTreeMap<Relation, Change>,
    /// Blocks in a region.
    region_blocks: u32,
    block_bytes: u32,
    segment_blocks: u32,
}

/// How files are divided, in bytes and in blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Regions {
    pub(super) block_bytes: u32,
    pub(super) region_bytes: u32,
    /// Blocks in each file of a relation but the last.
    pub(super) segment_blocks: u32,
}

impl Regions {
    /// Blocks in a region, if blocks, regions and files begin together.
    fn blocks(self) -> Option<u32> {
        let Self { block_bytes, region_bytes, segment_blocks } = self;
        let blocks = region_bytes.checked_div(block_bytes).filter(|blocks| *blocks > 0)?;
        (region_bytes.is_multiple_of(block_bytes) && segment_blocks.is_multiple_of(blocks)).then_some(blocks)
    }
}

impl Changes {
    /// Asks the server what changed from the start of `earlier` to that of this backup; nothing if it cannot tell. Then everything
    /// has to be read, which is no fault.
    pub(super) fn since(
        client: &mut Client,
        earlier: &EarlierBackup,
        start: &ClusterStart,
        regions: Regions,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Option<Self>, ClusterError> {
        match Self::ask(client, earlier, start, regions, cancelled) {
            // A summary that was removed meanwhile, or that is damaged.
            Err(ClusterError::Client(error)) if error.kind() == ErrorKind::Server => Ok(None),
            other => other,
        }
    }

    fn ask(
        client: &mut Client,
        earlier: &EarlierBackup,
        start: &ClusterStart,
        regions: Regions,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Option<Self>, ClusterError> {
        let is_comparable = client.server_major() >= OLDEST_MAJOR
            && earlier.system_id == start.system_id
            && earlier.timeline == start.timeline
            && earlier.data_checksums == start.data_checksums
            && earlier.start_lsn < start.start_lsn;
        let Some(region_blocks) = regions.blocks().filter(|_| is_comparable) else { return Ok(None) };
        if !may_ask(client)? || !wait_for_summaries(client, start.start_lsn, cancelled)? {
            return Ok(None);
        }
        let summaries = summaries(client, start)?;
        let Some(needed) = covering(&summaries, earlier.start_lsn, start.start_lsn) else { return Ok(None) };
        let mut changes = Self {
            sizes: earlier.files.iter().cloned().collect(),
            relations: BTreeMap::new(),
            region_blocks,
            block_bytes: regions.block_bytes,
            segment_blocks: regions.segment_blocks,
        };
        for summary in needed {
            changes.add(client, start, *summary)?;
        }
        Ok(Some(changes))
    }

    /// Reads one summary.
    fn add(
        &mut self,
        client: &mut Client,
        start: &ClusterStart,
        (from, to): (Lsn, Lsn),
    ) -> Result<(), Error> {
        let sql = "\
            SELECT reltablespace, reldatabase, relfilenode, min(relblocknumber) FILTER (WHERE is_limit_block), \
                   string_agg(DISTINCT (relblocknumber / $4::bigint)::text, ' ') FILTER (WHERE NOT is_limit_block) \
            FROM pg_catalog.pg_wal_summary_contents($1::bigint, $2::pg_lsn, $3::pg_lsn) \
            WHERE relforknumber = 0 GROUP BY 1, 2, 3";
        let (timeline, from, to) = (start.timeline.to_string(), from.to_string(), to.to_string());
        let blocks = self.region_blocks.to_string();
        for row in client.query(sql, &[Some(&timeline), Some(&from), Some(&to), Some(&blocks)])? {
            let relation =
                Relation { space: row.number(0)?, database: row.number(1)?, number: row.number(2)? };
            let change = self.relations.entry(relation).or_default();
            if row.get(3).is_some() {
                let limit = row.number(3)?;
                change.limit = Some(change.limit.map_or(limit, |known| known.min(limit)));
            }
            for region in row.get(4).unwrap_or_default().split_whitespace() {
                let wrong =
                    |_| Error::Unexpected { problem: format!("a summary names the region {region:?}") };
                change.regions.insert(region.parse().map_err(wrong)?);
            }
        }
        Ok(())
    }

    /// Whether the region `number` of a file, which has `bytes` now, is as the earlier backup has it.
    pub(super) fn is_unchanged(&self, path: &ClusterPath, number: u32, bytes: u64) -> bool {
        let Some((relation, segment)) = relation(path) else { return false };
        let size = self.sizes.get(path).copied().unwrap_or(0).min(bytes);
        let region_bytes = u64::from(self.region_blocks) * u64::from(self.block_bytes);
        if size < (u64::from(number) + 1) * region_bytes {
            return false;
        }
        // A database that was copied as files.
        if self.relations.contains_key(&Relation { number: 0, ..relation }) {
            return false;
        }
        let Some(change) = self.relations.get(&relation) else { return true };
        let first = segment.saturating_mul(self.segment_blocks / self.region_blocks);
        let Some(region) = first.checked_add(number) else { return false };
        let is_cut_off = change
            .limit
            .is_some_and(|limit| u64::from(limit) < (u64::from(region) + 1) * u64::from(self.region_blocks));
        !is_cut_off && !change.regions.contains(&region)
    }
}

/// The relation whose main fork a file is a part of, and which part.
fn relation(path: &ClusterPath) -> Option<(Relation, u32)> {
    let RelationFile { number, fork, segment } = RelationFile::at(path)?;
    let parts: Vec<&str> = path.as_str().split('/').collect();
    let (space, database) = match parts[..] {
        ["global", _] => (GLOBAL_SPACE, 0),
        ["base", database, _] => (DEFAULT_SPACE, database.parse().ok()?),
        ["pg_tblspc", space, _, database, _] => (space.parse().ok()?, database.parse().ok()?),
        _ => return None,
    };
    (fork == Fork::Main).then_some((Relation { space, database, number }, segment))
}

/// Whether the server makes summaries, and this role may read them.
fn may_ask(client: &mut Client) -> Result<bool, Error> {
    let sql = "\
        SELECT pg_catalog.current_setting('summarize_wal') = 'on' AND COALESCE(bool_and( \
            pg_catalog.has_function_privilege(p.oid, 'EXECUTE')), false) \
        FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname IN \
            ('pg_available_wal_summaries', 'pg_wal_summary_contents', 'pg_get_wal_summarizer_state')";
    Ok(client.query_one(sql, &[])?.is_true(0))
}

/// Waits until there are summaries up to `end`. Whether there are.
fn wait_for_summaries(
    client: &mut Client,
    end: Lsn,
    cancelled: &dyn Fn() -> bool,
) -> Result<bool, ClusterError> {
    let started = Instant::now();
    loop {
        let sql = "SELECT summarized_lsn FROM pg_catalog.pg_get_wal_summarizer_state()";
        let summarised: Lsn = client.query_one(sql, &[])?.number(0)?;
        if summarised >= end {
            return Ok(true);
        }
        if started.elapsed() > SUMMARY_LIMIT {
            return Ok(false);
        }
        if cancelled() {
            return Err(ClusterError::Cancelled);
        }
        thread::sleep(SUMMARY_INTERVAL);
    }
}

/// The summaries of the timeline of the backup, from where to where each.
fn summaries(client: &mut Client, start: &ClusterStart) -> Result<Vec<(Lsn, Lsn)>, Error> {
    let sql = "SELECT start_lsn, end_lsn FROM pg_catalog.pg_available_wal_summaries() WHERE tli = $1::bigint";
    let rows = client.query(sql, &[Some(&start.timeline.to_string())])?;
    rows.iter().map(|row| Ok((row.number(0)?, row.number(1)?))).collect()
}

/// Those that are needed to know of everything between two positions; nothing where one is missing.
///
/// Summaries end where checkpoints begin, and so do backups. Where none begins at `from`, the earlier backup was not made of this
/// WAL: the server was set back since, as a snapshot of its disk is, and has written other WAL on the same timeline.
fn covering(summaries: &[(Lsn, Lsn)], from: Lsn, to: Lsn) -> Option<Vec<&(Lsn, Lsn)>> {
    let is_needed = |(start, end): &&(Lsn, Lsn)| *start < to && *end > from;
    let mut needed: Vec<&(Lsn, Lsn)> = summaries.iter().filter(is_needed).collect();
    needed.sort();
    if needed.first().is_none_or(|(start, _)| *start != from) {
        return None;
    }
    let mut known = from;
    for (start, end) in needed.iter().copied() {
        if *start > known {
            return None;
        }
        known = known.max(*end);
    }
    (known >= to).then_some(needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Regions of 4 blocks of 8 KiB.
    fn changes() -> Changes {
        let files = [
            ("base/5/100", 40 * 8192),
            ("base/5/100.1", 40 * 8192),
            ("base/5/100_fsm", 40 * 8192),
            ("base/5/200", 40 * 8192),
            ("base/6/100", 40 * 8192),
            ("global/100", 40 * 8192),
            ("pg_tblspc/9/PG_17_1/5/100", 40 * 8192),
            ("PG_VERSION", 3),
        ];
        Changes {
            sizes: files.iter().map(|(path, bytes)| (path.parse().unwrap(), *bytes)).collect(),
            relations: BTreeMap::new(),
            region_blocks: 4,
            block_bytes: 8192,
            segment_blocks: 131_072,
        }
    }

    fn unchanged(changes: &Changes, path: &str, bytes: u64) -> Vec<u32> {
        let path = path.parse().unwrap();
        (0..12).filter(|number| changes.is_unchanged(&path, *number, bytes)).collect()
    }

    const IN_5: Relation = Relation { space: DEFAULT_SPACE, database: 5, number: 100 };
    const ALL: [u32; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

    #[test]
    fn only_whole_regions_of_main_forks_that_the_earlier_backup_has() {
        let changes = changes();
        assert_eq!(unchanged(&changes, "base/5/100", 40 * 8192), ALL);
        assert_eq!(unchanged(&changes, "base/5/100", 60 * 8192), ALL);
        assert_eq!(unchanged(&changes, "base/5/100", 39 * 8192), ALL[..9]);
        for path in ["base/5/100_fsm", "base/5/300", "PG_VERSION", "base/5/100_vm"] {
            assert_eq!(unchanged(&changes, path, 40 * 8192), [] as [u32; 0], "{path}");
        }
    }

    #[test]
    fn changed_blocks_change_their_regions() {
        let mut changes = changes();
        // One in the first file, one in the second.
        changes.relations.insert(IN_5, Change { regions: [3, 131_072 / 4 + 1].into(), limit: None });
        assert_eq!(unchanged(&changes, "base/5/100", 40 * 8192), [0, 1, 2, 4, 5, 6, 7, 8, 9]);
        assert_eq!(unchanged(&changes, "base/5/100.1", 40 * 8192), [0, 2, 3, 4, 5, 6, 7, 8, 9]);
        for path in ["base/5/200", "base/6/100", "global/100", "pg_tblspc/9/PG_17_1/5/100"] {
            assert_eq!(unchanged(&changes, path, 40 * 8192), ALL, "{path}");
        }
    }

    #[test]
    fn what_was_cut_off_is_read() {
        let mut changes = changes();
        changes.relations.insert(IN_5, Change { regions: [].into(), limit: Some(10) });
        assert_eq!(unchanged(&changes, "base/5/100", 40 * 8192), [0, 1]);
        assert_eq!(unchanged(&changes, "base/5/100.1", 40 * 8192), [] as [u32; 0]);
        changes.relations.insert(Relation { number: 0, ..IN_5 }, Change::default());
        for (path, expected) in [("base/5/100", 0), ("base/5/200", 0), ("base/6/100", 10), ("global/100", 10)]
        {
            assert_eq!(unchanged(&changes, path, 40 * 8192).len(), expected, "{path}");
        }
    }

    #[test]
    fn summaries_must_leave_no_gap() {
        let at = |from, to| (Lsn(from), Lsn(to));
        let all = [at(30, 40), at(0, 10), at(10, 20), at(20, 30)];
        let covering = |list: &[(Lsn, Lsn)], from, to| {
            covering(list, Lsn(from), Lsn(to)).map(|needed| needed.into_iter().copied().collect::<Vec<_>>())
        };
        assert_eq!(covering(&all, 10, 30), Some(vec![at(10, 20), at(20, 30)]));
        assert_eq!(covering(&all, 10, 31), Some(vec![at(10, 20), at(20, 30), at(30, 40)]));
        assert_eq!(covering(&all, 10, 41), None);
        assert_eq!(covering(&[at(0, 10), at(20, 30)], 0, 25), None);
        assert_eq!(covering(&[], 5, 25), None);
    }

    #[test]
    fn the_earlier_backup_begins_with_a_summary() {
        let all = [(Lsn(0), Lsn(10)), (Lsn(10), Lsn(20))];
        assert!(covering(&all, Lsn(10), Lsn(20)).is_some());
        for from in [1, 9, 11] {
            assert_eq!(covering(&all, Lsn(from), Lsn(20)), None);
        }
    }
}
