//! The WAL archive: what goes in comes out, once, under the right name, with few store calls. The invariants W9 to W11 of
//! docs/format.md, section 13, are here under their names.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chronavault_repository::{Error, ProblemKind, Repository, Stored, WalArchive, WalOptions};
use model::{Lsn, SegmentMismatch, SegmentSize, SystemId, WalName, WalSegmentName};
use storage::{
    Calls, Created, Effect, Fault, Faulty, Key, Listed, MemoryStore, Operation, Recording, Store, StoreError,
};

use crate::ledger::{holder, in_memory, now};
use crate::segments::{SYSTEM, segment, segment_of, timeline, wal};

const SIZE: SegmentSize = SegmentSize::DEFAULT;

/// A repository in memory whose calls are counted.
fn counted() -> (Arc<Recording<MemoryStore>>, WalArchive) {
    let (memory, _) = in_memory();
    let recording = Arc::new(Recording::new(memory));
    let repository = Repository::open(Arc::clone(&recording) as Arc<dyn Store>, &holder()).unwrap();
    recording.take();
    (recording, repository.wal(SYSTEM))
}

fn operations(calls: &Calls) -> Vec<Operation> {
    calls.0.iter().map(|call| call.operation).collect()
}

fn read(archive: &WalArchive, name: WalName) -> Result<Option<Vec<u8>>, Error> {
    let mut bytes = Vec::new();
    Ok(archive.get(name, &mut bytes)?.map(|_| bytes))
}

fn put(archive: &WalArchive, name: WalSegmentName, bytes: &[u8]) -> Result<Stored, Error> {
    archive.put_segment(name, SIZE, bytes, now())
}

#[test]
fn a_segment_is_stored_once_with_few_calls() {
    let (recording, archive) = counted();
    let (name, bytes) = (segment(1, 3), wal(1, 3, SIZE, 0));
    assert_eq!(put(&archive, name, &bytes).unwrap(), Stored::New);
    let calls = recording.take();
    assert_eq!(operations(&calls), [Operation::Size, Operation::Put]);
    assert_eq!(calls.0[1].key, "wal/77/00000001/000000010000000000000003.wal");
    assert!(calls.bytes(Operation::Put) < 11 << 20, "what compresses is compressed");

    assert_eq!(put(&archive, name, &bytes).unwrap(), Stored::Same);
    let calls = recording.take();
    let ranges = usize::try_from(calls.bytes(Operation::ReadRange).div_ceil(8 << 20)).unwrap();
    assert_eq!(calls.count(Operation::ReadRange), ranges);
    assert_eq!((calls.count(Operation::Size), calls.count(Operation::Settle)), (1, 1));
    assert_eq!(calls.0.len(), ranges + 2);

    assert!(read(&archive, WalName::Segment(name)).unwrap().unwrap() == bytes);
    assert_eq!(recording.take().0.len(), ranges + 1);
    let head = archive.head(WalName::Segment(name)).unwrap().unwrap();
    assert_eq!((head.archived_at, head.bytes, head.segment_bytes), (now(), 16 << 20, Some(SIZE)));
    let calls = recording.take();
    assert_eq!(operations(&calls), [Operation::Size, Operation::ReadRange]);
    assert!(calls.bytes(Operation::ReadRange) <= 4 << 10);

    assert!(read(&archive, WalName::Segment(name.next(SIZE))).unwrap().is_none());
    assert_eq!(operations(&recording.take()), [Operation::Size]);
}

#[test]
fn other_bytes_under_the_same_name_are_refused() {
    let (recording, archive) = counted();
    let (name, bytes) = (segment(1, 3), wal(1, 3, SIZE, 0));
    put(&archive, name, &bytes).unwrap();
    let sealed = recording.get(&Key::new("wal/77/00000001/000000010000000000000003.wal").unwrap(), 32 << 20);
    for position in [100, 5 << 20, (16 << 20) - 1] {
        let mut other = bytes.clone();
        other[position] ^= 1;
        let refused = put(&archive, name, &other);
        let key = "wal/77/00000001/000000010000000000000003.wal";
        assert!(matches!(refused, Err(Error::WalDiffers { key: named }) if named == key));
    }
    assert!(read(&archive, WalName::Segment(name)).unwrap().unwrap() == bytes);
    assert!(
        recording.get(&Key::new("wal/77/00000001/000000010000000000000003.wal").unwrap(), 32 << 20).unwrap()
            == sealed.unwrap()
    );
}

#[test]
fn threads_and_levels_change_nothing_but_the_size() {
    for (log, threads, level) in
        [(20, 1, None), (20, 4, Some(1)), (22, 3, Some(3)), (24, 99, None), (24, 0, Some(1))]
    {
        let (_, repository) = in_memory();
        let size = SegmentSize::new(1 << log).unwrap();
        let archive = repository.wal(SYSTEM).with_options(WalOptions { level, threads });
        let name = segment_of(2, Lsn(7 << log), size);
        let bytes = wal(2, 7, size, 5);
        assert_eq!(archive.put_segment(name, size, &bytes, now()).unwrap(), Stored::New);
        assert!(read(&archive, WalName::Segment(name)).unwrap().unwrap() == bytes);
        // Compression that is set differently is no difference.
        let other = repository.wal(SYSTEM).with_options(WalOptions { level: Some(2), threads: 2 });
        assert_eq!(other.put_segment(name, size, &bytes, now()).unwrap(), Stored::Same);
    }
}

#[test]
fn a_segment_under_a_wrong_name_is_not_stored() {
    let (recording, archive) = counted();
    let bytes = wal(2, 3, SIZE, 0);
    let refused = |archive: &WalArchive, name, size: SegmentSize, bytes: &[u8]| {
        archive.put_segment(name, size, bytes, now()).unwrap_err()
    };
    let misnamed = |error| match error {
        Error::WalMisnamed { source, .. } => source,
        other => panic!("{other}"),
    };
    let later = misnamed(refused(&archive, segment(2, 4), SIZE, &bytes));
    assert!(matches!(later, SegmentMismatch::Start { .. }));
    let earlier = misnamed(refused(&archive, segment(1, 3), SIZE, &bytes));
    assert!(matches!(earlier, SegmentMismatch::Timeline { .. }));
    let mut foreign = bytes.clone();
    foreign[24] ^= 1;
    let foreign = misnamed(refused(&archive, segment(2, 3), SIZE, &foreign));
    assert!(matches!(foreign, SegmentMismatch::System { .. }));
    let zero = misnamed(refused(&archive, segment(2, 3), SIZE, &vec![0; 16 << 20]));
    assert!(matches!(zero, SegmentMismatch::Header(_)));
    let partial = archive.put_partial(segment(2, 4), SIZE, &bytes, now()).unwrap_err();
    assert!(matches!(misnamed(partial), SegmentMismatch::Start { .. }));
    let piece = archive.put_piece(segment(2, 4), SIZE, 0, &bytes[..8192], now()).unwrap_err();
    assert!(matches!(misnamed(piece), SegmentMismatch::Start { .. }));
    for length in [0, 8192, (16 << 20) - 1] {
        let short = refused(&archive, segment(2, 3), SIZE, &bytes[..length]);
        assert!(matches!(short, Error::WalLength { expected: 0x0100_0000, .. }), "{short}");
    }
    assert_eq!(recording.take().0, [], "nothing was even looked for");
    // A timeline begins in a segment that its parent began.
    assert_eq!(put(&archive, segment(3, 3), &bytes).unwrap(), Stored::New);
}

#[test]
fn histories_backups_and_partials_have_names_of_their_own() {
    let (recording, archive) = counted();
    let bytes = wal(1, 3, SIZE, 0);
    let history = b"1\t0/3000148\tno recovery target specified\n";
    let label = b"START WAL LOCATION: 0/3000028 (file 000000010000000000000003)\n";
    assert_eq!(archive.put_history(timeline(2), history, now()).unwrap(), Stored::New);
    assert_eq!(archive.put_backup(segment(1, 3), 0x28, label, now()).unwrap(), Stored::New);
    assert_eq!(archive.put_partial(segment(1, 3), SIZE, &bytes, now()).unwrap(), Stored::New);
    assert_eq!(put(&archive, segment(1, 3), &bytes).unwrap(), Stored::New);
    let calls = recording.take();
    let expected = [
        "wal/77/00000002/00000002.history.wal",
        "wal/77/00000001/000000010000000000000003.00000028.backup.wal",
        "wal/77/00000001/000000010000000000000003.partial.wal",
        "wal/77/00000001/000000010000000000000003.wal",
    ];
    assert_eq!(calls.keys(Operation::Put), expected);

    assert_eq!(archive.put_history(timeline(2), history, now()).unwrap(), Stored::Same);
    assert_eq!(archive.put_backup(segment(1, 3), 0x28, label, now()).unwrap(), Stored::Same);
    assert!(matches!(archive.put_history(timeline(2), b"1\n", now()), Err(Error::WalDiffers { .. })));
    assert!(matches!(archive.put_backup(segment(1, 3), 0x28, b"", now()), Err(Error::WalDiffers { .. })));
    let long = vec![b'\n'; (1 << 20) + 1];
    assert!(matches!(archive.put_history(timeline(9), &long, now()), Err(Error::TooLarge { .. })));
    assert_eq!(archive.history(timeline(2)).unwrap().unwrap(), history);
    assert_eq!(archive.history(timeline(3)).unwrap(), None);
    assert_eq!(read(&archive, WalName::Backup(segment(1, 3), 0x28)).unwrap().unwrap(), label);
    assert!(read(&archive, WalName::Partial(segment(1, 3))).unwrap().unwrap() == bytes);
}

#[test]
fn pieces_make_a_segment_durable_bit_by_bit() {
    let (recording, archive) = counted();
    let (name, bytes) = (segment(1, 3), wal(1, 3, SIZE, 0));
    assert_eq!(archive.unfinished(name).unwrap(), None);
    assert!(archive.join_pieces(name).unwrap().is_none());
    let ends = [0, 700, 8192, 3 << 20, 5 << 20];
    for ends in ends.windows(2) {
        let piece = &bytes[ends[0]..ends[1]];
        let offset = u32::try_from(ends[0]).unwrap();
        assert_eq!(archive.put_piece(name, SIZE, offset, piece, now()).unwrap(), Stored::New);
        assert_eq!(archive.put_piece(name, SIZE, offset, piece, now()).unwrap(), Stored::Same);
    }
    recording.take();
    let unfinished = archive.unfinished(name).unwrap().unwrap();
    assert_eq!((unfinished.segment, unfinished.size, unfinished.bytes), (name, SIZE, 5 << 20));
    let calls = recording.take();
    assert_eq!((calls.count(Operation::List), calls.0.len()), (1, 1 + 2 * 4));
    assert!(calls.bytes(Operation::ReadRange) <= 4 * (4 << 10));
    let (same, joined) = archive.join_pieces(name).unwrap().unwrap();
    assert_eq!(same, unfinished);
    assert!(joined == bytes[..5 << 20]);
    assert_eq!(recording.take().count(Operation::List), 1);
    // A segment is not there because pieces of it are.
    assert!(read(&archive, WalName::Segment(name)).unwrap().is_none());

    // One that does not follow on is not counted.
    archive.put_piece(name, SIZE, 7 << 20, &bytes[7 << 20..8 << 20], now()).unwrap();
    assert_eq!(archive.unfinished(name).unwrap().unwrap().bytes, 5 << 20);
    assert_eq!(archive.join_pieces(name).unwrap().unwrap().1.len(), 5 << 20);
    // One that overlaps closes the gap.
    archive.put_piece(name, SIZE, 4 << 20, &bytes[4 << 20..8 << 20], now()).unwrap();
    assert_eq!(archive.unfinished(name).unwrap().unwrap().bytes, 8 << 20);
    assert!(archive.join_pieces(name).unwrap().unwrap().1 == bytes[..8 << 20]);
    // One within another changes nothing.
    archive.put_piece(name, SIZE, 100, &bytes[100..200], now()).unwrap();
    assert!(archive.join_pieces(name).unwrap().unwrap().1 == bytes[..8 << 20]);
}

#[test]
fn pieces_that_contradict_each_other_are_refused() {
    let (_, archive) = counted();
    let (name, bytes, other) = (segment(1, 3), wal(1, 3, SIZE, 0), wal(1, 3, SIZE, 1));
    archive.put_piece(name, SIZE, 0, &bytes[..9000], now()).unwrap();
    let again = archive.put_piece(name, SIZE, 0, &bytes[..9001], now());
    assert!(matches!(again, Err(Error::WalDiffers { .. })), "a piece is written once");
    archive.put_piece(name, SIZE, 8999, &other[8999..20_000], now()).unwrap();
    match archive.join_pieces(name) {
        Err(Error::Damaged(problem)) => {
            assert_eq!(problem.kind, ProblemKind::Inconsistent);
            assert_eq!(problem.object, "wal/77/00000001/000000010000000000000003.00002327.piece");
        }
        other => panic!("{other:?}"),
    }
    let (small, name) = (SegmentSize::new(1 << 20).unwrap(), segment(1, 5));
    for (offset, length) in [(0, 0), (1 << 20, 1), (100, 1 << 20), (u32::MAX, 1)] {
        let refused = archive.put_piece(name, small, offset, &vec![1; length], now());
        assert!(matches!(refused, Err(Error::WalLength { .. })), "{offset}, {length}");
    }
}

/// A store from which a piece goes between its size and its bytes, at one of the reads.
#[derive(Debug)]
struct Vanishing(MemoryStore, AtomicUsize);

impl Store for Vanishing {
    fn put(&self, key: &Key, bytes: &[u8]) -> Result<Created, StoreError> {
        self.0.put(key, bytes)
    }

    fn settle(&self, key: &Key) -> Result<(), StoreError> {
        self.0.settle(key)
    }

    fn replace(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        self.0.replace(key, bytes)
    }

    fn get(&self, key: &Key, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.0.get(key, limit)
    }

    fn read_range(&self, key: &Key, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        if key.as_str().contains(".piece") && self.1.fetch_sub(1, Ordering::Relaxed) == 0 {
            self.0.delete(key)?;
        }
        self.0.read_range(key, offset, buffer)
    }

    fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        self.0.size(key)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.0.list(prefix)
    }

    fn delete(&self, key: &Key) -> Result<bool, StoreError> {
        self.0.delete(key)
    }

    fn trash(&self, key: &Key, aside: &Key) -> Result<bool, StoreError> {
        self.0.trash(key, aside)
    }

    fn free_space(&self) -> Result<Option<u64>, StoreError> {
        self.0.free_space()
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}

#[test]
fn pieces_that_go_while_they_are_read_are_no_damage() {
    let (name, bytes) = (segment(1, 3), wal(1, 3, SIZE, 0));
    for joins in [false, true] {
        // The third read is that of the piece at 9000, whose bytes another one has.
        let (memory, _) = in_memory();
        let store = Arc::new(Vanishing(memory, AtomicUsize::new(2)));
        let archive = Repository::open(store, &holder()).unwrap().wal(SYSTEM);
        for (offset, end) in [(0, 9000), (8990, 20_000), (9000, 15_000)] {
            let piece = &bytes[offset as usize..end];
            archive.put_piece(name, SIZE, offset, piece, now()).unwrap();
        }
        if joins {
            assert!(archive.join_pieces(name).unwrap().unwrap().1 == bytes[..20_000]);
        } else {
            assert_eq!(archive.unfinished(name).unwrap().unwrap().bytes, 20_000);
        }
        let catalogue = archive.catalogue().unwrap();
        assert_eq!(catalogue.timelines[&timeline(1)].pieces[&name], [0, 8990].into());
    }
}

#[test]
fn pieces_are_merged_into_one_that_has_their_bytes() {
    let (recording, archive) = counted();
    let (name, bytes) = (segment(1, 3), wal(1, 3, SIZE, 0));
    let put = |offset: u32, end: usize| {
        archive.put_piece(name, SIZE, offset, &bytes[offset as usize..end], now()).unwrap();
    };
    for (offset, end) in [(0, 9000), (9000, 10_000), (10_000, 11_000), (11_000, 13_000)] {
        put(offset, end);
    }
    recording.take();
    // The last piece ends behind it, and stays.
    assert_eq!(archive.merge_pieces(name, SIZE, 8999, &bytes[8999..12_000], now()).unwrap(), 2);
    let calls = recording.take();
    assert_eq!((calls.count(Operation::Put), calls.count(Operation::Delete)), (1, 2));
    let first_delete = calls.0.iter().position(|call| call.operation == Operation::Delete);
    assert!(calls.0.iter().position(|call| call.operation == Operation::Put) < first_delete);
    let offsets = || archive.catalogue().unwrap().timelines[&timeline(1)].pieces[&name].clone();
    assert_eq!(offsets(), [0, 8999, 11_000].into());
    assert!(archive.join_pieces(name).unwrap().unwrap().1 == bytes[..13_000]);
    // A piece that cannot be stored costs none.
    put(13_000, 14_000);
    let taken = archive.merge_pieces(name, SIZE, 8999, &bytes[8999..14_000], now());
    assert!(matches!(taken, Err(Error::WalDiffers { .. })), "{taken:?}");
    assert_eq!(offsets(), [0, 8999, 11_000, 13_000].into());
    assert!(archive.join_pieces(name).unwrap().unwrap().1 == bytes[..14_000]);
}

#[test]
fn pieces_go_only_when_the_segment_is_whole() {
    let (recording, archive) = counted();
    let (name, bytes) = (segment(1, 3), wal(1, 3, SIZE, 0));
    for offset in [0, 9000, 18_000] {
        let piece = &bytes[offset..offset + 9000];
        archive.put_piece(name, SIZE, u32::try_from(offset).unwrap(), piece, now()).unwrap();
    }
    let before = recording.list("").unwrap();
    assert!(matches!(archive.delete_pieces(name), Err(Error::WalUnfinished { segment }) if segment == name));
    assert_eq!(recording.list("").unwrap(), before);
    put(&archive, name, &bytes).unwrap();
    archive.put_partial(name, SIZE, &bytes, now()).unwrap();
    archive.put_piece(name.next(SIZE), SIZE, 5, &bytes[..5], now()).unwrap();
    recording.take();
    assert_eq!(archive.delete_pieces(name).unwrap(), 3);
    let calls = recording.take();
    assert_eq!((calls.count(Operation::Size), calls.count(Operation::List)), (1, 1));
    let deleted = calls.keys(Operation::Delete);
    assert_eq!(deleted.len(), 3);
    assert!(deleted.is_sorted_by(|a, b| a > b), "the beginning goes last: {deleted:?}");
    assert!(read(&archive, WalName::Segment(name)).unwrap().unwrap() == bytes);
    assert!(read(&archive, WalName::Partial(name)).unwrap().is_some());
    assert_eq!(recording.list("wal/").unwrap().len(), 3, "what belongs to others stays");
    assert_eq!(archive.delete_pieces(name).unwrap(), 0);
}

#[test]
fn the_catalogue_takes_one_list() {
    let (recording, archive) = counted();
    let size = SegmentSize::new(1 << 20).unwrap();
    let bytes = |timeline, number| wal(timeline, number, size, 0);
    let name = |timeline, number: u64| segment_of(timeline, Lsn(number << 20), size);
    archive.put_segment(name(1, 4), size, &bytes(1, 4), now()).unwrap();
    archive.put_segment(name(1, 5), size, &bytes(1, 5), now()).unwrap();
    archive.put_partial(name(1, 6), size, &bytes(1, 6), now()).unwrap();
    archive.put_backup(name(1, 4), 40, b"label", now()).unwrap();
    archive.put_history(timeline(2), b"1\t0/650000\tx\n", now()).unwrap();
    archive.put_piece(name(2, 6), size, 0, &bytes(1, 6)[..9000], now()).unwrap();
    archive.put_piece(name(2, 6), size, 9000, &bytes(1, 6)[9000..9100], now()).unwrap();
    // What is not ours is left alone; another cluster has its own.
    recording.put(&Key::new("wal/77/00000001/README").unwrap(), b"?").unwrap();
    recording.put(&Key::new("wal/770/x").unwrap(), b"?").unwrap();
    recording.take();
    let catalogue = archive.catalogue().unwrap();
    assert_eq!(operations(&recording.take()), [Operation::List]);
    let [first, second] = [1, 2].map(|number| &catalogue.timelines[&timeline(number)]);
    assert_eq!(catalogue.timelines.len(), 2);
    assert_eq!(first.segments.keys().copied().collect::<Vec<_>>(), [name(1, 4), name(1, 5)]);
    assert!(first.partials.contains(&name(1, 6)) && first.backups.contains(&(name(1, 4), 40)));
    assert!(!first.has_history && second.has_history && first.pieces.is_empty());
    assert_eq!(second.pieces[&name(2, 6)].iter().copied().collect::<Vec<_>>(), [0, 9000]);
    let stored: u64 = recording.list("wal/77/").unwrap().iter().map(|object| object.size).sum();
    assert_eq!(first.stored_bytes + second.stored_bytes, stored - 1);
}

#[test]
fn clusters_are_kept_apart() {
    let (_, repository) = in_memory();
    assert!(repository.wal_systems().unwrap().is_empty());
    repository.wal(SystemId(5)).put_history(timeline(2), b"1", now()).unwrap();
    repository.wal(SYSTEM).put_piece(segment(1, 3), SIZE, 8192, b"x", now()).unwrap();
    assert_eq!(repository.wal_systems().unwrap().into_iter().collect::<Vec<_>>(), [SystemId(5), SYSTEM]);
    assert!(repository.wal(SYSTEM).history(timeline(2)).unwrap().is_none());
    assert_eq!(repository.wal(SystemId(6)).catalogue().unwrap().timelines.len(), 0);
}

/// W9: whatever fails, and wherever: the segment is there as a whole or not at all, and can be put again.
#[test]
fn a_segment_is_whole_or_absent() {
    let size = SegmentSize::new(1 << 20).unwrap();
    let (name, bytes) = (segment_of(1, Lsn(3 << 20), size), wal(1, 3, size, 0));
    for effect in [Effect::FailBefore, Effect::FailAfter, Effect::Full] {
        let (memory, _) = in_memory();
        let faulty = Arc::new(Faulty::new(memory.clone(), [Fault::new(Operation::Put, 0, effect)]));
        let archive = Repository::open(faulty, &holder()).unwrap().wal(SYSTEM);
        let failed = archive.put_segment(name, size, &bytes, now());
        assert!(matches!(failed, Err(Error::Store(_))), "{effect:?}: {failed:?}");
        let found = read(&archive, WalName::Segment(name)).unwrap();
        assert!(found.is_none_or(|found| found == bytes));
        archive.put_segment(name, size, &bytes, now()).unwrap();
        assert!(read(&archive, WalName::Segment(name)).unwrap().unwrap() == bytes);
        assert_eq!(memory.list("wal/").unwrap().len(), 1);
    }
}

/// W11: what is there already is acknowledged only once it is durable.
#[test]
fn the_same_segment_is_acknowledged_only_when_it_is_durable() {
    let size = SegmentSize::new(1 << 20).unwrap();
    let (name, bytes) = (segment_of(1, Lsn(3 << 20), size), wal(1, 3, size, 0));
    let (memory, repository) = in_memory();
    repository.wal(SYSTEM).put_segment(name, size, &bytes, now()).unwrap();
    let fault = Fault::new(Operation::Settle, 0, Effect::FailBefore);
    let faulty = Arc::new(Faulty::new(memory, [fault]));
    let archive = Repository::open(faulty, &holder()).unwrap().wal(SYSTEM);
    assert!(matches!(archive.put_segment(name, size, &bytes, now()), Err(Error::Store(_))));
    assert_eq!(archive.put_segment(name, size, &bytes, now()).unwrap(), Stored::Same);
}

#[test]
fn two_who_store_the_same_segment_at_the_same_time_agree() {
    let size = SegmentSize::new(1 << 20).unwrap();
    let (name, bytes) = (segment_of(1, Lsn(3 << 20), size), wal(1, 3, size, 0));
    let (memory, repository) = in_memory();
    let archive = repository.wal(SYSTEM);
    let results: Vec<_> = std::thread::scope(|scope| {
        let put = || archive.put_segment(name, size, &bytes, now()).unwrap();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(put)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|stored| **stored == Stored::New).count(), 1);
    assert_eq!(memory.list("wal/").unwrap().len(), 1);
}
