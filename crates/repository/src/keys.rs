//! Key holders: who can open a repository, and how that changes (docs/format.md, section 4).
//!
//! Invariant: no slot goes before a repository that was opened anew from the store, through a key that stays, gave a chunk of every
//! backup that could be read before. A change that is interrupted anywhere leaves a repository which some key at hand opens, and
//! the same call again completes it.
//!
//! Deliberately absent: files with keys. A new key must be durable before it is given to any function here.

mod canary;
mod error;
mod grant;
mod health;
mod removal;
mod rotation;

use std::collections::BTreeMap;

use format::{
    KEY_NOTE_BYTES_MAX, KEY_NOTE_VERSION, KeyCheck, KeyLabel, ObjectKey, SLOT_BYTES, SlotHeader, SlotId,
    SlotNote,
};
use jiff::{SignedDuration, Timestamp};
use storage::{Listed, StoreError};

pub use self::error::KeyError;
pub use self::grant::Granted;
pub use self::health::{KEY_OLD_AFTER, KeyConcern, KeyHealth, key_health};
pub use self::removal::KeyRemoval;
pub use self::rotation::{Rotated, Rotation, RotationPlan};

use crate::error::{Problem, ProblemKind};
use crate::proofs::{dated_name, time_of};
use crate::records::{damaged, reading};
use crate::repository::{KEYS, storage_key};
use crate::{Error, Repository};

/// One slot as far as it can be looked at without the key that opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotSummary {
    /// Its id.
    pub id: SlotId,
    /// Its epoch; nothing when it is damaged.
    pub epoch: Option<u32>,
    /// When it was made, as far as is known.
    pub created_at: Option<Timestamp>,
    /// What is wrong with it. That it opens is known of the slots of the key in use only.
    pub problem: Option<Problem>,
}

/// One key: its slots, and what is said of it. Labels and times are clear text that anybody who can write to the store may have
/// written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySummary {
    /// The id of the key: that of its slot for epoch 1.
    pub id: SlotId,
    /// Whose it is.
    pub label: Option<KeyLabel>,
    /// When it was given access, as far as is known.
    pub created_at: Option<Timestamp>,
    /// When a copy of it was last checked.
    pub checked_at: Option<Timestamp>,
    /// Whether it is the key with which the repository was opened.
    pub in_use: bool,
    /// Its slots, by epoch.
    pub slots: Vec<SlotSummary>,
}

impl KeySummary {
    /// Whether it has a slot of every epoch up to the `current` one, so that it opens the repository.
    pub fn is_complete(&self, current: u32) -> bool {
        (1..=current).all(|epoch| self.slots.iter().any(|slot| slot.epoch == Some(epoch)))
    }

    /// For how long it has had access.
    pub fn age(&self, now: Timestamp) -> Option<SignedDuration> {
        self.created_at.map(|created| now.duration_since(created).max(SignedDuration::ZERO))
    }
}

/// What `keys/` holds.
#[derive(Default)]
struct Contents {
    slots: Vec<SlotSummary>,
    notes: BTreeMap<SlotId, SlotNote>,
    checks: BTreeMap<SlotId, Timestamp>,
}

impl Repository {
    /// The id of the key with which the repository was opened.
    pub fn key_id(&self) -> SlotId {
        // There is an epoch, or the repository does not open.
        self.inner.own_slots.first().copied().unwrap_or(SlotId([0; 16]))
    }

    /// The epoch under whose root key new objects are sealed.
    pub fn current_epoch(&self) -> u32 {
        self.inner.keyring.current_epoch()
    }

    /// The keys that have slots: the one in use first, then by the time of their creation.
    ///
    /// Store calls: 1 list, and 1 get for each slot and each note, unless the listing is one that is remembered.
    ///
    /// # Errors
    /// When the store fails. Damage is part of the answer.
    pub fn keys(&self) -> Result<Vec<KeySummary>, Error> {
        let listed = self.inner.store.list(KEYS)?;
        if let Some(keys) = self.known.as_ref().and_then(|known| known.keys(&listed)) {
            return Ok(keys);
        }
        let keys = self.keys_of(&listed)?;
        let is_sound = keys.iter().flat_map(|key| &key.slots).all(|slot| slot.problem.is_none());
        if let Some(known) = self.known.as_ref().filter(|_| is_sound) {
            known.learn_keys(listed, &keys);
        }
        Ok(keys)
    }

    fn keys_of(&self, listed: &[Listed]) -> Result<Vec<KeySummary>, Error> {
        let Contents { slots, notes, checks } = self.key_contents(listed)?;
        let mut keys: BTreeMap<SlotId, KeySummary> = BTreeMap::new();
        for mut slot in slots {
            // Whatever a note says, the slots of the key in use are known.
            let in_use = self.inner.own_slots.contains(&slot.id);
            let note = notes.get(&slot.id);
            let id = if in_use { self.key_id() } else { note.map_or(slot.id, |note| note.key) };
            slot.created_at = note.map(|note| note.created_at);
            // `init` makes the one slot without a note, together with the head.
            if note.is_none() && slot.epoch == Some(1) {
                slot.created_at = Some(self.inner.head.created_at);
            }
            let key = keys.entry(id).or_insert_with(|| KeySummary {
                id,
                label: None,
                created_at: None,
                checked_at: checks.get(&id).copied(),
                in_use,
                slots: Vec::new(),
            });
            key.label = key.label.take().or_else(|| note.and_then(|note| note.label.clone()));
            key.slots.push(slot);
        }
        let mut keys: Vec<_> = keys.into_values().collect();
        for key in &mut keys {
            key.slots.sort_by_key(|slot| (slot.epoch, slot.id));
            key.created_at = key.slots.iter().find_map(|slot| slot.created_at);
        }
        keys.sort_by_key(|key| (!key.in_use, key.created_at, key.id));
        Ok(keys)
    }

    fn key_contents(&self, listed: &[Listed]) -> Result<Contents, Error> {
        let mut found = Contents::default();
        for object in listed {
            match ObjectKey::parse(object.key.as_str()) {
                Some(ObjectKey::Slot(id)) => found.slots.extend(self.slot(id)?),
                Some(ObjectKey::SlotNote(id)) => {
                    found.notes.extend(self.note(id)?.map(|note| (id, note)));
                }
                Some(ObjectKey::KeyCheck(id, name)) => {
                    // Names sort by time.
                    found.checks.extend(time_of(&name).map(|at| (id, at)));
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// A slot; nothing when it went away meanwhile.
    fn slot(&self, id: SlotId) -> Result<Option<SlotSummary>, Error> {
        let key = ObjectKey::Slot(id);
        let expected = |header: SlotHeader| header.repository == self.id() && header.id == id;
        let read = self.inner.store.get(&storage_key(&key)?, SLOT_BYTES as u64);
        let header = match read {
            Err(error) if error.is_not_found() => return Ok(None),
            Err(StoreError::TooLarge { .. }) => {
                Err(Problem::new(key.to_string(), ProblemKind::Truncated, "it is longer than a key slot is"))
            }
            Err(error) => return Err(reading(&key, error)),
            Ok(bytes) => match format::parse_slot(&bytes).map_err(|error| damaged(&key, &error)) {
                Ok(header) if expected(header) => Ok(header),
                Ok(_) => {
                    let message = "it is not the slot that its name says";
                    Err(Problem::new(key.to_string(), ProblemKind::Swapped, message))
                }
                Err(Error::Damaged(problem)) => Err(problem),
                Err(error) => return Err(error),
            },
        };
        Ok(Some(match header {
            Ok(header) => SlotSummary { id, epoch: Some(header.epoch), created_at: None, problem: None },
            Err(problem) => SlotSummary { id, epoch: None, created_at: None, problem: Some(problem) },
        }))
    }

    /// What is said of a slot. A note that cannot be read says nothing: no key depends on it.
    fn note(&self, id: SlotId) -> Result<Option<SlotNote>, Error> {
        let read = self.inner.store.get(&storage_key(&ObjectKey::SlotNote(id))?, KEY_NOTE_BYTES_MAX);
        match read {
            Ok(bytes) => Ok(SlotNote::parse(&bytes).ok()),
            Err(error) if error.is_not_found() || matches!(error, StoreError::TooLarge { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Records that a copy of the key with which this repository was opened was typed in or scanned at `now`. `random` tells
    /// checks of one second apart.
    ///
    /// Store calls: 1 put.
    ///
    /// # Errors
    /// When the store fails.
    pub fn record_key_check(&self, now: Timestamp, random: [u8; 3]) -> Result<(), Error> {
        let check = KeyCheck { version: KEY_NOTE_VERSION, checked_at: to_second(now) };
        let json = check
            .to_json()
            .map_err(|source| Error::Seal { what: "the check of a key".to_owned(), source })?;
        let key = ObjectKey::KeyCheck(self.key_id(), dated_name(now, random));
        self.inner.store.put(&storage_key(&key)?, &json)?;
        Ok(())
    }
}

/// `time` to the second.
fn to_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
