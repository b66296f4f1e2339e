//! What a prune would do, worked out without changing anything.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use format::{ObjectKey, PackId};
use jiff::{SignedDuration, Timestamp};
use model::{
    BackupId, Fate, Halt, RetentionPlan, RetentionPolicies, StoredBackup, StoredWal, plan_removal,
    plan_retention, superseded_failures,
};
use storage::Listed;

use super::readings::{Reading, Readings};
use super::wal::Archive;
use super::{Objects, PacksLeft, PlannedWal, TRASH_KEPT};
use crate::catalog::{BACKUPS, ProofKeys};
use crate::error::Problem;
use crate::holds::{HOLDS, Holds, held_until};
use crate::intents::{INTENT_ABANDONED_AFTER, Intents};
use crate::proofs::PROOFS;
use crate::writer::PACKS;
use crate::{BackupSummary, Error, PlacedHold, Repository};

/// What goes and what stays, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct PrunePlan {
    /// When it was made.
    pub now: Timestamp,
    /// Why nothing goes at all.
    pub halt: Option<Halt>,
    /// Every backup whose manifest can be read, newest first.
    pub backups: Vec<PlannedBackup>,
    /// The backups whose manifests cannot be read. They stay.
    pub damaged: Vec<(BackupId, Problem)>,
    /// Packs that no backup names that stays.
    pub packs: PlannedPacks,
    /// All archived WAL, by cluster and timeline.
    pub wal: Vec<PlannedWal>,
    /// Checksum files and proofs of backups that are gone.
    pub leftovers: Objects,
    /// Site documents that newer ones have replaced.
    pub documents: Objects,
    /// Intents of writers that were killed long ago.
    pub abandoned: Vec<BackupId>,
    /// What has been in the trash for long enough.
    pub trash: Objects,
    /// How long what goes now is kept in the trash.
    pub trash_kept: SignedDuration,
}

/// A backup, and whether it goes.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedBackup {
    /// The backup.
    pub summary: BackupSummary,
    /// Whether it goes, or why it stays.
    pub fate: Fate,
    /// If it goes: its manifest.
    pub(super) manifest: Objects,
    /// If it goes: its checksum file, its holds, and its proofs, but for one that says which of the packs that stay are damaged.
    pub(super) others: Objects,
    /// Who holds it.
    pub holds: Vec<PlacedHold>,
}

/// Packs that no backup names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlannedPacks {
    /// The packs.
    pub objects: Objects,
    /// Why they stay all the same.
    pub left: Option<PacksLeft>,
}

/// What is listed, beside WAL.
struct Listing {
    packs: Vec<(PackId, Listed)>,
    intents: Intents,
    manifests: BTreeMap<BackupId, Listed>,
    checksums: BTreeMap<BackupId, Listed>,
    proofs: ProofKeys,
    proof_objects: BTreeMap<ObjectKey, Listed>,
    holds: BTreeMap<BackupId, Vec<Listed>>,
}

/// Which backups are to be removed by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemovalRequest {
    /// These.
    Named(BTreeSet<BackupId>),
    /// Those that failed their verification and were followed by one that did not.
    Failed,
}

/// What there is.
struct Stock {
    listing: Listing,
    readings: Readings,
    holds: Holds,
    archive: Archive,
    backups: Vec<StoredBackup>,
    wal: Vec<StoredWal>,
}

impl PrunePlan {
    /// The backups that go, newest first.
    pub fn going(&self) -> impl DoubleEndedIterator<Item = &PlannedBackup> {
        self.backups.iter().filter(|backup| backup.fate == Fate::Goes)
    }

    /// Whether there is nothing to do.
    pub fn is_nothing(&self) -> bool {
        self.objects() == 0 && self.abandoned.is_empty()
    }

    /// Bytes of what goes, without those in the trash.
    pub fn bytes(&self) -> u64 {
        let backups = self.going().map(|backup| backup.manifest.bytes() + backup.others.bytes());
        let wal = self.wal.iter().map(|wal| wal.objects.bytes());
        let packs = if self.packs.left.is_none() { self.packs.objects.bytes() } else { 0 };
        backups.sum::<u64>() + wal.sum::<u64>() + packs + self.leftovers.bytes() + self.documents.bytes()
    }

    /// How many objects go, those in the trash included.
    pub fn objects(&self) -> u64 {
        let backups = self.going().map(|backup| backup.manifest.number() + backup.others.number());
        let wal = self.wal.iter().map(|wal| wal.objects.number());
        let packs = if self.packs.left.is_none() { self.packs.objects.number() } else { 0 };
        let rest = packs + self.leftovers.number() + self.documents.number() + self.trash.number();
        backups.sum::<u64>() + wal.sum::<u64>() + rest
    }
}

impl Repository {
    /// Works out what a prune at `now` would do. What has been in the trash for `trash_kept` goes for good.
    ///
    /// Store calls: 9 lists, and one more where there are holds; 1 get for each hold, for each manifest and for the proofs of each
    /// backup that count, and for those of backups that go or are gone, unless they are remembered
    /// ([`Repository::remembering`]); a few for each timeline of WAL.
    ///
    /// # Errors
    /// When the store fails. Damage is part of the plan.
    pub fn plan_prune(
        &self,
        policies: &RetentionPolicies,
        trash_kept: SignedDuration,
        now: Timestamp,
    ) -> Result<PrunePlan, Error> {
        let stock = self.stock()?;
        let retention = plan_retention(policies, now, &stock.backups, &stock.wal);
        let mut plan = self.plan(stock, &retention, now, trash_kept);
        if plan.halt.is_some() {
            // The clock may be wrong, and everything here depends on it.
            plan.packs = PlannedPacks::default();
            plan.leftovers = Objects::default();
            plan.abandoned = Vec::new();
        } else {
            plan.documents = Objects(self.replaced_documents()?);
        }
        // What is in the trash goes for good, so the slightest doubt about the clock keeps it.
        if !retention.is_unusual {
            plan.trash = self.old_trash(now, trash_kept)?;
        }
        Ok(plan)
    }

    /// Works out what removing backups by hand at `now` would do: they go, if nothing needs them, and their packs. With
    /// `shortens_window` also those go from which moments of the recovery window are reached.
    ///
    /// Store calls: as [`Repository::plan_prune`].
    ///
    /// # Errors
    /// As [`Repository::plan_prune`].
    pub fn plan_removal(
        &self,
        policies: &RetentionPolicies,
        request: &RemovalRequest,
        shortens_window: bool,
        now: Timestamp,
    ) -> Result<PrunePlan, Error> {
        let stock = self.stock()?;
        let asked = match request {
            RemovalRequest::Named(ids) => ids.clone(),
            RemovalRequest::Failed => superseded_failures(&stock.backups),
        };
        let removal = plan_removal(policies, now, &stock.backups, &stock.wal, &asked, shortens_window);
        let mut plan = self.plan(stock, &removal, now, TRASH_KEPT);
        plan.leftovers = Objects::default();
        plan.abandoned = Vec::new();
        Ok(plan)
    }

    fn stock(&self) -> Result<Stock, Error> {
        let listing = self.listing()?;
        let holds = if listing.holds.is_empty() { Holds::new() } else { self.holds()? };
        let readings = self.readings(listing.proofs.clone())?;
        let archive = self.wal_objects()?;
        let mut backups: Vec<_> = readings.backups.iter().map(Reading::stored).collect();
        for backup in &mut backups {
            backup.held_until = held_until(&holds, &backup.id);
        }
        let wal = self.stored_wal(&archive)?;
        Ok(Stock { listing, readings, holds, archive, backups, wal })
    }

    /// What it takes to do what retention decided.
    fn plan(
        &self,
        stock: Stock,
        retention: &RetentionPlan,
        now: Timestamp,
        trash_kept: SignedDuration,
    ) -> PrunePlan {
        let Stock { listing, readings, mut holds, archive, .. } = stock;
        let going: BTreeSet<&BackupId> = retention.going().collect();
        let needed = readings.needs(|id| !going.contains(id));
        let packs = listing.packs(&needed, &readings, now);
        let (mut backups, damaged) = self.planned(readings, retention, &listing, &needed);
        for backup in &mut backups {
            backup.holds = holds.remove(&backup.summary.id).unwrap_or_default();
        }
        PrunePlan {
            now,
            halt: retention.halt.clone(),
            packs,
            wal: archive.plan(retention),
            leftovers: self.leftovers(&listing, &needed),
            documents: Objects::default(),
            abandoned: listing.abandoned(now),
            trash: Objects::default(),
            trash_kept,
            backups,
            damaged,
        }
    }

    /// Lists packs before intents, and those before manifests: a pack in the list was put by a writer whose intent is in the list
    /// of intents, unless its manifest is in that of manifests.
    fn listing(&self) -> Result<Listing, Error> {
        let store = &self.inner.store;
        let mut packs = Vec::new();
        for object in store.list(PACKS)? {
            if let Some(ObjectKey::Pack(pack)) = ObjectKey::parse(object.key.as_str()) {
                packs.push((pack, object));
            }
        }
        let intents = self.intents()?;
        let (mut manifests, mut checksums) = (BTreeMap::new(), BTreeMap::new());
        for object in store.list(BACKUPS)? {
            match ObjectKey::parse(object.key.as_str()) {
                Some(ObjectKey::Manifest(id)) => manifests.insert(id, object),
                Some(ObjectKey::Checksum(id)) => checksums.insert(id, object),
                _ => None,
            };
        }
        let (mut proofs, mut proof_objects) = (ProofKeys::new(), BTreeMap::new());
        for object in store.list(PROOFS)?.into_iter().rev() {
            if let Some(key @ ObjectKey::Proof(..)) = ObjectKey::parse(object.key.as_str())
                && let ObjectKey::Proof(id, _) = &key
            {
                proofs.entry(id.clone()).or_default().push(key.clone());
                proof_objects.insert(key, object);
            }
        }
        let mut holds: BTreeMap<BackupId, Vec<Listed>> = BTreeMap::new();
        for (id, object) in self.hold_objects(HOLDS)? {
            holds.entry(id).or_default().push(object);
        }
        Ok(Listing { packs, intents, manifests, checksums, proofs, proof_objects, holds })
    }

    fn planned(
        &self,
        readings: Readings,
        retention: &RetentionPlan,
        listing: &Listing,
        needed: &HashSet<PackId>,
    ) -> (Vec<PlannedBackup>, Vec<(BackupId, Problem)>) {
        let planned = readings.backups.into_iter().zip(&retention.backups).map(|(reading, verdict)| {
            let (mut manifest, mut others) = (Objects::default(), Objects::default());
            if verdict.fate == Fate::Goes {
                manifest.0.extend(listing.manifests.get(&verdict.id).cloned());
                others = self.beside(&verdict.id, listing, needed);
            }
            PlannedBackup {
                summary: reading.summary,
                fate: verdict.fate,
                manifest,
                others,
                holds: Vec::new(),
            }
        });
        (planned.collect(), readings.damaged)
    }

    /// The checksum file, the holds and the proofs of a backup, but for one that says that a pack is damaged which is still needed.
    fn beside(&self, id: &BackupId, listing: &Listing, needed: &HashSet<PackId>) -> Objects {
        let mut objects = Objects::default();
        objects.0.extend(listing.checksums.get(id).cloned());
        objects.0.extend(listing.holds.get(id).into_iter().flatten().cloned());
        if let Some(keys) = listing.proofs.get(id) {
            let warning = self.warning(id, keys, |pack| needed.contains(pack));
            let going = keys.iter().filter(|key| Some(*key) != warning);
            objects.0.extend(going.filter_map(|key| listing.proof_objects.get(key).cloned()));
        }
        objects
    }

    /// What is left of backups that are gone. A backup that is being written has nothing yet; what seems to be left of it was put
    /// since its manifest was looked for.
    fn leftovers(&self, listing: &Listing, needed: &HashSet<PackId>) -> Objects {
        let ids: BTreeSet<_> =
            listing.checksums.keys().chain(listing.proofs.keys()).chain(listing.holds.keys()).collect();
        let gone = ids
            .into_iter()
            .filter(|id| !listing.manifests.contains_key(*id) && !listing.intents.writers.contains(id));
        Objects(gone.flat_map(|id| self.beside(id, listing, needed).0).collect())
    }
}

impl Listing {
    /// The packs that no backup needs that stays.
    fn packs(&self, needed: &HashSet<PackId>, readings: &Readings, now: Timestamp) -> PlannedPacks {
        let unneeded = self.packs.iter().filter(|(pack, _)| !needed.contains(pack));
        let objects = Objects(unneeded.map(|(_, object)| object.clone()).collect());
        let running = self.unfinished().find(|id| !is_abandoned(id, now));
        let left = match (readings.damaged.first(), running) {
            (Some((id, _)), _) => Some(PacksLeft::Damaged(id.clone())),
            (None, Some(id)) => Some(PacksLeft::Running(id.clone())),
            (None, None) => None,
        };
        PlannedPacks { left: left.filter(|_| objects.number() > 0), objects }
    }

    fn abandoned(&self, now: Timestamp) -> Vec<BackupId> {
        self.unfinished().filter(|id| is_abandoned(id, now)).cloned().collect()
    }

    /// The writers that have no manifest.
    fn unfinished(&self) -> impl Iterator<Item = &BackupId> {
        self.intents.writers.iter().filter(|id| !self.manifests.contains_key(*id))
    }
}

/// Whether the writer of a backup that is not there was killed long ago.
pub(super) fn is_abandoned(id: &BackupId, now: Timestamp) -> bool {
    now.duration_since(id.started_at()) >= INTENT_ABANDONED_AFTER
}
