//! Leases: one holder at a time, whoever is fast.

use std::sync::Arc;

use chronavault_repository::{Error, HeldLease, LEASE_LASTS, LeaseRequest, Repository, Taken};
use jiff::{SignedDuration, Timestamp};
use model::Kind;
use storage::{MemoryStore, Store};
use testkit::damage::copy;

use crate::gate::Gate;
use crate::ledger::{self, holder, in_memory, now, options};
use crate::prune::scene::{all_are_whole, id, keys};

const RIGHT: &str = "backups of \"books\"";

fn take(repository: &Repository, who: u8, at: Timestamp) -> Taken {
    try_take(repository, RIGHT, who, at, false)
}

fn try_take(repository: &Repository, right: &str, who: u8, now: Timestamp, is_gone: bool) -> Taken {
    let holder = format!("host {who}");
    let request = LeaseRequest { right, holder: &holder, process: "boot/ns/1/2", now, random: [who; 16] };
    repository.take_lease(&request, &|process| is_gone && process == "boot/ns/1/2").unwrap()
}

fn taken(repository: &Repository, who: u8, at: Timestamp) -> HeldLease {
    match take(repository, who, at) {
        Taken::Yes(held) => held,
        Taken::No(lease) => panic!("{lease:?}"),
    }
}

fn later(by: SignedDuration) -> Timestamp {
    now() + by
}

#[test]
fn a_right_is_taken_once_renewed_and_given_back() {
    let (memory, repository) = in_memory();
    let mut held = taken(&repository, 1, now());
    let just_before = later(LEASE_LASTS) - SignedDuration::from_secs(1);
    assert!(matches!(take(&repository, 2, just_before), Taken::No(lease) if lease.holder == "host 1"));
    repository.renew_lease(&mut held, just_before).unwrap();
    assert!(matches!(take(&repository, 2, later(LEASE_LASTS)), Taken::No(_)));
    assert_eq!(keys(&memory, "leases/").len(), 1, "what is over is forgotten");
    repository.require_lease(&held.token).unwrap();
    let other = try_take(&repository, "prune", 2, now(), false);
    assert!(matches!(other, Taken::Yes(_)), "another right is another right");
    repository.release_lease(&held).unwrap();
    let second = taken(&repository, 2, just_before);
    assert!(
        matches!(repository.require_lease(&held.token), Err(Error::LeaseLost { to, .. }) if to == "host 2")
    );
    repository.require_lease(&second.token).unwrap();
}

#[test]
fn whoever_was_overtaken_neither_renews_nor_commits() {
    let (memory, repository) = in_memory();
    let mut slow = taken(&repository, 1, now());
    let mut writer = repository.begin(id(3, 1), "books", Kind::Logical, options()).unwrap();
    writer.require_lease(slow.token.clone());
    let fast = taken(&repository, 2, later(LEASE_LASTS));
    let renewed = repository.renew_lease(&mut slow, later(LEASE_LASTS));
    assert!(matches!(renewed, Err(Error::LeaseLost { .. })), "{renewed:?}");
    let committed = writer.commit(ledger::facts(vec![]));
    assert!(matches!(&committed, Err(Error::LeaseLost { right, to }) if right == RIGHT && to == "host 2"));
    assert!(all_are_whole(&memory, &repository).is_empty());
    repository.require_lease(&fast.token).unwrap();
}

#[test]
fn the_lease_of_a_process_that_is_gone_holds_nobody_up() {
    let (_, repository) = in_memory();
    let dead = taken(&repository, 1, now());
    assert!(matches!(try_take(&repository, RIGHT, 2, now(), false), Taken::No(_)));
    assert!(matches!(try_take(&repository, RIGHT, 2, now(), true), Taken::Yes(_)));
    assert!(repository.require_lease(&dead.token).is_err());
}

#[test]
fn a_lease_that_cannot_be_read_holds_nobody_up() {
    let (memory, repository) = in_memory();
    taken(&repository, 1, now());
    let key = memory.list("leases/").unwrap()[0].key.clone();
    memory.delete(&key).unwrap();
    memory.put(&key, b"{").unwrap();
    taken(&repository, 2, now());
}

/// W18: of two that want a right at the same time one gets it, wherever the other is in between.
#[test]
fn of_two_at_the_same_time_one_takes_the_right() {
    let (memory, _) = in_memory();
    let (old, _) = in_memory();
    copy(&memory, &old).unwrap();
    taken(&Repository::open(Arc::new(old.clone()), &holder()).unwrap(), 7, now() - LEASE_LASTS);
    for (original, renews) in [(&memory, false), (&old, false), (&memory, true), (&old, true)] {
        for at in 0.. {
            let store = MemoryStore::new();
            copy(original, &store).unwrap();
            let second = Repository::open(Arc::new(store.clone()), &holder()).unwrap();
            let (sender, other) = std::sync::mpsc::channel();
            let gate = Arc::new(Gate::new(store.clone(), at, move || {
                let mut other = take(&second, 2, now());
                if let (Taken::Yes(held), true) = (&mut other, renews) {
                    second.renew_lease(held, now()).unwrap();
                }
                sender.send(other).unwrap();
            }));
            let first = Repository::open(Arc::clone(&gate) as Arc<dyn Store>, &holder()).unwrap();
            let one = take(&first, 1, now());
            if !gate.was_reached() {
                assert!(at >= 4, "{at}");
                break;
            }
            let other = other.recv().unwrap();
            let holders: Vec<_> = [&one, &other]
                .into_iter()
                .filter_map(|taken| match taken {
                    Taken::Yes(held) => Some(held),
                    Taken::No(_) => None,
                })
                .collect();
            assert!(holders.len() <= 1, "call {at}: {holders:?}");
            for held in holders {
                first.require_lease(&held.token).unwrap();
            }
        }
    }
}
