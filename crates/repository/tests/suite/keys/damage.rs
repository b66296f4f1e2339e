//! P5 for keys: every kind of damage to the slots and the head of a repository of several epochs and holders.

use chronavault_repository::{KeyConcern, KeyError, OpenError, ProblemKind, key_health};
use storage::{Key, MemoryStore, Store};
use testkit::damage::{Damage, contents};

use super::scene::{
    both_are_whole, duplicate, keys, names, new_key, noon, open, other_key, rotate, small_scene,
};
use crate::damage::{damaged, damages, get, key, seed};
use crate::ledger::random;

/// Two epochs, and a second holder who has access to both.
fn world() -> MemoryStore {
    let memory = small_scene();
    rotate(memory.clone()).unwrap();
    let repository = open(memory.clone(), &new_key()).unwrap();
    repository.add_key(&other_key(), None, noon(6), &random()).unwrap();
    memory
}

fn slot(store: &MemoryStore, holder: &chronavault_repository::HolderKey, epoch: u32) -> Key {
    let id = open(store.clone(), &new_key()).unwrap().id();
    key(format!("keys/{}.slot", holder.slot_id(id, epoch)))
}

#[test]
fn damage_to_a_slot_of_one_epoch_is_named_and_other_holders_go_on() {
    let world = world();
    let mut numbers = seed();
    for epoch in [1, 2] {
        let object = slot(&world, &new_key(), epoch);
        let others = [
            ("another of this repository", get(&world, &slot(&world, &new_key(), 3 - epoch))),
            ("that of another holder", get(&world, &slot(&world, &other_key(), epoch))),
        ];
        for damage in damages(&world, &object, &mut numbers, &others) {
            let store = damaged(&world, &object, &damage);
            let before = contents(&store).unwrap();
            let result = open(store.clone(), &new_key());
            match (&damage, &result) {
                (Damage::Delete, Err(OpenError::SlotMissing { key })) if epoch == 1 => {
                    assert_eq!(key.to_string(), object.as_str());
                }
                // It looks like that of a holder who was left behind.
                (Damage::Delete, Err(OpenError::Outdated { epoch: 1, current: 2, .. })) if epoch == 2 => {}
                (Damage::Delete, _) => panic!("{damage:?}: {result:?}"),
                (_, Err(OpenError::SlotDamaged { key, .. })) => assert_eq!(key.to_string(), object.as_str()),
                _ => panic!("{damage:?}: {result:?}"),
            }
            assert_eq!(contents(&store).unwrap(), before, "{damage:?}");
            let other = open(store.clone(), &other_key()).unwrap();
            both_are_whole(&other);
            // The holder who goes on repairs it.
            other.add_key(&new_key(), None, noon(7), &random()).unwrap();
            both_are_whole(&open(store, &new_key()).unwrap());
        }
    }
}

#[test]
fn damage_to_the_slot_of_another_holder_is_seen_without_its_key() {
    let world = world();
    let object = slot(&world, &other_key(), 2);
    for (damage, kind) in [
        (Damage::Truncate { length: 100 }, ProblemKind::Truncated),
        (Damage::Extend { bytes: vec![1] }, ProblemKind::Truncated),
        (Damage::Flip { position: 0, bits: 1 }, ProblemKind::Changed),
        (Damage::Flip { position: 8, bits: 2 }, ProblemKind::NewerVersion),
        (Damage::Flip { position: 16, bits: 1 }, ProblemKind::Swapped),
        (Damage::Flip { position: 32, bits: 1 }, ProblemKind::Swapped),
    ] {
        let store = damaged(&world, &object, &damage);
        let repository = open(store, &new_key()).unwrap();
        let found = keys(&repository);
        let concerns = key_health(&found, 2, noon(7)).concerns;
        assert!(
            concerns.iter().any(|concern| matches!(concern, KeyConcern::Damaged(problem)
                if problem.kind == kind && problem.object == object.as_str())),
            "{damage:?}: {concerns:?}"
        );
        // It does not count as a key that opens the repository.
        let own = repository.plan_key_removal(repository.key_id(), &other_key());
        assert!(matches!(own, Err(KeyError::LastKey { .. })), "{damage:?}: {own:?}");
    }
}

#[test]
fn a_head_of_before_a_rotation_is_an_old_state_that_the_new_key_opens() {
    // As docs/threat-model.md says: that a whole object was set back to an older one is not seen; nothing is read wrongly then.
    let memory = small_scene();
    let old = get(&memory, &key("chronavault.json"));
    rotate(memory.clone()).unwrap();
    let store = duplicate(&memory);
    store.replace(&key("chronavault.json"), &old).unwrap();
    let opened = open(store, &new_key()).unwrap();
    both_are_whole(&opened);
    // Its slot of the later epoch gives it away.
    let concerns = key_health(&keys(&opened), opened.current_epoch(), noon(7)).concerns;
    assert!(concerns.contains(&KeyConcern::Ahead { epoch: 2 }), "{concerns:?}");
    // An epoch less in the present head is seen.
    let text = String::from_utf8(get(&memory, &key("chronavault.json"))).unwrap();
    let mut head: serde_json::Value = serde_json::from_str(&text).unwrap();
    head["epochs"].as_array_mut().unwrap().pop();
    memory.replace(&key("chronavault.json"), head.to_string().as_bytes()).unwrap();
    assert!(matches!(open(memory.clone(), &new_key()), Err(OpenError::HeadChanged)));
    assert_eq!(names(&memory, "keys/").len(), 4);
}
