//! A rotation: a new key, a new epoch, and the same backups.

use std::sync::Arc;

use chronavault_repository::{HolderKey, KeyError, KeyLabel, OpenError, Repository, Rotation};
use model::RetentionPolicy;
use storage::{Key, Store};

use super::scene::{
    all_are_readable, epochs, keys, names, new_key, noon, open, other_key, rotate, rotation, scene, take,
};
use crate::ledger::{holder, id, in_memory, random, row};

/// The epoch in the header of an object.
fn epoch_of(store: &dyn Store, key: &str) -> u32 {
    let bytes = store.get_range(&Key::new(key).unwrap(), 12, 4).unwrap();
    u32::from_le_bytes(bytes.try_into().unwrap())
}

#[test]
fn a_rotation_changes_the_key_and_the_epoch_and_no_data() {
    let (memory, repository) = scene();
    let data = |prefix: &str| names(&memory, prefix);
    let before = (data("backup-"), data("packs/"));
    let rotated = rotate(memory.clone()).unwrap();
    assert_eq!((rotated.epoch, rotated.resumed, rotated.removed, rotated.backups), (2, false, 1, 2));
    assert_eq!((rotated.old, rotated.damaged, rotated.left_behind), (repository.key_id(), vec![], vec![]));
    assert_eq!(before, (data("backup-"), data("packs/")));
    assert_eq!(data("intents/"), [""; 0]);

    assert!(matches!(open(memory.clone(), &holder()), Err(OpenError::WrongKey { .. })));
    let opened = open(memory.clone(), &new_key()).unwrap();
    all_are_readable(&opened, &[0, 1]);
    let found = keys(&opened);
    let [key] = &found[..] else { panic!("{found:?}") };
    assert_eq!((key.id, epochs(key), key.created_at), (rotated.new, vec![1, 2], Some(noon(5))));
    assert_eq!(opened.current_epoch(), 2);
}

#[test]
fn backups_after_a_rotation_use_chunks_from_before_and_are_sealed_anew() {
    let (memory, _) = scene();
    rotate(memory.clone()).unwrap();
    let opened = open(memory.clone(), &new_key()).unwrap();
    let packs = names(&memory, "packs/");
    let committed = take(&opened, 2);
    assert_eq!(committed.manifest.parent, Some(id(1)));
    assert!(committed.manifest.reused_bytes > 400_000, "{}", committed.manifest.reused_bytes);
    for pack in names(&memory, "packs/") {
        let expected = if packs.contains(&pack) { 1 } else { 2 };
        assert_eq!(epoch_of(&memory, &pack), expected, "{pack}");
    }
    assert_eq!(epoch_of(&memory, &format!("{}.manifest", id(1))), 1);
    assert_eq!(epoch_of(&memory, &format!("{}.manifest", id(2))), 2);
    all_are_readable(&opened, &[0, 1, 2]);

    // Again and again.
    let third = HolderKey::new([10; 32]);
    let rotated =
        Repository::rotate_keys(Arc::new(memory.clone()), rotation(&new_key(), &third), noon(6), &random())
            .unwrap();
    assert_eq!((rotated.epoch, rotated.removed), (3, 2));
    let opened = open(memory, &third).unwrap();
    assert!(take(&opened, 3).manifest.reused_bytes > 400_000);
    all_are_readable(&opened, &[0, 1, 2, 3]);
}

#[test]
fn deltas_reach_back_over_a_rotation() {
    let (memory, repository) = in_memory();
    let rows = |version: u64| -> Vec<Vec<u8>> {
        (0..20_000).map(|n| row(n, if n % 4_000 == 7 { version } else { 0 })).collect()
    };
    let options = crate::ledger::options;
    crate::ledger::back_up(&repository, &id(0), &rows(0), b"schema", options());
    rotate(memory.clone()).unwrap();
    let opened = open(memory.clone(), &new_key()).unwrap();
    let committed = crate::ledger::back_up(&opened, &id(1), &rows(1), b"schema", options());
    let entries = opened.read(&id(1)).unwrap().entries("rows/1").unwrap();
    let bases = entries.filter(|entry| entry.as_ref().unwrap().base.is_some()).count();
    assert!(bases > 0 && committed.manifest.stored_bytes < 100_000, "{bases} deltas");
    assert_eq!(crate::ledger::problems(&opened, &id(1)), []);
    assert_eq!(crate::ledger::read_stream(&opened, &id(1), "rows/1"), crate::ledger::text(&rows(1)));
}

#[test]
fn prune_works_on_backups_of_several_epochs() {
    let (memory, _) = scene();
    rotate(memory.clone()).unwrap();
    let opened = open(memory.clone(), &new_key()).unwrap();
    take(&opened, 2);
    take(&opened, 3);
    let policy = RetentionPolicy { days: 1, wal_days: 1, ..RetentionPolicy::default() }.into();
    let kept = chronavault_repository::TRASH_KEPT;
    let later = noon(40);
    // All are old; the newest stays, which was made of chunks of the first.
    let plan = opened.plan_prune(&policy, kept, later).unwrap();
    assert_eq!(plan.going().count(), 3);
    opened.prune(&plan, [1, 2, 3], &|_| std::ops::ControlFlow::Continue(())).unwrap();
    all_are_readable(&opened, &[3]);
    assert!(names(&memory, "packs/").iter().any(|pack| epoch_of(&memory, pack) == 1));
    assert_eq!(names(&memory, "keys/").len(), 4, "slots and notes are nobody's to prune");
    open(memory, &new_key()).unwrap();
}

#[test]
fn a_process_that_opened_before_goes_on_under_the_old_epoch() {
    let (memory, repository) = scene();
    rotate(memory.clone()).unwrap();
    take(&repository, 2);
    assert_eq!(epoch_of(&memory, &format!("{}.manifest", id(2))), 1);
    all_are_readable(&open(memory, &new_key()).unwrap(), &[0, 1, 2]);
}

#[test]
fn other_holders_are_left_behind_unless_their_keys_are_there() {
    let (memory, repository) = scene();
    let third = HolderKey::new([10; 32]);
    let label: KeyLabel = "the safe".parse().unwrap();
    repository.add_key(&other_key(), Some(&label), noon(3), &random()).unwrap();
    repository.add_key(&third, None, noon(3), &random()).unwrap();
    let plan = repository.plan_rotation().unwrap();
    assert_eq!((plan.epoch, plan.others.len(), plan.backups), (2, 2, 2));
    let also = [third.clone()];
    let (old, new) = (holder(), new_key());
    let rotation = Rotation { also: &also, ..rotation(&old, &new) };
    let stranger = [HolderKey::new([11; 32])];
    let refused = Repository::rotate_keys(
        Arc::new(memory.clone()),
        Rotation { also: &stranger, ..rotation },
        noon(5),
        &random(),
    );
    assert!(matches!(refused, Err(KeyError::NotHolder)), "{refused:?}");
    let rotated = Repository::rotate_keys(Arc::new(memory.clone()), rotation, noon(5), &random()).unwrap();
    let left: Vec<_> =
        rotated.left_behind.iter().map(|key| key.label.as_ref().map(KeyLabel::as_str)).collect();
    assert_eq!(left, [Some("the safe")]);
    all_are_readable(&open(memory.clone(), &third).unwrap(), &[0, 1]);
    let outdated = open(memory.clone(), &other_key());
    assert!(matches!(outdated, Err(OpenError::Outdated { epoch: 1, current: 2, .. })), "{outdated:?}");

    // Its key is all that it takes to come back.
    let opened = open(memory.clone(), &new_key()).unwrap();
    opened.add_key(&other_key(), None, noon(6), &random()).unwrap();
    all_are_readable(&open(memory, &other_key()).unwrap(), &[0, 1]);
    let back = keys(&opened).into_iter().find(|key| key.label.as_ref() == Some(&label)).unwrap();
    assert_eq!(epochs(&back), [1, 2], "its label is found by its first slot");
}

#[test]
fn a_rotation_needs_a_new_key_and_the_old_one() {
    let (memory, _) = scene();
    let (old, new) = (holder(), new_key());
    let before = names(&memory, "");
    let run = |old: &HolderKey, new: &HolderKey| {
        Repository::rotate_keys(Arc::new(memory.clone()), rotation(old, new), noon(5), &random())
    };
    assert!(matches!(run(&old, &old), Err(KeyError::SameKey)));
    let wrong = run(&other_key(), &new);
    assert!(matches!(wrong, Err(KeyError::Open(OpenError::WrongKey { .. }))), "{wrong:?}");
    assert_eq!(names(&memory, ""), before);
}

#[test]
fn two_rotations_do_not_get_into_each_others_way() {
    let (memory, repository) = scene();
    // One that was killed after its claim and slots.
    let fault = storage::Fault::new(storage::Operation::Replace, 0, storage::Effect::FailBefore);
    rotate(storage::Faulty::new(memory.clone(), [fault])).unwrap_err();
    let third = HolderKey::new([10; 32]);
    let another =
        || Repository::rotate_keys(Arc::new(memory.clone()), rotation(&holder(), &third), noon(5), &random());
    let killed = new_key().slot_id(repository.id(), 1);
    let refused = another().unwrap_err();
    assert!(
        matches!(&refused, KeyError::OtherRotation { epoch: 2, key } if *key == killed.to_string()),
        "{refused:?}"
    );
    // It can be given up.
    let removal = repository.plan_key_removal(killed, &holder()).unwrap();
    assert_eq!(repository.remove_key(&removal).unwrap(), 2);
    assert_eq!(names(&memory, "keys/").len() + names(&memory, "intents/").len(), 1);
    another().unwrap();
    all_are_readable(&open(memory, &third).unwrap(), &[0, 1]);
}
