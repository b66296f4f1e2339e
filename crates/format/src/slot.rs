//! Key slots: a root key, wrapped for one key holder (docs/format.md, section 4).

use zeroize::Zeroizing;

use crate::seal::{self, NONCE_BYTES, TAG_BYTES};
use crate::{FormatError, HolderKey, RepositoryId, RootKey, SlotId};

/// Length of a slot in bytes.
pub const SLOT_BYTES: usize = 140;

const MAGIC: &[u8; 8] = b"CHRVSLOT";
const VERSION: u8 = 1;
const TYPE_HOLDER_KEY: u8 = 1;
const AAD_BYTES: usize = 92;

/// The clear fields of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotHeader {
    /// The epoch of the root key within.
    pub epoch: u32,
    /// The repository that it belongs to.
    pub repository: RepositoryId,
    /// Its id, which is in its object key, too.
    pub id: SlotId,
}

/// Random bytes for one slot.
#[derive(Debug, Clone, Copy)]
pub struct SlotRandom {
    /// Salt of the wrap key.
    pub salt: [u8; 32],
    /// Nonce of the wrap.
    pub nonce: [u8; NONCE_BYTES],
}

/// Wraps `root_key` for `holder`.
pub fn seal_slot(
    holder: &HolderKey,
    repository: RepositoryId,
    epoch: u32,
    root_key: &RootKey,
    random: &SlotRandom,
) -> Result<[u8; SLOT_BYTES], FormatError> {
    let mut slot = [0; SLOT_BYTES];
    slot[..8].copy_from_slice(MAGIC);
    slot[8] = VERSION;
    slot[9] = TYPE_HOLDER_KEY;
    slot[12..16].copy_from_slice(&epoch.to_le_bytes());
    slot[16..32].copy_from_slice(&repository.0);
    slot[32..48].copy_from_slice(&holder.slot_id(repository, epoch).0);
    slot[48..80].copy_from_slice(&random.salt);
    slot[80..92].copy_from_slice(&random.nonce);
    let mut key = Zeroizing::new(root_key.0);
    let (aad, sealed) = slot.split_at_mut(AAD_BYTES);
    let cipher = seal::Cipher::new(&holder.wrap_key(&random.salt))?;
    let tag = cipher.seal(random.nonce, aad, key.as_mut_slice())?;
    sealed[..32].copy_from_slice(key.as_slice());
    sealed[32..].copy_from_slice(&tag);
    Ok(slot)
}

/// Unwraps the root key. The slot must be the one that `expected` describes.
pub fn open_slot(bytes: &[u8], holder: &HolderKey, expected: SlotHeader) -> Result<RootKey, FormatError> {
    let header = parse_slot(bytes)?;
    if header.repository != expected.repository {
        return Err(FormatError::Foreign);
    }
    if header != expected {
        return Err(FormatError::malformed("the slot is not the one that its name says"));
    }
    let salt: [u8; 32] = array(bytes, 48);
    let nonce: [u8; NONCE_BYTES] = array(bytes, 80);
    let mut sealed = Zeroizing::new(array::<{ 32 + TAG_BYTES }>(bytes, AAD_BYTES));
    let cipher = seal::Cipher::new(&holder.wrap_key(&salt))?;
    let plain = cipher.open(nonce, &bytes[..AAD_BYTES], sealed.as_mut_slice(), "the key slot")?;
    Ok(RootKey::new(array(plain, 0)))
}

/// The clear fields of a slot, as far as they can be checked without a key.
pub fn parse_slot(bytes: &[u8]) -> Result<SlotHeader, FormatError> {
    if bytes.len() < 8 || &bytes[..8] != MAGIC {
        return Err(FormatError::Magic { expected: "key slot" });
    }
    if bytes.len() < SLOT_BYTES {
        return Err(FormatError::Truncated { place: "a key slot", length: bytes.len() as u64 });
    }
    if bytes.len() > SLOT_BYTES {
        return Err(FormatError::Trailing { extra: (bytes.len() - SLOT_BYTES) as u64 });
    }
    seal::require_known("slot version", bytes[8], VERSION)?;
    seal::require_known("slot type", bytes[9], TYPE_HOLDER_KEY)?;
    if bytes[10..12] != [0, 0] {
        return Err(FormatError::malformed("a key slot has unknown flags"));
    }
    Ok(SlotHeader {
        epoch: u32::from_le_bytes(array(bytes, 12)),
        repository: RepositoryId(array(bytes, 16)),
        id: SlotId(array(bytes, 32)),
    })
}

/// N bytes from `offset`; the callers have checked the length.
fn array<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[offset..offset + N]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPOSITORY: RepositoryId = RepositoryId([3; 16]);

    fn slot() -> (HolderKey, SlotHeader, [u8; SLOT_BYTES]) {
        let holder = HolderKey::new([9; 32]);
        let random = SlotRandom { salt: [4; 32], nonce: [5; 12] };
        let bytes = seal_slot(&holder, REPOSITORY, 1, &RootKey::new([7; 32]), &random).unwrap();
        let header = SlotHeader { epoch: 1, repository: REPOSITORY, id: holder.slot_id(REPOSITORY, 1) };
        (holder, header, bytes)
    }

    #[test]
    fn a_slot_gives_the_root_key_to_its_holder_only() {
        let (holder, header, bytes) = slot();
        assert!(open_slot(&bytes, &holder, header).unwrap() == RootKey::new([7; 32]));
        assert!(open_slot(&bytes, &HolderKey::new([8; 32]), header).is_err());
    }

    #[test]
    fn a_slot_is_not_taken_for_another() {
        let (holder, header, bytes) = slot();
        // The same key opens both, so only the header tells them apart.
        let other = SlotHeader { epoch: 2, id: holder.slot_id(REPOSITORY, 2), ..header };
        assert!(matches!(open_slot(&bytes, &holder, other), Err(FormatError::Malformed { .. })));
        let foreign = SlotHeader { repository: RepositoryId([4; 16]), ..header };
        assert_eq!(open_slot(&bytes, &holder, foreign).unwrap_err(), FormatError::Foreign);
    }

    #[test]
    fn every_refusal_says_what_it_is() {
        use FormatError as E;
        let (holder, header, slot) = slot();
        let with = |offset: usize, byte: u8| {
            let mut changed = slot;
            changed[offset] = byte;
            open_slot(&changed, &holder, header).unwrap_err()
        };
        assert_eq!(with(0, b'X'), E::Magic { expected: "key slot" });
        assert_eq!(with(8, 2), E::Newer { field: "slot version", found: 2, known: 1 });
        assert_eq!(with(9, 2), E::Newer { field: "slot type", found: 2, known: 1 });
        assert!(matches!(with(10, 1), E::Malformed { .. }));
        assert!(matches!(with(12, 2), E::Malformed { .. }));
        assert_eq!(with(16, 9), E::Foreign);
        assert!(matches!(with(32, 9), E::Malformed { .. }));
        for offset in [48, 80, 92, 139] {
            assert_eq!(with(offset, 0xee), E::Authentication { what: "the key slot" });
        }
        assert_eq!(
            open_slot(&slot[..139], &holder, header).unwrap_err(),
            E::Truncated { place: "a key slot", length: 139 }
        );
        let longer = [&slot[..], &[0, 0]].concat();
        assert_eq!(open_slot(&longer, &holder, header).unwrap_err(), E::Trailing { extra: 2 });
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let (holder, header, bytes) = slot();
        for position in 0..8 * SLOT_BYTES {
            let mut damaged = bytes;
            damaged[position / 8] ^= 1 << (position % 8);
            assert!(open_slot(&damaged, &holder, header).is_err(), "bit {position}");
        }
        for length in 0..SLOT_BYTES {
            assert!(open_slot(&bytes[..length], &holder, header).is_err(), "{length} bytes");
        }
    }
}
