//! Backups of a table that changes a little every day, and the keys that open them.

use std::sync::Arc;

use chronavault_repository::{
    Committed, HolderKey, KeyError, KeySummary, OpenError, Repository, Rotated, Rotation, WriteOptions,
};
use jiff::{SignedDuration, Timestamp};
use storage::{MemoryStore, Store};
use testkit::damage::copy;

use crate::ledger::{self, back_up, holder, id, in_memory, noise, now, options, random, read_stream, text};

/// The key after a rotation.
pub(super) fn new_key() -> HolderKey {
    HolderKey::new([8; 32])
}

/// The key of somebody else.
pub(super) fn other_key() -> HolderKey {
    HolderKey::new([9; 32])
}

/// Noon of a day.
pub(super) fn noon(day: u32) -> Timestamp {
    now() + SignedDuration::from_hours(24 * i64::from(day))
}

/// Rows of which few change from day to day.
pub(super) fn rows(day: u32) -> Vec<Vec<u8>> {
    let row = |n: u64| {
        let changed = if n == u64::from(day) { 1000 + n } else { n };
        noise(changed, 15_000).iter().map(|byte| b'a' + byte % 64).collect()
    };
    (0..60).map(row).collect()
}

/// Stored as it is, in packs of some chunks.
fn stored() -> WriteOptions {
    WriteOptions { level: None, pack_bytes: 600_000, seal_threads: 1, ..options() }
}

pub(super) fn take(repository: &Repository, day: u32) -> Committed {
    back_up(repository, &id(day), &rows(day), b"schema", stored())
}

/// Two small backups under the first key, for tests that need many copies of them.
pub(super) fn small_scene() -> MemoryStore {
    let (memory, repository) = in_memory();
    for day in [0, 1] {
        back_up(&repository, &id(day), &rows(day)[..2], b"schema", stored());
    }
    memory
}

/// Two backups under the first key.
pub(super) fn scene() -> (MemoryStore, Repository) {
    let (memory, repository) = in_memory();
    take(&repository, 0);
    take(&repository, 1);
    (memory, repository)
}

pub(super) fn duplicate(original: &MemoryStore) -> MemoryStore {
    let store = MemoryStore::new();
    copy(original, &store).unwrap();
    store
}

pub(super) fn open(store: impl Store + 'static, key: &HolderKey) -> Result<Repository, OpenError> {
    Repository::open(Arc::new(store), key)
}

/// Both backups of the small scene are there, and every byte of them is what was written.
pub(super) fn both_are_whole(repository: &Repository) {
    assert_eq!(repository.ids().unwrap(), [id(1), id(0)]);
    for day in [0, 1] {
        assert_eq!(ledger::problems(repository, &id(day)), []);
    }
}

/// The backups that are there are those of `days`, and every byte of them can be read.
pub(super) fn all_are_readable(repository: &Repository, days: &[u32]) {
    let mut ids = repository.ids().unwrap();
    ids.reverse();
    assert_eq!(ids, days.iter().map(|day| id(*day)).collect::<Vec<_>>());
    for day in days {
        assert_eq!(read_stream(repository, &id(*day), "rows/1"), text(&rows(*day)));
        assert_eq!(ledger::problems(repository, &id(*day)), []);
    }
}

pub(super) fn rotation<'a>(old: &'a HolderKey, new: &'a HolderKey) -> Rotation<'a> {
    Rotation { old, new, label: None, also: &[] }
}

/// Rotates from the first key to the new one.
pub(super) fn rotate(store: impl Store + 'static) -> Result<Rotated, KeyError> {
    Repository::rotate_keys(Arc::new(store), rotation(&holder(), &new_key()), noon(5), &random())
}

/// Names and nothing else of what is below a prefix.
pub(super) fn names(store: &MemoryStore, prefix: &str) -> Vec<String> {
    store.list(prefix).unwrap().into_iter().map(|object| object.key.to_string()).collect()
}

pub(super) fn keys(repository: &Repository) -> Vec<KeySummary> {
    repository.keys().unwrap()
}

/// Epochs of the slots of a key.
pub(super) fn epochs(key: &KeySummary) -> Vec<u32> {
    key.slots.iter().filter_map(|slot| slot.epoch).collect()
}
