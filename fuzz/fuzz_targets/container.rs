//! Containers: whatever stands behind an authentic header is refused without a panic, what was sealed with the key is read up
//! to the decompressor, and no changed byte goes unnoticed.

#![no_main]

use format::{
    ChunkId, Codec, ContainerBuilder, ContainerKind, FormatError, HEADER_BYTES, NewRecord, RecordType, walk,
};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    kind: u8,
    records: Vec<Sealed<'a>>,
    /// Positions and the bits that change there.
    changes: Vec<(u16, u8)>,
    /// Bytes behind an authentic header.
    raw: &'a [u8],
}

#[derive(Arbitrary, Debug)]
struct Sealed<'a> {
    type_and_codec: u8,
    plain_len: u16,
    body: &'a [u8],
}

fn kind(number: u8) -> ContainerKind {
    [ContainerKind::Pack, ContainerKind::Manifest, ContainerKind::Proof][usize::from(number % 3)]
}

/// The container with these records, as far as its kind allows them.
fn seal(kind: ContainerKind, records: &[Sealed<'_>]) -> Result<Vec<u8>, FormatError> {
    let keyring = chronavault_fuzz::keyring();
    let mut builder = ContainerBuilder::new(kind, &keyring, [3; 32], Vec::new())?;
    for record in records {
        let types =
            [RecordType::Full, RecordType::Delta, RecordType::List, RecordType::Manifest, RecordType::Proof];
        let codecs = [Codec::Stored, Codec::Zstd, Codec::ZstdDelta];
        let codec = codecs[usize::from(record.type_and_codec / 8 % 3)];
        // Refused ones are left out: what is in a container, the builder accepted.
        let _ = builder.append(&NewRecord {
            record_type: types[usize::from(record.type_and_codec % 5)],
            codec,
            plain_len: if codec == Codec::Stored {
                record.body.len() as u32
            } else {
                record.plain_len.into()
            },
            id: keyring.secrets().chunk_id(record.body),
            base: (codec == Codec::ZstdDelta).then_some(ChunkId([4; 32])),
            body: record.body,
        });
    }
    Ok(builder.finish()?.bytes)
}

/// Reads everything that can be read.
fn read(kind: ContainerKind, bytes: &mut [u8]) -> Result<(), FormatError> {
    let keyring = chronavault_fuzz::keyring();
    walk(kind, bytes, &keyring, |_, record| {
        let plaintext = match record.base {
            None => record.plaintext(&keyring),
            Some(_) => record.plaintext_with_base(b"a base", &keyring),
        };
        // Not every body is what its codec says, and that is for its reader to refuse.
        drop(plaintext);
        Ok(())
    })
}

fuzz_target!(|input: Input<'_>| {
    let kind = kind(input.kind);
    let sealed = seal(kind, &input.records).expect("a container can be sealed");
    let _ = read(kind, &mut sealed.clone());

    let mut changed = sealed.clone();
    for (position, bits) in input.changes {
        let position = usize::from(position) % changed.len();
        changed[position] ^= bits;
    }
    if changed != sealed {
        assert!(read(kind, &mut changed).is_err(), "a changed byte went unnoticed");
    }

    let mut raw = sealed;
    raw.truncate(HEADER_BYTES);
    raw.extend_from_slice(input.raw);
    assert!(read(kind, &mut raw).is_err(), "nobody without the key can seal a trailer");
});
