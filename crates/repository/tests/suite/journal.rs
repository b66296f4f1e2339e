//! Copies of journals: put once, read back as they are, and with few store calls.

use std::sync::Arc;

use chronavault_repository::{Error, JournalCopy, JournalId, ProblemKind, Repository};
use storage::{Key, MemoryStore, Operation, Recording, Store};

use crate::ledger::{holder, in_memory};

fn counted() -> (Arc<Recording<MemoryStore>>, Repository) {
    let (memory, _) = in_memory();
    let recording = Arc::new(Recording::new(memory));
    let repository = Repository::open(Arc::clone(&recording) as Arc<dyn Store>, &holder()).unwrap();
    recording.take();
    (recording, repository)
}

#[test]
fn a_copy_is_put_once_and_read_back() {
    let (recording, repository) = counted();
    let calls = || recording.take().0.iter().map(|call| call.operation).collect::<Vec<_>>();
    let copy = JournalCopy { journal: JournalId([2; 8]), first: 5 };
    assert!(repository.write_journal_copy(copy, b"one\ntwo\n").unwrap());
    assert_eq!(calls(), [Operation::Put]);
    assert!(!repository.write_journal_copy(copy, b"other\n").unwrap(), "somebody was faster");
    calls();
    assert_eq!(repository.read_journal_copy(copy).unwrap(), b"one\ntwo\n");
    assert_eq!(calls(), [Operation::Get]);

    let later = JournalCopy { first: 17, ..copy };
    let other = JournalCopy { journal: JournalId([1; 8]), first: 6 };
    for copy in [later, other] {
        assert!(repository.write_journal_copy(copy, b"x\n").unwrap());
    }
    calls();
    assert_eq!(repository.journal_copies().unwrap(), [other, copy, later]);
    assert_eq!(calls(), [Operation::List]);
    assert_eq!(copy.key(), "journal/0000000000000005-0202020202020202.jsonl");
}

#[test]
fn a_copy_that_was_changed_is_damaged() {
    let (recording, repository) = counted();
    let copy = JournalCopy { journal: JournalId([2; 8]), first: 5 };
    repository.write_journal_copy(copy, b"one\ntwo\n").unwrap();
    let key = Key::new(copy.key()).unwrap();
    let mut bytes = recording.get(&key, 1 << 20).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    recording.replace(&key, &bytes).unwrap();
    let error = repository.read_journal_copy(copy).unwrap_err();
    assert!(matches!(&error, Error::Damaged(problem) if problem.kind == ProblemKind::Changed), "{error:?}");
    // What is not a whole number of lines is none of a journal.
    let half = JournalCopy { first: 9, ..copy };
    repository.write_journal_copy(half, b"half a line").unwrap();
    assert!(matches!(repository.read_journal_copy(half), Err(Error::Damaged(_))));
}
