//! Rotation: a new key for the holder, and a new root key for what is sealed from now on.
//!
//! Invariant: until the head is replaced, both keys open the repository as it was; from then on the new one does, whose slots were
//! read back and gave a chunk of every backup before. Only what the new key has proven again from the store lets the old slots
//! go. The claim makes sure that one rotation at a time is on its way to an epoch.

use std::sync::Arc;

use format::{
    HolderKey, KEY_NOTE_BYTES_MAX, KEY_NOTE_VERSION, KeyLabel, ObjectKey, RootKey, RotationClaim, SlotId,
};
use jiff::Timestamp;
use storage::{Store, StoreError};
use zeroize::Zeroizing;

use super::canary::Canaries;
use super::grant::Grantor;
use super::{KeyError, KeySummary};
use crate::error::Problem;
use crate::repository::{read_head, storage_key};
use crate::{OpenError, Repository};

/// What to rotate.
#[derive(Debug, Clone, Copy)]
pub struct Rotation<'a> {
    /// The key in use, whose slots go.
    pub old: &'a HolderKey,
    /// The key that takes its place. It must be durable by now.
    pub new: &'a HolderKey,
    /// The name of the new key; nothing to take over that of the old one.
    pub label: Option<&'a KeyLabel>,
    /// Other holders that get access to the new epoch, too. They must have access to the current one.
    pub also: &'a [HolderKey],
}

/// What a rotation would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationPlan {
    /// The epoch that it would begin.
    pub epoch: u32,
    /// The key whose slots would go.
    pub old: KeySummary,
    /// Keys of others. Unless they are given access again, they will not open the repository.
    pub others: Vec<KeySummary>,
    /// Backups of which a chunk was opened.
    pub backups: u64,
    /// Backups that cannot be read even now.
    pub damaged: Vec<Problem>,
}

/// What a rotation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The current epoch.
    pub epoch: u32,
    /// The id of the old key.
    pub old: SlotId,
    /// The id of the new key.
    pub new: SlotId,
    /// Whether an earlier call had begun the epoch, and this one only completed it.
    pub resumed: bool,
    /// Slots of the old key that went.
    pub removed: u64,
    /// Backups of which a chunk was opened through the new key.
    pub backups: u64,
    /// Backups that could not be read.
    pub damaged: Vec<Problem>,
    /// Keys of others that do not open the repository any more until they are added again.
    pub left_behind: Vec<KeySummary>,
}

impl Repository {
    /// What rotating the key in use would do.
    ///
    /// # Errors
    /// When the store fails.
    pub fn plan_rotation(&self) -> Result<RotationPlan, KeyError> {
        let keys = self.keys()?;
        let canaries = Canaries::of(self)?;
        let (own, others): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key.in_use);
        let Some(old) = own.into_iter().next() else {
            return Err(KeyError::NoSuchKey { wanted: self.key_id() });
        };
        let others = others.into_iter().filter(|key| key.is_complete(self.current_epoch())).collect();
        Ok(RotationPlan {
            epoch: self.current_epoch() + 1,
            old,
            others,
            backups: canaries.backups,
            damaged: canaries.damaged.into_values().collect(),
        })
    }

    /// Rotates the keys of the repository in `store`. Interrupted anywhere, the repository opens with the old or the new key, and
    /// the same call completes the rotation.
    ///
    /// What a process that opened the repository before goes on to write is still sealed under the epoch before.
    ///
    /// # Errors
    /// [`KeyError::Canary`] when a backup that the old key reads cannot be read with the new one; [`KeyError::OtherRotation`];
    /// when the store fails.
    pub fn rotate_keys(
        store: Arc<dyn Store>,
        rotation: Rotation<'_>,
        now: Timestamp,
        random: &dyn Fn(&mut [u8]),
    ) -> Result<Rotated, KeyError> {
        let (before, resumed) = match Self::open(Arc::clone(&store), rotation.old) {
            Ok(repository) => (Some(repository.begin_epoch(rotation, now, random)?), false),
            // The head was replaced already, or even all that was left to do is done: then the new key opens it.
            Err(error @ (OpenError::Outdated { .. } | OpenError::WrongKey { .. })) => {
                if Self::open(Arc::clone(&store), rotation.new).is_err() {
                    return Err(error.into());
                }
                (None, true)
            }
            Err(error) => return Err(error.into()),
        };
        let repository = Self::open(store, rotation.new)?;
        let canaries = Canaries::of(&repository)?;
        if let Some(before) = before {
            canaries.require(&before)?;
        }
        repository.complete(rotation, canaries, resumed)
    }

    /// Everything up to the new head; the canaries of before.
    fn begin_epoch(
        &self,
        rotation: Rotation<'_>,
        now: Timestamp,
        random: &dyn Fn(&mut [u8]),
    ) -> Result<Canaries, KeyError> {
        let Rotation { new, also, .. } = rotation;
        if new.slot_id(self.id(), 1) == self.key_id() {
            return Err(KeyError::SameKey);
        }
        let before = Canaries::of(self)?;
        let epoch = self.current_epoch() + 1;
        let store = self.inner.store.as_ref();
        let grantor = Grantor { store, repository: self.id(), now, random };
        for holder in also {
            if grantor.root(holder, self.current_epoch())?.as_ref()
                != Some(self.root_key(self.current_epoch())?)
            {
                return Err(KeyError::NotHolder);
            }
        }
        self.claim(epoch, new)?;
        let old_label = self.keys()?.into_iter().find(|key| key.in_use).and_then(|key| key.label);
        let label = rotation.label.or(old_label.as_ref());
        for epoch in 1..epoch {
            grantor.place(new, epoch, self.root_key(epoch)?, label)?;
        }
        let root = match grantor.root(new, epoch)? {
            // Of an attempt before this one, which was interrupted.
            Some(root) => root,
            None => new_root(random),
        };
        grantor.place(new, epoch, &root, label)?;
        for holder in also {
            grantor.place(holder, epoch, &root, None)?;
        }
        let opened = Self::open(Arc::clone(&self.inner.store), new)?;
        Canaries::of(&opened)?.require(&before)?;
        self.replace_head(&root)?;
        Ok(before)
    }

    /// Makes the epoch of `root` the current one.
    fn replace_head(&self, root: &RootKey) -> Result<(), KeyError> {
        let forming = |source| KeyError::Form { what: "chronavault.json", source };
        let head = self.inner.head.with_epoch(root);
        let json = head.to_json().map_err(forming)?;
        let parsed = format::Head::parse(&json).map_err(forming)?;
        parsed.authenticate(root).map_err(forming)?;
        // A rotation that was complete before the claim of this one would be undone.
        if read_head(self.inner.store.as_ref())? != self.inner.head {
            return Err(KeyError::RotatedMeanwhile);
        }
        Ok(self.inner.store.replace(&storage_key(&ObjectKey::Head)?, &json)?)
    }

    fn claim(&self, epoch: u32, new: &HolderKey) -> Result<(), KeyError> {
        let key = new.slot_id(self.id(), 1);
        let claim = RotationClaim { version: KEY_NOTE_VERSION, epoch, key };
        let json =
            claim.to_json().map_err(|source| KeyError::Form { what: "the claim of a rotation", source })?;
        let place = storage_key(&ObjectKey::RotationClaim(epoch))?;
        match self.inner.store.put(&place, &json) {
            Ok(_) => Ok(()),
            Err(StoreError::Conflict { .. }) => {
                let there = self.inner.store.get(&place, KEY_NOTE_BYTES_MAX)?;
                let key = RotationClaim::parse(&there)
                    .map_or_else(|_| "that cannot be read".to_owned(), |claim| claim.key.to_string());
                Err(KeyError::OtherRotation { epoch, key })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Everything after the new head was proven; `self` was opened with the new key.
    fn complete(
        &self,
        rotation: Rotation<'_>,
        canaries: Canaries,
        resumed: bool,
    ) -> Result<Rotated, KeyError> {
        let epoch = self.current_epoch();
        self.inner.store.delete(&storage_key(&ObjectKey::RotationClaim(epoch))?)?;
        let old: Vec<_> = (1..=epoch).map(|epoch| rotation.old.slot_id(self.id(), epoch)).collect();
        let removed = self.delete_slots(&old)?;
        let keys = self.keys()?;
        let left_behind = keys.into_iter().filter(|key| !key.is_complete(epoch)).collect();
        Ok(Rotated {
            epoch,
            old: old[0],
            new: self.key_id(),
            resumed,
            removed,
            backups: canaries.backups,
            damaged: canaries.damaged.into_values().collect(),
            left_behind,
        })
    }
}

fn new_root(random: &dyn Fn(&mut [u8])) -> RootKey {
    let mut bytes = Zeroizing::new([0; 32]);
    random(bytes.as_mut_slice());
    RootKey::new(*bytes)
}
