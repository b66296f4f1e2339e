//! Manifests and proofs come back as they were, or not at all.

use super::*;
use crate::{RepositoryId, RootKey};
use model::RowProof;
use serde_json::{Value, json};

const PACK: PackId = PackId([3; 32]);

fn keyring() -> Keyring {
    Keyring::new(RepositoryId([1; 16]), RootKey::new([2; 32]), Vec::new())
}

fn id() -> BackupId {
    "backup-2026-11-23-120000-abc123".parse().unwrap()
}

fn time() -> Timestamp {
    "2026-11-23T12:00:00.123456789Z".parse().unwrap()
}

fn list() -> ListPlace {
    ListPlace { pack: PACK, offset: 64, sealed_bytes: 100, plain_bytes: 200, id: ChunkId([4; 32]) }
}

fn archive() -> StreamRecord {
    StreamRecord {
        name: "archive".into(),
        kind: StreamKind::Archive,
        table: None,
        plain_bytes: 10,
        entries: 1,
        sha256: Some(Sha256([5; 32])),
        lists: vec![list()],
    }
}

fn rows() -> StreamRecord {
    let table = Some(QualifiedName { schema: "Büro".into(), name: "a \"table\"\n".into() });
    StreamRecord { name: "rows/1".into(), kind: StreamKind::Rows, table, sha256: None, ..archive() }
}

fn logical() -> LogicalRecord {
    LogicalRecord {
        database: "books".into(),
        server_version: 150_018,
        pg_dump_version: "15.18".into(),
        encoding: "UTF8".into(),
        properties: json!({"owner": "alice", "connection_limit": -1}),
        roles: vec![json!({"name": "alice"})],
        filters: Filters::default(),
        extensions: vec![ExtensionRecord { name: "plpgsql".into(), version: "1.0".into() }],
        tables: vec![TableRecord {
            name: rows().table.unwrap(),
            columns: vec!["id".into()],
            proof: Some(RowProof { rows: 3, sum: u128::MAX }),
            plain_bytes: 6,
            condition: None,
        }],
        counts: BTreeMap::from([("table".into(), 1)]),
        globals_without_passwords: true,
        inventory_version: 2,
    }
}

fn manifest() -> Manifest {
    Manifest {
        version: MANIFEST_VERSION,
        id: id(),
        kind: Kind::Logical,
        source: "books".into(),
        started_at: time(),
        finished_at: time(),
        snapshot_at: time(),
        tool_version: "0.1.0".into(),
        parent: None,
        plain_bytes: 20,
        stored_bytes: 30,
        reused_bytes: 0,
        packs: vec![PackRecord { sha256: PACK, bytes: 500 }],
        streams: vec![archive(), rows()],
        logical: Some(logical()),
        physical: None,
    }
}

fn proof() -> Proof {
    Proof {
        version: MANIFEST_VERSION,
        backup: id(),
        manifest_sha256: Sha256([6; 32]),
        level: Level::Restore,
        outcome: Outcome::Failed,
        at: time(),
        duration_ms: 2,
        restore_ms: 1,
        tables: 1,
        rows: 3,
        server_version: 150_018,
        tool_version: "0.1.0".into(),
        problems: vec![ProblemRecord { code: "a".into(), object: "b".into(), message: "c".into() }],
    }
}

/// What comes of a manifest with this text, sealed by whoever has the key.
fn open_text(text: &[u8]) -> Result<Manifest, FormatError> {
    let sealed =
        seal_single(ContainerKind::Manifest, RecordType::Manifest, text, &keyring(), [9; 32]).unwrap();
    Manifest::open(&mut sealed.bytes.clone(), &id(), &keyring())
}

fn open_changed(change: impl FnOnce(&mut Value)) -> Result<Manifest, FormatError> {
    let mut value = serde_json::to_value(manifest()).unwrap();
    change(&mut value);
    open_text(value.to_string().as_bytes())
}

#[test]
fn manifests_and_proofs_come_back() {
    let sealed = manifest().seal(&keyring(), [9; 32]).unwrap();
    assert_eq!(Manifest::open(&mut sealed.bytes.clone(), &id(), &keyring()).unwrap(), manifest());
    let sealed = proof().seal(&keyring(), [9; 32]).unwrap();
    assert_eq!(Proof::open(&mut sealed.bytes.clone(), &id(), &keyring()).unwrap(), proof());
    assert!(manifest().stream("rows/1").is_some() && manifest().stream("rows/2").is_none());
}

#[test]
fn every_damaged_byte_and_every_cut_is_noticed() {
    let manifest = manifest().seal(&keyring(), [9; 32]).unwrap().bytes;
    let proof = proof().seal(&keyring(), [9; 32]).unwrap().bytes;
    for (position, flip) in (0..manifest.len()).zip([1, 0x80, 0xff].into_iter().cycle()) {
        let mut damaged = manifest.clone();
        damaged[position] ^= flip;
        assert!(Manifest::open(&mut damaged, &id(), &keyring()).is_err(), "byte {position}");
        let cut = &mut manifest[..position].to_vec();
        assert!(Manifest::open(cut, &id(), &keyring()).is_err(), "{position} bytes");
    }
    for (position, flip) in (0..proof.len()).zip([1, 0x80, 0xff].into_iter().cycle()) {
        let mut damaged = proof.clone();
        damaged[position] ^= flip;
        assert!(Proof::open(&mut damaged, &id(), &keyring()).is_err(), "byte {position}");
    }
}

#[test]
fn one_is_not_taken_for_another() {
    let other: BackupId = "backup-2026-11-23-120000-abc124".parse().unwrap();
    let mut manifest = manifest().seal(&keyring(), [9; 32]).unwrap().bytes;
    let mut proof = proof().seal(&keyring(), [9; 32]).unwrap().bytes;
    assert_eq!(
        Manifest::open(&mut manifest.clone(), &other, &keyring()),
        Err(FormatError::OtherBackup { what: "manifest" })
    );
    assert_eq!(
        Proof::open(&mut proof.clone(), &other, &keyring()),
        Err(FormatError::OtherBackup { what: "proof" })
    );
    assert!(matches!(Manifest::open(&mut proof, &id(), &keyring()), Err(FormatError::Magic { .. })));
    assert!(matches!(Proof::open(&mut manifest, &id(), &keyring()), Err(FormatError::Magic { .. })));
}

#[test]
fn a_later_version_may_add_facts_but_not_change_them() {
    assert_eq!(open_changed(|value| value["new"] = json!({"deep": [1]})).unwrap(), manifest());
    assert_eq!(open_changed(|value| value["packs"][0]["new"] = json!(1)).unwrap(), manifest());
    // All of the rest may have changed with the version.
    assert_eq!(
        open_text(br#"{"version": 2}"#),
        Err(FormatError::Newer { field: "manifest version", found: 2, known: 1 })
    );
}

#[test]
fn a_manifest_that_contradicts_itself_is_neither_written_nor_read() {
    type Change = fn(&mut Manifest);
    let changes: [(&str, Change); 12] = [
        ("pack twice", |manifest| manifest.packs.push(manifest.packs[0])),
        ("pack too large", |manifest| manifest.packs[0].bytes = (64 << 20) + 1),
        ("pack not named", |manifest| manifest.packs.clear()),
        ("stream twice", |manifest| manifest.streams.push(archive())),
        ("no database", |manifest| manifest.logical = None),
        ("rows without a table", |manifest| manifest.streams[1].table = None),
        ("rows with a hash", |manifest| manifest.streams[1].sha256 = Some(Sha256([0; 32]))),
        ("an archive with a table", |manifest| manifest.streams[0].table = rows().table),
        ("an archive without a hash", |manifest| manifest.streams[0].sha256 = None),
        ("rows of an unknown table", |manifest| manifest.logical.as_mut().unwrap().tables.clear()),
        ("rows of a table without", |manifest| manifest.logical.as_mut().unwrap().tables[0].proof = None),
        ("two streams of one table", |manifest| {
            manifest.streams.push(StreamRecord { name: "rows/2".into(), ..rows() });
        }),
    ];
    for (what, change) in changes {
        let mut wrong = manifest();
        change(&mut wrong);
        assert!(matches!(wrong.seal(&keyring(), [9; 32]), Err(FormatError::Malformed { .. })), "{what}");
        let text = serde_json::to_vec(&wrong).unwrap();
        assert!(matches!(open_text(&text), Err(FormatError::Malformed { .. })), "{what}");
    }
    for member in ["offset", "sealed_bytes", "plain_bytes"] {
        let wrong = open_changed(|value| value["streams"][0]["lists"][0][member] = json!(u32::MAX));
        assert!(matches!(wrong, Err(FormatError::Malformed { .. })), "{member}: {wrong:?}");
    }
}

#[test]
fn text_that_is_no_manifest_is_refused() {
    let good = serde_json::to_string(&manifest()).unwrap();
    for text in ["", "{}", "[]", "null", "\u{feff}{}", &good[..good.len() - 1], &format!("{good}x")] {
        assert!(matches!(open_text(text.as_bytes()), Err(FormatError::Json { .. })), "{text}");
    }
    let twice = good.replacen('{', r#"{"source":"other","#, 1);
    assert!(matches!(open_text(twice.as_bytes()), Err(FormatError::Json { .. })));
    let deep = [&b"{\"version\":1,\"x\":"[..], &vec![b'['; 100_000]].concat();
    assert!(matches!(open_text(&deep), Err(FormatError::Json { .. })));
}

#[test]
fn a_manifest_larger_than_a_chunk_is_not_written() {
    let large = Manifest { source: "x".repeat(64 << 20), ..manifest() };
    assert!(matches!(large.seal(&keyring(), [9; 32]), Err(FormatError::Limit { .. })));
}

#[test]
fn a_manifest_that_says_no_inventory_version_has_the_first() {
    let opened = open_changed(|value| {
        assert!(value["logical"].as_object_mut().unwrap().remove("inventory_version").is_some());
    });
    assert_eq!(opened.unwrap().logical.unwrap().inventory_version, 1);
}
