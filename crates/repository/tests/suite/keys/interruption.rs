//! A change of keys that fails or is killed at any store call leaves a repository that opens with the old or the new key, and the
//! same call completes it.

use std::sync::Arc;

use chronavault_repository::{HolderKey, KeyError, OpenError, Repository};
use storage::{Effect, Fault, Faulty, MemoryStore, Operation, Store};
use testkit::damage::copy;

use super::scene::{
    both_are_whole, duplicate, epochs, keys, names, new_key, noon, open, other_key, rotate, small_scene,
};
use crate::gate::Gate;
use crate::ledger::{holder, random};

const OPERATIONS: [Operation; 8] = [
    Operation::Put,
    Operation::Replace,
    Operation::Settle,
    Operation::Get,
    Operation::ReadRange,
    Operation::Size,
    Operation::List,
    Operation::Delete,
];

/// Runs `change` against copies of `original` in which one call and all later ones of its kind fail, and gives what was left to
/// `survives`. The number of failures.
fn fail_everywhere(
    original: &MemoryStore,
    change: impl Fn(Faulty<MemoryStore>) -> bool,
    survives: impl Fn(&MemoryStore, &str),
) -> usize {
    let mut failures = 0;
    for operation in OPERATIONS {
        for effect in [Effect::FailBefore, Effect::FailAfter] {
            for nth in 0.. {
                let store = duplicate(original);
                let fault = Fault::new(operation, nth, effect).forever();
                let is_done = change(Faulty::new(store.clone(), [fault]));
                survives(&store, &format!("{operation:?} {nth}, {effect:?}"));
                if is_done {
                    break;
                }
                failures += 1;
            }
        }
    }
    failures
}

/// Runs `change` and gives what a kill before each of its calls would leave to `survives`. The number of calls.
fn kill_everywhere(
    original: &MemoryStore,
    change: impl Fn(Arc<Gate>),
    survives: impl Fn(&MemoryStore, &str),
) -> usize {
    for at in 0.. {
        let store = duplicate(original);
        let snapshot = MemoryStore::new();
        let (from, to) = (store.clone(), snapshot.clone());
        let gate = Arc::new(Gate::new(store, at, move || copy(&from, &to).unwrap()));
        change(Arc::clone(&gate));
        if !gate.was_reached() {
            return at;
        }
        survives(&snapshot, &format!("killed before call {at}"));
    }
    0
}

/// What must be so while a rotation is not complete, and that the next call completes it.
fn survives_rotation(store: &MemoryStore, when: &str) {
    let (old, new) = (open(store.clone(), &holder()), open(store.clone(), &new_key()));
    assert!(old.is_ok() || new.is_ok(), "{when}: {old:?}, {new:?}");
    for opened in [&old, &new].into_iter().flatten() {
        both_are_whole(opened);
        // Nobody is left who can not see that something is unfinished, or remove it.
        opened.keys().unwrap();
    }
    for closed in [&old, &new].into_iter().filter_map(|opened| opened.as_ref().err()) {
        assert!(
            matches!(closed, OpenError::WrongKey { .. } | OpenError::Outdated { .. }),
            "{when}: {closed}"
        );
    }
    let rotated = rotate(store.clone()).unwrap_or_else(|error| panic!("{when}: {error}"));
    assert_eq!((rotated.epoch, rotated.resumed), (2, old.is_err()), "{when}");
    let opened = open(store.clone(), &new_key()).unwrap();
    both_are_whole(&opened);
    let found = keys(&opened);
    assert_eq!(found.iter().map(epochs).collect::<Vec<_>>(), [[1, 2]], "{when}");
    assert!(matches!(open(store.clone(), &holder()), Err(OpenError::WrongKey { .. })), "{when}");
    let objects: Vec<_> = names(store, "keys/").into_iter().filter(|name| name.contains(".slot")).collect();
    assert_eq!((objects.len(), names(store, "intents/")), (2, vec![]), "{when}");
}

#[test]
fn a_rotation_that_is_killed_at_any_call_leaves_a_key_that_opens() {
    let original = small_scene();
    let calls = kill_everywhere(
        &original,
        |gate| {
            let rotation = super::scene::rotation;
            let (old, new) = (holder(), new_key());
            Repository::rotate_keys(gate, rotation(&old, &new), noon(5), &random()).unwrap();
        },
        survives_rotation,
    );
    assert!(calls > 60, "{calls}");
}

#[test]
fn a_rotation_that_fails_at_any_call_is_completed_by_the_next() {
    let original = small_scene();
    let failures = fail_everywhere(&original, |store| rotate(store).is_ok(), survives_rotation);
    assert!(failures > 80, "{failures}");
}

fn add(store: impl Store + 'static) -> Result<u64, KeyError> {
    let repository = open(store, &holder())?;
    Ok(repository.add_key(&other_key(), None, noon(3), &random())?.slots)
}

/// A repository of two epochs.
fn rotated() -> MemoryStore {
    let memory = small_scene();
    let (old, new) = (HolderKey::new([6; 32]), holder());
    let repository = open(memory.clone(), &new).unwrap();
    repository.add_key(&old, None, noon(2), &random()).unwrap();
    drop(repository);
    let first = open(memory.clone(), &old).unwrap();
    first.remove_key(&first.plan_key_removal(new.slot_id(first.id(), 1), &old).unwrap()).unwrap();
    Repository::rotate_keys(Arc::new(memory.clone()), super::scene::rotation(&old, &new), noon(2), &random())
        .unwrap();
    memory
}

#[test]
fn an_addition_that_is_interrupted_anywhere_is_completed_by_the_next() {
    let original = rotated();
    let survives = |store: &MemoryStore, when: &str| {
        both_are_whole(&open(store.clone(), &holder()).unwrap());
        add(store.clone()).unwrap_or_else(|error| panic!("{when}: {error}"));
        let opened = open(store.clone(), &other_key()).unwrap();
        assert_eq!(keys(&opened).iter().map(epochs).collect::<Vec<_>>(), [[1, 2], [1, 2]], "{when}");
    };
    let calls = kill_everywhere(
        &original,
        |gate| {
            let repository = Repository::open(gate, &holder()).unwrap();
            repository.add_key(&other_key(), None, noon(3), &random()).unwrap();
        },
        survives,
    );
    let failures = fail_everywhere(&original, |store| add(store).is_ok(), survives);
    assert!(calls > 30 && failures > 50, "{calls} {failures}");
}

#[test]
fn a_removal_that_is_interrupted_anywhere_is_completed_by_the_next() {
    let original = rotated();
    add(original.clone()).unwrap();
    let remove = |repository: &Repository| -> Result<u64, KeyError> {
        let wanted = other_key().slot_id(repository.id(), 1);
        repository.remove_key(&repository.plan_key_removal(wanted, &holder())?)
    };
    let survives = |store: &MemoryStore, when: &str| {
        let opened = open(store.clone(), &holder()).unwrap();
        both_are_whole(&opened);
        match remove(&opened) {
            Ok(_) | Err(KeyError::NoSuchKey { .. }) => {}
            Err(error) => panic!("{when}: {error}"),
        }
        assert_eq!(keys(&opened).len(), 1, "{when}");
        assert!(matches!(open(store.clone(), &other_key()), Err(OpenError::WrongKey { .. })), "{when}");
    };
    let calls = kill_everywhere(
        &original,
        |gate| {
            remove(&Repository::open(gate, &holder()).unwrap()).unwrap();
        },
        survives,
    );
    let failures = fail_everywhere(
        &original,
        |store| open(store, &holder()).map_err(KeyError::from).and_then(|opened| remove(&opened)).is_ok(),
        survives,
    );
    assert!(calls > 25 && failures > 40, "{calls} {failures}");
}
