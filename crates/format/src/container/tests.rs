//! Containers give back what was put in, and notice everything else.

use super::*;
use crate::{ChunkId, Compressor, Keyring, RepositoryId, RootKey};
use proptest::prelude::*;

fn keyring() -> Keyring {
    Keyring::new(RepositoryId([1; 16]), RootKey::new([2; 32]), Vec::new())
}

/// A pack with a full chunk, a delta to it, and a stored list.
fn pack(keyring: &Keyring) -> Finished {
    let mut builder = ContainerBuilder::new(ContainerKind::Pack, keyring, [3; 32], Vec::new()).unwrap();
    let mut compressor = Compressor::new(1).unwrap();
    let (base, changed) = (chunk(0), chunk(5));
    let id = |plaintext: &[u8]| keyring.secrets().chunk_id(plaintext);
    let mut add = |record_type, codec, plaintext: &[u8], base: Option<ChunkId>, body: &[u8]| {
        let plain_len = u32::try_from(plaintext.len()).unwrap();
        let record = NewRecord { record_type, codec, plain_len, id: id(plaintext), base, body };
        builder.append(&record).unwrap()
    };
    add(RecordType::Full, Codec::Zstd, &base, None, compressor.compress(&base).unwrap());
    let delta = compressor.compress_delta(&changed, &base).unwrap();
    add(RecordType::Delta, Codec::ZstdDelta, &changed, Some(id(&base)), delta);
    add(RecordType::List, Codec::Stored, b"list", None, b"list");
    builder.finish().unwrap()
}

fn chunk(skip: usize) -> Vec<u8> {
    (0..300).filter(|n| n % 7 != skip).flat_map(|n| format!("{n}\trow {}\n", n * n).into_bytes()).collect()
}

fn contents(bytes: &[u8], keyring: &Keyring) -> Result<Vec<Vec<u8>>, crate::FormatError> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    walk(ContainerKind::Pack, &mut bytes.to_vec(), keyring, |_, record| {
        let plaintext = match record.base {
            Some(_) => record.plaintext_with_base(&found[0], keyring)?,
            None => record.plaintext(keyring)?,
        };
        found.push(plaintext);
        Ok(())
    })?;
    Ok(found)
}

#[test]
fn a_pack_gives_its_chunks_back() {
    let keyring = keyring();
    let pack = pack(&keyring);
    assert_eq!(contents(&pack.bytes, &keyring).unwrap(), [chunk(0), chunk(5), b"list".to_vec()]);
    let sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &pack.bytes);
    assert_eq!(pack.id.0, *sha256.as_ref());
}

#[test]
fn one_record_can_be_read_alone() {
    let keyring = keyring();
    let pack = pack(&keyring);
    let mut spans = Vec::new();
    walk(ContainerKind::Pack, &mut pack.bytes.clone(), &keyring, |offset, record| {
        spans.push((offset as usize, RECORD_HEADER_BYTES + record.header.sealed_len as usize));
        Ok(())
    })
    .unwrap();
    let container = Container::open(ContainerKind::Pack, &pack.bytes[..HEADER_BYTES], &keyring).unwrap();
    let (offset, length) = spans[2];
    let record = &mut pack.bytes[offset..offset + length].to_vec();
    assert_eq!(container.open_record(record).unwrap().plaintext(&keyring).unwrap(), b"list");
}

#[test]
fn every_flipped_bit_is_noticed() {
    let keyring = keyring();
    let pack = pack(&keyring).bytes;
    for bit in 0..8 * pack.len() {
        let mut damaged = pack.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(contents(&damaged, &keyring).is_err(), "bit {bit}");
    }
}

#[test]
fn every_cut_and_every_extra_byte_is_noticed() {
    let keyring = keyring();
    let mut pack = pack(&keyring).bytes;
    for length in 0..pack.len() {
        assert!(contents(&pack[..length], &keyring).is_err(), "{length} bytes");
    }
    pack.push(0);
    assert_eq!(contents(&pack, &keyring), Err(crate::FormatError::Trailing { extra: 1 }));
}

#[test]
fn other_keys_and_other_repositories_are_refused() {
    let pack = pack(&keyring()).bytes;
    let other_key = Keyring::new(RepositoryId([1; 16]), RootKey::new([9; 32]), Vec::new());
    assert!(matches!(contents(&pack, &other_key), Err(crate::FormatError::Authentication { .. })));
    let other_repository = Keyring::new(RepositoryId([9; 16]), RootKey::new([2; 32]), Vec::new());
    assert_eq!(contents(&pack, &other_repository), Err(crate::FormatError::Foreign));
}

#[test]
fn a_container_is_not_taken_for_one_of_another_kind() {
    let keyring = keyring();
    let mut pack = pack(&keyring).bytes;
    let refused = open_single(ContainerKind::Manifest, RecordType::Manifest, &mut pack, &keyring);
    assert!(matches!(refused, Err(crate::FormatError::Magic { .. })));
    let mut single =
        seal_single(ContainerKind::Proof, RecordType::Proof, b"{}", &keyring, [0; 32]).unwrap().bytes;
    assert_eq!(
        open_single(ContainerKind::Proof, RecordType::Proof, &mut single.clone(), &keyring).unwrap(),
        b"{}"
    );
    assert!(open_single(ContainerKind::Manifest, RecordType::Manifest, &mut single, &keyring).is_err());
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused_calmly(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
        let keyring = keyring();
        let mut bytes = pack(&keyring).bytes[..HEADER_BYTES].to_vec();
        bytes.extend_from_slice(RECORD_MAGIC);
        bytes.extend_from_slice(&tail);
        prop_assert!(contents(&bytes, &keyring).is_err());
    }
}

#[test]
fn every_refusal_says_what_it_is() {
    use crate::FormatError as E;
    let keyring = keyring();
    let pack = pack(&keyring).bytes;
    let with = |offset: usize, bytes: &[u8]| {
        let mut changed = pack.clone();
        changed[offset..offset + bytes.len()].copy_from_slice(bytes);
        contents(&changed, &keyring).unwrap_err()
    };
    let length = pack.len() as u64;
    assert_eq!(with(0, b"CHRVMANI"), E::Magic { expected: "pack" });
    assert_eq!(with(8, &[2]), E::Newer { field: "container version", found: 2, known: 1 });
    assert_eq!(with(9, &[2]), E::Newer { field: "suite", found: 2, known: 1 });
    assert!(matches!(with(8, &[0]), E::Malformed { .. }));
    assert!(matches!(with(10, &[1]), E::Malformed { .. }));
    assert_eq!(with(12, &[2]), E::UnknownEpoch { epoch: 2 });
    assert_eq!(with(12, &[0]), E::UnknownEpoch { epoch: 0 });
    assert_eq!(with(16, &[9]), E::Foreign);
    assert_eq!(with(32, &[9]), E::Authentication { what: "a record" });
    // The fields of the first record.
    assert!(matches!(with(64, b"X"), E::Malformed { .. }));
    assert!(matches!(with(68, &[1]), E::Malformed { .. }), "index");
    assert_eq!(with(72, &[10]), E::Newer { field: "record type", found: 10, known: 9 });
    assert!(matches!(with(72, &[4]), E::Malformed { .. }), "a manifest in a pack");
    assert!(matches!(with(72, &[2]), E::Malformed { .. }), "a delta that is none");
    assert!(matches!(with(72, &[127]), E::Malformed { .. }), "a trailer too early");
    assert_eq!(with(73, &[9]), E::Newer { field: "codec", found: 9, known: 3 });
    assert!(matches!(with(73, &[2]), E::Malformed { .. }), "a full chunk with a base");
    assert!(matches!(with(74, &[1]), E::Malformed { .. }), "zero");
    let limit = 64 << 20;
    let large = (64u32 << 20) + 1;
    assert_eq!(with(76, &large.to_le_bytes()), E::Limit { what: "a chunk", value: large.into(), limit });
    assert_eq!(with(76, &(large - 1).to_le_bytes()), E::Authentication { what: "a record" });
    assert_eq!(with(80, &u32::MAX.to_le_bytes()), E::Truncated { place: "a record", length });
    assert!(matches!(with(80, &15u32.to_le_bytes()), E::Malformed { .. }), "shorter than its tag");
    assert_eq!(with(84, &[0xff]), E::Authentication { what: "a record" });
    assert_eq!(with(116, &[0xff]), E::Authentication { what: "a record" });
}

/// A pack whose trailer has this header (after its index) and this plaintext, sealed by whoever has the key.
fn with_trailer(index: u32, codec: u8, id: u8, plain: &[u8]) -> Result<Vec<Vec<u8>>, crate::FormatError> {
    let keyring = keyring();
    let bytes = pack(&keyring).bytes;
    let start = bytes.len() - RECORD_HEADER_BYTES - TRAILER_BYTES - 16;
    let mut bytes = bytes[..start].to_vec();
    let (plain_len, sealed_len) =
        (u32::try_from(plain.len()).unwrap(), u32::try_from(plain.len() + 16).unwrap());
    let mut header = Vec::new();
    header.extend_from_slice(RECORD_MAGIC);
    header.extend_from_slice(&index.to_le_bytes());
    header.extend_from_slice(&[TYPE_TRAILER, codec, 0, 0]);
    header.extend_from_slice(&plain_len.to_le_bytes());
    header.extend_from_slice(&sealed_len.to_le_bytes());
    header.extend_from_slice(&[id; 32]);
    let root = keyring.root_key(1)?;
    let cipher = crate::seal::Cipher::new(&root.container_key(&bytes[32..64], &bytes[..64]))?;
    let mut sealed = plain.to_vec();
    let tag = cipher.seal(nonce(index), &[&bytes[..64], &header].concat(), &mut sealed)?;
    for part in [&header[..], &sealed, &tag] {
        bytes.extend_from_slice(part);
    }
    contents(&bytes, &keyring)
}

#[test]
fn a_trailer_that_contradicts_its_records_is_refused() {
    let keyring = keyring();
    let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let mut pack = pack(&keyring).bytes;
    digest.update(&pack[..HEADER_BYTES]);
    let clear = pack.clone();
    walk(ContainerKind::Pack, &mut pack, &keyring, |offset, _| {
        digest.update(&clear[offset as usize..][..RECORD_HEADER_BYTES]);
        Ok(())
    })
    .unwrap();
    let good = [&3u32.to_le_bytes()[..], digest.finish().as_ref()].concat();
    with_trailer(3, 0, 0, &good).unwrap();
    let malformed = |found: Result<_, _>| matches!(found, Err(crate::FormatError::Malformed { .. }));
    assert!(malformed(with_trailer(4, 0, 0, &good)), "index");
    assert!(malformed(with_trailer(3, 1, 0, &good)), "codec");
    assert!(malformed(with_trailer(3, 0, 1, &good)), "id");
    assert!(malformed(with_trailer(3, 0, 0, &good[..35])), "length");
    assert!(malformed(with_trailer(3, 0, 0, &[&good[..], &[0]].concat())), "length");
    for position in [0, 4, 35] {
        let mut wrong = good.clone();
        wrong[position] ^= 1;
        assert!(malformed(with_trailer(3, 0, 0, &wrong)), "plaintext at {position}");
    }
}

#[test]
fn a_chunk_under_the_id_of_another_is_refused() {
    let keyring = keyring();
    let id = keyring.secrets().chunk_id(b"another");
    let mut builder = ContainerBuilder::new(ContainerKind::Pack, &keyring, [3; 32], Vec::new()).unwrap();
    for (codec, plain_len, body) in
        [(Codec::Stored, 4, b"list"), (Codec::Stored, 5, b"list"), (Codec::Zstd, 4, b"list")]
    {
        let record = NewRecord { record_type: RecordType::List, codec, plain_len, id, base: None, body };
        builder.append(&record).unwrap();
    }
    let mut refusals = Vec::new();
    walk(ContainerKind::Pack, &mut builder.finish().unwrap().bytes, &keyring, |_, record| {
        refusals.push(record.plaintext(&keyring).unwrap_err());
        Ok(())
    })
    .unwrap();
    assert_eq!(refusals[0], crate::FormatError::WrongChunk { expected: id });
    assert!(
        refusals[1..].iter().all(|refusal| matches!(refusal, crate::FormatError::Malformed { .. })),
        "{refusals:?}"
    );
}

#[test]
fn a_delta_needs_the_base_that_it_names() {
    let keyring = keyring();
    let mut pack = pack(&keyring).bytes;
    walk(ContainerKind::Pack, &mut pack, &keyring, |_, record| {
        if record.header.record_type == RecordType::Delta {
            assert!(record.plaintext(&keyring).is_err());
            assert!(record.plaintext_with_base(&chunk(1), &keyring).is_err());
            assert!(record.plaintext_with_base(b"", &keyring).is_err());
            assert_eq!(record.plaintext_with_base(&chunk(0), &keyring)?, chunk(5));
        } else {
            assert!(record.plaintext_with_base(&chunk(0), &keyring).is_err());
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_container_grows_only_to_its_limits() {
    let keyring = keyring();
    let mut builder = ContainerBuilder::new(ContainerKind::Pack, &keyring, [3; 32], Vec::new()).unwrap();
    let record = |record_type, plain_len, body| {
        let id = ChunkId([7; 32]);
        NewRecord { record_type, codec: Codec::Stored, plain_len, id, base: None, body }
    };
    assert!(builder.append(&record(RecordType::Manifest, 1, b"x")).is_err());
    assert!(builder.append(&record(RecordType::Full, (64 << 20) + 1, b"x")).is_err());
    assert!(builder.is_empty() && builder.len() == HEADER_BYTES);
    let most = CONTAINER_BYTES_MAX - HEADER_BYTES - 2 * (RECORD_HEADER_BYTES + 16) - TRAILER_BYTES - 32;
    let body = vec![1; most + 1];
    assert!(!builder.has_room_for(most + 1) && builder.append(&record(RecordType::Full, 1, &body)).is_err());
    assert!(builder.has_room_for(most));
    builder.append(&record(RecordType::Full, 1, &body[..most])).unwrap();
    assert!(!builder.has_room_for(0));
    let mut bytes = builder.finish().unwrap().bytes;
    assert!((CONTAINER_BYTES_MAX - 32..=CONTAINER_BYTES_MAX).contains(&bytes.len()));
    walk(ContainerKind::Pack, &mut bytes, &keyring, |_, _| Ok(())).unwrap();
    bytes.resize(CONTAINER_BYTES_MAX + 1, 0);
    assert!(matches!(
        walk(ContainerKind::Pack, &mut bytes, &keyring, |_, _| Ok(())),
        Err(crate::FormatError::Limit { .. })
    ));
}
