//! What every store promises, as code. Tests of each store and wrapper call [`check`] on an empty one.

#![expect(clippy::unwrap_used, reason = "a suite of assertions: it panics where the store breaks a promise")]

use std::sync::Barrier;
use std::thread;

use crate::{Created, Key, Store, StoreError, TRASH};

/// Exercises every promise of [`Store`]. The store must be empty, and is left with a few objects.
///
/// # Panics
/// When the store breaks a promise.
pub fn check(store: &dyn Store) {
    assert_eq!(store.list("").unwrap(), vec![], "the suite starts with an empty store");
    absent_objects(store);
    an_object_is_written_once(store);
    ranges(store);
    replacing(store);
    listing(store);
    deleting(store);
    trashing(store);
    racing_puts(store);
    large_objects(store);
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn absent_objects(store: &dyn Store) {
    let absent = key("absent/object");
    assert!(matches!(store.get(&absent, 10), Err(StoreError::NotFound { .. })));
    assert!(matches!(store.get_range(&absent, 0, 1), Err(StoreError::NotFound { .. })));
    assert!(matches!(store.replace(&absent, b"x"), Err(StoreError::NotFound { .. })));
    assert!(matches!(store.settle(&absent), Err(StoreError::NotFound { .. })));
    assert_eq!(store.size(&absent).unwrap(), None);
    assert!(!store.delete(&absent).unwrap());
    assert_eq!(store.list("absent").unwrap(), vec![]);
}

fn an_object_is_written_once(store: &dyn Store) {
    let once = key("once");
    assert_eq!(store.put(&once, b"first").unwrap(), Created::New);
    assert_eq!(store.put(&once, b"first").unwrap(), Created::AlreadyThere);
    for other in [&b"other"[..], b"first and more", b"fir"] {
        assert!(matches!(store.put(&once, other), Err(StoreError::Conflict { .. })));
        assert_eq!(store.get(&once, 100).unwrap(), b"first");
    }
    store.settle(&once).unwrap();
    assert_eq!(store.get(&once, 100).unwrap(), b"first");
    assert_eq!(store.size(&once).unwrap(), Some(5));
}

fn ranges(store: &dyn Store) {
    let digits = key("ranges/digits");
    store.put(&digits, b"0123456789").unwrap();
    assert_eq!(store.get_range(&digits, 0, 10).unwrap(), b"0123456789");
    assert_eq!(store.get_range(&digits, 9, 1).unwrap(), b"9");
    for (offset, len) in [(0, 11), (10, 1), (9, 2), (u64::MAX, 1)] {
        let result = store.get_range(&digits, offset, len);
        assert!(matches!(result, Err(StoreError::Short { .. })), "{offset}+{len}");
    }
    assert_eq!(store.get(&digits, 10).unwrap().len(), 10);
    assert!(matches!(store.get(&digits, 9), Err(StoreError::TooLarge { size: 10, limit: 9, .. })));
}

fn replacing(store: &dyn Store) {
    let head = key("head.json");
    store.put(&head, b"one").unwrap();
    store.replace(&head, b"two and longer").unwrap();
    assert_eq!(store.get(&head, 100).unwrap(), b"two and longer");
}

fn listing(store: &dyn Store) {
    for name in ["list/b", "list/a/z", "list/a/y", "listing"] {
        store.put(&key(name), name.as_bytes()).unwrap();
    }
    let names = |prefix: &str| {
        let listed = store.list(prefix).unwrap();
        for object in &listed {
            assert_eq!(store.size(&object.key).unwrap(), Some(object.size));
        }
        listed.into_iter().map(|object| object.key.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names("list"), ["list/a/y", "list/a/z", "list/b", "listing"]);
    assert_eq!(names("list/"), ["list/a/y", "list/a/z", "list/b"]);
    assert_eq!(names("list/a"), ["list/a/y", "list/a/z"]);
    assert_eq!(names("list/a/z"), ["list/a/z"]);
    assert_eq!(names("list/c"), [""; 0]);
    assert_eq!(names("list/b/c"), [""; 0]);
    assert_eq!(names("../"), [""; 0]);
    assert!(names("").contains(&"once".to_owned()));
}

fn deleting(store: &dyn Store) {
    let gone = key("delete/me");
    store.put(&gone, b"x").unwrap();
    assert!(store.delete(&gone).unwrap());
    assert!(!store.delete(&gone).unwrap());
    assert_eq!(store.size(&gone).unwrap(), None);
    assert_eq!(store.put(&gone, b"y").unwrap(), Created::New);
    assert_eq!(store.get(&gone, 1).unwrap(), b"y");
}

/// What is trashed is gone from its key; a store may or may not keep it aside, but then it keeps it whole.
fn trashing(store: &dyn Store) {
    let object = key("trashing/packs/object");
    let aside = object.in_trash("2026-11-23-120000").unwrap();
    assert_eq!(aside.as_str(), "trash/2026-11-23-120000/trashing/packs/object");
    assert!(!store.trash(&object, &aside).unwrap());
    assert_eq!(store.list(TRASH).unwrap(), vec![]);
    let mut kept = false;
    for bytes in [&b"first"[..], b"other"] {
        assert_eq!(store.put(&object, bytes).unwrap(), Created::New);
        assert!(store.trash(&object, &aside).unwrap());
        assert!(matches!(store.get(&object, 100), Err(StoreError::NotFound { .. })));
        assert_eq!(store.size(&object).unwrap(), None);
        assert_eq!(store.list("trashing/").unwrap(), vec![]);
        assert!(!store.trash(&object, &aside).unwrap());
        let listed: Vec<_> = store.list(TRASH).unwrap().into_iter().map(|object| object.key).collect();
        kept = store.size(&aside).unwrap().is_some();
        assert_eq!(listed, if kept { vec![aside.clone()] } else { vec![] });
        assert!(!kept || store.get(&aside, 100).unwrap() == bytes);
    }
    assert_eq!(store.delete(&aside).unwrap(), kept);
    assert_eq!(store.list(TRASH).unwrap(), vec![]);
}

/// Of several different puts of one key at the same moment exactly one wins, and the others say so.
fn racing_puts(store: &dyn Store) {
    const WRITERS: u8 = 4;
    for round in 0..8 {
        let contested = key(&format!("race/{round}/object"));
        let start = Barrier::new(usize::from(WRITERS));
        let results: Vec<_> = thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (start, contested) = (&start, &contested);
                    scope.spawn(move || {
                        start.wait();
                        store.put(contested, &[writer; 1000])
                    })
                })
                .collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        let winners: Vec<u8> =
            (0..WRITERS).filter(|writer| matches!(results[usize::from(*writer)], Ok(Created::New))).collect();
        assert_eq!(winners.len(), 1, "{results:?}");
        assert_eq!(store.get(&contested, 1000).unwrap(), [winners[0]; 1000]);
        let conflicts =
            results.iter().filter(|result| matches!(result, Err(StoreError::Conflict { .. }))).count();
        assert_eq!(conflicts, usize::from(WRITERS) - 1, "{results:?}");
    }
}

fn large_objects(store: &dyn Store) {
    let large = key("large/object");
    let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    assert_eq!(store.put(&large, &bytes).unwrap(), Created::New);
    assert_eq!(store.put(&large, &bytes).unwrap(), Created::AlreadyThere);
    let mut other = bytes.clone();
    if let Some(last) = other.last_mut() {
        *last ^= 1;
    }
    assert!(matches!(store.put(&large, &other), Err(StoreError::Conflict { .. })));
    assert_eq!(store.get(&large, bytes.len() as u64).unwrap(), bytes);
    assert_eq!(store.get_range(&large, 5_000_000, 1_000_000).unwrap(), bytes[5_000_000..6_000_000]);
}
