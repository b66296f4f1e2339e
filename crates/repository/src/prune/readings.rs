//! What all manifests say, as far as a prune is concerned.
//!
//! Memory: that of [`Known`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use format::PackId;
use jiff::Timestamp;
use model::{BackupId, Outcome, Standing, StoredBackup};

use crate::catalog::ProofKeys;
use crate::error::Problem;
use crate::known::{Known, ManifestFacts};
use crate::{BackupSummary, Error, Repository};

/// All backups.
#[derive(Debug)]
pub(super) struct Readings {
    /// Those whose manifests can be read, newest first.
    pub(super) backups: Vec<Reading>,
    /// The others.
    pub(super) damaged: Vec<(BackupId, Problem)>,
    known: Arc<Known>,
}

/// One backup.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) summary: BackupSummary,
    facts: Arc<ManifestFacts>,
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
            cluster: self.facts.cluster,
        }
    }
}

impl Readings {
    /// The packs that those backups need which `stay`.
    pub(super) fn needs(&self, stay: impl Fn(&BackupId) -> bool) -> HashSet<PackId> {
        let staying = self.backups.iter().filter(|reading| stay(&reading.summary.id));
        self.known.packs_of(staying.map(|reading| reading.facts.as_ref()))
    }
}

impl Repository {
    /// Reads all manifests, and of the proofs those that count; what is remembered is not read again.
    pub(super) fn readings(&self, mut proofs: ProofKeys) -> Result<Readings, Error> {
        let known = self.known();
        let mut backups = Vec::new();
        let damaged = self.each_manifest(&known, |facts| {
            let keys = proofs.remove(&facts.summary.id).unwrap_or_default();
            backups.push(Reading { summary: self.describe(&facts, keys)?, facts });
            Ok(())
        })?;
        Ok(Readings { backups, damaged, known })
    }

    /// Reads all manifests again: when each backup was complete, and which packs all of them need; or a backup of which that
    /// cannot be said.
    pub(super) fn needed_now(&self) -> Result<Result<NeededNow, BackupId>, Error> {
        let mut now = NeededNow::default();
        // Nothing that was read before counts: what is not named here goes.
        for id in self.ids()? {
            match self.manifest(&id) {
                Ok(manifest) => {
                    now.packs.extend(manifest.packs.iter().map(|pack| pack.sha256));
                    now.finished.insert(manifest.id, manifest.finished_at);
                }
                Err(Error::Damaged(_)) => return Ok(Err(id)),
                // Pruned since it was listed.
                Err(Error::NoSuchBackup { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Ok(now))
    }
}

/// What the manifests that are there need.
#[derive(Debug, Default)]
pub(super) struct NeededNow {
    pub(super) packs: HashSet<PackId>,
    pub(super) finished: HashMap<BackupId, Timestamp>,
}
