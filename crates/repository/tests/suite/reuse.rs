//! Which earlier backup a new one relies on, and which of its packs: damage that was found once is not handed on.

use std::sync::Arc;

use chronavault_repository::{
    CommitFacts, Committed, MAX_PROBLEMS, Manifest, PackId, ProblemRecord, Repository, WriteOptions,
};
use model::{BackupId, Kind, Level, Outcome};
use storage::{Effect, Fault, Faulty, Key, MemoryStore, Operation, Recording, Store};
use testkit::Damage;

use crate::ledger::{self, back_up, holder, id, in_memory, noise, now, options, proof_of};

/// Enough for several packs of 1 MiB.
fn rows() -> Vec<Vec<u8>> {
    (0..300).map(|n| noise(n, 15_000).iter().map(|byte| b'a' + byte % 64).collect()).collect()
}

/// Stored as it is, for speed, in small packs, by one thread, so that the same chunks share a pack in every run.
fn stored() -> WriteOptions {
    WriteOptions { level: None, pack_bytes: 1 << 20, seal_threads: 1, ..options() }
}

/// More than an unchanged backup stores: a list or a pack with next to nothing in it at most.
const NEXT_TO_NOTHING: u64 = 2_000;

fn take(repository: &Repository, day: u32) -> Committed {
    back_up(repository, &id(day), &rows(), b"schema", stored())
}

fn key(pack: PackId) -> String {
    format!("packs/{}/{pack}.pack", &pack.to_string()[..2])
}

fn largest(manifest: &Manifest) -> PackId {
    manifest.packs.iter().max_by_key(|pack| pack.bytes).unwrap().sha256
}

fn uses(manifest: &Manifest, pack: PackId) -> bool {
    manifest.packs.iter().any(|record| record.sha256 == pack)
}

/// Records a verification of `hour` that found these objects damaged, or nothing.
fn record(repository: &Repository, committed: &Committed, hour: i64, objects: &[String]) {
    let problems: Vec<_> = objects.iter().map(|object| ("object.changed", object.as_str())).collect();
    record_as(repository, committed, hour, Level::Contents, &problems);
}

/// The same with the codes of the problems.
fn record_as(
    repository: &Repository,
    committed: &Committed,
    hour: i64,
    level: Level,
    problems: &[(&str, &str)],
) {
    let mut proof = proof_of(committed);
    proof.level = level;
    proof.at = now() + jiff::SignedDuration::from_hours(hour);
    proof.outcome = if problems.is_empty() { Outcome::Sound } else { Outcome::Failed };
    let problem = |(code, object): &(&str, &str)| ProblemRecord {
        code: (*code).to_owned(),
        object: (*object).to_owned(),
        message: "its bytes are not those that were written".into(),
    };
    proof.problems = problems.iter().map(problem).collect();
    repository.write_proof(&proof, [1, 2, 3]).unwrap();
}

fn parent(repository: &Repository) -> Option<BackupId> {
    repository.begin(id(99), "books", Kind::Logical, stored()).unwrap().parent().cloned()
}

#[test]
fn damage_is_not_handed_on() {
    let (memory, repository) = in_memory();
    let first = take(&repository, 0);
    let pack = largest(&first.manifest);
    let place = Key::new(key(pack)).unwrap();
    let before = memory.list("").unwrap();
    Damage::Flip { position: 1 << 19, bits: 1 }.apply(&memory, &place).unwrap();

    // Nobody knows yet.
    let second = take(&repository, 1);
    assert!(uses(&second.manifest, pack));
    let found = ledger::problems(&repository, &id(1));
    assert_eq!(found.iter().map(|problem| problem.object.as_str()).collect::<Vec<_>>(), [place.as_str()]);
    record(&repository, &second, 1, &[found[0].object.clone()]);

    // Now it is known: what was in that pack is stored again, and nothing else.
    let third = take(&repository, 2);
    assert_eq!(third.manifest.parent, Some(id(0)), "the failed one is passed over");
    assert!(!uses(&third.manifest, pack));
    assert_eq!(ledger::problems(&repository, &id(2)), []);
    let stored = third.manifest.stored_bytes;
    assert!(stored > 1 << 20 && stored < 2 << 20 && third.manifest.reused_bytes > 2 << 20, "{stored}");
    let fourth = take(&repository, 3);
    assert_eq!(fourth.manifest.parent, Some(id(2)));
    assert!(fourth.manifest.stored_bytes < NEXT_TO_NOTHING, "what was stored again is used again");
    let after = memory.list("").unwrap();
    assert!(before.iter().all(|object| after.contains(object)), "nothing went away");
}

#[test]
fn a_list_that_is_known_to_be_damaged_is_no_news() {
    let (memory, repository) = in_memory();
    let first = take(&repository, 0);
    let rows = first.manifest.streams.iter().find(|stream| stream.name == "rows/1").unwrap();
    let place = Key::new(key(rows.lists[0].pack)).unwrap();
    let position = rows.lists[0].offset as usize + 100;
    Damage::Flip { position, bits: 1 }.apply(&memory, &place).unwrap();

    let begin = || repository.begin(id(1), "books", Kind::Logical, stored()).unwrap();
    let problems = begin().reuse_problems().to_vec();
    assert_eq!(problems.iter().map(|problem| problem.object.as_str()).collect::<Vec<_>>(), [place.as_str()]);
    record(&repository, &first, 1, &[place.to_string()]);
    assert_eq!(begin().reuse_problems(), []);
    assert!(!uses(&take(&repository, 1).manifest, rows.lists[0].pack));
    assert_eq!(ledger::problems(&repository, &id(1)), []);
}

#[test]
fn a_failed_backup_is_passed_over_until_it_is_good_again() {
    let (_store, repository) = in_memory();
    take(&repository, 0);
    let second = take(&repository, 1);
    record(&repository, &second, 1, &["table public.journal_lines".to_owned()]);
    assert_eq!(parent(&repository), Some(id(0)));
    record(&repository, &second, 2, &[]);
    assert_eq!(parent(&repository), Some(id(1)), "the newest proof counts");
}

#[test]
fn where_all_have_failed_the_newest_serves_without_what_is_damaged() {
    let (_store, repository) = in_memory();
    let first = take(&repository, 0);
    record(&repository, &first, 1, &["table public.journal_lines".to_owned()]);
    let second = take(&repository, 1);
    assert_eq!(second.manifest.parent, Some(id(0)));
    assert!(second.manifest.stored_bytes < NEXT_TO_NOTHING, "nothing that it needs is damaged");
    let pack = largest(&second.manifest);
    record(&repository, &second, 2, &[key(pack)]);
    let third = take(&repository, 2);
    assert_eq!(third.manifest.parent, Some(id(1)));
    assert!(!uses(&third.manifest, pack) && third.manifest.reused_bytes > 2 << 20);
}

/// A backup of a cluster of one file.
fn take_cluster(repository: &Repository, day: u32) -> Committed {
    let writer = repository.begin(id(day), "books", Kind::Physical, stored()).unwrap();
    let cluster = writer.cluster().unwrap();
    let file = cluster.file(&"base/5/1259".parse().unwrap(), 0o600).unwrap();
    let mut worker = cluster.worker().unwrap();
    for (number, region) in (0..).zip(noise(1, 2 << 20).chunks(cluster.region_bytes() as usize)) {
        worker.store(file, number, &mut region.to_vec(), &mut |_| false).unwrap();
    }
    worker.finish().unwrap();
    cluster.finish_file(file, 2 << 20);
    cluster.finish().unwrap();
    let physical = Some(crate::cluster::record());
    writer.commit(CommitFacts { logical: None, physical, ..ledger::facts(vec![]) }).unwrap()
}

/// Whether the next backup of the cluster may take over regions unread.
fn serves_unread(repository: &Repository) -> bool {
    let writer = repository.begin(id(99), "books", Kind::Physical, stored()).unwrap();
    let cluster = writer.cluster().unwrap();
    let file = cluster.file(&"base/5/1259".parse().unwrap(), 0o600).unwrap();
    let mut worker = cluster.worker().unwrap();
    let kept = worker.keep(file, 0).unwrap();
    assert_eq!(kept, cluster.serves_unread());
    assert_eq!(kept, worker.earlier(file, 1, &mut Vec::new()).unwrap());
    assert!(cluster.earlier().is_some(), "its bad pages are known in any case");
    kept
}

#[test]
fn a_cluster_that_was_damaged_already_is_not_stored_in_full_each_time() {
    let (_store, repository) = in_memory();
    let damaged = [("page.bad", "base/5/1259"), ("index.damaged", "books public.entry_pkey")];
    let first = take_cluster(&repository, 0);
    assert!(serves_unread(&repository));
    record_as(&repository, &first, 1, Level::Restore, &damaged);
    assert!(!serves_unread(&repository), "equal regions are used again, and no others");
    let second = take_cluster(&repository, 1);
    assert_eq!(second.manifest.parent, Some(id(0)));
    assert!(second.manifest.stored_bytes < NEXT_TO_NOTHING, "{}", second.manifest.stored_bytes);
    record_as(&repository, &second, 2, Level::Restore, &damaged);
    assert_eq!(take_cluster(&repository, 2).manifest.parent, Some(id(1)));
    assert!(serves_unread(&repository), "the newest is not known to be bad");

    // Damage of the repository, or anything that is not known to be the cluster's.
    for other in [("object.changed", "packs/x"), ("recovery.failed", "x"), ("news", "x")] {
        let (_store, repository) = in_memory();
        let first = take_cluster(&repository, 0);
        record_as(&repository, &first, 1, Level::Restore, &[damaged[0], other]);
        assert_eq!(take_cluster(&repository, 1).manifest.parent, None, "{other:?}");
    }
    // A restore that was not tried says nothing of the chunks, and neither does one with more problems than are named.
    for (level, count) in [(Level::Contents, 1), (Level::Restore, MAX_PROBLEMS)] {
        let (_store, repository) = in_memory();
        let first = take_cluster(&repository, 0);
        record_as(&repository, &first, 1, level, &vec![damaged[0]; count]);
        assert_eq!(take_cluster(&repository, 1).manifest.parent, None, "{level}");
    }
    // Its chunks are known to be damaged by another verification.
    let (_store, repository) = in_memory();
    let (first, second) = (take_cluster(&repository, 0), take_cluster(&repository, 1));
    record(&repository, &first, 1, &[key(largest(&first.manifest))]);
    record_as(&repository, &second, 1, Level::Restore, &damaged);
    assert_eq!(take_cluster(&repository, 2).manifest.parent, None);
}

#[test]
fn what_is_taken_over_unread_comes_from_a_backup_that_is_good_in_every_part() {
    let (_store, repository) = in_memory();
    let take = |day| take_cluster(&repository, day);
    let (first, second) = (take(0), take(1));
    assert_eq!(second.manifest.parent, Some(id(0)));
    record(&repository, &second, 1, &["base/5/1259".to_owned()]);
    assert_eq!(take(2).manifest.parent, Some(id(0)), "the failed one is passed over");
    // The newest is not known to be bad, but needs a pack that is.
    record(&repository, &first, 1, &[key(largest(&first.manifest))]);
    assert_eq!(take(3).manifest.parent, None);
    assert_eq!(take(4).manifest.parent, Some(id(3)));
}

#[test]
fn a_pack_that_came_back_from_a_copy_is_used_again() {
    let (_store, repository) = in_memory();
    let first = take(&repository, 0);
    let pack = largest(&first.manifest);
    record(&repository, &first, 1, &[key(pack)]);
    record(&repository, &first, 2, &[]);
    assert!(uses(&take(&repository, 1).manifest, pack));
}

#[test]
fn more_damage_than_a_proof_can_name_may_be_anywhere() {
    let (_store, repository) = in_memory();
    let first = take(&repository, 0);
    let named = vec!["packs/elsewhere".to_owned(); MAX_PROBLEMS];
    record(&repository, &first, 1, &named[1..]);
    assert!(take(&repository, 1).manifest.reused_bytes > 0);
    record(&repository, &first, 2, &named);
    assert_eq!(take(&repository, 2).manifest.reused_bytes, 0);
}

#[test]
fn proofs_cost_one_call_each_and_never_stop_a_backup() {
    let (memory, repository) = in_memory();
    let first = take(&repository, 0);
    for hour in 0..5 {
        record(&repository, &first, hour, &["table public.journal_lines".to_owned()]);
    }
    let second = take(&repository, 1);
    record(&repository, &second, 9, &[]);
    let proofs = memory.list("proofs/").unwrap();
    let newest = [proofs[4].key.to_string(), proofs[5].key.to_string()];

    let recording = Arc::new(Recording::new(memory.clone()));
    let recorded = Repository::open(Arc::clone(&recording) as Arc<dyn Store>, &holder()).unwrap();
    recording.take();
    assert_eq!(parent(&recorded), Some(id(1)));
    let calls = recording.take();
    let read: Vec<_> =
        calls.keys(Operation::Get).into_iter().filter(|key| key.starts_with("proofs/")).collect();
    assert_eq!(
        read,
        [newest[0].as_str(), &newest[1], &newest[1]],
        "the newest of each, and that of the parent"
    );
    assert_eq!(calls.keys(Operation::List), ["proofs/", "backup-", "packs/"]);

    let fault = Fault::new(Operation::Get, 0, Effect::FailBefore).on("proofs/").forever();
    let failing = Arc::new(Faulty::new(memory.clone(), [fault]));
    assert_eq!(parent(&Repository::open(failing, &holder()).unwrap()), Some(id(1)));
    damage_all(&memory, &newest);
    assert_eq!(parent(&repository), Some(id(1)));
}

fn damage_all(memory: &MemoryStore, keys: &[String]) {
    for key in keys {
        Damage::Flip { position: 80, bits: 1 }.apply(memory, &Key::new(key.as_str()).unwrap()).unwrap();
    }
}
