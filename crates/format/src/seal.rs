//! AES-256-GCM, in place (NIST SP 800-38D).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::FormatError;

pub(crate) const NONCE_BYTES: usize = 12;
pub(crate) const TAG_BYTES: usize = 16;

/// One key, ready for use.
pub(crate) struct Cipher(LessSafeKey);

impl Cipher {
    pub(crate) fn new(key: &[u8; 32]) -> Result<Self, FormatError> {
        let key = UnboundKey::new(&AES_256_GCM, key)
            .map_err(|_| FormatError::malformed("a key has a wrong length"))?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Encrypts `data` in place and returns the tag. The nonce must never be used twice under one key.
    pub(crate) fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        data: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], FormatError> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(aad), data)
            .map_err(|_| FormatError::malformed("a chunk is too large to be sealed"))?;
        let mut out = [0; TAG_BYTES];
        out.copy_from_slice(tag.as_ref());
        Ok(out)
    }

    /// Authenticates and decrypts `data` (ciphertext and tag) in place and returns the plaintext.
    pub(crate) fn open<'a>(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        data: &'a mut [u8],
        what: &'static str,
    ) -> Result<&'a mut [u8], FormatError> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0.open_in_place(nonce, Aad::from(aad), data).map_err(|_| FormatError::Authentication { what })
    }
}

pub(crate) fn require_known(field: &'static str, found: u8, known: u8) -> Result<(), FormatError> {
    match found {
        found if found == known => Ok(()),
        0 => Err(FormatError::malformed("a version, suite or type is zero")),
        found => Err(FormatError::Newer { field, found: found.into(), known: known.into() }),
    }
}
