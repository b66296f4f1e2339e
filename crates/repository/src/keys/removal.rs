//! Removing a key: its slots, and what is said of them.

use std::sync::Arc;

use format::{HolderKey, KEY_NOTE_BYTES_MAX, ObjectKey, RotationClaim, SlotId};

use super::canary::Canaries;
use super::{KeyError, KeySummary};
use crate::error::Problem;
use crate::repository::{KEYS, storage_key};
use crate::{Error, Repository};

/// A key that can go: another one was shown to read every backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRemoval {
    /// The key.
    pub key: KeySummary,
    /// The key that stays, through which that was shown.
    pub through: SlotId,
    /// Backups of which a chunk was opened through it.
    pub backups: u64,
    /// Backups that cannot be read with any key.
    pub damaged: Vec<Problem>,
}

impl Repository {
    /// Looks whether the key with the slot `wanted` can go, and proves it through the key `through`, which stays.
    ///
    /// # Errors
    /// [`KeyError::NoSuchKey`], [`KeyError::LastKey`]; [`KeyError::InUse`] when `through` is the key that is to go;
    /// [`KeyError::Canary`] when a backup cannot be read through it; when the store fails.
    pub fn plan_key_removal(&self, wanted: SlotId, through: &HolderKey) -> Result<KeyRemoval, KeyError> {
        let (found, others): (Vec<_>, Vec<_>) = self
            .keys()?
            .into_iter()
            .partition(|key| key.id == wanted || key.slots.iter().any(|slot| slot.id == wanted));
        let Some(key) = found.into_iter().next() else { return Err(KeyError::NoSuchKey { wanted }) };
        if !others.iter().any(|other| other.is_complete(self.current_epoch())) {
            return Err(KeyError::LastKey { key: key.id });
        }
        if through.slot_id(self.id(), 1) == key.id {
            return Err(KeyError::InUse { key: key.id });
        }
        let before = Canaries::of(self)?;
        let opened = Self::open(Arc::clone(&self.inner.store), through)?;
        let canaries = Canaries::of(&opened)?;
        canaries.require(&before)?;
        let damaged = canaries.damaged.into_values().collect();
        Ok(KeyRemoval { key, through: opened.key_id(), backups: canaries.backups, damaged })
    }

    /// Removes a key. The slots that it has now go for good, the latest epoch first; what was sealed while it had access stays
    /// readable for whoever has it and a copy of its slots. Interrupted, the same again completes it. The number of slots.
    ///
    /// # Errors
    /// When the store fails.
    pub fn remove_key(&self, removal: &KeyRemoval) -> Result<u64, KeyError> {
        let key = &removal.key;
        let slots: Vec<_> = key.slots.iter().map(|slot| slot.id).collect();
        let removed = self.delete_slots(&slots)?;
        self.withdraw_claim(key.id)?;
        Ok(removed)
    }

    /// Deletes slots from the last to the first, each with what is said of it, and returns how many were there.
    pub(super) fn delete_slots(&self, slots: &[SlotId]) -> Result<u64, Error> {
        let store = &self.inner.store;
        let mut removed = 0;
        for id in slots.iter().rev() {
            removed += u64::from(store.delete(&storage_key(&ObjectKey::Slot(*id))?)?);
            store.delete(&storage_key(&ObjectKey::SlotNote(*id))?)?;
            for object in store.list(&format!("{KEYS}{id}."))? {
                if let Some(ObjectKey::KeyCheck(..)) = ObjectKey::parse(object.key.as_str()) {
                    store.delete(&object.key)?;
                }
            }
        }
        Ok(removed)
    }

    /// A rotation that was to end with this key does not go on.
    fn withdraw_claim(&self, key: SlotId) -> Result<(), Error> {
        let place = storage_key(&ObjectKey::RotationClaim(self.current_epoch() + 1))?;
        match self.inner.store.get(&place, KEY_NOTE_BYTES_MAX) {
            Ok(bytes) if RotationClaim::parse(&bytes).is_ok_and(|claim| claim.key != key) => Ok(()),
            // One that nobody can read belongs to nobody.
            Ok(_) => Ok(self.inner.store.delete(&place).map(drop)?),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
