//! A small bounded cache that forgets what was used least recently.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// At most `capacity` units of values by key. Made for tens to hundreds of values: making room looks at all of them.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    capacity: usize,
    state: Mutex<State<K, V>>,
}

#[derive(Debug)]
struct State<K, V> {
    values: HashMap<K, Slot<V>>,
    used: usize,
    clock: u64,
}

#[derive(Debug)]
struct Slot<V> {
    value: V,
    weight: usize,
    last_use: u64,
}

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V> {
    /// A cache of at most `capacity`, in whatever unit weights are given.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::new(State { values: HashMap::new(), used: 0, clock: 0 }) }
    }

    /// The value at `key`, or what `make` returns, which is kept with its weight. Two threads that miss at the same moment
    /// both make the value.
    pub(crate) fn get_or_make<E>(
        &self,
        key: &K,
        make: impl FnOnce() -> Result<(V, usize), E>,
    ) -> Result<V, E> {
        if let Some(value) = self.get(key) {
            return Ok(value);
        }
        let (value, weight) = make()?;
        self.insert(key, value.clone(), weight);
        Ok(value)
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clock += 1;
        let now = state.clock;
        let slot = state.values.get_mut(key)?;
        slot.last_use = now;
        Some(slot.value.clone())
    }

    pub(crate) fn insert(&self, key: &K, value: V, weight: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if weight > self.capacity {
            return;
        }
        state.clock += 1;
        let last_use = state.clock;
        if let Some(old) = state.values.insert(key.clone(), Slot { value, weight, last_use }) {
            state.used -= old.weight;
        }
        state.used += weight;
        while state.used > self.capacity {
            let oldest =
                state.values.iter().filter(|(other, _)| *other != key).min_by_key(|(_, slot)| slot.last_use);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { break };
            if let Some(slot) = state.values.remove(&oldest) {
                state.used -= slot.weight;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_value_goes_first() {
        let cache = Cache::new(10);
        cache.insert(&"a", 1, 4);
        cache.insert(&"b", 2, 4);
        assert_eq!(cache.get(&"a"), Some(1));
        cache.insert(&"c", 3, 4);
        assert_eq!((cache.get(&"a"), cache.get(&"b"), cache.get(&"c")), (Some(1), None, Some(3)));
        cache.insert(&"huge", 4, 11);
        assert_eq!(cache.get(&"huge"), None);
        assert_eq!(cache.get(&"c"), Some(3));
        let made: Result<i32, ()> = cache.get_or_make(&"d", || Ok((5, 1)));
        assert_eq!(made, Ok(5));
        assert_eq!(cache.get(&"d"), Some(5));
    }
}
