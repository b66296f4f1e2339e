//! The invariants of the write order (docs/format.md, section 13), each under the name that stands there. W1 and W8 belong to the
//! local store and have their tests there.

use std::collections::BTreeSet;
use std::sync::Arc;

use chronavault_repository::{Error, Listed, ProofEntry, Repository, WriteOptions};
use model::{BackupId, Kind};
use storage::{Effect, Fault, Faulty, Key, MemoryStore, Operation, Recording, Store};

use crate::ledger::{
    self, back_up, facts, holder, id, in_memory, noise, now, options, proof_of, random, read_stream, row,
    text, write_rows,
};

/// Enough for several packs.
fn rows() -> Vec<Vec<u8>> {
    (0..300).map(|n| noise(n, 15_000).iter().map(|byte| b'a' + byte % 64).collect()).collect()
}

/// Stored as it is, for speed, in small packs.
fn stored() -> WriteOptions {
    WriteOptions { level: None, pack_bytes: 1 << 20, ..options() }
}

#[test]
fn packs_come_before_the_manifest() {
    let (memory, repository) = in_memory();
    back_up(&repository, &id(0), &rows()[..100], b"schema", stored());
    let recording = Arc::new(Recording::new(memory));
    let repository = Repository::open(Arc::clone(&recording) as Arc<dyn Store>, &holder()).unwrap();
    recording.take();
    let manifest = back_up(&repository, &id(1), &rows(), b"schema", stored()).manifest;

    let calls = recording.take();
    let puts = calls.keys(Operation::Put);
    let at = puts.iter().position(|key| key.ends_with(".manifest")).unwrap();
    let before: BTreeSet<_> = puts[..at].iter().map(|key| (*key).to_owned()).collect();
    assert!(puts.iter().filter(|key| key.starts_with("packs/")).count() >= 3, "{puts:?}");
    assert_eq!(puts[at + 1..], [format!("{}.sha256", id(1))]);
    let (mut added, mut checked) = (0, 0);
    let sizes = calls.keys(Operation::Size);
    for pack in &manifest.packs {
        let key = format!("packs/{}/{}.pack", &pack.sha256.to_string()[..2], pack.sha256);
        if before.contains(&key) {
            added += 1;
        } else {
            assert!(
                sizes.contains(&key.as_str()),
                "a pack of an earlier backup is looked at before it is relied on"
            );
            checked += 1;
        }
    }
    assert!(added >= 2 && checked >= 1, "{added} added, {checked} used again");
}

/// Backs up with one failing call; returns what came of it.
fn back_up_with(memory: &MemoryStore, rows: &[Vec<u8>], fault: Fault) -> Result<(), Error> {
    let store = Arc::new(Faulty::new(memory.clone(), [fault]));
    let repository = Repository::open(store, &holder()).unwrap();
    let writer = repository.begin(id(1), "books", Kind::Logical, stored())?;
    let stream = writer.rows("rows/1", &ledger::table())?;
    let mut part = stream.part(0)?;
    for chunk in ledger::cut(&repository, rows) {
        part.push(chunk)?;
    }
    part.finish();
    writer.commit(facts(vec![ledger::record(&repository, rows)]))?.checksums
}

fn listed(memory: &MemoryStore) -> Vec<BackupId> {
    let repository = Repository::open(Arc::new(memory.clone()), &holder()).unwrap();
    let backups = repository.backups().unwrap();
    backups
        .iter()
        .filter(|listed| matches!(listed, Listed::Backup(_)))
        .map(|listed| listed.id().clone())
        .collect()
}

fn copy(memory: &MemoryStore) -> MemoryStore {
    let copy = MemoryStore::new();
    for object in memory.list("").unwrap() {
        copy.put(&object.key, &memory.get(&object.key, 64 << 20).unwrap()).unwrap();
    }
    copy
}

/// P1: a backup is complete or absent, wherever it stops.
#[test]
fn a_backup_without_manifest_is_not_listed() {
    let (original, repository) = in_memory();
    let rows = rows();
    let before = rows[..100].to_vec();
    back_up(&repository, &id(0), &before, b"schema", stored());
    // Every put fails in turn, before or after its effect, or for want of space.
    for effect in [Effect::FailBefore, Effect::FailAfter, Effect::Full] {
        let mut points = 0;
        for nth in 0.. {
            let memory = copy(&original);
            let result = back_up_with(&memory, &rows, Fault::new(Operation::Put, nth, effect));
            if result.is_ok() {
                break;
            }
            points += 1;
            let manifest = Key::new(format!("{}.manifest", id(1))).unwrap();
            let is_there = memory.size(&manifest).unwrap().is_some();
            assert_eq!(listed(&memory), if is_there { vec![id(1), id(0)] } else { vec![id(0)] });
            let repository = Repository::open(Arc::new(memory), &holder()).unwrap();
            let backups = if is_there { vec![id(0), id(1)] } else { vec![id(0)] };
            for backup in backups {
                assert_eq!(ledger::problems(&repository, &backup), [], "put {nth}, {effect:?}");
            }
            assert!(read_stream(&repository, &id(0), "rows/1") == text(&before));
        }
        assert!(points >= 4, "packs, manifest and checksums failed: {points}");
    }
}

#[test]
fn a_writer_that_is_dropped_leaves_no_backup() {
    let (memory, repository) = in_memory();
    let writer = repository.begin(id(0), "books", Kind::Logical, stored()).unwrap();
    write_rows(&repository, &writer, &rows(), 100);
    drop(writer);
    assert_eq!(listed(&memory), vec![]);
    assert_eq!(memory.list("backup-").unwrap(), vec![]);
}

#[test]
fn what_is_unfinished_is_not_committed() {
    let (memory, repository) = in_memory();
    let writer = repository.begin(id(0), "books", Kind::Logical, stored()).unwrap();
    let stream = writer.rows("rows/1", &ledger::table()).unwrap();
    let mut part = stream.part(0).unwrap();
    for chunk in ledger::cut(&repository, &rows()[..10]) {
        part.push(chunk).unwrap();
    }
    // Neither a part that is still open nor one that was dropped is complete.
    assert!(matches!(writer.commit(facts(vec![])), Err(Error::Unfinished { stream }) if stream == "rows/1"));
    let writer = repository.begin(id(0), "books", Kind::Logical, stored()).unwrap();
    drop(writer.archive("archive").unwrap());
    assert!(matches!(writer.commit(facts(vec![])), Err(Error::Unfinished { stream }) if stream == "archive"));
    assert_eq!(listed(&memory), vec![]);
}

#[test]
fn the_checksum_file_comes_last() {
    let (memory, repository) = in_memory();
    let recording = Arc::new(Recording::new(memory.clone()));
    let recorded = Repository::open(Arc::clone(&recording) as Arc<dyn Store>, &holder()).unwrap();
    back_up(&recorded, &id(0), &rows()[..20], b"schema", stored());
    let calls = recording.take();
    assert_eq!(calls.keys(Operation::Put).last(), Some(&format!("{}.sha256", id(0)).as_str()));

    // A backup that lacks it is complete, and it can be written again.
    let key = Key::new(format!("{}.sha256", id(0))).unwrap();
    let text = memory.get(&key, 1 << 20).unwrap();
    memory.delete(&key).unwrap();
    assert_eq!(listed(&memory), [id(0)]);
    let findings = repository.check_contents(&id(0), &ledger::go_on).unwrap();
    assert_eq!((findings.problems, findings.lacks_checksums), (vec![], true));
    repository.write_checksums(&id(0)).unwrap();
    assert_eq!(memory.get(&key, 1 << 20).unwrap(), text);

    // It may fail at the very end without harm.
    let fault = Fault::new(Operation::Put, 0, Effect::FailBefore).on(".sha256");
    assert!(back_up_with(&memory, &rows()[..20], fault).is_err());
    assert_eq!(listed(&memory), [id(1), id(0)]);
}

#[test]
fn a_vanished_pack_is_not_reused() {
    let (memory, repository) = in_memory();
    let rows = rows();
    let first = back_up(&repository, &id(0), &rows, b"schema", stored()).manifest;
    let largest = first.packs.iter().max_by_key(|pack| pack.bytes).unwrap();
    let key =
        Key::new(format!("packs/{}/{}.pack", &largest.sha256.to_string()[..2], largest.sha256)).unwrap();
    let pack = memory.get(&key, 64 << 20).unwrap();

    // Gone before: its chunks are stored again.
    memory.delete(&key).unwrap();
    let second = back_up(&repository, &id(1), &rows, b"schema", stored()).manifest;
    assert!(second.stored_bytes > largest.bytes / 2 && second.reused_bytes > 0, "{}", second.stored_bytes);
    assert!(second.packs.iter().all(|pack| pack.sha256 != largest.sha256));
    assert_eq!(ledger::problems(&repository, &id(1)), []);

    // There with another size: the same.
    memory.put(&key, &pack[..pack.len() - 1]).unwrap();
    memory.delete(&Key::new(format!("{}.manifest", id(1))).unwrap()).unwrap();
    let third = back_up(&repository, &id(2), &rows, b"schema", stored()).manifest;
    assert!(third.packs.iter().all(|pack| pack.sha256 != largest.sha256));
    memory.delete(&key).unwrap();
    memory.put(&key, &pack).unwrap();
    memory.delete(&Key::new(format!("{}.manifest", id(2))).unwrap()).unwrap();

    // Gone in the middle: there is no backup.
    let writer = repository.begin(id(3), "books", Kind::Logical, stored()).unwrap();
    write_rows(&repository, &writer, &rows, 1 << 20);
    memory.delete(&key).unwrap();
    let result = writer.commit(facts(vec![]));
    assert!(matches!(result, Err(Error::PackVanished { key: named }) if named == key.as_str()));
    assert_eq!(listed(&memory), [id(0)]);
}

#[test]
fn a_proof_names_the_manifest_it_proved() {
    let (memory, repository) = in_memory();
    let rows: Vec<_> = (0..100).map(|id| row(id, 0)).collect();
    let committed = back_up(&repository, &id(0), &rows, b"schema", options());
    assert_eq!(repository.proofs(&id(0)).unwrap(), vec![]);
    let mut proof = proof_of(&committed);
    repository.write_proof(&proof, [1, 2, 3]).unwrap();
    assert_eq!(repository.proofs(&id(0)).unwrap(), [ProofEntry::Valid(Box::new(proof.clone()))]);
    let newest = |repository: &Repository| match &repository.backups().unwrap()[0] {
        Listed::Backup(summary) => summary.proof.clone(),
        Listed::Damaged { problem, .. } => panic!("{problem}"),
    };
    assert_eq!(newest(&repository), Some(proof.clone()));

    // A newer one of another manifest proves nothing.
    proof.at = now() + jiff::SignedDuration::from_hours(1);
    proof.manifest_sha256.0[0] ^= 1;
    repository.write_proof(&proof, [1, 2, 3]).unwrap();
    assert_eq!(newest(&repository).unwrap().at, now());
    let entries = repository.proofs(&id(0)).unwrap();
    assert!(matches!(entries[..], [ProofEntry::OfAnotherManifest(_), ProofEntry::Valid(_)]));

    // The newest that counts is the one that is shown, whatever it says.
    proof.at = now() + jiff::SignedDuration::from_hours(2);
    proof.manifest_sha256 = committed.manifest_sha256;
    proof.outcome = model::Outcome::Failed;
    repository.write_proof(&proof, [1, 2, 3]).unwrap();
    assert_eq!(newest(&repository), Some(proof));
    assert_eq!(memory.list("proofs/").unwrap().len(), 3);
}

#[test]
fn a_repository_exists_once_its_key_can_open_it() {
    let recording = Arc::new(Recording::new(MemoryStore::new()));
    let init = |store: Arc<dyn Store>| Repository::init(store, &holder(), now(), &random());
    init(Arc::clone(&recording) as Arc<dyn Store>).unwrap();
    let calls = recording.take();
    let writes: Vec<_> =
        calls.0.iter().filter(|call| matches!(call.operation, Operation::Put | Operation::Get)).collect();
    let slot = writes[0].key.as_str();
    assert!(slot.starts_with("keys/"));
    let order: Vec<_> = writes.iter().map(|call| (call.operation, call.key.as_str())).collect();
    let head = "chronavault.json";
    assert_eq!(order, [(Operation::Put, slot), (Operation::Get, slot), (Operation::Put, head)]);

    let faults = [(Operation::Put, 0), (Operation::Put, 1), (Operation::Get, 0)];
    for (operation, nth) in faults {
        let memory = MemoryStore::new();
        let faulty = Arc::new(Faulty::new(memory.clone(), [Fault::new(operation, nth, Effect::FailBefore)]));
        assert!(init(faulty).is_err());
        assert!(!Repository::exists(&memory).unwrap());
        // What is left does not stand in the way.
        init(Arc::new(memory.clone())).unwrap();
        Repository::open(Arc::new(memory), &holder()).unwrap();
    }
}
