//! Every object of the test vectors, changed at random from a fixed seed and in the ways that an attacker would choose: each
//! is refused, or is what it was. Nothing panics.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use chronavault_format::{
    ContainerKind, FormatError, HEADER_BYTES, Head, HolderKey, JournalEntry, Keyring, Manifest, ObjectKey,
    RECORD_HEADER_BYTES, RepositoryId, RootKey, SLOT_BYTES, SiteDocument, SlotHeader, WalHead, WalOpener,
    decode_list, encode_list, open_journal_copy, open_slot, walk,
};
use model::SegmentHeader;
use serde_json::Value;

const ROUNDS: u64 = 4000;

/// Draws from a 64-bit LCG.
struct Draws(u64);

impl Draws {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    /// Changes bytes in one to three places: a bit, a byte, a number of four bytes, a range that is removed, doubled or moved.
    fn mutate(&mut self, original: &[u8]) -> Vec<u8> {
        let mut bytes = original.to_vec();
        for _ in 0..=self.below(3) {
            if bytes.is_empty() {
                return bytes;
            }
            let at = self.below(bytes.len());
            let end = at + 1 + self.below((bytes.len() - at).min(200));
            match self.below(8) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = u8::try_from(self.below(256)).unwrap(),
                2 => bytes[at..(at + 4).min(end)].fill(if self.below(2) == 0 { 0xff } else { 0 }),
                3 => bytes.truncate(at),
                4 => drop(bytes.drain(at..end)),
                5 => bytes.extend_from_within(at..end),
                6 => {
                    let moved: Vec<u8> = bytes.drain(at..end).collect();
                    let to = self.below(bytes.len() + 1);
                    bytes.splice(to..to, moved);
                }
                _ => {
                    let other = self.below(bytes.len());
                    bytes.swap(at, other);
                }
            }
        }
        bytes
    }
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../tests/golden/vectors.json")).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn repository(vectors: &Value) -> RepositoryId {
    vectors["keys"]["repository_id"].as_str().unwrap().parse().unwrap()
}

fn root_key(vectors: &Value, epoch: usize) -> RootKey {
    RootKey::new(bytes(&vectors["keys"]["root_keys"][epoch - 1]).try_into().unwrap())
}

fn keyring(vectors: &Value) -> Keyring {
    Keyring::new(repository(vectors), root_key(vectors, 1), vec![root_key(vectors, 2)])
}

/// All chunks of the first pack, its deltas with the first chunk as base.
fn contents(pack: &[u8], keyring: &Keyring) -> Result<Vec<Vec<u8>>, FormatError> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    walk(ContainerKind::Pack, &mut pack.to_vec(), keyring, |_, record| {
        let plaintext = match (record.base, found.first()) {
            (Some(_), Some(base)) => record.plaintext_with_base(base, keyring)?,
            _ => record.plaintext(keyring)?,
        };
        found.push(plaintext);
        Ok(())
    })?;
    Ok(found)
}

/// Changes `original` again and again; each change must be refused by `read`, or leave what it reads as it was.
fn survive<T: PartialEq + std::fmt::Debug, E>(original: &[u8], read: impl Fn(&[u8]) -> Result<T, E>) {
    let expected = read(original).ok().unwrap();
    for seed in 0..ROUNDS {
        let changed = Draws(seed).mutate(original);
        if let Ok(found) = read(&changed) {
            assert_eq!(found, expected, "seed {seed}");
        }
    }
}

#[test]
fn packs() {
    let vectors = vectors();
    let (pack, keyring) = (bytes(&vectors["containers"][0]["bytes"]), keyring(&vectors));
    survive(&pack, |bytes| contents(bytes, &keyring));
}

#[test]
fn manifests() {
    let vectors = vectors();
    let (manifest, keyring) = (bytes(&vectors["containers"][2]["bytes"]), keyring(&vectors));
    let id = "backup-2026-11-23-120000-abc123".parse().unwrap();
    survive(&manifest, |bytes| Manifest::open(&mut bytes.to_vec(), &id, &keyring));
}

/// Head and bytes of an object of WAL with one chunk.
fn wal(object: &[u8], keyring: &Keyring) -> Result<(WalHead, Vec<u8>), FormatError> {
    let mut object = object.to_vec();
    let start = HEADER_BYTES.min(object.len());
    let (header, mut rest) = object.split_at_mut(start);
    let mut opener = WalOpener::new(header, keyring)?;
    let mut next = |opener: &WalOpener| {
        let length = opener.record_bytes(rest)?;
        let whole = std::mem::take(&mut rest);
        let (record, after) = whole
            .split_at_mut_checked(length)
            .ok_or(FormatError::Truncated { place: "a record", length: 0 })?;
        rest = after;
        Ok::<_, FormatError>((record, rest.len() as u64))
    };
    let head = opener.head(next(&opener)?.0, keyring)?;
    let mut bytes = Vec::new();
    loop {
        let (record, extra) = next(&opener)?;
        match opener.chunk(record)? {
            Some(chunk) => bytes.extend(chunk.plaintext(keyring)?),
            None if extra == 0 => return Ok((head, bytes)),
            None => return Err(FormatError::Trailing { extra }),
        }
    }
}

#[test]
fn wal_objects() {
    let vectors = vectors();
    let keyring = keyring(&vectors);
    for number in [4, 5] {
        let object = bytes(&vectors["containers"][number]["bytes"]);
        survive(&object, |bytes| wal(bytes, &keyring));
    }
    // The parts of an object cannot be removed, doubled, exchanged, or come from another one.
    let object = bytes(&vectors["containers"][4]["bytes"]);
    let other = bytes(&vectors["containers"][5]["bytes"]);
    let (parts, other) = (parts(&object), parts(&other));
    assert_eq!((parts.len(), other.len()), (4, 4));
    for at in 0..parts.len() {
        let mut fewer = parts.clone();
        fewer.remove(at);
        let mut more = parts.clone();
        more.insert(at, parts[at]);
        let mut mixed = parts.clone();
        mixed[at] = other[at];
        for changed in [fewer, more, mixed] {
            assert!(wal(&changed.concat(), &keyring).is_err());
        }
    }
}

#[test]
fn journals_and_their_copies() {
    let vectors = vectors();
    let (keyring, journal) = (keyring(&vectors), &vectors["journal"]);
    let copy = bytes(&journal["copy"]);
    survive(&copy, |bytes| open_journal_copy(&mut bytes.to_vec(), &keyring));
    let line = journal["lines"][1].as_str().unwrap();
    survive(line.as_bytes(), |bytes| JournalEntry::open(bytes, keyring.secrets().journal_key()));
    // Who looks without a key must not be led astray, either.
    let read = |seed| JournalEntry::read(&Draws(seed).mutate(line.as_bytes()));
    let readable = (0..ROUNDS).filter(|seed| read(*seed).is_ok()).count();
    assert!(readable > 100, "only {readable} of {ROUNDS} changed entries were read at all");
}

#[test]
fn site_documents() {
    let vectors = vectors();
    let (keyring, golden) = (keyring(&vectors), &vectors["site_document"]);
    let key = ObjectKey::parse(golden["key"].as_str().unwrap()).unwrap();
    survive(&bytes(&golden["bytes"]), |bytes| SiteDocument::open(&mut bytes.to_vec(), &key, &keyring));
}

#[test]
fn segment_headers() {
    // A header is believed only after its chunk was authenticated, so it need not notice changes, but must not panic.
    let mut header = vec![0x10, 0xd1, 2, 0, 1, 0, 0, 0, 0, 0, 0, 1];
    header.resize(32, 0);
    header.extend((16u32 << 20).to_le_bytes());
    header.extend(8192u32.to_le_bytes());
    let read = (0..ROUNDS).filter(|seed| SegmentHeader::parse(&Draws(*seed).mutate(&header)).is_ok()).count();
    assert!(read > 100, "only {read} of {ROUNDS} changed headers were read at all");
}

#[test]
fn slots() {
    let vectors = vectors();
    let (slot, repository) = (bytes(&vectors["slots"][0]["bytes"]), repository(&vectors));
    assert_eq!(slot.len(), SLOT_BYTES);
    let holder = HolderKey::parse(vectors["keys"]["holder_key"].as_str().unwrap()).unwrap();
    let expected = SlotHeader { epoch: 1, repository, id: holder.slot_id(repository, 1) };
    survive(&slot, |bytes| open_slot(bytes, &holder, expected));
}

#[test]
fn heads() {
    let vectors = vectors();
    let current = root_key(&vectors, 2);
    let head = vectors["heads"][1].as_str().unwrap();
    survive(head.as_bytes(), |bytes| {
        let head = Head::parse(bytes)?;
        head.authenticate(&current)?;
        Ok::<_, FormatError>(head)
    });
}

#[test]
fn lists_that_are_read_can_be_written() {
    // A list is read only after its chunk was authenticated, so it need not notice changes, but must not be led astray.
    let list = bytes(&vectors()["containers"][1]["records"][0]["plaintext"]);
    let mut read = 0;
    for seed in 0..ROUNDS {
        if let Ok(entries) = decode_list(&Draws(seed).mutate(&list)) {
            let again = decode_list(&encode_list(&entries).unwrap()).unwrap();
            assert_eq!(again, entries, "seed {seed}");
            read += 1;
        }
    }
    assert!(read > 100, "only {read} of {ROUNDS} changed lists were read at all");
}

#[test]
fn object_keys_have_one_spelling() {
    let vectors = vectors();
    let pack = vectors["containers"][0]["sha256"].as_str().unwrap();
    let keys = [
        "chronavault.json".to_owned(),
        format!("packs/{}/{pack}.pack", &pack[..2]),
        format!("keys/{}.slot", vectors["keys"]["slot_ids"][0].as_str().unwrap()),
        "backup-2026-11-23-120000-abc123.manifest".to_owned(),
        "backup-2026-11-23-120000-abc123.sha256".to_owned(),
        "proofs/backup-2026-11-23-120000-abc123/2026-11-24-030000-00ff00.proof".to_owned(),
        "wal/7312345678901234567/00000001/000000010000000A000000FF.wal".to_owned(),
        "wal/7312345678901234567/00000001/000000010000000A000000FF.partial.wal".to_owned(),
        "wal/7312345678901234567/00000001/000000010000000A000000FF.00000028.backup.wal".to_owned(),
        "wal/7312345678901234567/00000002/00000002.history.wal".to_owned(),
        "wal/7312345678901234567/00000001/000000010000000A000000FF.00004000.piece".to_owned(),
        "journal/0000000000000042-0123456789abcdef.jsonl".to_owned(),
        "site/0123456789abcdef/2026-11-23-120000-abc123.configuration".to_owned(),
        "site/0123456789abcdef/2026-11-23-120000-abc123.runbook".to_owned(),
    ];
    for key in keys {
        assert_eq!(ObjectKey::parse(&key).unwrap().to_string(), key);
        for seed in 0..ROUNDS {
            let changed = String::from_utf8_lossy(&Draws(seed).mutate(key.as_bytes())).into_owned();
            if let Some(parsed) = ObjectKey::parse(&changed) {
                assert_eq!(parsed.to_string(), changed, "seed {seed}");
            }
        }
    }
}

/// The parts of a container: header, records, trailer.
fn parts(container: &[u8]) -> Vec<&[u8]> {
    let (header, mut rest) = container.split_at(HEADER_BYTES);
    let mut parts = vec![header];
    while !rest.is_empty() {
        let sealed = u32::from_le_bytes(rest[16..20].try_into().unwrap());
        let (record, after) = rest.split_at(RECORD_HEADER_BYTES + usize::try_from(sealed).unwrap());
        parts.push(record);
        rest = after;
    }
    parts
}

#[test]
fn records_cannot_be_removed_doubled_exchanged_or_moved() {
    let vectors = vectors();
    let keyring = keyring(&vectors);
    let pack = bytes(&vectors["containers"][0]["bytes"]);
    let other = bytes(&vectors["containers"][1]["bytes"]);
    let (parts, other) = (parts(&pack), parts(&other));
    assert_eq!((parts.len(), other.len()), (6, 3));
    contents(&parts.concat(), &keyring).unwrap();
    let refused = |parts: &[&[u8]], what: &str| {
        let found = contents(&parts.concat(), &keyring);
        assert!(found.is_err(), "{what}: {found:?}");
    };
    for at in 0..parts.len() {
        let mut fewer = parts.clone();
        fewer.remove(at);
        refused(&fewer, "removed");
        let mut more = parts.clone();
        more.insert(at, parts[at]);
        refused(&more, "doubled");
        for to in at + 1..parts.len() {
            let mut swapped = parts.clone();
            swapped.swap(at, to);
            refused(&swapped, "exchanged");
        }
        for foreign in &other {
            let mut mixed = parts.clone();
            mixed[at] = foreign;
            refused(&mixed, "from another pack");
        }
    }
    // The trailer of the full pack behind fewer records, which are numbered as they should be.
    for kept in 1..parts.len() - 1 {
        let mut fewer = parts[..kept].to_vec();
        fewer.push(parts[parts.len() - 1]);
        refused(&fewer, "cut off before the trailer");
    }
}
