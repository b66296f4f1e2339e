//! A change of keys that fails or is killed at any store call leaves a repository that opens with the old or the new key, and the
//! same call completes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chronavault_repository::{HolderKey, KeyError, OpenError, Repository};
use storage::{Effect, Fault, Faulty, MemoryStore, Operation, Store};
use testkit::damage::{Damage, copy};

use super::scene::{
    both_are_whole, duplicate, epochs, keys, names, new_key, noon, open, other_key, rotate, small_scene,
};
use crate::gate::Gate;
use crate::ledger::{holder, id, random};

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

/// The manifest of the first backup becomes something else.
fn spoil(store: &MemoryStore) {
    let manifest = format!("{}.manifest", id(0)).parse().unwrap();
    Damage::Flip { position: 200, bits: 1 }.apply(store, &manifest).unwrap();
}

/// A backup that could be read before and cannot be read with the new key holds up everything that takes access away.
#[test]
fn no_slot_goes_while_a_backup_cannot_be_read_with_the_new_key() {
    let original = small_scene();
    let old_slots = names(&original, "keys/");
    let (mut before_the_head, mut after_the_head) = (0, 0);
    for at in 0.. {
        let store = duplicate(&original);
        let inner = store.clone();
        let gate = Arc::new(Gate::new(store.clone(), at, move || spoil(&inner)));
        let result = rotate(Arc::clone(&gate));
        if !gate.was_reached() {
            assert!(before_the_head > 5 && after_the_head > 5, "{before_the_head} {after_the_head}");
            return;
        }
        let Err(KeyError::Canary { id: named, .. }) = result else { continue };
        assert_eq!(named, id(0));
        let left = names(&store, "keys/");
        assert!(old_slots.iter().all(|slot| left.contains(slot)), "before call {at}: {left:?}");
        match open(store.clone(), &holder()) {
            Ok(_) => before_the_head += 1,
            Err(OpenError::Outdated { .. }) => after_the_head += 1,
            Err(error) => panic!("before call {at}: {error}"),
        }
        open(store, &new_key()).unwrap();
    }
}

/// The same for a removal.
#[test]
fn no_key_goes_while_a_backup_cannot_be_read_with_the_one_that_stays() {
    let original = rotated();
    add(original.clone()).unwrap();
    let slots = names(&original, "keys/");
    let mut held_up = 0;
    for at in 0.. {
        let store = duplicate(&original);
        let inner = store.clone();
        let gate = Arc::new(Gate::new(store.clone(), at, move || spoil(&inner)));
        let repository = Repository::open(Arc::clone(&gate) as Arc<dyn Store>, &holder()).unwrap();
        let wanted = other_key().slot_id(repository.id(), 1);
        let planned = repository.plan_key_removal(wanted, &holder());
        if !gate.was_reached() {
            assert!(held_up > 5, "{held_up}");
            return;
        }
        if let Err(error) = planned {
            assert!(matches!(error, KeyError::Canary { .. }), "{error:?}");
            assert_eq!(names(&store, "keys/"), slots);
            held_up += 1;
        }
    }
}

/// Two rotations from the same key, one of which does all its work before some call of the other.
#[test]
fn of_two_rotations_at_the_same_time_one_is_made() {
    let original = small_scene();
    let third = HolderKey::new([10; 32]);
    let mut overtaken = 0;
    for at in 0.. {
        let store = duplicate(&original);
        let (inner, other) = (store.clone(), third.clone());
        let succeeded = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&succeeded);
        let gate = Arc::new(Gate::new(store.clone(), at, move || {
            let rotation = super::scene::rotation;
            let (old, noon) = (holder(), noon(5));
            let made = Repository::rotate_keys(Arc::new(inner), rotation(&old, &other), noon, &random());
            flag.store(made.is_ok(), Ordering::SeqCst);
        }));
        let ours = rotate(Arc::clone(&gate));
        if !gate.was_reached() {
            assert!(at > 60 && overtaken > 5, "{at} {overtaken}");
            return;
        }
        let theirs = succeeded.load(Ordering::SeqCst);
        assert_ne!(ours.is_ok(), theirs, "before call {at}: {ours:?}");
        let key = if theirs { &third } else { &new_key() };
        both_are_whole(&open(store.clone(), key).unwrap_or_else(|error| panic!("before call {at}: {error}")));
        if theirs {
            overtaken += 1;
            let loser = open(store.clone(), &new_key());
            assert!(matches!(loser, Err(OpenError::WrongKey { .. })), "before call {at}: {loser:?}");
            assert_eq!(names(&store, "intents/"), [""; 0], "before call {at}");
        }
    }
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
