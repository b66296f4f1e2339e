//! Who has access, and how others get and lose it.

use std::sync::Arc;

use chronavault_repository::{
    KEY_OLD_AFTER, KeyConcern, KeyError, KeyLabel, OpenError, Repository, key_health,
};
use jiff::SignedDuration;
use storage::{Key, Operation, Recording, Store};

use super::scene::{
    all_are_readable, duplicate, epochs, keys, names, new_key, noon, open, other_key, rotate, scene,
};
use crate::ledger::{holder, id, now, random};

fn label(text: &str) -> KeyLabel {
    text.parse().unwrap()
}

#[test]
fn a_new_repository_has_one_key() {
    let (memory, repository) = scene();
    let found = keys(&repository);
    let [key] = &found[..] else { panic!("{found:?}") };
    assert_eq!((key.id, key.in_use, epochs(key)), (repository.key_id(), true, vec![1]));
    assert_eq!((key.created_at, key.label.as_ref(), key.checked_at), (Some(now()), None, None));
    assert_eq!(names(&memory, "keys/"), [format!("keys/{}.slot", key.id)]);
}

#[test]
fn a_second_holder_reads_and_writes_everything() {
    let (memory, repository) = scene();
    let granted = repository.add_key(&other_key(), Some(&label("the safe")), noon(3), &random()).unwrap();
    assert_eq!((granted.slots, granted.backups, granted.damaged), (1, 2, vec![]));
    let opened = open(memory.clone(), &other_key()).unwrap();
    all_are_readable(&opened, &[0, 1]);
    super::scene::take(&opened, 2);
    all_are_readable(&repository, &[0, 1, 2]);

    let found = keys(&opened);
    assert_eq!(found.iter().map(|key| key.in_use).collect::<Vec<_>>(), [true, false], "the one in use first");
    assert_eq!((found[0].id, found[0].created_at), (granted.key, Some(noon(3))));
    assert_eq!(found[0].label.as_ref().map(KeyLabel::as_str), Some("the safe"));
    assert_eq!(found[1].id, repository.key_id());

    // Again: what is there stays as it is.
    let before = memory.list("keys/").unwrap();
    let again = repository.add_key(&other_key(), None, noon(4), &random()).unwrap();
    assert_eq!((again.slots, memory.list("keys/").unwrap()), (0, before));
    assert_eq!(keys(&repository).len(), 2);
}

#[test]
fn a_key_is_removed_only_while_another_is_shown_to_open_everything() {
    let (memory, repository) = scene();
    let own = repository.key_id();
    assert!(
        matches!(repository.plan_key_removal(own, &holder()), Err(KeyError::LastKey { key }) if key == own)
    );
    let unknown = other_key().slot_id(repository.id(), 1);
    assert!(matches!(
        repository.plan_key_removal(unknown, &holder()),
        Err(KeyError::NoSuchKey { wanted }) if wanted == unknown
    ));
    let added = repository.add_key(&other_key(), None, noon(3), &random()).unwrap().key;
    assert!(matches!(repository.plan_key_removal(own, &holder()), Err(KeyError::InUse { .. })));
    let wrong = repository.plan_key_removal(own, &new_key());
    assert!(matches!(wrong, Err(KeyError::Open(OpenError::WrongKey { .. }))), "{wrong:?}");

    // A plan removes nothing.
    let before = names(&memory, "");
    let removal = repository.plan_key_removal(added, &holder()).unwrap();
    assert_eq!((removal.through, removal.backups, names(&memory, "")), (own, 2, before));
    repository.record_key_check(noon(3), [1, 2, 3]).unwrap();
    assert_eq!(repository.remove_key(&removal).unwrap(), 1);
    assert!(matches!(open(memory.clone(), &other_key()), Err(OpenError::WrongKey { .. })));
    assert_eq!(names(&memory, "keys/").len(), 2, "own slot and own check stay");
    all_are_readable(&open(memory.clone(), &holder()).unwrap(), &[0, 1]);

    // The one in use, proven through the other.
    repository.add_key(&other_key(), None, noon(3), &random()).unwrap();
    let removal = repository.plan_key_removal(own, &other_key()).unwrap();
    repository.remove_key(&removal).unwrap();
    assert!(matches!(open(memory.clone(), &holder()), Err(OpenError::WrongKey { .. })));
    assert_eq!(keys(&open(memory.clone(), &other_key()).unwrap()).len(), 1);
    assert!(names(&memory, "keys/").iter().all(|name| !name.contains(&own.to_string())));
}

#[test]
fn a_removal_takes_all_epochs_of_a_key_and_nothing_else() {
    let (memory, repository) = scene();
    repository.add_key(&other_key(), Some(&label("b")), noon(3), &random()).unwrap();
    rotate(memory.clone()).unwrap();
    let repository = open(memory.clone(), &new_key()).unwrap();
    let added = repository.add_key(&other_key(), None, noon(6), &random()).unwrap();
    assert_eq!(added.slots, 1, "the slot of the first epoch is there");
    let other = keys(&repository).into_iter().find(|key| !key.in_use).unwrap();
    assert_eq!((epochs(&other), other.created_at), (vec![1, 2], Some(noon(3))));
    // Any of its slots names it.
    let removal = repository.plan_key_removal(other.slots[1].id, &new_key()).unwrap();
    assert_eq!(repository.remove_key(&removal).unwrap(), 2);
    assert_eq!(names(&memory, "keys/").len(), 4, "two slots with their notes");
    all_are_readable(&open(memory, &new_key()).unwrap(), &[0, 1]);
}

#[test]
fn a_key_that_reads_less_than_the_one_in_use_lets_nothing_go() {
    let (memory, repository) = scene();
    let added = repository.add_key(&other_key(), None, noon(3), &random()).unwrap().key;
    // What nobody can read holds up nothing, but is said.
    memory.delete(&Key::new(format!("{}.manifest", id(0))).unwrap()).unwrap();
    memory.put(&Key::new(format!("{}.manifest", id(0))).unwrap(), b"something else").unwrap();
    let removal = repository.plan_key_removal(added, &holder()).unwrap();
    assert_eq!((removal.backups, removal.damaged.len()), (2, 1));
}

#[test]
fn a_note_decides_nothing() {
    let (memory, repository) = scene();
    let added = repository.add_key(&other_key(), None, noon(3), &random()).unwrap().key;
    let own = repository.key_id();
    let note = |id| Key::new(format!("keys/{id}.json")).unwrap();
    // A note that hands the slot of the key in use to somebody else; one that is none; one of nobody.
    let lie = format!("{{\"version\":1,\"key\":\"{added}\",\"created_at\":\"2026-11-23T12:00:00Z\"}}\n");
    memory.put(&note(own), lie.as_bytes()).unwrap();
    memory.replace(&note(added), &[b'x'; 5000]).unwrap();
    memory.put(&note(id_of_nobody()), b"{}").unwrap();
    let found = keys(&repository);
    assert_eq!(found.iter().map(|key| key.id).collect::<Vec<_>>(), [own, added]);
    let removal = repository.plan_key_removal(added, &holder()).unwrap();
    assert_eq!(removal.key.slots.len(), 1);
    repository.remove_key(&removal).unwrap();
    open(memory, &holder()).unwrap();
}

fn id_of_nobody() -> chronavault_repository::SlotId {
    chronavault_repository::SlotId([0xee; 16])
}

#[test]
fn old_keys_and_keys_in_one_place_are_concerns() {
    let (memory, repository) = scene();
    let health = |repository: &Repository, day| key_health(&keys(repository), 1, noon(day));
    assert_eq!(health(&repository, 0).concerns, [KeyConcern::OnePlace]);
    let age = SignedDuration::from_hours(24 * 90);
    assert_eq!((KEY_OLD_AFTER, health(&repository, 90).age), (age, Some(age)));
    assert_eq!(health(&repository, 90).concerns, [KeyConcern::OnePlace], "due only after that");
    assert_eq!(health(&repository, 91).concerns.len(), 2);

    // A checked copy is a second place, and so is a second key.
    let checked = duplicate(&memory);
    let other = open(checked.clone(), &holder()).unwrap();
    other.record_key_check(noon(1), [1, 2, 3]).unwrap();
    other.record_key_check(noon(2), [1, 2, 3]).unwrap();
    let found = health(&other, 3);
    assert_eq!((found.concerns, found.checked_at.is_some(), found.keys), (vec![], true, 1));
    assert_eq!(keys(&other)[0].checked_at, Some(noon(2)), "the newest counts");
    repository.add_key(&other_key(), None, noon(0), &random()).unwrap();
    assert_eq!((health(&repository, 3).concerns, health(&repository, 3).keys), (vec![], 2));

    // After a rotation the other key does not count any more, and the new one is young.
    rotate(memory.clone()).unwrap();
    let rotated = open(memory, &new_key()).unwrap();
    let found = key_health(&keys(&rotated), 2, noon(95));
    assert_eq!((found.age, found.keys), (Some(age), 1));
    let left_behind = KeyConcern::LeftBehind { key: other_key().slot_id(rotated.id(), 1), label: None };
    assert_eq!(found.concerns, [KeyConcern::OnePlace, left_behind]);
    // A clock that was set back makes no key younger than new.
    assert_eq!(key_health(&keys(&rotated), 2, noon(0)).age, Some(SignedDuration::ZERO));
}

#[test]
fn giving_access_takes_a_named_number_of_calls() {
    let (memory, _) = scene();
    let recording = Arc::new(Recording::new(memory));
    let repository = open(Arc::clone(&recording), &holder()).unwrap();
    recording.take();
    repository.keys().unwrap();
    assert_eq!(recording.take().0.len(), 2, "1 list, 1 slot");
    repository.record_key_check(noon(1), [1, 2, 3]).unwrap();
    assert_eq!(recording.take().0.len(), 1);
    repository.add_key(&other_key(), None, noon(3), &random()).unwrap();
    let calls = recording.take();
    let puts = calls.keys(Operation::Put);
    assert!(matches!(puts[..], [note, slot] if note.contains(".json") && slot.contains(".slot")), "{puts:?}");
    assert!(calls.0.len() < 60, "{}", calls.0.len());
}
