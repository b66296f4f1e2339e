//! A wrapper that fails on purpose: a schedule says which call fails and how.

use std::io;
use std::sync::{Mutex, PoisonError};

use crate::{Created, Key, Listed, Operation, Store, StoreError};

/// How a scheduled call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The call fails and nothing happened.
    FailBefore,
    /// The call happens, and then fails all the same: its caller must not conclude that nothing happened.
    FailAfter,
    /// The disk is full (of writing calls).
    Full,
    /// The object ends too early (of reading calls).
    Short,
}

/// One fault: the `nth` call (from 0) of `operation` whose key contains `key_part`, and every later one when it
/// `repeats`.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Which method.
    pub operation: Operation,
    /// Only calls whose key contains this.
    pub key_part: String,
    /// How many matching calls succeed before.
    pub nth: usize,
    /// Whether every later matching call fails too.
    pub repeats: bool,
    /// What happens.
    pub effect: Effect,
}

impl Fault {
    /// The `nth` call of `operation` has `effect`, once.
    pub fn new(operation: Operation, nth: usize, effect: Effect) -> Self {
        Self { operation, key_part: String::new(), nth, repeats: false, effect }
    }

    /// The same fault, counting only calls whose key contains `part`.
    #[must_use]
    pub fn on(mut self, part: &str) -> Self {
        part.clone_into(&mut self.key_part);
        self
    }

    /// The same fault for that call and all later ones.
    #[must_use]
    pub fn forever(mut self) -> Self {
        self.repeats = true;
        self
    }
}

/// Passes calls on, except for those that the schedule fails.
#[derive(Debug)]
pub struct Faulty<S> {
    inner: S,
    /// Each fault with the number of matching calls so far.
    schedule: Mutex<Vec<(Fault, usize)>>,
}

impl<S: Store> Faulty<S> {
    /// Wraps `inner` under `schedule`. Without a schedule it passes everything on.
    pub fn new(inner: S, schedule: impl IntoIterator<Item = Fault>) -> Self {
        Self { inner, schedule: Mutex::new(schedule.into_iter().map(|fault| (fault, 0)).collect()) }
    }

    fn effect(&self, operation: Operation, key: &str) -> Option<Effect> {
        let mut schedule = self.schedule.lock().unwrap_or_else(PoisonError::into_inner);
        let mut effect = None;
        for (fault, seen) in schedule.iter_mut() {
            if fault.operation == operation && key.contains(&fault.key_part) {
                if *seen == fault.nth || (fault.repeats && *seen > fault.nth) {
                    effect = effect.or(Some(fault.effect));
                }
                *seen += 1;
            }
        }
        effect
    }

    fn run<T>(
        &self,
        operation: Operation,
        key: &str,
        call: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let injected = |what: &str| io::Error::other(format!("injected: {what}"));
        let failed = |source| StoreError::Io { action: "use", what: key.to_owned(), source };
        match (self.effect(operation, key), Key::new(key)) {
            (None, _) => call(),
            (Some(Effect::FailAfter), _) => {
                call()?;
                Err(failed(injected("failed after its effect")))
            }
            (Some(Effect::Full), Ok(key)) => Err(StoreError::Full { key, source: injected("no space") }),
            (Some(Effect::Short), Ok(key)) => Err(StoreError::Short { key, end: 0 }),
            (Some(_), _) => Err(failed(injected("failed before its effect"))),
        }
    }
}

impl<S: Store> Store for Faulty<S> {
    fn put(&self, key: &Key, bytes: &[u8]) -> Result<Created, StoreError> {
        self.run(Operation::Put, key.as_str(), || self.inner.put(key, bytes))
    }

    fn settle(&self, key: &Key) -> Result<(), StoreError> {
        self.run(Operation::Settle, key.as_str(), || self.inner.settle(key))
    }

    fn replace(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        self.run(Operation::Replace, key.as_str(), || self.inner.replace(key, bytes))
    }

    fn get(&self, key: &Key, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.run(Operation::Get, key.as_str(), || self.inner.get(key, limit))
    }

    fn read_range(&self, key: &Key, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        self.run(Operation::ReadRange, key.as_str(), || self.inner.read_range(key, offset, buffer))
    }

    fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        self.run(Operation::Size, key.as_str(), || self.inner.size(key))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.run(Operation::List, prefix, || self.inner.list(prefix))
    }

    fn delete(&self, key: &Key) -> Result<bool, StoreError> {
        self.run(Operation::Delete, key.as_str(), || self.inner.delete(key))
    }

    fn trash(&self, key: &Key, aside: &Key) -> Result<bool, StoreError> {
        self.run(Operation::Trash, key.as_str(), || self.inner.trash(key, aside))
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
    fn without_a_schedule_it_conforms() {
        crate::conformance::check(&Faulty::new(MemoryStore::new(), []));
    }

    #[test]
    fn the_schedule_says_which_call_fails() {
        let memory = MemoryStore::new();
        let store = Faulty::new(
            memory.clone(),
            [
                Fault::new(Operation::Put, 1, Effect::FailBefore),
                Fault::new(Operation::Put, 2, Effect::FailAfter),
                Fault::new(Operation::Put, 0, Effect::Full).on("full"),
                Fault::new(Operation::Get, 1, Effect::Short).forever(),
            ],
        );
        let key = |name: &str| Key::new(name).unwrap();
        store.put(&key("a"), b"a").unwrap();
        assert!(store.put(&key("b"), b"b").is_err());
        assert_eq!(memory.size(&key("b")).unwrap(), None);
        assert!(store.put(&key("c"), b"c").is_err());
        assert_eq!(memory.size(&key("c")).unwrap(), Some(1));
        assert!(matches!(store.put(&key("full"), b"d"), Err(StoreError::Full { .. })));
        assert!(store.get(&key("a"), 10).is_ok());
        assert!(matches!(store.get(&key("a"), 10), Err(StoreError::Short { .. })));
        assert!(matches!(store.get(&key("a"), 10), Err(StoreError::Short { .. })));
    }
}
