//! Choosing the backup to reuse from, and opening it once the intent is there.
//!
//! Invariant (W12): no pack is looked for before the intent is there, and then only those of a backup that is still there: a prune
//! that took it away before may not have seen the intent.

use std::collections::HashSet;
use std::sync::Arc;

use format::{Manifest, ObjectKey, PackId};
use model::{BackupId, Kind};

use super::parent::Parent;
use crate::error::Problem;
use crate::proofs::{Condition, pack_of};
use crate::records::Records;
use crate::repository::storage_key;
use crate::{Error, Repository};

/// A backup to reuse from.
pub(super) struct Chosen {
    pub(super) manifest: Manifest,
    /// Whether anything was found wrong with it.
    condition: Condition,
    /// Packs of any backup that are known to be damaged.
    damaged: HashSet<PackId>,
}

impl Repository {
    /// The backup to reuse from, and the packs that are known to be damaged.
    pub(super) fn choose_parent(
        &self,
        source: &str,
        kind: Kind,
        problems: &mut Vec<Problem>,
    ) -> Result<Option<Chosen>, Error> {
        let proofs = self.proof_keys()?;
        let damaged = self.damaged_packs(&proofs);
        let newest = self.newest_good(source, kind, proofs, &damaged, problems)?;
        Ok(newest.map(|(manifest, condition)| Chosen { manifest, condition, damaged }))
    }

    /// Opens the backup to reuse from, unless it was pruned before the intent was there.
    pub(super) fn open_parent(
        &self,
        Chosen { manifest, condition, damaged }: Chosen,
        records: &Arc<Records>,
        problems: &mut Vec<Problem>,
    ) -> Result<Option<(BackupId, Parent)>, Error> {
        let place = storage_key(&ObjectKey::Manifest(manifest.id.clone()))?;
        if self.inner.store.size(&place)?.is_none() {
            return Ok(None);
        }
        let mut there = self.packs_there()?;
        there.retain(|pack, _| !damaged.contains(pack));
        let files = self.files_of(&manifest, problems);
        let is_good = condition == Condition::Good;
        let mut parent = Parent::open(&manifest, records, &there, files, is_good);
        // Whoever verified has been told already.
        parent
            .problems
            .retain(|problem| pack_of(&problem.object).is_none_or(|pack| !damaged.contains(&pack)));
        Ok(Some((manifest.id, parent)))
    }
}
