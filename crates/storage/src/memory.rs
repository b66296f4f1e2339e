//! A store in memory, for tests. It is stricter than any real store, so that code which passes here has no luck to lean on:
//! it refuses empty objects, large objects, empty ranges and whole reads without a sensible limit.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Created, Key, Listed, Store, StoreError, TRASH};

/// Largest object that a [`MemoryStore`] takes, in bytes.
pub const MAX_MEMORY_OBJECT_BYTES: u64 = 64 << 20;

/// Objects in a map. A clone shares the same objects.
#[derive(Clone, Default)]
pub struct MemoryStore {
    objects: Arc<Mutex<BTreeMap<Key, Arc<[u8]>>>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<Key, Arc<[u8]>>> {
        // A panic while the lock was held cannot leave half an object behind, since values are swapped whole.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn object(&self, key: &Key) -> Result<Arc<[u8]>, StoreError> {
        self.objects().get(key).cloned().ok_or_else(|| StoreError::NotFound { key: key.clone() })
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemoryStore({} objects)", self.objects().len())
    }
}

fn strict(action: &'static str, key: &Key, rule: &str) -> StoreError {
    StoreError::Io {
        action,
        what: key.to_string(),
        source: io::Error::new(io::ErrorKind::InvalidInput, rule),
    }
}

fn check_size(key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
    let size = bytes.len() as u64;
    if size == 0 {
        return Err(strict("write", key, "an object is never empty"));
    }
    if size > MAX_MEMORY_OBJECT_BYTES {
        return Err(StoreError::TooLarge { key: key.clone(), size, limit: MAX_MEMORY_OBJECT_BYTES });
    }
    Ok(())
}

impl Store for MemoryStore {
    fn put(&self, key: &Key, bytes: &[u8]) -> Result<Created, StoreError> {
        check_size(key, bytes)?;
        let mut objects = self.objects();
        match objects.get(key) {
            Some(old) if **old == *bytes => Ok(Created::AlreadyThere),
            Some(_) => Err(StoreError::Conflict { key: key.clone() }),
            None => {
                objects.insert(key.clone(), bytes.into());
                Ok(Created::New)
            }
        }
    }

    fn settle(&self, key: &Key) -> Result<(), StoreError> {
        self.object(key).map(|_| ())
    }

    fn replace(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        check_size(key, bytes)?;
        match self.objects().get_mut(key) {
            Some(object) => {
                *object = bytes.into();
                Ok(())
            }
            None => Err(StoreError::NotFound { key: key.clone() }),
        }
    }

    fn get(&self, key: &Key, limit: u64) -> Result<Vec<u8>, StoreError> {
        if limit > MAX_MEMORY_OBJECT_BYTES {
            return Err(strict("read", key, "a whole object is read with a limit"));
        }
        let object = self.object(key)?;
        let size = object.len() as u64;
        if size > limit {
            return Err(StoreError::TooLarge { key: key.clone(), size, limit });
        }
        Ok(object.to_vec())
    }

    fn read_range(&self, key: &Key, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        if buffer.is_empty() {
            return Err(strict("read", key, "a range is never empty"));
        }
        let object = self.object(key)?;
        let end = offset.saturating_add(buffer.len() as u64);
        let range =
            usize::try_from(offset).ok().zip(usize::try_from(end).ok()).and_then(|(a, b)| object.get(a..b));
        match range {
            Some(bytes) => {
                buffer.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(StoreError::Short { key: key.clone(), end }),
        }
    }

    fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        Ok(self.objects().get(key).map(|object| object.len() as u64))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let objects = self.objects();
        let with_prefix = objects.iter().filter(|(key, _)| key.as_str().starts_with(prefix));
        Ok(with_prefix.map(|(key, bytes)| Listed { key: key.clone(), size: bytes.len() as u64 }).collect())
    }

    fn delete(&self, key: &Key) -> Result<bool, StoreError> {
        Ok(self.objects().remove(key).is_some())
    }

    fn trash(&self, key: &Key, aside: &Key) -> Result<bool, StoreError> {
        if !aside.as_str().starts_with(TRASH) {
            return Err(strict("trash", key, "what is trashed is kept below trash/"));
        }
        let mut objects = self.objects();
        let Some(object) = objects.remove(key) else { return Ok(false) };
        objects.insert(aside.clone(), object);
        Ok(true)
    }

    fn free_space(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_conforms() {
        crate::conformance::check(&MemoryStore::new());
    }

    #[test]
    fn it_is_strict() {
        let store = MemoryStore::new();
        let key = Key::new("a").unwrap();
        assert!(store.put(&key, b"").is_err());
        store.put(&key, b"abc").unwrap();
        assert!(store.read_range(&key, 0, &mut []).is_err());
        assert!(store.get(&key, u64::MAX).is_err());
        assert!(store.trash(&key, &Key::new("b").unwrap()).is_err());
    }
}
