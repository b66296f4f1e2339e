//! Lists: the chunks of a stream, in order (docs/format.md, section 8).

use std::collections::HashMap;

use crate::container::{CHUNK_BYTES_MAX, CONTAINER_BYTES_MAX, HEADER_BYTES, RECORD_HEADER_BYTES};
use crate::seal::TAG_BYTES;
use crate::{ChunkId, FormatError, PackId};

/// A list chunk has at most so many entries.
pub const LIST_ENTRIES_MAX: usize = 4096;

const MAGIC: &[u8; 4] = b"LIST";
const LIST_HEADER_BYTES: usize = 12;
const ENTRY_BYTES: usize = 112;
const FLAG_DELTA: u8 = 1;
const FLAG_CONTINUES: u8 = 2;

/// Where a record is, and what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The pack.
    pub pack: PackId,
    /// Offset of the record's header in the pack, in bytes.
    pub offset: u32,
    /// Bytes after the record's header, tag included.
    pub sealed_bytes: u32,
    /// Bytes of the chunk.
    pub plain_bytes: u32,
    /// The id of the chunk.
    pub id: ChunkId,
}

impl Place {
    /// Checks that such a record can be: that it lies within a pack as large as packs may be, and that its chunk is no
    /// larger than chunks may be. So whoever reads it need not fear its lengths.
    pub fn check(&self) -> Result<(), FormatError> {
        let end = u64::from(self.offset) + RECORD_HEADER_BYTES as u64 + u64::from(self.sealed_bytes);
        let possible = self.offset as usize >= HEADER_BYTES
            && self.sealed_bytes as usize >= TAG_BYTES
            && end <= CONTAINER_BYTES_MAX as u64
            && self.plain_bytes as usize <= CHUNK_BYTES_MAX;
        if possible {
            Ok(())
        } else {
            Err(FormatError::malformed("no record can be at a place that is named"))
        }
    }
}

/// One chunk of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListEntry {
    /// Where it is.
    pub place: Place,
    /// Rows that end in it; 0 in archives.
    pub rows: u32,
    /// Whether the next entry goes on with the same row.
    pub continues: bool,
    /// Hash of the first column of its first row; 0 in archives.
    pub key_hash: u64,
    /// For a delta: the full chunk that it is a difference to.
    pub base: Option<Place>,
}

impl ListEntry {
    fn check(&self) -> Result<(), FormatError> {
        self.place.check()?;
        self.base.as_ref().map_or(Ok(()), Place::check)
    }
}

/// The plaintext of a list chunk.
pub fn encode_list(entries: &[ListEntry]) -> Result<Vec<u8>, FormatError> {
    if entries.len() > LIST_ENTRIES_MAX {
        let (value, limit) = (entries.len() as u64, LIST_ENTRIES_MAX as u64);
        return Err(FormatError::Limit { what: "a list", value, limit });
    }
    let mut packs = PackTable::default();
    let mut body = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for entry in entries {
        entry.check()?;
        encode_entry(entry, &mut packs, &mut body);
    }
    let mut out = Vec::with_capacity(LIST_HEADER_BYTES + packs.names.len() * PackId::BYTES + body.len());
    out.extend_from_slice(MAGIC);
    for count in [packs.names.len(), entries.len()] {
        out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    }
    packs.names.iter().for_each(|pack| out.extend_from_slice(&pack.0));
    out.extend_from_slice(&body);
    Ok(out)
}

#[derive(Default)]
struct PackTable {
    names: Vec<PackId>,
    positions: HashMap<PackId, u32>,
}

impl PackTable {
    fn position(&mut self, pack: PackId) -> u32 {
        *self.positions.entry(pack).or_insert_with(|| {
            self.names.push(pack);
            u32::try_from(self.names.len() - 1).unwrap_or(u32::MAX)
        })
    }
}

fn encode_entry(entry: &ListEntry, packs: &mut PackTable, out: &mut Vec<u8>) {
    let ListEntry { place, rows, continues, key_hash, base } = entry;
    let flags = u8::from(base.is_some()) * FLAG_DELTA + u8::from(*continues) * FLAG_CONTINUES;
    for word in [packs.position(place.pack), place.offset, place.sealed_bytes, place.plain_bytes, *rows] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&[flags, 0, 0, 0]);
    out.extend_from_slice(&key_hash.to_le_bytes());
    out.extend_from_slice(&place.id.0);
    match base {
        Some(base) => {
            for word in [packs.position(base.pack), base.offset, base.sealed_bytes, base.plain_bytes] {
                out.extend_from_slice(&word.to_le_bytes());
            }
            out.extend_from_slice(&base.id.0);
        }
        None => out.extend_from_slice(&[0; 48]),
    }
}

/// The entries of a list chunk.
pub fn decode_list(bytes: &[u8]) -> Result<Vec<ListEntry>, FormatError> {
    let mut reader = Reader { rest: bytes };
    if &reader.array::<4>()? != MAGIC {
        return Err(FormatError::Magic { expected: "list" });
    }
    let (packs, entries) = (reader.u32()? as usize, reader.u32()? as usize);
    let expected = packs.checked_mul(PackId::BYTES).zip(entries.checked_mul(ENTRY_BYTES));
    if entries > LIST_ENTRIES_MAX || expected.map(|(a, b)| a.saturating_add(b)) != Some(reader.rest.len()) {
        return Err(FormatError::malformed("a list is not as long as it says"));
    }
    let packs = (0..packs).map(|_| Ok(PackId(reader.array()?))).collect::<Result<Vec<_>, FormatError>>()?;
    (0..entries).map(|_| reader.entry(&packs)).collect()
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (head, rest) =
            self.rest.split_first_chunk::<N>().ok_or(FormatError::malformed("a list is cut off"))?;
        self.rest = rest;
        Ok(*head)
    }

    fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn entry(&mut self, packs: &[PackId]) -> Result<ListEntry, FormatError> {
        let [pack, offset, sealed_bytes, plain_bytes, rows] =
            [self.u32()?, self.u32()?, self.u32()?, self.u32()?, self.u32()?];
        let [flags, zeros @ ..] = self.array::<4>()?;
        if flags & !(FLAG_DELTA | FLAG_CONTINUES) != 0 || zeros != [0; 3] {
            return Err(FormatError::malformed("a list entry has unknown flags"));
        }
        let key_hash = u64::from_le_bytes(self.array()?);
        let id = ChunkId(self.array()?);
        let place = Place { pack: pack_at(packs, pack)?, offset, sealed_bytes, plain_bytes, id };
        let base = self.base(packs, flags & FLAG_DELTA != 0)?;
        let entry = ListEntry { place, rows, continues: flags & FLAG_CONTINUES != 0, key_hash, base };
        entry.check()?;
        Ok(entry)
    }

    fn base(&mut self, packs: &[PackId], is_delta: bool) -> Result<Option<Place>, FormatError> {
        let [pack, offset, sealed_bytes, plain_bytes] = [self.u32()?, self.u32()?, self.u32()?, self.u32()?];
        let id = ChunkId(self.array()?);
        if is_delta {
            return Ok(Some(Place { pack: pack_at(packs, pack)?, offset, sealed_bytes, plain_bytes, id }));
        }
        if [pack, offset, sealed_bytes, plain_bytes] != [0; 4] || id != ChunkId([0; 32]) {
            return Err(FormatError::malformed("a list entry that is no delta names a base"));
        }
        Ok(None)
    }
}

fn pack_at(packs: &[PackId], position: u32) -> Result<PackId, FormatError> {
    packs
        .get(position as usize)
        .copied()
        .ok_or(FormatError::malformed("a list entry names no pack of its list"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place() -> impl Strategy<Value = Place> {
        (0..3u8, 64..1u32 << 25, 16..1u32 << 24, 0..=1u32 << 26, any::<u8>()).prop_map(
            |(pack, offset, sealed_bytes, plain_bytes, id)| Place {
                pack: PackId([pack; 32]),
                offset,
                sealed_bytes,
                plain_bytes,
                id: ChunkId([id; 32]),
            },
        )
    }

    fn entry() -> impl Strategy<Value = ListEntry> {
        (place(), any::<u32>(), any::<bool>(), any::<u64>(), proptest::option::of(place())).prop_map(
            |(place, rows, continues, key_hash, base)| ListEntry { place, rows, continues, key_hash, base },
        )
    }

    fn full(offset: u32, sealed_bytes: u32, plain_bytes: u32) -> ListEntry {
        let place = Place { pack: PackId([1; 32]), offset, sealed_bytes, plain_bytes, id: ChunkId([2; 32]) };
        ListEntry { place, rows: 0, continues: false, key_hash: 0, base: None }
    }

    /// The bytes of a list of one full chunk; the place is not checked.
    fn bytes_of(entry: &ListEntry) -> Vec<u8> {
        let mut bytes = encode_list(&[full(64, 16, 0)]).unwrap();
        let at = bytes.len() - ENTRY_BYTES;
        for (word, value) in
            [entry.place.offset, entry.place.sealed_bytes, entry.place.plain_bytes].iter().enumerate()
        {
            bytes[at + 4 + 4 * word..][..4].copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn places_where_no_record_can_be_are_refused() {
        let pack = 64 << 20;
        for entry in [full(64, 16, 0), full(pack - 52 - 16, 16, 0), full(64, pack - 64 - 52, 64 << 20)] {
            assert_eq!(decode_list(&bytes_of(&entry)).unwrap(), [entry]);
        }
        for entry in [
            full(63, 16, 0),
            full(64, 15, 0),
            full(pack - 52 - 15, 16, 0),
            full(64, pack - 64 - 51, 0),
            full(u32::MAX, u32::MAX, 0),
            full(64, 16, (64 << 20) + 1),
        ] {
            assert!(decode_list(&bytes_of(&entry)).is_err(), "{entry:?}");
            assert!(encode_list(&[entry]).is_err(), "{entry:?}");
            let delta = ListEntry { base: Some(entry.place), ..full(64, 16, 0) };
            assert!(encode_list(&[delta]).is_err(), "{entry:?} as a base");
        }
    }

    #[test]
    fn what_a_list_should_not_hold_is_refused() {
        let good = encode_list(&[full(64, 16, 0)]).unwrap();
        let entry = good.len() - ENTRY_BYTES;
        // Magic, number of packs, number of entries, pack, flags, zeros, base.
        for position in
            [0, 4, 8, entry, entry + 20, entry + 21, entry + 23, entry + 64, entry + ENTRY_BYTES - 1]
        {
            let mut bad = good.clone();
            bad[position] ^= 4;
            assert!(decode_list(&bad).is_err(), "byte {position}");
        }
        assert!(decode_list(&[&good[..], &[0]].concat()).is_err());
        let many = vec![full(64, 16, 0); LIST_ENTRIES_MAX + 1];
        assert!(matches!(encode_list(&many), Err(FormatError::Limit { .. })));
        let most = encode_list(&many[1..]).unwrap();
        assert_eq!(decode_list(&most).unwrap().len(), LIST_ENTRIES_MAX);
        let mut one_more = [&most[..], &most[most.len() - ENTRY_BYTES..]].concat();
        one_more[8..12].copy_from_slice(&4097u32.to_le_bytes());
        assert!(decode_list(&one_more).is_err());
    }

    proptest! {
        #[test]
        fn lists_survive_encoding(entries in proptest::collection::vec(entry(), 0..20)) {
            let bytes = encode_list(&entries).unwrap();
            prop_assert_eq!(decode_list(&bytes).unwrap(), entries);
            for length in 0..bytes.len() {
                prop_assert!(decode_list(&bytes[..length]).is_err());
            }
        }

        #[test]
        fn arbitrary_bytes_are_refused_calmly(mut bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode_list(&bytes);
            bytes.splice(0..0, *MAGIC);
            let _ = decode_list(&bytes);
        }
    }
}
