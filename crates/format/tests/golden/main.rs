//! The test vectors of the format: `tests/golden/vectors.json`, which `tools/tests/test_vectors.py` reads, too.
//!
//! They are made again with `cargo run -p chronavault-format --example vectors`, which is only ever needed when something
//! is added: what released versions wrote must stay readable.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod containers;
mod cuts;
mod document;
mod journal;
mod site;
mod values;

use std::collections::HashMap;

use chronavault_format::{
    ChainBreak, ChunkId, ContainerKind, FormatError, HEADER_BYTES, Head, JournalChain, JournalKey, Manifest,
    ObjectKey, Proof, RootKey, SLOT_BYTES, SiteDocument, SlotHeader, WalOpener, decode_list, encode_list,
    open_journal_copy, open_slot, walk,
};
use model::WalName;
use serde_json::Value;
use values::{BACKUP, REPOSITORY, ROOT_KEYS, holder, keyring};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../tests/golden/vectors.json")).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn items(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn records(vectors: &Value) -> impl Iterator<Item = &Value> {
    items(&vectors["containers"]).iter().flat_map(|container| items(&container["records"]))
}

#[test]
fn the_program_still_writes_the_golden_bytes() {
    let golden = vectors();
    let encoded: Vec<_> = records(&golden).map(|record| bytes(&record["encoded"])).collect();
    let mut encode = encoded.into_iter().fuse();
    let now = document::build(&mut encode).unwrap();
    assert!(encode.next().is_none(), "the vectors hold records that are not made any more");
    for (name, value) in golden.as_object().unwrap() {
        assert_eq!(&now[name], value, "{name} differs");
    }
    assert_eq!(now, golden);
}

#[test]
fn the_program_reads_the_golden_containers() {
    let golden = vectors();
    let keyring = keyring(2);
    let mut known: HashMap<ChunkId, Vec<u8>> = HashMap::new();
    for container in items(&golden["containers"]) {
        let kind = match container["kind"].as_str().unwrap() {
            "pack" => ContainerKind::Pack,
            "manifest" => ContainerKind::Manifest,
            "wal" => ContainerKind::Wal,
            _ => ContainerKind::Proof,
        };
        let mut expected = items(&container["records"]).iter();
        walk(kind, &mut bytes(&container["bytes"]), &keyring, |offset, record| {
            let expected = expected.next().unwrap();
            assert_eq!(expected["offset"], offset);
            assert_eq!(expected["id"], record.header.id.to_string());
            assert_eq!(expected["base"].as_str().map(str::to_owned), record.base.map(|id| id.to_string()));
            assert_eq!(bytes(&expected["encoded"]), record.body);
            let plaintext = match record.base {
                Some(base) => record.plaintext_with_base(&known[&base], &keyring)?,
                None => record.plaintext(&keyring)?,
            };
            assert_eq!(bytes(&expected["plaintext"]), plaintext);
            known.insert(record.header.id, plaintext);
            Ok(())
        })
        .unwrap();
        assert!(expected.next().is_none());
    }
}

#[test]
fn the_program_reads_the_golden_list_manifest_and_proof() {
    let golden = vectors();
    let [_, list_pack, manifest, proof, ..] = items(&golden["containers"]).as_slice() else {
        panic!("four containers and more")
    };
    let list = bytes(&list_pack["records"][0]["plaintext"]);
    let entries = decode_list(&list).unwrap();
    assert_eq!(encode_list(&entries).unwrap(), list);
    assert_eq!(entries.iter().map(|entry| entry.rows).collect::<Vec<_>>(), [23, 0, 1]);
    assert!(entries[0].base.is_some() && entries[1].continues);

    let id = BACKUP.parse().unwrap();
    let read = Manifest::open(&mut bytes(&manifest["bytes"]), &id, &keyring(2)).unwrap();
    assert_eq!(read.packs.len(), 2);
    assert_eq!(read.stream("rows/1").unwrap().lists[0].pack.to_string(), list_pack["sha256"]);
    let read = Proof::open(&mut bytes(&proof["bytes"]), &id, &keyring(2)).unwrap();
    assert_eq!(read.manifest_sha256.to_string(), manifest["sha256"]);
}

#[test]
fn the_program_reads_the_golden_wal() {
    let golden = vectors();
    let keyring = keyring(2);
    let wal = items(&golden["containers"]).iter().filter(|container| container["kind"] == "wal");
    let mut names = Vec::new();
    for container in wal {
        let mut bytes = bytes(&container["bytes"]);
        let (header, mut rest) = bytes.split_at_mut(HEADER_BYTES);
        let mut opener = WalOpener::new(header, &keyring).unwrap();
        let mut next = |opener: &WalOpener| {
            let length = opener.record_bytes(rest).unwrap();
            let (record, after) = std::mem::take(&mut rest).split_at_mut(length);
            rest = after;
            (record, rest.is_empty())
        };
        let head = opener.head(next(&opener).0, &keyring).unwrap();
        let chunk = opener.chunk(next(&opener).0).unwrap().unwrap().plaintext(&keyring).unwrap();
        let (trailer, is_last) = next(&opener);
        assert!(opener.chunk(trailer).unwrap().is_none() && is_last);
        assert_eq!(chunk.len() as u64, head.bytes);
        assert_eq!(head.is_whole(), head.offset == 0);
        let key = match head.name {
            WalName::Segment(segment) => ObjectKey::WalPiece(head.system_id, segment, head.offset),
            name => ObjectKey::Wal(head.system_id, name),
        };
        names.push(key.to_string());
    }
    assert_eq!(
        names,
        [
            "wal/7312345678901234567/00000002/00000002.history.wal",
            "wal/7312345678901234567/00000001/000000010000000A000000FF.00004000.piece",
        ]
    );
}

#[test]
fn the_program_follows_the_golden_journal() {
    let golden = &vectors()["journal"];
    let key = JournalKey::new(bytes(&golden["key"]).try_into().unwrap());
    let copy = open_journal_copy(&mut bytes(&golden["copy"]), &keyring(2)).unwrap();
    let lines: Vec<_> = items(&golden["lines"]).iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!(String::from_utf8(copy).unwrap(), lines.join("\n") + "\n");

    let mut chain = JournalChain::new(&key, REPOSITORY, journal::JOURNAL);
    let followed: Vec<_> = lines.iter().map(|line| chain.follow(line.as_bytes())).collect();
    let numbers: Vec<_> = followed.iter().filter_map(|(entry, _)| entry.as_ref()?.sequence.into()).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    let findings: Vec<_> = followed.into_iter().flat_map(|(_, findings)| findings).collect();
    assert!(
        matches!(findings[..], [ref one] if one.line == 3 && one.found == ChainBreak::Torn { bytes: 18 })
    );
    assert_eq!(chain.finish(true), []);
}

#[test]
fn the_program_reads_the_golden_site_document() {
    let golden = &vectors()["site_document"];
    let key = ObjectKey::parse(golden["key"].as_str().unwrap()).unwrap();
    let read = SiteDocument::open(&mut bytes(&golden["bytes"]), &key, &keyring(2)).unwrap();
    assert_eq!(read, site::document().unwrap());
    assert_eq!(format!("site/{}/{}.{}", read.site(), site::NAME, read.kind), key.to_string());
    assert!(matches!(
        SiteDocument::open(&mut bytes(&golden["newer"]), &key, &keyring(2)),
        Err(FormatError::Newer { found: 2, known: 1, .. })
    ));
}

#[test]
fn the_program_opens_the_golden_heads_and_slots() {
    let golden = vectors();
    for (head, current) in items(&golden["heads"]).iter().zip(ROOT_KEYS) {
        let head = Head::parse(head.as_str().unwrap().as_bytes()).unwrap();
        head.authenticate(&RootKey::new(current)).unwrap();
        for (root_key, epoch) in ROOT_KEYS.into_iter().zip(1..=head.current_epoch()) {
            assert!(head.recognises(epoch, &RootKey::new(root_key)));
        }
    }
    let holder = holder().unwrap();
    for ((slot, root_key), epoch) in items(&golden["slots"]).iter().zip(ROOT_KEYS).zip(1..) {
        let slot = bytes(&slot["bytes"]);
        assert_eq!(slot.len(), SLOT_BYTES);
        let expected = SlotHeader { epoch, repository: REPOSITORY, id: holder.slot_id(REPOSITORY, epoch) };
        assert!(open_slot(&slot, &holder, expected).unwrap() == RootKey::new(root_key));
    }
}
