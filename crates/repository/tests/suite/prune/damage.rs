//! Damage and a prune: what cannot be read holds up what depends on it, and nothing else.

use chronavault_repository::{PacksLeft, ProblemRecord, Repository, TRASH_KEPT};
use model::{Outcome, WalFate, WalKept};
use storage::{Key, MemoryStore, Store};
use testkit::Damage;

use super::scene::{
    all_are_whole, archive, archived, id, keys, logical, noon, physical, policy, prune, unnamed, verified,
};
use crate::ledger::{self, in_memory, proof_of};
use crate::segments::{SYSTEM, timeline};

fn key(text: impl Into<String>) -> Key {
    Key::new(text).unwrap()
}

fn flip(store: &MemoryStore, name: impl Into<String>) {
    Damage::Flip { position: 100, bits: 1 }.apply(store, &key(name)).unwrap();
}

fn four_days() -> (MemoryStore, Repository) {
    let (memory, repository) = in_memory();
    for day in 0..4 {
        verified(&repository, &logical(&repository, day), Outcome::Proven);
    }
    (memory, repository)
}

#[test]
fn no_pack_goes_while_a_manifest_cannot_be_read() {
    for damaged in 0..4 {
        let (memory, repository) = four_days();
        let name = format!("{}.manifest", id(damaged, 1));
        let manifest = memory.get(&key(name.as_str()), 1 << 20).unwrap();
        let needed = repository.manifest(&id(damaged, 1)).unwrap().packs;
        flip(&memory, name.as_str());
        let packs = memory.list("packs/").unwrap();
        let plan = repository.plan_prune(&policy(2, 2), TRASH_KEPT, noon(4)).unwrap();
        assert_eq!(plan.damaged.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), [id(damaged, 1)]);
        let report = prune(&repository, &policy(2, 2), noon(4));
        assert!(!report.backups.is_empty() && !report.backups.contains(&id(damaged, 1)), "{damaged}");
        assert_eq!(report.packs_left, Some(PacksLeft::Damaged(id(damaged, 1))), "{damaged}");
        assert_eq!(memory.list("packs/").unwrap(), packs, "{damaged}");
        assert!(keys(&memory, "").contains(&format!("{}.sha256", id(damaged, 1))));
        assert!(keys(&memory, "proofs/").iter().any(|key| key.contains(&id(damaged, 1).to_string())));

        // It comes back from a copy with everything that it needs.
        memory.delete(&key(name.as_str())).unwrap();
        memory.put(&key(name.as_str()), &manifest).unwrap();
        assert!(all_are_whole(&memory, &repository).contains(&id(damaged, 1)) && !needed.is_empty());
        assert_eq!(ledger::problems(&repository, &id(damaged, 1)), []);
        prune(&repository, &policy(2, 2), noon(4));
        assert_eq!((all_are_whole(&memory, &repository).len(), unnamed(&memory, &repository)), (1, 0));
    }
}

/// That a pack is damaged is known from one proof; the backup that it is of may go before others that need the pack.
#[test]
fn what_is_known_of_a_damaged_pack_is_kept_while_somebody_needs_it() {
    let (memory, repository) = in_memory();
    let first = logical(&repository, 0);
    let second = logical(&repository, 1);
    let shared = |pack: &&chronavault_repository::PackRecord| {
        second.manifest.packs.iter().any(|other| other.sha256 == pack.sha256)
    };
    let pack = first.manifest.packs.iter().find(shared).unwrap().sha256;
    let name = format!("packs/{}/{pack}.pack", &pack.to_string()[..2]);
    let mut proof = proof_of(&first);
    proof.outcome = Outcome::Failed;
    proof.problems =
        vec![ProblemRecord { code: "object.changed".into(), object: name.clone(), message: "x".into() }];
    repository.write_proof(&proof, [1, 2, 3]).unwrap();
    proof.at = noon(0) - jiff::SignedDuration::from_hours(1);
    repository.write_proof(&proof, [1, 2, 3]).unwrap();

    let report = prune(&repository, &policy(1, 1), noon(2));
    assert_eq!(report.backups, [id(0, 1)]);
    assert_eq!(keys(&memory, "proofs/").len(), 1, "of those that say so the one that counts");
    let third = logical(&repository, 2);
    assert!(third.manifest.packs.iter().all(|other| other.sha256 != pack), "it is not handed on");
    // When nobody needs the pack any more, nobody needs to know.
    let report = prune(&repository, &policy(1, 1), noon(4));
    assert_eq!((report.backups, keys(&memory, "proofs/")), (vec![id(1, 1)], vec![]));
    assert!(!keys(&memory, "packs/").contains(&name));
}

#[test]
fn what_is_left_of_backups_that_are_gone_goes() {
    let (memory, repository) = four_days();
    for day in [0, 1] {
        memory.delete(&key(format!("{}.manifest", id(day, 1)))).unwrap();
    }
    // A damaged proof is one that says nothing.
    let proof = keys(&memory, &format!("proofs/{}/", id(0, 1)))[0].clone();
    flip(&memory, proof);
    let plan = repository.plan_prune(&policy(10, 10), TRASH_KEPT, noon(4)).unwrap();
    assert_eq!((plan.going().count(), plan.leftovers.number()), (0, 4));
    prune(&repository, &policy(10, 10), noon(4));
    for day in [0, 1] {
        let of_day = |key: &String| !key.starts_with("trash/") && key.contains(id(day, 1).as_str());
        assert!(!keys(&memory, "").iter().any(of_day));
    }
    assert_eq!((all_are_whole(&memory, &repository).len(), unnamed(&memory, &repository)), (2, 0));
}

#[test]
fn a_damaged_history_holds_up_the_wal_of_its_cluster() {
    let (memory, repository) = in_memory();
    for day in 0..4 {
        let number = 2 * u64::from(day);
        verified(&repository, &physical(&repository, day, timeline(1), number), Outcome::Proven);
        archive(&repository, 1, number, noon(day));
        archive(&repository, 1, number + 1, noon(day));
    }
    let history = b"1\t0/700000\tx\n";
    repository.wal(SYSTEM).put_history(timeline(2), history, noon(3)).unwrap();
    let name = "wal/77/00000002/00000002.history.wal";
    let whole = memory.get(&key(name), 1 << 20).unwrap();
    flip(&memory, name);
    let report = prune(&repository, &policy(2, 2), noon(4));
    assert_eq!((report.backups.len(), report.wal.objects), (2, 0));
    let plan = repository.plan_prune(&policy(2, 2), TRASH_KEPT, noon(4)).unwrap();
    assert!(plan.wal.iter().all(|wal| wal.fate == WalFate::Stays(WalKept::HistoryDamaged)));
    memory.delete(&key(name)).unwrap();
    memory.put(&key(name), &whole).unwrap();
    assert_eq!(prune(&repository, &policy(2, 2), noon(4)).wal.objects, 4);
    assert_eq!(archived(&repository, 1), [4, 5, 6, 7]);

    // A damaged segment is WAL like any other: it goes when it is its turn, and holds up nothing.
    flip(&memory, "wal/77/00000001/000000010000000000000007.wal");
    assert_eq!(prune(&repository, &policy(1, 1), noon(4)).wal.objects, 2);
}
