//! The damage matrix for WAL: whole segments, pieces, histories. Damage is named before any byte of it comes out, it is never
//! taken for the same bytes, it does not reach what it did not touch, and looking at it changes nothing.

use chronavault_repository::{Error, Problem, ProblemKind, Stored, WalArchive, WalOptions};
use format::{EncodedChunk, Head, Keyring, SlotHeader, WalBuilder, WalHead};
use model::{Lsn, SegmentSize, SystemId, WalName, WalSegmentName};
use storage::{Key, MemoryStore};
use testkit::damage::{Damage, contents};

use crate::damage::{damaged, damages, get, init_other, is_right, key, open, seed};
use crate::ledger::{holder, in_memory, now};
use crate::segments::{SYSTEM, segment_of, timeline, wal};

const HISTORY: &[u8] = b"1\t0/450000\tno recovery target specified\n";

fn size() -> SegmentSize {
    SegmentSize::new(1 << 20).unwrap()
}

fn name(number: u64) -> WalSegmentName {
    segment_of(1, Lsn(number << 20), size())
}

/// Two whole segments, one of two pieces, two histories; and the same of another repository with the same key.
struct World {
    store: MemoryStore,
    foreign: MemoryStore,
    segments: [Vec<u8>; 3],
}

fn world() -> World {
    let segments = [3, 4, 5].map(|number| wal(1, number, size(), 0));
    let (store, repository) = in_memory();
    let foreign_store = MemoryStore::new();
    let foreign = init_other(&foreign_store);
    for repository in [&repository, &foreign] {
        let archive = repository.wal(SYSTEM).with_options(WalOptions { level: None, threads: 1 });
        archive.put_segment(name(3), size(), &segments[0], now()).unwrap();
        archive.put_segment(name(4), size(), &segments[1], now()).unwrap();
        archive.put_piece(name(5), size(), 0, &segments[2][..9000], now()).unwrap();
        archive.put_piece(name(5), size(), 9000, &segments[2][9000..20_000], now()).unwrap();
        archive.put_history(timeline(2), HISTORY, now()).unwrap();
        archive.put_history(timeline(3), b"1\t0/400000\tbefore\n", now()).unwrap();
    }
    World { store, foreign: foreign_store, segments }
}

fn archive(store: &MemoryStore) -> WalArchive {
    open(store).unwrap().wal(SYSTEM)
}

fn problem(error: Error) -> Problem {
    match error {
        Error::Damaged(problem) => problem,
        other => panic!("{other} is not about damage"),
    }
}

/// Reads to the end or to the first error; what came out before must be what was written.
fn read(archive: &WalArchive, name: WalName, expected: &[u8]) -> Result<bool, Error> {
    let mut found = Vec::new();
    let result = archive.get(name, &mut found);
    assert!(expected.starts_with(&found), "wrong bytes came out");
    let result = result?;
    assert!(result.is_none() || found.len() == expected.len(), "it ended early without an error");
    Ok(result.is_some())
}

/// Everything that happens to the object at `object`, of which `other` is another of its kind.
fn each(world: &World, object: &Key, other: &Key, check: impl Fn(&Damage, &WalArchive)) {
    let others = [
        ("another of this repository", get(&world.store, other)),
        ("that of another repository", get(&world.foreign, object)),
    ];
    for damage in damages(&world.store, object, &mut seed(), &others) {
        let store = damaged(&world.store, object, &damage);
        let before = contents(&store).unwrap();
        check(&damage, &archive(&store));
        let after = contents(&store).unwrap();
        if damage == Damage::Delete {
            assert!(
                after
                    .iter()
                    .all(|(key, bytes)| key == object || before.contains(&(key.clone(), bytes.clone())))
            );
        } else {
            assert_eq!(after, before, "{damage:?}");
        }
    }
}

#[test]
fn damage_to_a_segment_is_named() {
    let world = world();
    let object = key("wal/77/00000001/000000010000000000000003.wal");
    let other = key("wal/77/00000001/000000010000000000000004.wal");
    each(&world, &object, &other, |damage, archive| {
        let read_again = read(archive, WalName::Segment(name(3)), &world.segments[0]);
        let put_again = archive.put_segment(name(3), size(), &world.segments[0], now());
        if *damage == Damage::Delete {
            assert!(!read_again.unwrap());
            assert_eq!(put_again.unwrap(), Stored::New);
        } else {
            for error in [read_again.unwrap_err(), put_again.unwrap_err()] {
                let problem = problem(error);
                assert_eq!(problem.object, object.as_str());
                assert!(is_right(damage, problem.kind), "{damage:?}: {problem:?}");
            }
        }
        // The others are what they were.
        assert!(read(archive, WalName::Segment(name(4)), &world.segments[1]).unwrap());
        assert_eq!(archive.join_pieces(name(5)).unwrap().unwrap().1, world.segments[2][..20_000]);
        assert_eq!(archive.history(timeline(2)).unwrap().unwrap(), HISTORY);
    });
}

#[test]
fn damage_to_a_history_is_named() {
    let world = world();
    let object = key("wal/77/00000002/00000002.history.wal");
    each(&world, &object, &key("wal/77/00000003/00000003.history.wal"), |damage, archive| {
        match archive.history(timeline(2)) {
            Ok(found) => assert_eq!((found, damage), (None, &Damage::Delete)),
            Err(error) => {
                let problem = problem(error);
                assert_eq!(problem.object, object.as_str());
                assert!(is_right(damage, problem.kind), "{damage:?}: {problem:?}");
                assert!(archive.put_history(timeline(2), HISTORY, now()).is_err());
            }
        }
        assert!(read(archive, WalName::Segment(name(3)), &world.segments[0]).unwrap());
    });
}

#[test]
fn damage_to_a_piece_is_named() {
    let world = world();
    let first = key("wal/77/00000001/000000010000000000000005.00000000.piece");
    let second = key("wal/77/00000001/000000010000000000000005.00002328.piece");
    for (object, other) in [(&first, &second), (&second, &first)] {
        each(&world, object, other, |damage, archive| {
            match archive.join_pieces(name(5)) {
                Err(error) => {
                    let problem = problem(error);
                    assert_eq!(problem.object, object.as_str());
                    assert!(is_right(damage, problem.kind), "{damage:?}: {problem:?}");
                }
                // What follows a missing piece does not count.
                Ok(None) => assert_eq!((damage, object), (&Damage::Delete, &first)),
                Ok(Some((_, bytes))) => {
                    assert_eq!((damage, object), (&Damage::Delete, &second));
                    assert_eq!(bytes, world.segments[2][..9000]);
                }
            }
            assert!(read(archive, WalName::Segment(name(3)), &world.segments[0]).unwrap());
        });
    }
}

/// An object that is authentic, and lies where another belongs: of another cluster, under another kind of name, on another
/// timeline.
#[test]
fn an_object_of_wal_is_bound_to_its_key() {
    let World { store, segments, .. } = world();
    let repository = open(&store).unwrap();
    let elsewhere = repository.wal(SystemId(78));
    elsewhere.put_history(timeline(2), b"other", now()).unwrap();
    archive(&store).put_partial(name(4), size(), &segments[1], now()).unwrap();
    archive(&store).put_segment(segment_of(2, Lsn(4 << 20), size()), size(), &segments[1], now()).unwrap();
    archive(&store).put_backup(name(4), 40, b"label", now()).unwrap();
    archive(&store).put_piece(name(4), size(), 0, &segments[1], now()).unwrap();
    let segment = "wal/77/00000001/000000010000000000000004.wal";
    let partial = "wal/77/00000001/000000010000000000000004.partial.wal";
    let piece = "wal/77/00000001/000000010000000000000004.00000000.piece";
    let swaps = [
        (segment, partial, WalName::Segment(name(4))),
        (partial, segment, WalName::Partial(name(4))),
        (segment, "wal/77/00000002/000000020000000000000004.wal", WalName::Segment(name(4))),
        (segment, "wal/77/00000001/000000010000000000000004.00000028.backup.wal", WalName::Segment(name(4))),
        (segment, "wal/77/00000001/000000010000000000000005.00000000.piece", WalName::Segment(name(4))),
        (
            "wal/77/00000002/00000002.history.wal",
            "wal/78/00000002/00000002.history.wal",
            WalName::History(timeline(2)),
        ),
    ];
    for (to, from, name) in swaps {
        let damage = Damage::Replace { origin: "elsewhere", bytes: get(&store, &key(from)) };
        let swapped = archive(&damaged(&store, &key(to), &damage));
        let found = problem(swapped.get(name, &mut std::io::sink()).unwrap_err());
        assert_eq!((found.object.as_str(), found.kind), (to, ProblemKind::Swapped), "{from}");
        assert_eq!(problem(swapped.head(name).unwrap_err()).kind, ProblemKind::Swapped, "{from}");
    }
    // A whole segment and one piece of it all hold the same bytes, and only a piece may stand for a piece.
    let damage = Damage::Replace { origin: "elsewhere", bytes: get(&store, &key(segment)) };
    let swapped = archive(&damaged(&store, &key(piece), &damage));
    assert_eq!(swapped.join_pieces(name(4)).unwrap().unwrap().1, segments[1]);
}

/// Whoever has the key can seal anything; the first page still says which segment it is.
#[test]
fn a_segment_that_is_sealed_under_a_wrong_name_is_refused() {
    let World { store, segments, .. } = world();
    let object = key("wal/77/00000001/000000010000000000000003.wal");
    let bytes = forge(&store, WalName::Segment(name(3)), &segments[1]);
    let damage = Damage::Replace { origin: "a forger", bytes };
    let archive = archive(&damaged(&store, &object, &damage));
    let mut out = Vec::new();
    let found = problem(archive.get(WalName::Segment(name(3)), &mut out).unwrap_err());
    assert_eq!((found.kind, out.len()), (ProblemKind::Swapped, 0), "{found:?}");
    assert!(found.message.contains("0/400000, not at 0/300000"), "{found:?}");
}

/// An object with any bytes under any name, sealed with the key of the repository.
fn forge(store: &MemoryStore, name: WalName, bytes: &[u8]) -> Vec<u8> {
    let head = Head::parse(&get(store, &key("chronavault.json"))).unwrap();
    let repository = head.repository_id;
    let id = holder().slot_id(repository, 1);
    let slot = get(store, &key(format!("keys/{id}.slot")));
    let root = format::open_slot(&slot, &holder(), SlotHeader { epoch: 1, repository, id }).unwrap();
    let keyring = Keyring::new(repository, root, Vec::new());
    let head = WalHead {
        version: 1,
        name,
        system_id: SYSTEM,
        timeline: name.timeline(),
        segment_bytes: Some(size()),
        offset: 0,
        bytes: bytes.len() as u64,
        archived_at: now(),
    };
    let mut builder = WalBuilder::new(&head, &keyring, [1; 32]).unwrap();
    builder.append(&EncodedChunk::new(bytes, None, &keyring).unwrap()).unwrap();
    builder.finish().unwrap()
}
