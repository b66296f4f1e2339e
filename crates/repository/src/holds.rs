//! Holds: backups that somebody wants to stay, with a reason and an end.
//!
//! Invariant: a hold that was acknowledged is seen by every prune that removes something afterwards (W16). Whoever places one looks
//! for prunes at work once it is there; a prune announces itself before it looks for holds. A hold that cannot be read holds for ever.

use std::collections::BTreeMap;

use format::{HOLD_VERSION, Hold, ObjectKey};
use jiff::{SignedDuration, Timestamp};
use model::BackupId;
use storage::{Listed, StoreError};

use crate::proofs::dated_name;
use crate::repository::storage_key;
use crate::{Error, Repository};

/// Keys of holds start so.
pub(crate) const HOLDS: &str = "holds/";
/// A prune that began longer ago was killed.
const PRUNE_KILLED_AFTER: SignedDuration = SignedDuration::from_hours(6);
/// Most bytes of a hold.
const HOLD_BYTES_MAX: u64 = 64 << 10;

/// A hold that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlacedHold {
    /// What it says.
    Known(Hold),
    /// It cannot be read: this is its key.
    Unreadable(String),
}

impl PlacedHold {
    /// Until when it holds.
    pub fn until(&self) -> Timestamp {
        match self {
            Self::Known(hold) => hold.until.unwrap_or(Timestamp::MAX),
            Self::Unreadable(_) => Timestamp::MAX,
        }
    }
}

/// All holds, by backup.
pub type Holds = BTreeMap<BackupId, Vec<PlacedHold>>;

/// Until when a backup is held.
pub(crate) fn held_until(holds: &Holds, id: &BackupId) -> Option<Timestamp> {
    holds.get(id).and_then(|of_backup| of_backup.iter().map(PlacedHold::until).max())
}

impl Repository {
    /// Holds a backup. `random` tells holds of one second apart.
    ///
    /// Store calls: 1 put, 1 size, 1 list.
    ///
    /// # Errors
    /// [`Error::NoSuchBackup`]; [`Error::PruneRunning`] when a prune is at work that may not see the hold; or the store fails. The
    /// backup is not held then.
    pub fn hold(
        &self,
        id: &BackupId,
        reason: &str,
        by: &str,
        (now, until): (Timestamp, Option<Timestamp>),
        random: [u8; 3],
    ) -> Result<Hold, Error> {
        let hold = Hold {
            version: HOLD_VERSION,
            placed_at: now,
            by: by.to_owned(),
            reason: reason.to_owned(),
            until,
        };
        let json = hold.to_json().map_err(|source| Error::Seal { what: "the hold".to_owned(), source })?;
        let place = storage_key(&ObjectKey::Hold(id.clone(), dated_name(now, random)))?;
        let store = &self.inner.store;
        store.put(&place, &json)?;
        match self.require_no_prune(now).and_then(|()| self.require_backup(id)) {
            Ok(()) => Ok(hold),
            Err(error) => {
                store.delete(&place)?;
                Err(error)
            }
        }
    }

    /// Releases every hold of a backup. Returns how many there were.
    ///
    /// # Errors
    /// When the store fails.
    pub fn release(&self, id: &BackupId) -> Result<usize, Error> {
        let objects = self.hold_objects(&format!("{HOLDS}{id}/"))?;
        for (_, object) in &objects {
            self.inner.store.delete(&object.key)?;
        }
        Ok(objects.len())
    }

    /// All holds, also those that have ended.
    ///
    /// Store calls: 1 list, and 1 get for each.
    ///
    /// # Errors
    /// When the store fails.
    pub fn holds(&self) -> Result<Holds, Error> {
        let mut holds = Holds::new();
        for (id, object) in self.hold_objects(HOLDS)? {
            let placed = match self.inner.store.get(&object.key, HOLD_BYTES_MAX) {
                Ok(json) => Hold::from_json(&json).ok(),
                // Released since it was listed.
                Err(StoreError::NotFound { .. }) => continue,
                Err(StoreError::TooLarge { .. }) => None,
                Err(error) => return Err(error.into()),
            };
            let placed =
                placed.map_or_else(|| PlacedHold::Unreadable(object.key.to_string()), PlacedHold::Known);
            holds.entry(id).or_default().push(placed);
        }
        Ok(holds)
    }

    pub(crate) fn hold_objects(&self, prefix: &str) -> Result<Vec<(BackupId, Listed)>, Error> {
        let listed = self.inner.store.list(prefix)?.into_iter();
        let holds = listed.filter_map(|object| match ObjectKey::parse(object.key.as_str()) {
            Some(ObjectKey::Hold(id, _)) => Some((id, object)),
            _ => None,
        });
        Ok(holds.collect())
    }

    fn require_no_prune(&self, now: Timestamp) -> Result<(), Error> {
        let prunes = self.intents()?.prunes;
        match prunes.iter().find(|(_, began)| now.duration_since(*began) < PRUNE_KILLED_AFTER) {
            Some((key, _)) => Err(Error::PruneRunning { key: key.to_string() }),
            None => Ok(()),
        }
    }

    fn require_backup(&self, id: &BackupId) -> Result<(), Error> {
        match self.inner.store.size(&storage_key(&ObjectKey::Manifest(id.clone()))?)? {
            Some(_) => Ok(()),
            None => Err(Error::NoSuchBackup { id: id.clone() }),
        }
    }
}
