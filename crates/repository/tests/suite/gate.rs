//! A store that lets somebody else in before a call: with that, two that work at the same time take turns as a test says.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use storage::{Created, Key, Listed, MemoryStore, Store, StoreError};

type Action = Box<dyn FnOnce() + Send>;

/// Passes every call on; before the call with a number, an action is run.
pub(crate) struct Gate {
    inner: MemoryStore,
    calls: AtomicUsize,
    at: usize,
    action: Mutex<Option<Action>>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gate(before call {})", self.at)
    }
}

impl Gate {
    /// Runs `action` before call `at`, counted from 0.
    pub(crate) fn new(inner: MemoryStore, at: usize, action: impl FnOnce() + Send + 'static) -> Self {
        Self { inner, calls: AtomicUsize::new(0), at, action: Mutex::new(Some(Box::new(action))) }
    }

    /// Whether the call was reached.
    pub(crate) fn was_reached(&self) -> bool {
        self.calls.load(Ordering::SeqCst) > self.at
    }

    fn pass(&self) -> &MemoryStore {
        if self.calls.fetch_add(1, Ordering::SeqCst) == self.at {
            let action = self.action.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(action) = action {
                action();
            }
        }
        &self.inner
    }
}

impl Store for Gate {
    fn put(&self, key: &Key, bytes: &[u8]) -> Result<Created, StoreError> {
        self.pass().put(key, bytes)
    }

    fn settle(&self, key: &Key) -> Result<(), StoreError> {
        self.pass().settle(key)
    }

    fn replace(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        self.pass().replace(key, bytes)
    }

    fn get(&self, key: &Key, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.pass().get(key, limit)
    }

    fn read_range(&self, key: &Key, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        self.pass().read_range(key, offset, buffer)
    }

    fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        self.pass().size(key)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.pass().list(prefix)
    }

    fn delete(&self, key: &Key) -> Result<bool, StoreError> {
        self.pass().delete(key)
    }

    fn trash(&self, key: &Key, aside: &Key) -> Result<bool, StoreError> {
        self.pass().trash(key, aside)
    }

    fn free_space(&self) -> Result<Option<u64>, StoreError> {
        self.inner.free_space()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
