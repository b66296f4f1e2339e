//! WAL objects give back what was put in, under the head that was put in, and notice everything else.

use model::WalSegmentName;

use super::*;
use crate::container::{HEADER_BYTES, RECORD_HEADER_BYTES};
use crate::{RepositoryId, RootKey};

fn keyring() -> Keyring {
    Keyring::new(RepositoryId([1; 16]), RootKey::new([2; 32]), Vec::new())
}

const SEGMENT: WalSegmentName = WalSegmentName { timeline: TimelineId::FIRST, log: 0, segment: 3 };
const SIZE: SegmentSize = SegmentSize::DEFAULT;

fn head(name: WalName, bytes: u64) -> WalHead {
    WalHead {
        version: WAL_VERSION,
        name,
        system_id: SystemId(77),
        timeline: TimelineId::FIRST,
        segment_bytes: matches!(name, WalName::Segment(_) | WalName::Partial(_)).then_some(SIZE),
        offset: 0,
        bytes,
        archived_at: "2026-11-23T12:00:00Z".parse().unwrap(),
    }
}

/// Bytes of which every chunk differs from the others, the first half of them compressible.
fn wal(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..length)
        .map(|at| if at < length / 2 { u8::try_from(at >> 20).unwrap_or(9) } else { noise() })
        .collect()
}

fn seal(head: &WalHead, plain: &[u8], level: Option<i32>) -> Result<Vec<u8>, FormatError> {
    let keyring = keyring();
    let mut compressor = level.map(|level| Compressor::new(level).unwrap());
    let mut builder = WalBuilder::new(head, &keyring, [5; 32])?;
    for chunk in plain.chunks(WAL_CHUNK_BYTES) {
        builder.append(&EncodedChunk::new(chunk, compressor.as_mut(), &keyring)?)?;
    }
    builder.finish()
}

fn open(object: &[u8], keyring: &Keyring) -> Result<(WalHead, Vec<u8>), FormatError> {
    let mut bytes = object.to_vec();
    let (header, mut rest) = bytes.split_at_mut(HEADER_BYTES);
    let mut opener = WalOpener::new(header, keyring)?;
    let mut next = |opener: &WalOpener| {
        let length = opener.record_bytes(rest)?;
        let whole = std::mem::take(&mut rest);
        let truncated = FormatError::Truncated { place: "a record", length: 0 };
        let (record, after) = whole.split_at_mut_checked(length).ok_or(truncated)?;
        rest = after;
        Ok::<_, FormatError>((record, rest.len()))
    };
    let (record, _) = next(&opener)?;
    let head = opener.head(record, keyring)?;
    let mut plain = Vec::new();
    loop {
        let (record, rest) = next(&opener)?;
        match opener.chunk(record)? {
            Some(chunk) => plain.extend(chunk.plaintext(keyring)?),
            None if rest == 0 => return Ok((head, plain)),
            None => return Err(FormatError::Trailing { extra: rest as u64 }),
        }
    }
}

#[test]
fn objects_give_back_what_was_put_in() {
    let lengths = [1, 8192, WAL_CHUNK_BYTES, WAL_CHUNK_BYTES + 1, 3 * WAL_CHUNK_BYTES, 16 << 20];
    for (length, level) in lengths.into_iter().zip([Some(1), None].into_iter().cycle()) {
        let (head, plain) = (head(WalName::Segment(SEGMENT), length as u64), wal(length));
        let object = seal(&head, &plain, level).unwrap();
        let (found, bytes) = open(&object, &keyring()).unwrap();
        assert_eq!(found, head);
        assert!(bytes == plain, "{length}");
        assert_eq!(head.is_whole(), length == 16 << 20);
        // Compression helps where it can, and never makes a chunk longer.
        let most = plain.len() + 1024 + 68 * plain.len().div_ceil(WAL_CHUNK_BYTES);
        assert!(object.len() < most);
        assert!(level.is_none() || length < 1 << 20 || object.len() < plain.len() * 3 / 4, "{length}");
    }
}

#[test]
fn what_is_no_segment_is_sealed_too() {
    for name in ["00000001.history", "000000010000000000000003.00000028.backup"] {
        let head = head(name.parse().unwrap(), 5);
        let object = seal(&head, b"1\t0/0", None).unwrap();
        assert_eq!(open(&object, &keyring()), Ok((head.clone(), b"1\t0/0".to_vec())));
        assert!(head.is_whole());
    }
    let empty = head("00000001.history".parse().unwrap(), 0);
    assert_eq!(open(&seal(&empty, b"", None).unwrap(), &keyring()), Ok((empty, vec![])));
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let object = seal(&head(WalName::Segment(SEGMENT), 200), &wal(200), Some(1)).unwrap();
    let keyring = keyring();
    for bit in 0..8 * object.len() {
        let mut damaged = object.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&damaged, &keyring).is_err(), "bit {bit}");
    }
    for length in HEADER_BYTES..object.len() {
        assert!(open(&object[..length], &keyring).is_err(), "{length} bytes");
    }
    assert!(open(&[&object[..], &[0]].concat(), &keyring).is_err());
}

#[test]
fn a_chunk_too_few_or_too_many_is_noticed() {
    let head = head(WalName::Segment(SEGMENT), (WAL_CHUNK_BYTES + 5) as u64);
    let plain = wal(WAL_CHUNK_BYTES + 5);
    assert!(seal(&head, &plain, None).is_ok());
    for wrong in [&plain[..WAL_CHUNK_BYTES], &plain[5..], &[&plain[..], &[1]].concat()] {
        assert!(matches!(seal(&head, wrong, None), Err(FormatError::Malformed { .. })));
    }
    // Authentic records that do not add up: made with the container alone.
    let keyring = keyring();
    for lengths in [&[WAL_CHUNK_BYTES][..], &[5, WAL_CHUNK_BYTES], &[WAL_CHUNK_BYTES, 5, 1], &[]] {
        let mut builder = WalBuilder::new(&head, &keyring, [5; 32]).unwrap().builder;
        for length in lengths {
            let chunk = EncodedChunk::new(&plain[..*length], None, &keyring).unwrap();
            builder.append(&chunk.record(RecordType::WalChunk)).unwrap();
        }
        let found = open(&builder.finish().unwrap().bytes, &keyring).map(|_| ());
        assert!(matches!(found, Err(FormatError::Malformed { .. })), "{lengths:?}: {found:?}");
    }
    // A second head, and none at all.
    let chunk = EncodedChunk::new(b"{}", None, &keyring).unwrap();
    for (first, second) in
        [(RecordType::WalHead, RecordType::WalHead), (RecordType::WalChunk, RecordType::WalHead)]
    {
        let mut builder = ContainerBuilder::new(ContainerKind::Wal, &keyring, [5; 32], Vec::new()).unwrap();
        builder.append(&chunk.record(first)).unwrap();
        builder.append(&chunk.record(second)).unwrap();
        assert!(open(&builder.finish().unwrap().bytes, &keyring).is_err());
    }
}

#[test]
fn a_head_that_contradicts_itself_is_neither_written_nor_read() {
    let sound = head(WalName::Segment(SEGMENT), 16 << 20);
    let contradictions: [fn(&mut WalHead); 9] = [
        |head| head.offset = 1,
        |head| head.bytes += 1,
        |head| head.bytes = 0,
        |head| head.segment_bytes = None,
        |head| head.timeline = TimelineId::new(2).unwrap(),
        |head| head.name = "00000001.history".parse().unwrap(),
        |head| {
            head.name = WalName::Partial(SEGMENT);
            head.bytes -= 1;
        },
        |head| head.name = "000000010000000000000100".parse().unwrap(),
        |head| {
            head.name = "00000001.history".parse().unwrap();
            head.segment_bytes = None;
        },
    ];
    assert!(sound.check().is_ok());
    for (number, contradict) in contradictions.into_iter().enumerate() {
        let mut head = sound.clone();
        contradict(&mut head);
        assert!(WalBuilder::new(&head, &keyring(), [5; 32]).is_err(), "{number}: {head:?}");
        let text = serde_json::to_vec(&head).unwrap();
        assert!(matches!(WalHead::parse(&text), Err(FormatError::Malformed { .. })), "{number}");
    }
}

#[test]
fn a_later_version_is_refused_and_later_facts_are_ignored() {
    let mut text = serde_json::to_value(head(WalName::Segment(SEGMENT), 16 << 20)).unwrap();
    text["checkpoint"] = 1.into();
    assert!(WalHead::parse(&serde_json::to_vec(&text).unwrap()).is_ok());
    text["version"] = 2.into();
    let newer = WalHead::parse(&serde_json::to_vec(&text).unwrap());
    assert_eq!(newer, Err(FormatError::Newer { field: "WAL version", found: 2, known: 1 }));
}

#[test]
fn a_record_is_never_longer_than_its_chunk_may_be() {
    let keyring = keyring();
    let object = seal(&head(WalName::Segment(SEGMENT), 5), b"12345", None).unwrap();
    let mut opener = WalOpener::new(&object[..HEADER_BYTES], &keyring).unwrap();
    let mut clear = object[HEADER_BYTES..HEADER_BYTES + RECORD_HEADER_BYTES].to_vec();
    assert!(opener.record_bytes(&clear).is_ok());
    clear[16..20].copy_from_slice(&(u32::try_from(WAL_CHUNK_BYTES).unwrap() + 17).to_le_bytes());
    assert!(matches!(opener.record_bytes(&clear), Err(FormatError::Limit { .. })));
    assert!(opener.head(&mut clear, &keyring).is_err());
}
