//! Creating and opening a repository.
//!
//! Invariant: `chronavault.json` makes the repository exist, and is put only once the slot that opens it was read back from the
//! store. A repository is opened only when its head is authentic under a root key that the holder's own slot gave.

use std::fmt;
use std::sync::Arc;

use format::{
    ChunkId, Chunking, FormatError, Head, HolderKey, Keyring, ObjectKey, RepositoryId, RootKey, RowCutter,
    SLOT_BYTES, SlotHeader, SlotId, SlotRandom,
};
use jiff::Timestamp;
use model::RowHasher;
use storage::{Key, Store, StoreError};
use zeroize::Zeroizing;

use crate::known::Known;

/// Most bytes of `chronavault.json`.
const MAX_HEAD_BYTES: u64 = 1 << 20;

/// Keys of slots and of what is said of them start so.
pub(crate) const KEYS: &str = "keys/";

/// A repository that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no repository.
    #[error("there is no repository in {place}")]
    NotThere {
        /// The store.
        place: String,
    },
    /// The objects of a repository are there, but not `chronavault.json`.
    #[error("chronavault.json is missing from the repository in {place}")]
    HeadMissing {
        /// The store.
        place: String,
    },
    /// `chronavault.json` cannot be understood.
    #[error("chronavault.json is damaged")]
    HeadDamaged {
        /// In which way.
        #[source]
        source: FormatError,
    },
    /// `chronavault.json` was changed by somebody who does not have the root key.
    #[error("chronavault.json was changed since it was written")]
    HeadChanged,
    /// The repository is of a version that this program does not know.
    #[error("the repository was written by a later version of this program")]
    Newer {
        /// What is newer.
        #[source]
        source: FormatError,
    },
    /// The repository has no slot for this key.
    #[error("the encryption key does not belong to the repository in {place}")]
    WrongKey {
        /// The store.
        place: String,
    },
    /// The repository has no key slot at all.
    #[error("the repository in {place} has no key slot left")]
    NoSlots {
        /// The store.
        place: String,
    },
    /// The slot of this key is missing for some epochs and there for others.
    #[error("{key} is missing")]
    SlotMissing {
        /// The key of the slot.
        key: ObjectKey,
    },
    /// The key has slots of the first epochs and none of the later ones: it was not given access when keys were rotated.
    #[error(
        "the encryption key opens the repository in {place} up to key epoch {epoch} only, and {current} is current"
    )]
    Outdated {
        /// The store.
        place: String,
        /// The last epoch that it opens.
        epoch: u32,
        /// The current epoch.
        current: u32,
    },
    /// The slot of this key does not open.
    #[error("{key} is damaged")]
    SlotDamaged {
        /// The key of the slot.
        key: ObjectKey,
        /// In which way.
        #[source]
        source: FormatError,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A repository that cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is a repository already.
    #[error("there is a repository in {place} already")]
    AlreadyThere {
        /// The store.
        place: String,
    },
    /// There are backups or packs without a `chronavault.json`: what is left of a repository.
    #[error("{place} holds {object} of a repository that has lost its chronavault.json")]
    NotEmpty {
        /// The store.
        place: String,
        /// One object that is there.
        object: String,
    },
    /// What was read back is not what was put.
    #[error("{key} cannot be read back")]
    ReadBack {
        /// The key of the slot.
        key: ObjectKey,
        /// In which way it fails.
        #[source]
        source: FormatError,
    },
    /// The head or the slot cannot be formed.
    #[error("the key of the repository cannot be sealed")]
    Seal(#[source] FormatError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A sealed repository, open for reading and writing. A clone is the same repository.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(crate) inner: Arc<Inner>,
    /// What was read before, for those who look again and again.
    pub(crate) known: Option<Arc<Known>>,
}

/// What all parts of an open repository share.
pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) head: Head,
    pub(crate) keyring: Keyring,
    /// The slots of the key in use, by epoch.
    pub(crate) own_slots: Vec<SlotId>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repository({} in {})", self.head.repository_id, self.store.describe())
    }
}

impl Inner {
    pub(crate) fn chunk_id(&self, plain: &[u8]) -> ChunkId {
        self.keyring.secrets().chunk_id(plain)
    }

    pub(crate) fn id(&self) -> RepositoryId {
        self.head.repository_id
    }
}

/// The storage key of an object.
pub(crate) fn storage_key(object: &ObjectKey) -> Result<Key, StoreError> {
    // Every key of the format is a key of the store; a test holds that.
    let text = object.to_string();
    Key::new(text.as_str()).map_err(|error| StoreError::Io {
        action: "name",
        what: text,
        source: std::io::Error::other(error.to_string()),
    })
}

impl Repository {
    /// Whether there is a repository in `store`.
    ///
    /// # Errors
    /// When the store cannot tell.
    pub fn exists(store: &dyn Store) -> Result<bool, StoreError> {
        Ok(store.size(&storage_key(&ObjectKey::Head)?)?.is_some())
    }

    /// Creates a repository for one key holder. `random` must fill its argument with unpredictable bytes.
    ///
    /// # Errors
    /// When there is one already, or its remains, or when the store fails. What was there before is untouched.
    pub fn init(
        store: Arc<dyn Store>,
        holder: &HolderKey,
        now: Timestamp,
        random: &dyn Fn(&mut [u8]),
    ) -> Result<Self, InitError> {
        refuse_remains(store.as_ref())?;
        let mut repository = RepositoryId([0; 16]);
        random(&mut repository.0);
        let mut key = Zeroizing::new([0; 32]);
        random(key.as_mut_slice());
        let root = RootKey::new(*key);
        let mut slot_random = SlotRandom { salt: [0; 32], nonce: [0; 12] };
        random(&mut slot_random.salt);
        random(&mut slot_random.nonce);

        let expected = SlotHeader { epoch: 1, repository, id: holder.slot_id(repository, 1) };
        let slot_key = ObjectKey::Slot(expected.id);
        let place = storage_key(&slot_key)?;
        let slot = format::seal_slot(holder, repository, 1, &root, &slot_random).map_err(InitError::Seal)?;
        store.put(&place, &slot)?;
        let read_back = store.get(&place, SLOT_BYTES as u64)?;
        let unwrapped = format::open_slot(&read_back, holder, expected)
            .map_err(|source| InitError::ReadBack { key: slot_key.clone(), source })?;
        let head = Head::new(repository, now, Chunking::default(), &root);
        if !head.recognises(1, &unwrapped) {
            let source = FormatError::Authentication { what: "the key slot" };
            return Err(InitError::ReadBack { key: slot_key, source });
        }
        store.put(&storage_key(&ObjectKey::Head)?, &head.to_json().map_err(InitError::Seal)?)?;
        let keyring = Keyring::new(repository, root, Vec::new());
        let own_slots = vec![expected.id];
        Ok(Self { inner: Arc::new(Inner { store, head, keyring, own_slots }), known: None })
    }

    /// Opens the repository in `store`.
    ///
    /// # Errors
    /// Each way to fail has its own variant of [`OpenError`].
    pub fn open(store: Arc<dyn Store>, holder: &HolderKey) -> Result<Self, OpenError> {
        let head = read_head(store.as_ref())?;
        let mut roots = open_slots(store.as_ref(), &head, holder)?.into_iter();
        // A head has at least one epoch, or it is not parsed.
        let Some(first) = roots.next() else { return Err(OpenError::HeadChanged) };
        let keyring = Keyring::new(head.repository_id, first, roots.collect());
        let current = keyring.root_key(keyring.current_epoch()).map_err(|_| OpenError::HeadChanged)?;
        head.authenticate(current).map_err(|_| OpenError::HeadChanged)?;
        let own_slots =
            head.epochs.iter().map(|record| holder.slot_id(head.repository_id, record.epoch)).collect();
        Ok(Self { inner: Arc::new(Inner { store, head, keyring, own_slots }), known: None })
    }

    /// The same repository, for somebody who looks at it again and again: listings, plans and states read a manifest, a proof or a
    /// key slot only when it is new. Clones remember together. What is remembered and was changed on the disk since looks as it was;
    /// each call of this begins with an empty memory.
    #[must_use]
    pub fn remembering(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), known: Some(Arc::default()) }
    }

    /// Whether `other` is the same repository, opened with the same key at the same epoch.
    pub fn is_as(&self, other: &Self) -> bool {
        (&self.inner.head, &self.inner.own_slots) == (&other.inner.head, &other.inner.own_slots)
    }

    /// What is remembered; what was learnt by the one call otherwise.
    pub(crate) fn known(&self) -> Arc<Known> {
        self.known.clone().unwrap_or_default()
    }

    /// The id of the repository.
    pub fn id(&self) -> RepositoryId {
        self.inner.id()
    }

    /// The clear head of the repository.
    pub fn head(&self) -> &Head {
        &self.inner.head
    }

    /// Where the repository is, for messages.
    pub fn place(&self) -> String {
        self.inner.store.describe()
    }

    /// The row hash of this repository.
    pub fn row_hasher(&self) -> RowHasher {
        RowHasher::new(self.inner.keyring.secrets().row_secret())
    }

    /// Where streams of rows are cut.
    pub fn row_cutter(&self) -> RowCutter {
        RowCutter::new(self.inner.head.chunking.rows)
    }

    /// Free bytes of the store, where it knows.
    ///
    /// # Errors
    /// When the store cannot tell.
    pub fn free_space(&self) -> Result<Option<u64>, StoreError> {
        self.inner.store.free_space()
    }
}

fn refuse_remains(store: &dyn Store) -> Result<(), InitError> {
    if Repository::exists(store)? {
        return Err(InitError::AlreadyThere { place: store.describe() });
    }
    for prefix in ["backup-", "packs/"] {
        if let Some(object) = store.list(prefix)?.first() {
            return Err(InitError::NotEmpty { place: store.describe(), object: object.key.to_string() });
        }
    }
    Ok(())
}

pub(crate) fn read_head(store: &dyn Store) -> Result<Head, OpenError> {
    let bytes = match store.get(&storage_key(&ObjectKey::Head)?, MAX_HEAD_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => {
            let place = store.describe();
            let is_repository = !store.list(KEYS)?.is_empty() || !store.list("backup-")?.is_empty();
            return Err(if is_repository {
                OpenError::HeadMissing { place }
            } else {
                OpenError::NotThere { place }
            });
        }
        Err(error) => return Err(error.into()),
    };
    Head::parse(&bytes).map_err(|source| match source {
        FormatError::Newer { .. } => OpenError::Newer { source },
        _ => OpenError::HeadDamaged { source },
    })
}

/// The root keys of all epochs, each recognised by the head.
fn open_slots(store: &dyn Store, head: &Head, holder: &HolderKey) -> Result<Vec<RootKey>, OpenError> {
    let mut roots = Vec::new();
    let mut missing = None;
    for record in &head.epochs {
        let expected = SlotHeader {
            epoch: record.epoch,
            repository: head.repository_id,
            id: holder.slot_id(head.repository_id, record.epoch),
        };
        let Some(root) = open_slot(store, holder, expected)? else {
            missing = missing.or(Some((record.epoch, expected.id)));
            continue;
        };
        if !head.recognises(record.epoch, &root) {
            // The slot is authentic under the holder's key, so it is the head that says something else.
            return Err(OpenError::HeadChanged);
        }
        roots.push(root);
    }
    let Some((epoch, id)) = missing else { return Ok(roots) };
    let place = store.describe();
    if roots.is_empty() {
        let slots = slots(store)?;
        return Err(match slots_belong(store, head, &slots)? {
            _ if slots.is_empty() => OpenError::NoSlots { place },
            false => OpenError::HeadChanged,
            true => OpenError::WrongKey { place },
        });
    }
    // Those that are there are of the epochs before the first that is missing, and no other.
    if u32::try_from(roots.len()).is_ok_and(|there| there + 1 == epoch) {
        return Err(OpenError::Outdated { place, epoch: epoch - 1, current: head.current_epoch() });
    }
    Err(OpenError::SlotMissing { key: ObjectKey::Slot(id) })
}

/// The root key in the slot of `holder` that `expected` describes; nothing when there is no such slot.
pub(crate) fn open_slot(
    store: &dyn Store,
    holder: &HolderKey,
    expected: SlotHeader,
) -> Result<Option<RootKey>, OpenError> {
    let key = ObjectKey::Slot(expected.id);
    let bytes = match store.get(&storage_key(&key)?, SLOT_BYTES as u64 + 1) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(StoreError::TooLarge { size, .. }) => {
            let source = FormatError::Trailing { extra: size - SLOT_BYTES as u64 };
            return Err(OpenError::SlotDamaged { key, source });
        }
        Err(error) => return Err(error.into()),
    };
    let root = format::open_slot(&bytes, holder, expected);
    root.map(Some).map_err(|source| OpenError::SlotDamaged { key, source })
}

/// The slots that are there.
fn slots(store: &dyn Store) -> Result<Vec<Key>, StoreError> {
    let is_slot = |key: &Key| matches!(ObjectKey::parse(key.as_str()), Some(ObjectKey::Slot(_)));
    Ok(store.list(KEYS)?.into_iter().map(|object| object.key).filter(is_slot).collect())
}

/// Whether any of the slots belongs to the repository that `head` speaks of. Where none does, it is not the key that is wrong,
/// but the repository id in the head.
fn slots_belong(store: &dyn Store, head: &Head, slots: &[Key]) -> Result<bool, OpenError> {
    const REPOSITORY_ID_OFFSET: u64 = 16;
    for slot in slots {
        match store.get_range(slot, REPOSITORY_ID_OFFSET, RepositoryId::BYTES) {
            Ok(id) if id == head.repository_id.0 => return Ok(true),
            Ok(_) | Err(StoreError::Short { .. } | StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}
