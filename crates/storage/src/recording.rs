//! A wrapper that remembers every call, so that tests can say how many calls and bytes an operation costs and in which
//! order it writes.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Created, Key, Listed, Store, StoreError};

/// The methods of [`Store`] that touch objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// [`Store::put`]
    Put,
    /// [`Store::settle`]
    Settle,
    /// [`Store::replace`]
    Replace,
    /// [`Store::get`]
    Get,
    /// [`Store::read_range`] and [`Store::get_range`]
    ReadRange,
    /// [`Store::size`]
    Size,
    /// [`Store::list`]
    List,
    /// [`Store::delete`]
    Delete,
    /// [`Store::trash`]
    Trash,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The method.
    pub operation: Operation,
    /// The key, or the prefix of a listing.
    pub key: String,
    /// Bytes of objects that went in or came out; 0 for a call that failed.
    pub bytes: u64,
    /// Whether the call returned `Ok`.
    pub succeeded: bool,
}

/// All calls since the last look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calls(pub Vec<Call>);

impl Calls {
    /// Number of calls of `operation`.
    pub fn count(&self, operation: Operation) -> usize {
        self.0.iter().filter(|call| call.operation == operation).count()
    }

    /// Bytes that calls of `operation` moved.
    pub fn bytes(&self, operation: Operation) -> u64 {
        self.0.iter().filter(|call| call.operation == operation).map(|call| call.bytes).sum()
    }

    /// The keys that calls of `operation` named, in order.
    pub fn keys(&self, operation: Operation) -> Vec<&str> {
        self.0.iter().filter(|call| call.operation == operation).map(|call| call.key.as_str()).collect()
    }
}

/// Passes every call on and writes it down when it is done.
#[derive(Debug)]
pub struct Recording<S> {
    inner: S,
    calls: Mutex<Vec<Call>>,
}

impl<S: Store> Recording<S> {
    /// Records the calls to `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner, calls: Mutex::new(Vec::new()) }
    }

    /// The calls since the last `take`, in the order in which they returned.
    pub fn take(&self) -> Calls {
        Calls(std::mem::take(&mut *self.calls()))
    }

    fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note<T>(
        &self,
        operation: Operation,
        key: &str,
        result: Result<T, StoreError>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Result<T, StoreError> {
        let moved = result.as_ref().map_or(0, |value| bytes(value) as u64);
        self.calls().push(Call { operation, key: key.to_owned(), bytes: moved, succeeded: result.is_ok() });
        result
    }
}

impl<S: Store> Store for Recording<S> {
    fn put(&self, key: &Key, bytes: &[u8]) -> Result<Created, StoreError> {
        self.note(Operation::Put, key.as_str(), self.inner.put(key, bytes), |_| bytes.len())
    }

    fn settle(&self, key: &Key) -> Result<(), StoreError> {
        self.note(Operation::Settle, key.as_str(), self.inner.settle(key), |()| 0)
    }

    fn replace(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        self.note(Operation::Replace, key.as_str(), self.inner.replace(key, bytes), |()| bytes.len())
    }

    fn get(&self, key: &Key, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.note(Operation::Get, key.as_str(), self.inner.get(key, limit), Vec::len)
    }

    fn read_range(&self, key: &Key, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        let result = self.inner.read_range(key, offset, buffer);
        self.note(Operation::ReadRange, key.as_str(), result, |()| buffer.len())
    }

    fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        self.note(Operation::Size, key.as_str(), self.inner.size(key), |_| 0)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.note(Operation::List, prefix, self.inner.list(prefix), |_| 0)
    }

    fn delete(&self, key: &Key) -> Result<bool, StoreError> {
        self.note(Operation::Delete, key.as_str(), self.inner.delete(key), |_| 0)
    }

    fn trash(&self, key: &Key, aside: &Key) -> Result<bool, StoreError> {
        self.note(Operation::Trash, key.as_str(), self.inner.trash(key, aside), |_| 0)
    }

    fn free_space(&self) -> Result<Option<u64>, StoreError> {
        self.inner.free_space()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;

    #[test]
    fn it_conforms() {
        crate::conformance::check(&Recording::new(MemoryStore::new()));
    }

    #[test]
    fn calls_and_bytes_are_counted() {
        let store = Recording::new(MemoryStore::new());
        let key = Key::new("a").unwrap();
        store.put(&key, b"12345").unwrap();
        assert!(store.put(&key, b"other").is_err());
        store.get_range(&key, 1, 3).unwrap();
        let calls = store.take();
        assert_eq!(calls.count(Operation::Put), 2);
        assert_eq!(calls.bytes(Operation::Put), 5);
        assert_eq!(calls.keys(Operation::ReadRange), ["a"]);
        assert_eq!(calls.bytes(Operation::ReadRange), 3);
        assert_eq!(store.take(), Calls::default());
    }
}
