//! The trait that every store implements.

use std::fmt;
use std::sync::Arc;

use crate::{Key, StoreError};

/// What a successful put did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The object is new.
    New,
    /// The object was there already, with the same bytes.
    AlreadyThere,
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its key.
    pub key: Key,
    /// Its size in bytes.
    pub size: u64,
}

/// Bytes at keys. Every method blocks, may be called from several threads, and has happened durably when it returns `Ok`.
///
/// [`crate::conformance::check`] says in code what each method promises.
pub trait Store: fmt::Debug + Send + Sync {
    /// Creates the object at `key`. The object becomes visible as a whole, and only after its bytes are durable. When an
    /// object is there already, nothing is written: the same bytes are a success.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the object there has other bytes; [`StoreError::Full`] without space. After any other
    /// error the object is there as a whole or not at all, and the caller may put it again.
    fn put(&self, key: &Key, bytes: &[u8]) -> Result<Created, StoreError>;

    /// Makes sure that the object at `key`, which somebody else put, will still be there after a crash: a put that was killed may
    /// have made it visible and nothing more.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    fn settle(&self, key: &Key) -> Result<(), StoreError>;

    /// Replaces the object at `key` atomically: a reader sees the old bytes or the new ones, also after a crash.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is nothing to replace.
    fn replace(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError>;

    /// The whole object at `key`, which may have at most `limit` bytes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::TooLarge`].
    fn get(&self, key: &Key, limit: u64) -> Result<Vec<u8>, StoreError>;

    /// Fills `buffer` with the bytes of the object that start at `offset`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Short`] when the object ends before the buffer is full.
    fn read_range(&self, key: &Key, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError>;

    /// The `len` bytes of the object that start at `offset`.
    ///
    /// # Errors
    /// As [`Store::read_range`].
    fn get_range(&self, key: &Key, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let mut buffer = vec![0; len];
        self.read_range(key, offset, &mut buffer)?;
        Ok(buffer)
    }

    /// The size of the object in bytes; nothing when it is not there.
    ///
    /// # Errors
    /// When the store cannot tell.
    fn size(&self, key: &Key) -> Result<Option<u64>, StoreError>;

    /// All objects whose keys start with `prefix` (any text, not only whole parts), sorted by key. Leftovers of
    /// interrupted puts and names that are no keys are not listed.
    ///
    /// # Errors
    /// When the store cannot tell.
    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError>;

    /// Deletes the object. Returns whether it was there.
    ///
    /// # Errors
    /// When the object may still be there.
    fn delete(&self, key: &Key) -> Result<bool, StoreError>;

    /// Takes the object away from `key`, as [`Store::delete`] does. Where the store can, its bytes are afterwards at `aside`, in
    /// place of what is there; else they are gone. Returns whether the object was there. `aside` is from [`Key::in_trash`].
    ///
    /// # Errors
    /// When the object may still be there.
    fn trash(&self, key: &Key, aside: &Key) -> Result<bool, StoreError>;

    /// Free bytes, where the store has a limit that it knows.
    ///
    /// # Errors
    /// When the store cannot tell.
    fn free_space(&self) -> Result<Option<u64>, StoreError>;

    /// Where the store is, for messages. Holds no secret.
    fn describe(&self) -> String;
}

impl<S: Store + ?Sized> Store for Arc<S> {
    fn put(&self, key: &Key, bytes: &[u8]) -> Result<Created, StoreError> {
        (**self).put(key, bytes)
    }

    fn settle(&self, key: &Key) -> Result<(), StoreError> {
        (**self).settle(key)
    }

    fn replace(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        (**self).replace(key, bytes)
    }

    fn get(&self, key: &Key, limit: u64) -> Result<Vec<u8>, StoreError> {
        (**self).get(key, limit)
    }

    fn read_range(&self, key: &Key, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        (**self).read_range(key, offset, buffer)
    }

    fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        (**self).size(key)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        (**self).list(prefix)
    }

    fn delete(&self, key: &Key) -> Result<bool, StoreError> {
        (**self).delete(key)
    }

    fn trash(&self, key: &Key, aside: &Key) -> Result<bool, StoreError> {
        (**self).trash(key, aside)
    }

    fn free_space(&self) -> Result<Option<u64>, StoreError> {
        (**self).free_space()
    }

    fn describe(&self) -> String {
        (**self).describe()
    }
}
