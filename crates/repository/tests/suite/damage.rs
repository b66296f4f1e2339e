//! P5, the damage matrix: every kind of object, every kind of damage, every operation. Damage is named with the right kind before any
//! plaintext of it comes out, it does not reach what it did not touch, and looking at it changes nothing.

use std::io::Read;
use std::sync::Arc;

use chronavault_repository::{
    Error, HolderKey, Listed, OpenError, ProblemKind, ProofEntry, Repository, WriteOptions,
};
use model::BackupId;
use storage::{Key, MemoryStore, Store};
use testkit::damage::{Damage, contents, copy};

use crate::ledger::{
    self, Numbers, back_up, go_on, holder, id, in_memory, noise, options, proof_of, row, text,
};

/// Two backups, of which the second uses chunks of the first; a proof of each; and another repository with the same key.
struct World {
    store: MemoryStore,
    foreign: MemoryStore,
    /// The streams of both backups.
    rows: [Vec<u8>; 2],
    archive: Vec<u8>,
}

fn world() -> World {
    let (store, repository) = in_memory();
    let foreign_store = MemoryStore::new();
    let foreign = init_other(&foreign_store);
    let archive = noise(5, 400_000);
    let first: Vec<_> = (0..20_000).map(|id| row(id, 0)).collect();
    let mut second: Vec<_> =
        first.iter().enumerate().filter(|(n, _)| n % 400 != 7).map(|(_, row)| row.clone()).collect();
    second.extend((30_000..36_000).map(|id| row(id, 0)));
    for repository in [&repository, &foreign] {
        for (day, rows) in [&first, &second].into_iter().enumerate() {
            let options = WriteOptions { pack_bytes: 300_000, ..options() };
            let committed = back_up(repository, &id(u32::try_from(day).unwrap()), rows, &archive, options);
            repository.write_proof(&proof_of(&committed), [9, 9, 9]).unwrap();
        }
    }
    World { store, foreign: foreign_store, rows: [text(&first), text(&second)], archive }
}

pub(crate) fn init_other(store: &MemoryStore) -> Repository {
    let numbers = std::cell::RefCell::new(Numbers(43));
    let random =
        |bytes: &mut [u8]| bytes.fill_with(|| u8::try_from(numbers.borrow_mut().below(256)).unwrap());
    Repository::init(Arc::new(store.clone()), &holder(), ledger::now(), &random).unwrap()
}

pub(crate) fn key(text: impl Into<String>) -> Key {
    Key::new(text).unwrap()
}

pub(crate) fn get(store: &MemoryStore, key: &Key) -> Vec<u8> {
    store.get(key, 64 << 20).unwrap()
}

/// Places in an object to flip: each field of its headers, its end, and some at random.
fn flips(length: usize, numbers: &mut Numbers) -> Vec<Damage> {
    let fields = [0, 8, 9, 10, 12, 16, 32, 48, 63, 64, 68, 72, 73, 74, 76, 80, 84, 92, 116, 139];
    let ends = [length - 1, length - 17, length - 40, length - 70, length / 2];
    // Not type and codec of the trailer (104 bytes): what they are named for is tested with those of the first record.
    let random = (0..8).map(|_| usize::try_from(numbers.below(length as u64)).unwrap());
    let random = random.filter(|place| ![96, 95].contains(&(length - place))).collect::<Vec<_>>();
    let places = fields.into_iter().chain(ends).chain(random).filter(|place| *place < length);
    places.map(|position| Damage::Flip { position, bits: 1 << numbers.below(8) }).collect()
}

fn cuts(length: usize) -> Vec<Damage> {
    let cut = |length| Damage::Truncate { length };
    vec![cut(length - 1), cut(length / 2), cut(10), Damage::Extend { bytes: b"more".to_vec() }]
}

/// Everything that happens to an object of `store` at `key`.
pub(crate) fn damages(
    store: &MemoryStore,
    key: &Key,
    numbers: &mut Numbers,
    others: &[(&'static str, Vec<u8>)],
) -> Vec<Damage> {
    let length = get(store, key).len();
    let mut damages = vec![Damage::Delete];
    damages.extend(cuts(length));
    damages.extend(flips(length, numbers));
    damages.extend(others.iter().map(|(origin, bytes)| Damage::Replace { origin, bytes: bytes.clone() }));
    damages
}

/// A copy of a store with one damaged object.
pub(crate) fn damaged(original: &MemoryStore, key: &Key, damage: &Damage) -> MemoryStore {
    let store = MemoryStore::new();
    copy(original, &store).unwrap();
    damage.apply(&store, key).unwrap();
    store
}

pub(crate) fn open(store: &MemoryStore) -> Result<Repository, OpenError> {
    Repository::open(Arc::new(store.clone()), &holder())
}

/// Reads a stream to its end or to the first error; what came before the error must be what was written.
fn read(repository: &Repository, id: &BackupId, stream: &str, expected: &[u8]) -> Result<(), Error> {
    let mut found = Vec::new();
    let result = repository.read(id)?.stream(stream)?.read_to_end(&mut found);
    assert!(expected.starts_with(&found), "wrong plaintext came out");
    match result {
        Ok(_) => {
            assert_eq!(found.len(), expected.len(), "the stream ended early without an error");
            Ok(())
        }
        Err(error) => Err(error.downcast::<Error>().unwrap()),
    }
}

/// The kinds of damage that reading a whole backup runs into.
fn read_all(world: &World, repository: &Repository, day: usize) -> Vec<ProblemKind> {
    let id = id(u32::try_from(day).unwrap());
    let streams = [("rows/1", &world.rows[day]), ("archive", &world.archive)];
    let results = streams.map(|(stream, expected)| read(repository, &id, stream, expected));
    results.into_iter().filter_map(Result::err).map(|error| kind(&error)).collect()
}

fn kind(error: &Error) -> ProblemKind {
    match error {
        Error::Damaged(problem) => problem.kind,
        other => panic!("{other} is not about damage"),
    }
}

/// The kinds of the problems that a check finds about `object`; there must be none about other objects.
fn found(repository: &Repository, id: &BackupId, object: &Key, contents: bool) -> Vec<ProblemKind> {
    let findings = if contents {
        repository.check_contents(id, &go_on).unwrap()
    } else {
        repository.check_objects(id, &go_on).unwrap()
    };
    let about = |problem: &&chronavault_repository::Problem| problem.object == object.as_str();
    if !contents {
        assert!(findings.problems.iter().all(|problem| about(&problem)), "{:?}", findings.problems);
    }
    findings.problems.iter().filter(about).map(|problem| problem.kind).collect()
}

/// A seed for the random part, printed so that a failure can be repeated with `CHRONAVAULT_TEST_SEED`.
#[expect(clippy::print_stdout, reason = "a failing test shows its seed")]
pub(crate) fn seed() -> Numbers {
    let given = std::env::var("CHRONAVAULT_TEST_SEED").ok().map(|text| text.parse().unwrap());
    let seed = given.unwrap_or_else(|| std::process::id().into());
    println!("CHRONAVAULT_TEST_SEED={seed}");
    Numbers(seed)
}

#[test]
fn a_wrong_key_opens_nothing() {
    let world = world();
    let wrong = Repository::open(Arc::new(world.store.clone()), &HolderKey::new([8; 32]));
    assert!(matches!(wrong, Err(OpenError::WrongKey { .. })));
    let nothing = Repository::open(Arc::new(MemoryStore::new()), &holder());
    assert!(matches!(nothing, Err(OpenError::NotThere { .. })));
}

#[test]
fn damage_to_the_head_is_named() {
    let world = world();
    let head = key("chronavault.json");
    let intact = open(&world.store).unwrap();
    let foreign = get(&world.foreign, &head);
    for damage in damages(&world.store, &head, &mut seed(), &[("that of another repository", foreign)]) {
        let store = damaged(&world.store, &head, &damage);
        let before = contents(&store).unwrap();
        let result = open(&store);
        match (&damage, &result) {
            (Damage::Delete, Err(OpenError::HeadMissing { .. }))
            | (Damage::Truncate { .. } | Damage::Extend { .. }, Err(OpenError::HeadDamaged { .. }))
            | (
                Damage::Flip { .. },
                Err(OpenError::HeadDamaged { .. } | OpenError::HeadChanged | OpenError::Newer { .. }),
            )
            | (Damage::Replace { .. }, Err(OpenError::HeadChanged)) => {}
            // White space between the members of the JSON object says nothing.
            (_, Ok(repository)) => assert_eq!(repository.head(), intact.head(), "{damage:?}"),
            _ => panic!("{damage:?}: {result:?}"),
        }
        assert_eq!(contents(&store).unwrap(), before, "{damage:?}");
    }
}

#[test]
fn damage_to_a_slot_is_named() {
    let world = world();
    let slot = world.store.list("keys/").unwrap()[0].key.clone();
    let foreign = get(&world.foreign, &world.foreign.list("keys/").unwrap()[0].key);
    for damage in damages(&world.store, &slot, &mut seed(), &[("that of another repository", foreign)]) {
        let store = damaged(&world.store, &slot, &damage);
        let before = contents(&store).unwrap();
        let result = open(&store);
        match (&damage, &result) {
            (Damage::Delete, Err(OpenError::NoSlots { .. })) | (_, Err(OpenError::SlotDamaged { .. })) => {}
            _ => panic!("{damage:?}: {result:?}"),
        }
        assert_eq!(contents(&store).unwrap(), before, "{damage:?}");
    }
    // The slot of one holder under the name of another opens for neither.
    let other = HolderKey::new([8; 32]);
    let repository = open(&world.store).unwrap();
    let name = other.slot_id(repository.id(), 1);
    world.store.put(&key(format!("keys/{name}.slot")), &get(&world.store, &slot)).unwrap();
    let swapped = Repository::open(Arc::new(world.store.clone()), &other);
    assert!(matches!(swapped, Err(OpenError::SlotDamaged { .. })), "{swapped:?}");
}

/// Which kinds of problems may be named for some damage to a sealed container.
pub(crate) fn is_right(damage: &Damage, kind: ProblemKind) -> bool {
    use ProblemKind::{Changed, Foreign, Missing, NewerVersion, Swapped, Truncated, WrongKey};
    match damage {
        Damage::Delete => kind == Missing,
        Damage::Truncate { .. } | Damage::Extend { .. } => kind == Truncated,
        // The fields of the header say what they are about: version and suite, epoch, repository, lengths.
        Damage::Flip { position: 8 | 9 | 72 | 73, .. } => matches!(kind, Changed | NewerVersion),
        Damage::Flip { position: 12..16, .. } => matches!(kind, Changed | WrongKey),
        Damage::Flip { position: 16..32, .. } => matches!(kind, Changed | Foreign),
        Damage::Flip { .. } => matches!(kind, Changed | Truncated),
        Damage::Replace { origin: "another of this repository", .. } => kind == Swapped,
        Damage::Replace { .. } => kind == Foreign,
    }
}

#[test]
fn damage_to_a_manifest_is_named() {
    let world = world();
    let name = format!("{}.manifest", id(1));
    let others = [
        ("another of this repository", get(&world.store, &key(format!("{}.manifest", id(0))))),
        ("that of another repository", get(&world.foreign, &key(name.as_str()))),
    ];
    for damage in damages(&world.store, &key(name.as_str()), &mut seed(), &others) {
        let store = damaged(&world.store, &key(name.as_str()), &damage);
        let before = contents(&store).unwrap();
        let repository = open(&store).unwrap();
        let listed = repository.backups().unwrap();
        let read = repository.read(&id(1)).map(|_| ());
        if damage == Damage::Delete {
            assert_eq!(listed.len(), 1);
            assert!(matches!(read, Err(Error::NoSuchBackup { .. })));
            assert!(matches!(repository.check_objects(&id(1), &go_on), Err(Error::NoSuchBackup { .. })));
        } else {
            assert_eq!(listed.len(), 2, "a damaged manifest is not hidden: {damage:?}");
            match &listed[0] {
                Listed::Damaged { id: named, problem } => {
                    assert_eq!((named, problem.object.as_str()), (&id(1), name.as_str()));
                    assert!(is_right(&damage, problem.kind), "{damage:?}: {problem:?}");
                }
                Listed::Backup(_) => panic!("{damage:?} was not noticed"),
            }
            assert!(is_right(&damage, kind(&read.unwrap_err())), "{damage:?}");
            for contents in [false, true] {
                let kinds = found(&repository, &id(1), &key(name.as_str()), contents);
                assert!(kinds.len() == 1 && is_right(&damage, kinds[0]), "{damage:?}: {kinds:?}");
            }
        }
        // The other backup is what it was.
        assert!(matches!(&listed[listed.len() - 1], Listed::Backup(summary) if summary.proof.is_some()));
        assert_eq!(read_all(&world, &repository, 0), []);
        assert_eq!(contents(&store).unwrap(), before, "{damage:?}");
    }
}

#[test]
fn damage_to_a_pack_is_named() {
    let world = world();
    let mut numbers = seed();
    let repository = open(&world.store).unwrap();
    let (first, second) = (repository.manifest(&id(0)).unwrap(), repository.manifest(&id(1)).unwrap());
    assert!(first.packs.len() >= 3 && second.reused_bytes > 0, "the world is large enough");
    let foreign_packs = world.foreign.list("packs/").unwrap();
    for pack in &second.packs {
        let object = key(format!("packs/{}/{}.pack", &pack.sha256.to_string()[..2], pack.sha256));
        let other =
            world.store.list("packs/").unwrap().into_iter().find(|listed| listed.key != object).unwrap();
        let others = [
            ("another of this repository", get(&world.store, &other.key)),
            ("that of another repository", get(&world.foreign, &foreign_packs[0].key)),
        ];
        for damage in damages(&world.store, &object, &mut numbers, &others) {
            let store = damaged(&world.store, &object, &damage);
            let before = contents(&store).unwrap();
            let repository = open(&store).unwrap();
            assert_eq!(repository.backups().unwrap().len(), 2);
            let kinds = found(&repository, &id(1), &object, false);
            assert!(kinds.len() == 1 && is_right(&damage, kinds[0]), "{damage:?}: {kinds:?}");
            let kinds = found(&repository, &id(1), &object, true);
            assert!(kinds.iter().any(|kind| is_right(&damage, *kind)), "{damage:?}: {kinds:?}");
            // What comes out is right up to the first error (asserted within). That no chunk is needed from the damaged
            // place, as from the end of a pack, is the one way to read without an error.
            let errors = read_all(&world, &repository, 1);
            let is_harmless =
                matches!(damage, Damage::Truncate { .. } | Damage::Extend { .. } | Damage::Flip { .. });
            assert!(!errors.is_empty() || is_harmless, "{damage:?} was not noticed by reading");
            if !first.packs.iter().any(|other| other.sha256 == pack.sha256) {
                assert_eq!(ledger::problems(&repository, &id(0)), [], "the other backup is what it was");
                assert_eq!(read_all(&world, &repository, 0), []);
            }
            assert_eq!(contents(&store).unwrap(), before, "{damage:?}");
        }
    }
}

#[test]
fn damage_to_a_checksum_file_is_named() {
    let world = world();
    let name = format!("{}.sha256", id(1));
    let others = [
        ("another of this repository", get(&world.store, &key(format!("{}.sha256", id(0))))),
        ("that of another repository", get(&world.foreign, &key(name.as_str()))),
    ];
    for damage in damages(&world.store, &key(name.as_str()), &mut seed(), &others) {
        let store = damaged(&world.store, &key(name.as_str()), &damage);
        let before = contents(&store).unwrap();
        let repository = open(&store).unwrap();
        let findings = repository.check_objects(&id(1), &go_on).unwrap();
        assert_eq!(findings.lacks_checksums, damage == Damage::Delete, "{damage:?}");
        let kinds: Vec<_> = findings.problems.iter().map(|problem| problem.kind).collect();
        match damage {
            // A complete backup may lack it (W4).
            Damage::Delete => assert_eq!(kinds, []),
            Damage::Truncate { .. } => assert_eq!(kinds, [ProblemKind::Truncated]),
            _ => assert_eq!(kinds, [ProblemKind::Changed], "{damage:?}"),
        }
        assert!(matches!(&repository.backups().unwrap()[0], Listed::Backup(summary) if summary.id == id(1)));
        assert_eq!(read_all(&world, &repository, 1), []);
        assert_eq!(contents(&store).unwrap(), before, "{damage:?}");
    }
}

#[test]
fn damage_to_a_proof_is_named() {
    let world = world();
    let proof =
        |store: &MemoryStore, day| store.list(&format!("proofs/{}/", id(day))).unwrap()[0].key.clone();
    let object = proof(&world.store, 1);
    let others = [
        ("another of this repository", get(&world.store, &proof(&world.store, 0))),
        ("that of another repository", get(&world.foreign, &proof(&world.foreign, 1))),
    ];
    for damage in damages(&world.store, &object, &mut seed(), &others) {
        let store = damaged(&world.store, &object, &damage);
        let before = contents(&store).unwrap();
        let repository = open(&store).unwrap();
        let listed = repository.backups().unwrap();
        assert!(
            matches!(&listed[0], Listed::Backup(summary) if summary.proof.is_none()),
            "{damage:?} proves nothing"
        );
        assert!(matches!(&listed[1], Listed::Backup(summary) if summary.proof.is_some()));
        let entries = repository.proofs(&id(1)).unwrap();
        match &entries[..] {
            [] => assert_eq!(damage, Damage::Delete),
            [ProofEntry::Damaged(problem)] => {
                assert_eq!(problem.object, object.as_str());
                assert!(is_right(&damage, problem.kind), "{damage:?}: {problem:?}");
            }
            other => panic!("{damage:?}: {other:?}"),
        }
        assert_eq!(contents(&store).unwrap(), before, "{damage:?}");
    }
}
