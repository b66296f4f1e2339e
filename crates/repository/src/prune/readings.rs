//! What all manifests say, as far as a prune is concerned.
//!
//! Memory: some hundred bytes for each backup, 40 for each pack, and 4 for each pack that a backup needs.

use std::collections::{HashMap, HashSet};

use format::{Manifest, PackId, PackRecord};
use jiff::Timestamp;
use model::{BackupId, Outcome, Standing, StoredBackup, StoredCluster};

use crate::catalog::ProofKeys;
use crate::error::Problem;
use crate::{BackupSummary, Error, Repository};

/// All backups.
#[derive(Debug, Default)]
pub(super) struct Readings {
    /// Those whose manifests can be read, newest first.
    pub(super) backups: Vec<Reading>,
    /// The others.
    pub(super) damaged: Vec<(BackupId, Problem)>,
    pub(super) needs: PackNeeds,
}

/// One backup.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) summary: BackupSummary,
    cluster: Option<StoredCluster>,
}

impl Reading {
    pub(super) fn stored(&self) -> StoredBackup {
        let summary = &self.summary;
        let standing = match summary.proof.as_ref().map(|proof| proof.outcome) {
            Some(Outcome::Proven) => Standing::Proven,
            Some(Outcome::Failed) => Standing::Failed,
            Some(Outcome::Sound) | None => Standing::Unproven,
        };
        StoredBackup {
            id: summary.id.clone(),
            kind: summary.kind,
            source: summary.source.clone(),
            finished_at: summary.finished_at,
            standing,
            is_filtered: !summary.filters.is_empty(),
            held_until: None,
            cluster: self.cluster,
        }
    }
}

fn cluster(manifest: &Manifest) -> Option<StoredCluster> {
    let physical = manifest.physical.as_ref()?;
    Some(StoredCluster {
        system: physical.system_identifier,
        segment_size: physical.wal_segment_bytes,
        timeline: physical.timeline,
        start: physical.start_lsn,
        stop: physical.stop_lsn,
        // docs/format.md, section 9: every physical backup holds the WAL that makes it consistent.
        holds_wal: true,
    })
}

/// Which backup needs which packs.
#[derive(Debug, Default)]
pub(super) struct PackNeeds {
    numbers: HashMap<PackId, u32>,
    by_backup: Vec<(BackupId, Vec<u32>)>,
}

impl PackNeeds {
    fn add(&mut self, id: &BackupId, packs: &[PackRecord]) {
        let mut needed = Vec::with_capacity(packs.len());
        for pack in packs {
            // There is room for the packs of 2^32 * 16 MiB.
            let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
            needed.push(*self.numbers.entry(pack.sha256).or_insert(next));
        }
        self.by_backup.push((id.clone(), needed));
    }

    /// The packs that those backups need which `stay`.
    pub(super) fn of(&self, stay: impl Fn(&BackupId) -> bool) -> HashSet<PackId> {
        let staying = self.by_backup.iter().filter(|(id, _)| stay(id));
        let needed: HashSet<u32> = staying.flat_map(|(_, packs)| packs.iter().copied()).collect();
        let needed = self.numbers.iter().filter(|(_, number)| needed.contains(number));
        needed.map(|(pack, _)| *pack).collect()
    }
}

impl Repository {
    /// Reads all manifests, and of the proofs those that count.
    pub(super) fn readings(&self, mut proofs: ProofKeys) -> Result<Readings, Error> {
        let mut readings = Readings::default();
        let damaged = self.each_manifest(|manifest, sha256| {
            readings.needs.add(&manifest.id, &manifest.packs);
            let cluster = cluster(&manifest);
            let keys = proofs.remove(&manifest.id).unwrap_or_default();
            let summary = self.describe(manifest, sha256, keys)?;
            readings.backups.push(Reading { summary, cluster });
            Ok(())
        })?;
        readings.damaged = damaged;
        Ok(readings)
    }

    /// Reads all manifests again: when each backup was complete, and which packs all of them need; or a backup of which that
    /// cannot be said.
    pub(super) fn needed_now(&self) -> Result<Result<NeededNow, BackupId>, Error> {
        let mut now = NeededNow::default();
        let damaged = self.each_manifest(|manifest, _| {
            now.packs.extend(manifest.packs.iter().map(|pack| pack.sha256));
            now.finished.insert(manifest.id, manifest.finished_at);
            Ok(())
        })?;
        Ok(match damaged.into_iter().next() {
            Some((id, _)) => Err(id),
            None => Ok(now),
        })
    }
}

/// What the manifests that are there need.
#[derive(Debug, Default)]
pub(super) struct NeededNow {
    pub(super) packs: HashSet<PackId>,
    pub(super) finished: HashMap<BackupId, Timestamp>,
}
