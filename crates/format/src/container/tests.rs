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
