//! A prune that fails or is killed at any store call: whatever is listed is whole, and the next one completes it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chronavault_repository::{Error, Repository, TRASH_KEPT};
use model::Outcome;
use storage::{Effect, Fault, Faulty, MemoryStore, Operation, Store};
use testkit::damage::copy;

use super::scene::{
    all_are_whole, archive, archived, keys, logical, noon, physical, policy, prune, try_prune, unnamed,
    verified,
};
use crate::gate::Gate;
use crate::ledger::{self, holder, in_memory};
use crate::segments::timeline;

/// Six days, of which two expire, with WAL and something in the trash.
fn scene() -> MemoryStore {
    let (memory, repository) = in_memory();
    for day in 0..6 {
        let number = 2 * u64::from(day);
        verified(&repository, &logical(&repository, day), Outcome::Proven);
        verified(&repository, &physical(&repository, day, timeline(1), number), Outcome::Proven);
        archive(&repository, 1, number, noon(day));
        archive(&repository, 1, number + 1, noon(day));
    }
    let key = "trash/2026-11-20-120000/x".parse().unwrap();
    memory.put(&key, b"what went long ago").unwrap();
    memory
}

const NOW: u32 = 6;

fn open(store: impl Store + 'static) -> Repository {
    Repository::open(Arc::new(store), &holder()).unwrap()
}

fn without_trash(store: &MemoryStore) -> BTreeSet<String> {
    keys(store, "")
        .into_iter()
        .filter(|key| !key.starts_with("trash/") && !key.starts_with("intents/"))
        .collect()
}

/// What must be so after an interruption, and that the next prune ends where an uninterrupted one does.
fn survives(store: &MemoryStore, expected: &BTreeSet<String>, when: &str) {
    let repository = open(store.clone());
    let listed = all_are_whole(store, &repository);
    assert!(listed.len() >= 6, "{when}: {listed:?}");
    let segments = archived(&repository, 1);
    assert!(segments.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{when}: {segments:?}");
    assert!(segments[0] <= 4 && segments.last() == Some(&11), "{when}: {segments:?}");
    let report = prune(&repository, &policy(4, 4), noon(NOW));
    assert_eq!((&without_trash(store), report.packs_left), (expected, None), "{when}");
    assert_eq!(unnamed(store, &repository), 0, "{when}");
    assert!(repository.plan_prune(&policy(4, 4), TRASH_KEPT, noon(NOW)).unwrap().is_nothing(), "{when}");
    assert!(!keys(store, "trash/").iter().any(|key| key.starts_with("trash/2026-11-20")), "{when}");
    for id in all_are_whole(store, &repository) {
        assert_eq!(ledger::problems(&repository, &id), [], "{when}");
    }
}

/// Where an uninterrupted prune ends.
fn expected(original: &MemoryStore) -> BTreeSet<String> {
    let store = MemoryStore::new();
    copy(original, &store).unwrap();
    prune(&open(store.clone()), &policy(4, 4), noon(NOW));
    without_trash(&store)
}

#[test]
fn an_interrupted_prune_is_completed_by_the_next() {
    let original = scene();
    let expected = expected(&original);
    let operations = [
        Operation::Put,
        Operation::Get,
        Operation::ReadRange,
        Operation::Size,
        Operation::List,
        Operation::Delete,
        Operation::Trash,
    ];
    let mut points = 0;
    for operation in operations {
        for effect in [Effect::FailBefore, Effect::FailAfter] {
            for nth in 0.. {
                let store = MemoryStore::new();
                copy(&original, &store).unwrap();
                let repository = open(store.clone());
                drop(repository);
                let faulty = Faulty::new(
                    store.clone(),
                    [Fault::new(operation, nth + opening(operation), effect).forever()],
                );
                let result = try_prune(&open(faulty), &policy(4, 4), noon(NOW));
                let is_done = result.is_ok();
                survives(&store, &expected, &format!("{operation:?} {nth}, {effect:?}"));
                // That an intent could not be taken away is found out by nobody.
                if is_done && operation != Operation::Delete || nth > 400 {
                    break;
                }
                if is_done {
                    break;
                }
                points += 1;
            }
        }
    }
    assert!(points > 100, "{points}");
}

/// Calls that opening the repository takes.
fn opening(operation: Operation) -> usize {
    if operation == Operation::Get { 2 } else { 0 }
}

/// As if the process was gone: nothing is tidied up.
#[test]
fn a_prune_that_is_killed_at_any_call_leaves_only_whole_backups() {
    let original = scene();
    let expected = expected(&original);
    for at in 0.. {
        let store = MemoryStore::new();
        copy(&original, &store).unwrap();
        let snapshot = MemoryStore::new();
        let (from, to) = (store.clone(), snapshot.clone());
        let gate = Arc::new(Gate::new(store, at, move || copy(&from, &to).unwrap()));
        prune(
            &Repository::open(Arc::clone(&gate) as Arc<dyn Store>, &holder()).unwrap(),
            &policy(4, 4),
            noon(NOW),
        );
        if !gate.was_reached() {
            assert!(at > 80, "{at}");
            return;
        }
        survives(&snapshot, &expected, &format!("killed before call {at}"));
    }
}

#[test]
fn a_prune_can_be_stopped_between_any_two_objects() {
    let original = scene();
    let expected = expected(&original);
    let total = open(original.clone()).plan_prune(&policy(4, 4), TRASH_KEPT, noon(NOW)).unwrap().objects();
    for stop in 0..total {
        let store = MemoryStore::new();
        copy(&original, &store).unwrap();
        let repository = open(store.clone());
        let plan = repository.plan_prune(&policy(4, 4), TRASH_KEPT, noon(NOW)).unwrap();
        let seen = AtomicU64::new(0);
        let result = repository.prune(&plan, [7, 7, 7], &|progress| {
            assert_eq!((progress.done, progress.total), (seen.fetch_add(1, Ordering::Relaxed), total));
            if progress.done == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(result, Err(Error::Cancelled)), "{stop}");
        assert_eq!(keys(&store, "intents/"), [""; 0], "{stop}");
        survives(&store, &expected, &format!("stopped at {stop}"));
    }
}
