//! In which order a prune deletes, what it costs, and what it leaves alone.

use std::sync::Arc;

use chronavault_repository::{Listed, Repository, TRASH_KEPT};
use jiff::SignedDuration;
use model::{Fate, Halt, Kept, Outcome, WalFate, WalKept};
use storage::{Isolation, Key, LocalStore, MemoryStore, Operation, Recording, Store};

use super::scene::{
    SIZE, all_are_whole, archive, archived, id, keys, logical, noon, physical, policy, prune, segment,
    unnamed, verified,
};
use crate::ledger::{self, go_on, holder, in_memory};
use crate::segments::{SYSTEM, timeline, wal};

/// Ten days of logical backups, physical ones every third day, and a segment of WAL every day.
fn scene() -> (MemoryStore, Repository) {
    let (memory, repository) = in_memory();
    fill(&repository);
    (memory, repository)
}

fn fill(repository: &Repository) {
    for day in 0..10 {
        let number = u64::from(day) * 2;
        verified(repository, &logical(repository, day), Outcome::Proven);
        archive(repository, 1, number, noon(day));
        archive(repository, 1, number + 1, noon(day));
        if day % 3 == 0 {
            verified(repository, &physical(repository, day, timeline(1), number), Outcome::Proven);
        }
    }
    let archive = repository.wal(SYSTEM);
    archive.put_backup(segment(1, 0), 0x80000, b"label", noon(0)).unwrap();
    archive.put_partial(segment(1, 1), SIZE, &wal(1, 1, SIZE, 0), noon(0)).unwrap();
    for offset in [0, 5000] {
        let bytes = &wal(1, 2, SIZE, 0)[offset..offset + 5000];
        archive.put_piece(segment(1, 2), SIZE, u32::try_from(offset).unwrap(), bytes, noon(0)).unwrap();
    }
    archive.put_history(timeline(2), b"1\t0/2000000\tx\n", noon(0)).unwrap();
}

#[test]
fn deleting_goes_in_the_reverse_order_of_writing() {
    let (memory, _) = scene();
    let recording = Arc::new(Recording::new(memory.clone()));
    let repository = Repository::open(Arc::clone(&recording) as Arc<dyn Store>, &holder()).unwrap();
    let plan = repository.plan_prune(&policy(5, 5), TRASH_KEPT, noon(9)).unwrap();
    recording.take();
    let report = repository.prune(&plan, [7, 7, 7], &|_| go_on_pruning()).unwrap();
    let calls = recording.take();
    let trashed = calls.keys(Operation::Trash);

    // Manifests, then what stands beside them, then packs, then WAL.
    let rank = |key: &&str| match key {
        key if key.ends_with(".manifest") => 0,
        key if key.ends_with(".sha256") || key.starts_with("proofs/") => 1,
        key if key.starts_with("packs/") => 2,
        key if key.starts_with("wal/") => 3,
        other => panic!("{other}"),
    };
    assert!(trashed.iter().map(rank).is_sorted(), "{trashed:#?}");
    let gone = [id(0, 1), id(0, 2), id(1, 1), id(2, 1), id(3, 1), id(4, 1)];
    let manifests: Vec<_> = gone.iter().map(|id| format!("{id}.manifest")).collect();
    assert_eq!(trashed[..6], manifests, "the oldest first");
    assert_eq!(report.backups, gone);
    let number = |wanted| trashed.iter().filter(|key| rank(key) == wanted).count();
    assert_eq!(number(1), 2 * gone.len());
    assert!(number(2) > 5, "{trashed:#?}");

    // Between the last manifest and the first pack, intents are listed and after them manifests.
    let at = |operation, key: &str| {
        calls.0.iter().position(|call| call.operation == operation && call.key.starts_with(key)).unwrap()
    };
    let last = calls
        .0
        .iter()
        .rposition(|call| call.key.ends_with(".manifest") && call.operation == Operation::Trash);
    let order = [
        at(Operation::Put, "intents/prune-"),
        last.unwrap(),
        at(Operation::List, "intents/"),
        at(Operation::List, "backup-"),
        at(Operation::Trash, "packs/"),
        at(Operation::Trash, "wal/"),
        at(Operation::Delete, "intents/prune-"),
    ];
    assert!(order.is_sorted(), "{order:?}");

    // From the backup of day 3 on, which finished before the window of 5 days, and needs segment 6.
    let wal: Vec<_> = trashed.iter().filter(|key| rank(key) == 3).map(|key| &key[key.len() - 24..]).collect();
    let expected = [
        "00000.00080000.backup.wal",
        "0000000100000000000000000.wal",
        "000000000001.partial.wal",
        "0000000000000000000001.wal",
        "000002.00001388.piece",
        "000002.00000000.piece",
    ];
    for (found, expected) in wal.iter().zip(expected) {
        assert!(found.ends_with(&expected[expected.len().saturating_sub(18)..]), "{found}, {expected}");
    }
    assert_eq!(archived(&repository, 1), (6..20).collect::<Vec<_>>());
    assert!(keys(&memory, "wal/").iter().any(|key| key.ends_with("00000002.history.wal")));
    assert_eq!(wal.len(), 6 + 4);
}

fn go_on_pruning() -> std::ops::ControlFlow<()> {
    std::ops::ControlFlow::Continue(())
}

#[test]
fn what_stays_is_whole_and_what_goes_lies_in_the_trash() {
    let (memory, repository) = scene();
    let before = memory.list("").unwrap();
    let plan = repository.plan_prune(&policy(5, 5), TRASH_KEPT, noon(9)).unwrap();
    assert_eq!(memory.list("").unwrap(), before, "a plan changes nothing");
    let report = prune(&repository, &policy(5, 5), noon(9));

    let planned = plan.packs.objects.bytes() + plan.wal.iter().map(|wal| wal.objects.bytes()).sum::<u64>();
    assert_eq!(report.packs.bytes + report.wal.bytes, planned);
    assert_eq!((report.packs.objects, report.packs_left), (plan.packs.objects.number(), None));
    assert_eq!(plan.objects(), report.packs.objects + report.wal.objects + report.others.objects);
    let left = all_are_whole(&memory, &repository);
    let expected = [id(9, 2), id(9, 1), id(8, 1), id(7, 1), id(6, 2), id(6, 1), id(5, 1), id(3, 2)];
    assert_eq!(left, expected);
    assert_eq!(unnamed(&memory, &repository), 0);
    for id in &left {
        assert_eq!(ledger::problems(&repository, id), [], "{id}");
    }

    // Everything that went is in one lot of the trash, under its old key, and comes back whole.
    let lot = "trash/2026-12-02-120000/";
    let trash = keys(&memory, "trash/");
    assert_eq!(trash.len() as u64, plan.objects());
    let all: Vec<_> = before.iter().map(|object| object.key.to_string()).collect();
    assert!(trash.iter().all(|key| all.contains(&key.strip_prefix(lot).unwrap().to_owned())));
    for key in &trash {
        let bytes = memory.get(&Key::new(key.as_str()).unwrap(), 64 << 20).unwrap();
        memory.put(&Key::new(&key[lot.len()..]).unwrap(), &bytes).unwrap();
    }
    let back = all_are_whole(&memory, &repository);
    assert_eq!(back.len(), 14);
    for id in &back {
        assert_eq!(ledger::problems(&repository, id), [], "{id}");
    }
}

#[test]
fn a_second_prune_finds_nothing_and_writes_nothing() {
    let (memory, repository) = scene();
    prune(&repository, &policy(5, 5), noon(9));
    let recording = Arc::new(Recording::new(memory));
    let repository = Repository::open(Arc::clone(&recording) as Arc<dyn Store>, &holder()).unwrap();
    recording.take();
    let plan = repository.plan_prune(&policy(5, 5), TRASH_KEPT, noon(9)).unwrap();
    let calls = recording.take();
    assert!(plan.is_nothing());
    let lists = ["packs/", "intents/", "backup-", "proofs/", "holds/", "backup-", "wal/", "site/", "trash/"];
    assert_eq!(calls.keys(Operation::List), lists);
    // Eight manifests, and the proof of each.
    assert_eq!(calls.count(Operation::Get), 16);
    // The head of the last segment of timeline 1, and the history of timeline 2.
    assert_eq!((calls.count(Operation::Size), calls.count(Operation::ReadRange)), (2, 2));
    assert_eq!(calls.0.len(), lists.len() + 16 + 4);
    repository.prune(&plan, [7, 7, 7], &|_| go_on_pruning()).unwrap();
    assert_eq!(recording.take().0, []);
}

#[test]
fn the_trash_is_emptied_after_a_while() {
    let (memory, repository) = scene();
    prune(&repository, &policy(8, 8), noon(9));
    let first = keys(&memory, "trash/");
    prune(&repository, &policy(7, 7), noon(10));
    assert!(keys(&memory, "trash/").len() > first.len());
    memory.put(&Key::new("trash/by-hand/x").unwrap(), b"of somebody").unwrap();
    let just_before = noon(9) + TRASH_KEPT - SignedDuration::from_secs(1);
    assert_eq!(repository.plan_prune(&policy(9, 9), TRASH_KEPT, just_before).unwrap().trash.number(), 0);
    let report = prune(&repository, &policy(9, 9), noon(9) + TRASH_KEPT);
    assert_eq!(report.emptied.objects, first.len() as u64);
    let left = keys(&memory, "trash/");
    assert!(first.iter().all(|key| !left.contains(key)) && left.len() > 1);

    // Who needs the room now gets it, for what goes now, too.
    let plan = repository.plan_prune(&policy(7, 7), SignedDuration::ZERO, noon(12)).unwrap();
    let report = repository.prune(&plan, [7, 7, 7], &|_| go_on_pruning()).unwrap();
    assert_eq!(keys(&memory, "trash/"), ["trash/by-hand/x"]);
    assert!(report.packs.objects > 0 && report.emptied.objects > report.packs.objects);
}

#[test]
fn nothing_goes_while_the_clock_looks_wrong() {
    let (memory, repository) = scene();
    prune(&repository, &policy(8, 8), noon(9));
    let before = memory.list("").unwrap();
    let early = noon(9) - SignedDuration::from_secs(1);
    let plan = repository.plan_prune(&policy(2, 2), TRASH_KEPT, early).unwrap();
    let finished_at = noon(9);
    assert!(matches!(plan.halt, Some(Halt::ClockBehind { finished_at: at, .. }) if at == finished_at));
    let late = repository.plan_prune(&policy(2, 2), TRASH_KEPT, noon(4000)).unwrap();
    assert!(matches!(late.halt, Some(Halt::TooMany { going: 10, of: 12, .. })), "{:?}", late.halt);
    for plan in [plan, late] {
        assert!(plan.is_nothing());
        assert!(plan.backups.iter().any(|backup| backup.fate == Fate::Stays(Kept::Halted)));
        assert!(plan.wal.iter().all(|wal| wal.fate == WalFate::Stays(WalKept::Halted)));
        repository.prune(&plan, [7, 7, 7], &|_| go_on_pruning()).unwrap();
        assert_eq!(memory.list("").unwrap(), before, "not even the trash is emptied");
    }
}

/// P7: retention never runs after a failed backup.
#[test]
fn nothing_of_a_source_goes_while_its_newest_backup_has_failed() {
    let (memory, repository) = scene();
    verified(&repository, &logical(&repository, 10), Outcome::Failed);
    let report = prune(&repository, &policy(5, 5), noon(10));
    assert_eq!((report.backups, report.wal.objects), (vec![], 0));
    assert_eq!(all_are_whole(&memory, &repository).len(), 15);
    verified(&repository, &logical(&repository, 11), Outcome::Proven);
    let report = prune(&repository, &policy(6, 6), noon(11));
    assert_eq!((report.backups.len(), all_are_whole(&memory, &repository).len()), (7, 9));
}

/// P7: retention never removes the last proven backup, however old it is and however often it is run.
#[test]
fn the_last_proven_backup_is_never_pruned() {
    let (memory, repository) = in_memory();
    for day in 0..30 {
        let committed = logical(&repository, day);
        if day == 4 {
            verified(&repository, &committed, Outcome::Proven);
        }
        prune(&repository, &policy(2, 2), noon(day));
    }
    assert_eq!(all_are_whole(&memory, &repository), [id(29, 1), id(28, 1), id(4, 1)]);
    assert_eq!(ledger::problems(&repository, &id(4, 1)), []);
}

#[test]
fn on_a_disk_it_is_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::new(directory.path().join("isolated"), Isolation::Required).unwrap();
    let root = store.root().to_owned();
    let repository = ledger::init(store);
    fill(&repository);
    let report = prune(&repository, &policy(5, 5), noon(9));
    assert_eq!((report.backups.len(), report.packs_left), (6, None));
    for listed in repository.backups().unwrap() {
        assert!(matches!(listed, Listed::Backup(_)));
        assert_eq!(repository.check_contents(listed.id(), &go_on).unwrap().problems, []);
    }
    let lot = root.join("trash/2026-12-02-120000");
    assert!(lot.join(format!("{}.manifest", id(0, 1))).exists() && lot.join("packs").exists());
    assert_eq!(std::fs::read_dir(root.join("intents")).unwrap().count(), 0);
    let plan = repository.plan_prune(&policy(5, 5), SignedDuration::ZERO, noon(9)).unwrap();
    repository.prune(&plan, [7, 7, 7], &|_| go_on_pruning()).unwrap();
    assert_eq!(std::fs::read_dir(root.join("trash")).unwrap().count(), 0);
}
