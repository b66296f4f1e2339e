//! Giving a key access: slots of epochs for a holder.

use std::sync::Arc;

use format::{
    HolderKey, KEY_NOTE_VERSION, KeyLabel, ObjectKey, RepositoryId, RootKey, SlotHeader, SlotId, SlotNote,
    SlotRandom,
};
use jiff::Timestamp;
use storage::Store;

use super::canary::Canaries;
use super::{KeyError, to_second};
use crate::error::Problem;
use crate::repository::{open_slot, storage_key};
use crate::{OpenError, Repository};

/// What giving a key access did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The id of the key.
    pub key: SlotId,
    /// Slots that were written; none when it had access already.
    pub slots: u64,
    /// Backups of which a chunk was opened through the new key.
    pub backups: u64,
    /// Backups that no key could read.
    pub damaged: Vec<Problem>,
}

/// Writes slots for keys.
pub(super) struct Grantor<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) repository: RepositoryId,
    pub(super) now: Timestamp,
    pub(super) random: &'a dyn Fn(&mut [u8]),
}

impl Grantor<'_> {
    /// What the slot of `holder` for `epoch` must look like.
    pub(super) fn expected(&self, holder: &HolderKey, epoch: u32) -> SlotHeader {
        SlotHeader { epoch, repository: self.repository, id: holder.slot_id(self.repository, epoch) }
    }

    /// The root key in the slot of `holder` for `epoch`; nothing when there is no slot that opens.
    pub(super) fn root(&self, holder: &HolderKey, epoch: u32) -> Result<Option<RootKey>, KeyError> {
        match open_slot(self.store, holder, self.expected(holder, epoch)) {
            Ok(root) => Ok(root),
            Err(OpenError::SlotDamaged { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sees to it that `holder` has a durable slot with the root key of `epoch`, and that it can be read back. Whether it is new.
    ///
    /// The note comes before the slot, so that no slot is without one.
    pub(super) fn place(
        &self,
        holder: &HolderKey,
        epoch: u32,
        root: &RootKey,
        label: Option<&KeyLabel>,
    ) -> Result<bool, KeyError> {
        let expected = self.expected(holder, epoch);
        let key = ObjectKey::Slot(expected.id);
        let place = storage_key(&key)?;
        if self.root(holder, epoch)?.as_ref() == Some(root) {
            self.store.settle(&place)?;
            return Ok(false);
        }
        // What is there is damaged, or left from a rotation or a removal that was interrupted: it opens nothing.
        self.store.delete(&place)?;
        self.write_note(holder, expected.id, label)?;
        let mut random = SlotRandom { salt: [0; 32], nonce: [0; 12] };
        (self.random)(&mut random.salt);
        (self.random)(&mut random.nonce);
        let slot = format::seal_slot(holder, self.repository, epoch, root, &random)
            .map_err(|source| KeyError::Form { what: "a key slot", source })?;
        self.store.put(&place, &slot)?;
        if self.root(holder, epoch)?.as_ref() == Some(root) {
            Ok(true)
        } else {
            Err(KeyError::ReadBack { key })
        }
    }

    fn write_note(&self, holder: &HolderKey, slot: SlotId, label: Option<&KeyLabel>) -> Result<(), KeyError> {
        let note = SlotNote {
            version: KEY_NOTE_VERSION,
            key: holder.slot_id(self.repository, 1),
            created_at: to_second(self.now),
            label: label.cloned(),
        };
        let json =
            note.to_json().map_err(|source| KeyError::Form { what: "the note of a key slot", source })?;
        let place = storage_key(&ObjectKey::SlotNote(slot))?;
        self.store.delete(&place)?;
        self.store.put(&place, &json)?;
        Ok(())
    }
}

impl Repository {
    /// Gives `holder` access to everything that the key in use opens, under a label for people. Its key must be durable
    /// elsewhere by now. Interrupted, the same call completes it; a holder that has access already keeps what it has.
    ///
    /// Store calls: for each epoch 7 to write a slot; then what opening and a canary of every backup take, twice.
    ///
    /// # Errors
    /// [`KeyError::Canary`] when a backup cannot be read through the new key; when the store fails.
    pub fn add_key(
        &self,
        holder: &HolderKey,
        label: Option<&KeyLabel>,
        now: Timestamp,
        random: &dyn Fn(&mut [u8]),
    ) -> Result<Granted, KeyError> {
        let before = Canaries::of(self)?;
        let store = self.inner.store.as_ref();
        let grantor = Grantor { store, repository: self.id(), now, random };
        let mut slots = 0;
        for epoch in 1..=self.current_epoch() {
            let root = self.root_key(epoch)?;
            slots += u64::from(grantor.place(holder, epoch, root, label)?);
        }
        let opened = Self::open(Arc::clone(&self.inner.store), holder)?;
        let canaries = Canaries::of(&opened)?;
        canaries.require(&before)?;
        let damaged = canaries.damaged.into_values().collect();
        Ok(Granted { key: opened.key_id(), slots, backups: canaries.backups, damaged })
    }

    pub(super) fn root_key(&self, epoch: u32) -> Result<&RootKey, KeyError> {
        let root = self.inner.keyring.root_key(epoch);
        root.map_err(|source| KeyError::Form { what: "a key slot", source })
    }
}
