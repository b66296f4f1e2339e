//! Doing what a plan says.

use std::ops::ControlFlow;

use format::ObjectKey;
use jiff::Timestamp;
use model::BackupId;
use storage::StoreError;

use super::plan::{PlannedBackup, is_abandoned};
use super::readings::NeededNow;
use super::{Objects, PacksLeft, PrunePlan, trash};
use crate::holds::held_until;
use crate::intents::{Announcement, INTENT_ABANDONED_AFTER, Intents};
use crate::proofs::pack_of;
use crate::repository::storage_key;
use crate::{Error, Repository};

/// How far a prune is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PruneProgress {
    /// Objects that were looked at.
    pub done: u64,
    /// Objects that the plan names.
    pub total: u64,
}

/// Told how far a prune is; may stop it between any two objects.
pub type OnPrune<'a> = &'a dyn Fn(PruneProgress) -> ControlFlow<()>;

/// What a prune did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// The backups that went, oldest first.
    pub backups: Vec<BackupId>,
    /// Packs that went.
    pub packs: Removed,
    /// Why packs that no backup names are still there.
    pub packs_left: Option<PacksLeft>,
    /// WAL that went.
    pub wal: Removed,
    /// Manifests, checksum files, proofs and site documents that went.
    pub others: Removed,
    /// Writers that were killed long ago, and whose intents went.
    pub abandoned: Vec<BackupId>,
    /// What went out of the trash, for good.
    pub emptied: Removed,
}

/// Objects that went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// How many.
    pub objects: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

impl Repository {
    /// Does what `plan` says. What it cannot do now, or is not done when it is interrupted, the next prune does. `random` tells
    /// prunes of one second apart.
    ///
    /// Store calls: 1 list and 1 get for each hold; 1 trash for each object of the plan; for what is emptied out of the trash 1 delete; for the intent 1 put and 1
    /// delete; 2 lists, 1 get for each manifest.
    ///
    /// # Errors
    /// When the store fails, or [`Error::Cancelled`]. No backup is half gone then: it is listed and whole, or not listed.
    pub fn prune(
        &self,
        plan: &PrunePlan,
        random: [u8; 3],
        progress: OnPrune<'_>,
    ) -> Result<PruneReport, Error> {
        let mut work = Work {
            repository: self,
            now: plan.now,
            lot: trash::lot(plan.now),
            progress,
            seen: PruneProgress { done: 0, total: plan.objects() },
        };
        let mut report = PruneReport::default();
        if plan.is_nothing() {
            report.packs_left.clone_from(&plan.packs.left);
            return Ok(report);
        }
        let _intent = match Announcement::of_prune(&self.inner, plan.now, random) {
            Ok(intent) => Some(intent),
            // Whoever makes room cannot need any.
            Err(Error::Store(StoreError::Full { .. })) => None,
            Err(error) => return Err(error),
        };
        let going: Vec<_> = self.still_going(plan)?;
        for backup in &going {
            work.trash(&backup.manifest, &mut report.others)?;
            report.backups.push(backup.summary.id.clone());
        }
        for backup in &going {
            work.trash(&backup.others, &mut report.others)?;
        }
        work.trash_leftovers(&plan.leftovers, &mut report.others)?;
        work.collect(&plan.packs.objects, &mut report)?;
        for wal in &plan.wal {
            work.trash(&wal.objects, &mut report.wal)?;
        }
        work.trash(&plan.documents, &mut report.others)?;
        if plan.trash.number() > 0 || plan.trash_kept.is_zero() {
            work.empty(&self.old_trash(plan.now, plan.trash_kept)?, &mut report.emptied)?;
        }
        Ok(report)
    }
}

impl Repository {
    /// The backups that go, oldest first, without those that somebody has held since the plan was made. The intent is there already:
    /// whoever places a hold from now on is told so (W16).
    fn still_going<'a>(&self, plan: &'a PrunePlan) -> Result<Vec<&'a PlannedBackup>, Error> {
        let held = self.holds()?;
        let is_free = |backup: &&PlannedBackup| {
            held_until(&held, &backup.summary.id).is_none_or(|until| until <= plan.now)
        };
        Ok(plan.going().rev().filter(is_free).collect())
    }
}

/// A prune under way.
struct Work<'a> {
    repository: &'a Repository,
    now: Timestamp,
    lot: String,
    progress: OnPrune<'a>,
    seen: PruneProgress,
}

impl Work<'_> {
    fn advance(&mut self) -> Result<(), Error> {
        if (self.progress)(self.seen).is_break() {
            return Err(Error::Cancelled);
        }
        self.seen.done += 1;
        Ok(())
    }

    fn trash(&mut self, objects: &Objects, removed: &mut Removed) -> Result<(), Error> {
        for object in &objects.0 {
            self.advance()?;
            let aside = trash::aside(&object.key, &self.lot)?;
            if self.repository.inner.store.trash(&object.key, &aside)? {
                removed.add(object.size);
            }
        }
        Ok(())
    }

    /// Trashes what is left of backups that are gone, and gone it must be: a listing that went on while a backup was committed may
    /// have seen its checksum file and not its manifest.
    fn trash_leftovers(&mut self, leftovers: &Objects, removed: &mut Removed) -> Result<(), Error> {
        for object in &leftovers.0 {
            let Some(ObjectKey::Checksum(id) | ObjectKey::Proof(id, _) | ObjectKey::Hold(id, _)) =
                ObjectKey::parse(object.key.as_str())
            else {
                continue;
            };
            if !self.has_manifest(&id)? {
                self.trash(&Objects(vec![object.clone()]), removed)?;
            }
        }
        Ok(())
    }

    fn has_manifest(&self, id: &BackupId) -> Result<bool, Error> {
        let place = storage_key(&ObjectKey::Manifest(id.clone()))?;
        Ok(self.repository.inner.store.size(&place)?.is_some())
    }

    /// Collects those of `packs` that nobody needs (W14). They were listed before; now intents are, and after them manifests.
    fn collect(&mut self, packs: &Objects, report: &mut PruneReport) -> Result<(), Error> {
        let intents = self.repository.intents()?;
        let mut finished = Vec::new();
        for id in &intents.writers {
            if !is_abandoned(id, self.now) {
                continue;
            }
            if self.has_manifest(id)? {
                finished.push(id);
            } else {
                // Before the manifests are listed: if this writer lives, it finds out before or after it has put its own.
                self.remove_intent(&ObjectKey::Intent(id.clone()))?;
                report.abandoned.push(id.clone());
            }
        }
        self.remove_old_prunes(&intents)?;
        if packs.number() == 0 {
            return Ok(());
        }
        let needed = match self.repository.needed_now()? {
            Ok(needed) => needed,
            Err(id) => {
                report.packs_left = Some(PacksLeft::Damaged(id));
                return Ok(());
            }
        };
        let mut running = intents.writers.iter().filter(|id| !is_abandoned(id, self.now));
        if let Some(id) = running.find(|id| !needed.finished.contains_key(*id)) {
            report.packs_left = Some(PacksLeft::Running(id.clone()));
            return Ok(());
        }
        let is_needed = |key: &str| pack_of(key).is_none_or(|pack| needed.packs.contains(&pack));
        let unneeded = packs.0.iter().filter(|object| !is_needed(object.key.as_str()));
        self.trash(&Objects(unneeded.cloned().collect()), &mut report.packs)?;
        self.remove_finished(&finished, &needed)
    }

    /// Removes intents of prunes that were killed long ago.
    fn remove_old_prunes(&self, intents: &Intents) -> Result<(), Error> {
        let old = intents.prunes.iter().filter(|(_, began)| self.is_long_ago(*began));
        old.into_iter().try_for_each(|(key, _)| self.remove_intent(key))
    }

    /// Removes intents of writers that were killed long ago when they had just finished. One that took so long and is complete just
    /// now looks for its intent once more.
    fn remove_finished(&self, ids: &[&BackupId], needed: &NeededNow) -> Result<(), Error> {
        let is_over = |id: &BackupId| needed.finished.get(id).is_some_and(|at| self.is_long_ago(*at));
        let over = ids.iter().filter(|id| is_over(id));
        over.into_iter().try_for_each(|id| self.remove_intent(&ObjectKey::Intent((*id).clone())))
    }

    fn is_long_ago(&self, at: Timestamp) -> bool {
        self.now.duration_since(at) >= INTENT_ABANDONED_AFTER
    }

    fn remove_intent(&self, key: &ObjectKey) -> Result<(), Error> {
        self.repository.inner.store.delete(&storage_key(key)?)?;
        Ok(())
    }

    fn empty(&mut self, objects: &Objects, removed: &mut Removed) -> Result<(), Error> {
        for object in &objects.0 {
            self.advance()?;
            if self.repository.inner.store.delete(&object.key)? {
                removed.add(object.size);
            }
        }
        Ok(())
    }
}

impl Removed {
    fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}
