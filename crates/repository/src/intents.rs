//! Intents: a writer announces itself, so that nobody collects packs that it has put or relies on before its manifest names them
//! (docs/format.md, section 16).
//!
//! Invariant: an intent is there before its writer looks for packs to rely on and before it puts any, and until its manifest is
//! there. A backup whose intent went away meanwhile is not committed. Deliberately absent: deciding anything by what an intent says.

use std::sync::Arc;

use format::{INTENT_VERSION, Intent, ObjectKey};
use jiff::{SignedDuration, Timestamp};
use model::BackupId;

use crate::proofs::{dated_name, time_of};
use crate::repository::{Inner, storage_key};
use crate::{Error, Repository};

/// An intent that is older than this and has no manifest is taken for that of a writer that was killed: longer than a backup of
/// tens of terabytes takes.
pub const INTENT_ABANDONED_AFTER: SignedDuration = SignedDuration::from_hours(72);

/// Keys of intents start so.
const INTENTS: &str = "intents/";

/// An intent that goes away with this value.
pub(crate) struct Announcement {
    repository: Arc<Inner>,
    key: ObjectKey,
}

impl Announcement {
    /// Announces a writer of the backup `id`, which uses chunks of `parent` again.
    ///
    /// Store calls: 1 put; 1 delete at the end.
    pub(crate) fn of_writer(
        repository: &Arc<Inner>,
        id: &BackupId,
        parent: Option<&BackupId>,
    ) -> Result<Self, Error> {
        Self::put(repository, ObjectKey::Intent(id.clone()), id.started_at(), parent)
    }

    /// Announces a prune that began at `now`; `random` tells those of one second apart.
    pub(crate) fn of_prune(repository: &Arc<Inner>, now: Timestamp, random: [u8; 3]) -> Result<Self, Error> {
        let key = ObjectKey::PruneIntent(dated_name(now, random));
        Self::put(repository, key, now, None)
    }

    fn put(
        repository: &Arc<Inner>,
        key: ObjectKey,
        started_at: Timestamp,
        parent: Option<&BackupId>,
    ) -> Result<Self, Error> {
        let intent = Intent { version: INTENT_VERSION, started_at, parent: parent.cloned() };
        let json =
            intent.to_json().map_err(|source| Error::Seal { what: "the intent".to_owned(), source })?;
        // From here on it goes away even when it was put and the store said that it was not.
        let announcement = Self { repository: Arc::clone(repository), key };
        repository.store.put(&storage_key(&announcement.key)?, &json)?;
        Ok(announcement)
    }

    /// Demands that nobody has taken the intent away.
    pub(crate) fn require(&self) -> Result<(), Error> {
        match self.repository.store.size(&storage_key(&self.key)?)? {
            Some(_) => Ok(()),
            None => Err(Error::IntentVanished { key: self.key.to_string() }),
        }
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        if let Ok(place) = storage_key(&self.key) {
            // One that stays holds up the collection of packs for a while, and no more.
            let _ = self.repository.store.delete(&place);
        }
    }
}

/// The intents that are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Intents {
    /// Those of writers.
    pub(crate) writers: Vec<BackupId>,
    /// Those of prunes, each with the time at which it began.
    pub(crate) prunes: Vec<(ObjectKey, Timestamp)>,
}

impl Repository {
    /// Store calls: 1 list.
    pub(crate) fn intents(&self) -> Result<Intents, Error> {
        let mut intents = Intents::default();
        for object in self.inner.store.list(INTENTS)? {
            match ObjectKey::parse(object.key.as_str()) {
                Some(ObjectKey::Intent(id)) => intents.writers.push(id),
                Some(ObjectKey::PruneIntent(name)) => {
                    let began = time_of(&name);
                    intents.prunes.extend(began.map(|began| (ObjectKey::PruneIntent(name), began)));
                }
                _ => {}
            }
        }
        Ok(intents)
    }
}
