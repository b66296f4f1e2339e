//! Holds and removal by hand.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use chronavault_repository::{Error, PlacedHold, RemovalRequest, Repository, TRASH_KEPT};
use jiff::SignedDuration;
use model::{Fate, Kept, Outcome};
use storage::{Effect, Fault, Faulty, Key, MemoryStore, Operation, Store};

use super::scene::{all_are_whole, id, keys, logical, noon, policy, prune, unnamed, verified};
use crate::ledger::{self, holder, in_memory};

fn days(number: u32) -> (MemoryStore, Repository) {
    let (memory, repository) = in_memory();
    for day in 0..number {
        verified(&repository, &logical(&repository, day), Outcome::Proven);
    }
    (memory, repository)
}

#[test]
fn a_backup_that_is_held_stays_until_its_time_or_until_it_is_released() {
    let (memory, repository) = days(4);
    let until = noon(10);
    let hold = repository.hold(&id(0, 1), "audit", "alice@db1", (noon(3), Some(until)), [1; 3]).unwrap();
    repository.hold(&id(1, 1), "court case 7", "bob@db1", (noon(3), None), [1; 3]).unwrap();
    assert_eq!(repository.holds().unwrap()[&id(0, 1)], [PlacedHold::Known(hold)]);
    assert_eq!(prune(&repository, &policy(2, 2), noon(5)).backups, [id(2, 1)]);
    let just_before = until - SignedDuration::from_secs(1);
    assert_eq!(prune(&repository, &policy(2, 2), just_before).backups, []);
    assert_eq!(prune(&repository, &policy(2, 2), until).backups, [id(0, 1)]);
    assert!(!keys(&memory, "holds/").iter().any(|key| key.contains(id(0, 1).as_str())), "it goes with it");

    assert_eq!(prune(&repository, &policy(2, 2), noon(400)).backups, []);
    assert_eq!((repository.release(&id(1, 1)).unwrap(), repository.release(&id(1, 1)).unwrap()), (1, 0));
    assert_eq!(prune(&repository, &policy(2, 2), noon(400)).backups, [id(1, 1)]);
    assert_eq!((unnamed(&memory, &repository), keys(&memory, "holds/")), (0, vec![]));
}

#[test]
fn a_hold_that_cannot_be_read_holds() {
    let (memory, repository) = days(3);
    let place = format!("holds/{}/2026-11-25-120000-010101.json", id(0, 1));
    memory
        .put(&Key::new(place.clone()).unwrap(), b"{\"version\":1,\"until\":\"2000-01-01T00:00:00Z\"}")
        .unwrap();
    assert_eq!(repository.holds().unwrap()[&id(0, 1)], [PlacedHold::Unreadable(place)]);
    assert_eq!(prune(&repository, &policy(1, 1), noon(300)).backups, [id(1, 1)]);
}

/// W16: a hold that was acknowledged is seen by every prune that removes something afterwards.
#[test]
fn a_hold_that_was_acknowledged_is_seen_by_every_prune() {
    // Placed after the plan was made.
    let (memory, repository) = days(3);
    let plan = repository.plan_prune(&policy(1, 1), TRASH_KEPT, noon(3)).unwrap();
    assert_eq!(plan.going().count(), 2);
    repository.hold(&id(0, 1), "audit", "alice", (noon(3), None), [1; 3]).unwrap();
    let report = repository.prune(&plan, [7; 3], &|_| ControlFlow::Continue(())).unwrap();
    assert_eq!(report.backups, [id(1, 1)]);
    assert_eq!(ledger::problems(&repository, &id(0, 1)), []);
    assert_eq!(all_are_whole(&memory, &repository), [id(2, 1), id(0, 1)]);

    // Placed while a prune is at work.
    let intent = Key::new("intents/prune-2026-11-26-120000-abcdef.json").unwrap();
    memory.put(&intent, b"{}\n").unwrap();
    let refused = repository.hold(&id(2, 1), "audit", "alice", (noon(3), None), [2; 3]);
    assert!(matches!(refused, Err(Error::PruneRunning { .. })), "{refused:?}");
    assert_eq!(keys(&memory, "holds/").len(), 1, "nothing says that it is held");
    let later = noon(3) + SignedDuration::from_hours(6);
    repository.hold(&id(2, 1), "that prune was killed", "alice", (later, None), [2; 3]).unwrap();
    memory.delete(&intent).unwrap();

    // Placed on a backup that has gone.
    let gone = repository.hold(&id(1, 1), "audit", "alice", (noon(3), None), [3; 3]);
    assert!(matches!(gone, Err(Error::NoSuchBackup { .. })), "{gone:?}");
    assert_eq!(keys(&memory, "holds/").len(), 2);

    // A hold that could not be looked after is none.
    let fault = Fault::new(Operation::List, 0, Effect::FailBefore).on("intents/");
    let failing = Repository::open(Arc::new(Faulty::new(memory.clone(), [fault])), &holder()).unwrap();
    assert!(failing.hold(&id(2, 1), "audit", "alice", (noon(3), None), [4; 3]).is_err());
    assert_eq!(keys(&memory, "holds/").len(), 2);
}

#[test]
fn exactly_the_backups_that_were_named_are_removed() {
    let (memory, repository) = days(5);
    verified(&repository, &logical(&repository, 5), Outcome::Failed);
    repository.hold(&id(1, 1), "audit", "alice", (noon(5), None), [1; 3]).unwrap();
    let asked: BTreeSet<_> = [0, 1, 4, 5].map(|day| id(day, 1)).into();
    let plan = |request| repository.plan_removal(&policy(30, 30), &request, false, noon(6)).unwrap();
    let named = plan(RemovalRequest::Named(asked));
    let fates: Vec<_> = named.backups.iter().rev().map(|backup| backup.fate).collect();
    let not = Fate::Stays(Kept::NotAsked);
    let expected = [Fate::Goes, Fate::Stays(Kept::Held), not, not, Fate::Stays(Kept::LastProven), Fate::Goes];
    assert_eq!(fates, expected);
    let report = repository.prune(&named, [7; 3], &|_| ControlFlow::Continue(())).unwrap();
    assert_eq!((report.backups, unnamed(&memory, &repository)), (vec![id(0, 1), id(5, 1)], 0));
    for left in all_are_whole(&memory, &repository) {
        assert_eq!(ledger::problems(&repository, &left), [], "{left}");
    }
    assert!(plan(RemovalRequest::Failed).is_nothing());
}

#[test]
fn failed_backups_that_were_followed_by_a_proven_one_are_removed_at_once() {
    let (memory, repository) = days(1);
    verified(&repository, &logical(&repository, 1), Outcome::Failed);
    verified(&repository, &logical(&repository, 2), Outcome::Proven);
    verified(&repository, &logical(&repository, 3), Outcome::Failed);
    let plan = repository.plan_removal(&policy(30, 30), &RemovalRequest::Failed, false, noon(4)).unwrap();
    let report = repository.prune(&plan, [7; 3], &|_| ControlFlow::Continue(())).unwrap();
    assert_eq!(report.backups, [id(1, 1)]);
    assert_eq!(all_are_whole(&memory, &repository).len(), 3);
}
