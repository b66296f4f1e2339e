//! Damage to the objects of a store, as disks, people and attackers do it.

use std::fmt;

use storage::{Key, Store, StoreError};

/// Largest object that can be damaged, in bytes.
const MAX_OBJECT_BYTES: u64 = 64 << 20;

/// One kind of damage to one object.
#[derive(Clone, PartialEq, Eq)]
pub enum Damage {
    /// The object goes away.
    Delete,
    /// Only the first bytes are left.
    Truncate {
        /// How many.
        length: usize,
    },
    /// Bytes are added at the end.
    Extend {
        /// Which.
        bytes: Vec<u8>,
    },
    /// One byte changes.
    Flip {
        /// Where.
        position: usize,
        /// Which bits; not 0.
        bits: u8,
    },
    /// Another object takes its place.
    Replace {
        /// Where that comes from, for messages.
        origin: &'static str,
        /// Its bytes.
        bytes: Vec<u8>,
    },
}

impl fmt::Debug for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delete => f.write_str("delete"),
            Self::Truncate { length } => write!(f, "truncate to {length} bytes"),
            Self::Extend { bytes } => write!(f, "extend by {} bytes", bytes.len()),
            Self::Flip { position, bits } => write!(f, "flip {bits:#04x} at byte {position}"),
            Self::Replace { origin, .. } => write!(f, "replace by {origin}"),
        }
    }
}

impl Damage {
    /// Damages the object at `key`, around the store's own refusal to replace objects.
    ///
    /// # Errors
    /// When the store fails, or the object is not there.
    pub fn apply(&self, store: &dyn Store, key: &Key) -> Result<(), StoreError> {
        let mut bytes = store.get(key, MAX_OBJECT_BYTES)?;
        store.delete(key)?;
        match self {
            Self::Delete => return Ok(()),
            Self::Truncate { length } => bytes.truncate(*length),
            Self::Extend { bytes: more } => bytes.extend_from_slice(more),
            Self::Flip { position, bits } => {
                if let Some(byte) = bytes.get_mut(*position) {
                    *byte ^= bits;
                }
            }
            Self::Replace { bytes: other, .. } => bytes.clone_from(other),
        }
        store.put(key, &bytes).map(|_| ())
    }
}

/// Copies all objects of one store into another.
///
/// # Errors
/// When either store fails.
pub fn copy(from: &dyn Store, to: &dyn Store) -> Result<(), StoreError> {
    for object in from.list("")? {
        to.put(&object.key, &from.get(&object.key, MAX_OBJECT_BYTES)?)?;
    }
    Ok(())
}

/// All objects of a store, to compare them with later.
///
/// # Errors
/// When the store fails.
pub fn contents(store: &dyn Store) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
    let read = |object: storage::Listed| Ok((object.key.clone(), store.get(&object.key, MAX_OBJECT_BYTES)?));
    store.list("")?.into_iter().map(read).collect()
}
