//! Keys: the holder's key, root keys, and what is derived from them (docs/format.md, sections 4 and 5).
//!
//! Invariant: no key is ever shown by `Debug` or `Display` or named in an error, and each is wiped when dropped.

use aws_lc_rs::{hkdf, hmac};
use model::ROW_SECRET_BYTES;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{ChunkId, Commitment, RepositoryId, SlotId};

/// Bytes of every symmetric key here.
pub const KEY_BYTES: usize = 32;

/// The text is not a key. The text itself is never part of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseKeyError {
    /// The length is wrong.
    #[error("the encryption key has {found} characters; it must be 64 hexadecimal digits (256 bits)")]
    Length {
        /// How many characters there are.
        found: usize,
    },
    /// Some character is no hexadecimal digit.
    #[error(
        "the encryption key holds a character that is no hexadecimal digit; it must be 64 of them (256 bits)"
    )]
    Digit,
}

/// The key of one key holder: `BACKUP_ENCRYPTION_KEY`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct HolderKey([u8; KEY_BYTES]);

impl HolderKey {
    /// The key of these bytes.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits of either case.
    pub fn parse(text: &str) -> Result<Self, ParseKeyError> {
        let found = text.chars().count();
        if found != 2 * KEY_BYTES {
            return Err(ParseKeyError::Length { found });
        }
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        hex::decode_to_slice(text, bytes.as_mut_slice()).map_err(|_| ParseKeyError::Digit)?;
        Ok(Self(*bytes))
    }

    /// The key as 64 hexadecimal digits, to be kept somewhere safe.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.0))
    }

    /// The id of this holder's slot for `epoch`.
    pub fn slot_id(&self, repository: RepositoryId, epoch: u32) -> SlotId {
        SlotId(derive(&self.0, &repository.0, &[b"chronavault v1 slot id", &epoch.to_le_bytes()]))
    }

    pub(crate) fn wrap_key(&self, salt: &[u8; 32]) -> Zeroizing<[u8; KEY_BYTES]> {
        Zeroizing::new(derive(&self.0, salt, &[b"chronavault v1 slot"]))
    }
}

/// The root key of one epoch.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct RootKey(pub(crate) [u8; KEY_BYTES]);

impl RootKey {
    /// The key of these bytes, which must be random.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// What `chronavault.json` says about this key, so that it can be recognised.
    pub fn commitment(&self, repository: RepositoryId, epoch: u32) -> Commitment {
        Commitment(derive(&self.0, &repository.0, &[b"chronavault v1 commitment", &epoch.to_le_bytes()]))
    }

    pub(crate) fn head_mac(&self, repository: RepositoryId, message: &[u8]) -> [u8; 32] {
        let key = Zeroizing::new(derive::<32>(&self.0, &repository.0, &[b"chronavault v1 head"]));
        let mut mac = [0; 32];
        mac.copy_from_slice(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()), message).as_ref());
        mac
    }

    pub(crate) fn container_key(&self, salt: &[u8], header: &[u8]) -> Zeroizing<[u8; KEY_BYTES]> {
        Zeroizing::new(derive(&self.0, salt, &[b"chronavault v1 container", header]))
    }
}

/// The key under which entries of journals are authenticated.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct JournalKey([u8; KEY_BYTES]);

impl JournalKey {
    /// The key of these bytes, for vectors and tests; a repository derives its own.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) fn mac(&self, message: &[u8]) -> [u8; 32] {
        let mut mac = [0; 32];
        mac.copy_from_slice(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), message).as_ref());
        mac
    }

    /// Whether `mac` is that of `message`, in a time that does not depend on where it differs.
    pub(crate) fn authenticates(&self, message: &[u8], mac: &[u8; 32]) -> bool {
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), message, mac).is_ok()
    }
}

/// The secrets that stay the same when keys are rotated: derived from the root key of the first epoch.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Secrets {
    chunk_id_key: [u8; KEY_BYTES],
    row_secret: [u8; ROW_SECRET_BYTES],
    gear: Box<[u64]>,
    journal_key: JournalKey,
}

impl Secrets {
    /// The secrets of a repository.
    pub fn derive(first_root_key: &RootKey, repository: RepositoryId) -> Self {
        let root = &first_root_key.0;
        let gear_bytes = Zeroizing::new(derive::<2048>(root, &repository.0, &[b"chronavault v1 gear"]));
        let (words, _) = gear_bytes.as_chunks::<8>();
        Self {
            chunk_id_key: derive(root, &repository.0, &[b"chronavault v1 chunk id"]),
            row_secret: derive(root, &repository.0, &[b"chronavault v1 row hash"]),
            gear: words.iter().map(|word| u64::from_le_bytes(*word)).collect(),
            journal_key: JournalKey(derive(root, &repository.0, &[b"chronavault v1 journal"])),
        }
    }

    /// The id of a chunk.
    pub fn chunk_id(&self, plaintext: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(&self.chunk_id_key, plaintext).as_bytes())
    }

    /// The secret of the row hash.
    pub fn row_secret(&self) -> [u8; ROW_SECRET_BYTES] {
        self.row_secret
    }

    /// The key of journals.
    pub fn journal_key(&self) -> &JournalKey {
        &self.journal_key
    }

    /// The gear table: 256 words.
    pub fn gear(&self) -> &[u64] {
        &self.gear
    }
}

macro_rules! redacted {
    ($($name:ident),+) => {
        $(impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(secret)"))
            }
        })+
    };
}
redacted!(HolderKey, RootKey, JournalKey, Secrets);

struct Length<const N: usize>;

impl<const N: usize> hkdf::KeyType for Length<N> {
    fn len(&self) -> usize {
        N
    }
}

/// HKDF-SHA256 (RFC 5869). N is at most 255 × 32.
fn derive<const N: usize>(key: &[u8], salt: &[u8], info: &[&[u8]]) -> [u8; N] {
    const { assert!(N <= 255 * 32) };
    let mut out = [0; N];
    let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(key)
        .expand(info, Length::<N>)
        .and_then(|material| material.fill(&mut out));
    // It fails only for lengths that are ruled out above. To go on would be to seal under a key of zeros.
    assert!(derived.is_ok(), "a key could not be derived");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_64_hexadecimal_digits() {
        assert_eq!(HolderKey::parse("").unwrap_err(), ParseKeyError::Length { found: 0 });
        assert_eq!(HolderKey::parse(&"a".repeat(63)).unwrap_err(), ParseKeyError::Length { found: 63 });
        assert_eq!(HolderKey::parse(&"g".repeat(64)).unwrap_err(), ParseKeyError::Digit);
        let key = HolderKey::parse(&"Ab".repeat(32)).unwrap();
        assert_eq!(*key.to_hex(), "ab".repeat(32));
    }

    #[test]
    fn nothing_shows_a_key() {
        let key = HolderKey::parse(&"ab".repeat(32)).unwrap();
        assert_eq!(format!("{key:?}"), "HolderKey(secret)");
        assert!(!HolderKey::parse(&"xy".repeat(32)).unwrap_err().to_string().contains("xy"));
    }

    #[test]
    fn derivation_separates_purposes() {
        let root = RootKey::new([7; 32]);
        let (one, two) = (RepositoryId([1; 16]), RepositoryId([2; 16]));
        assert_ne!(root.commitment(one, 1), root.commitment(two, 1));
        assert_ne!(root.commitment(one, 1), root.commitment(one, 2));
        let secrets = Secrets::derive(&root, one);
        assert_ne!(secrets.chunk_id(b"x"), Secrets::derive(&root, two).chunk_id(b"x"));
        assert_eq!(secrets.gear().len(), 256);
    }
}
