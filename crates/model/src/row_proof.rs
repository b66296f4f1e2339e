//! The row proof: what makes "every row is back" a fact that two databases can be compared by.
//!
//! A row is hashed as the server sends it in `COPY … TO STDOUT` text form, without the closing newline. Hashes are
//! *added* modulo 2^128, so that the sum does not depend on the order of the rows, and a row that occurs twice
//! counts twice (with XOR it would cancel).

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3;

use crate::QualifiedName;

/// Length of the secret that keys the row hash, in bytes.
pub const ROW_SECRET_BYTES: usize = 192;

/// The hash of a row that arrives in parts: `update` with each, then `digest128`.
pub type RowHashState = xxh3::Xxh3;

/// Hashes rows under a secret of the repository (XXH3-128 with a custom secret), so that rows cannot be chosen to
/// collide.
#[derive(Clone)]
pub struct RowHasher {
    secret: [u8; ROW_SECRET_BYTES],
}

impl RowHasher {
    /// A hasher under `secret`.
    pub fn new(secret: [u8; ROW_SECRET_BYTES]) -> Self {
        Self { secret }
    }

    /// The hash of one row: COPY text without its newline.
    #[inline]
    pub fn hash(&self, row: &[u8]) -> u128 {
        xxh3::xxh3_128_with_secret(row, &self.secret)
    }

    /// Starts the hash of a row that arrives in parts; the result equals [`RowHasher::hash`] of the whole row.
    pub fn start(&self) -> RowHashState {
        xxh3::Xxh3Builder::new().with_secret(self.secret).build()
    }

    /// A hash of the first column of a row: what a chunk is recognised by when the row at its start has changed.
    pub fn key_hash(&self, row: &[u8]) -> u64 {
        let end = row.iter().position(|byte| matches!(byte, b'\t' | b'\n')).unwrap_or(row.len());
        #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
        let low = self.hash(&row[..end]) as u64;
        low
    }
}

impl std::fmt::Debug for RowHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RowHasher(secret)")
    }
}

/// Row count and order-independent sum of the row hashes of a set of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowProof {
    /// Number of rows.
    pub rows: u64,
    /// Sum of the row hashes modulo 2^128, as 32 hexadecimal digits in JSON.
    #[serde(with = "hex_u128")]
    pub sum: u128,
}

impl RowProof {
    /// Adds one row by its hash.
    #[inline]
    pub fn add(&mut self, row_hash: u128) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(row_hash);
    }

    /// Adds all rows of another set, which must be disjoint from this one.
    pub fn merge(&mut self, other: Self) {
        self.rows += other.rows;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

/// One table of a logical backup and what was read from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRecord {
    /// The table.
    #[serde(flatten)]
    pub name: QualifiedName,
    /// Columns that were read, in order: those that are neither dropped nor generated.
    pub columns: Vec<String>,
    /// Its rows; absent where the rows were left out on request.
    pub proof: Option<RowProof>,
    /// Bytes of the rows as COPY text, newlines included.
    pub plain_bytes: u64,
    /// For a table of an extension: the `WHERE` condition that selects the rows which belong to the user
    /// (`pg_extension_config_dump`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

mod hex_u128 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{value:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !digits {
            return Err(D::Error::custom("a row sum has 32 hexadecimal digits"));
        }
        u128::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hasher() -> RowHasher {
        let mut secret = [0; ROW_SECRET_BYTES];
        for (i, byte) in secret.iter_mut().enumerate() {
            *byte = u8::try_from(i * 7 % 251).unwrap();
        }
        RowHasher::new(secret)
    }

    fn proof(rows: &[&str]) -> RowProof {
        let mut proof = RowProof::default();
        for row in rows {
            proof.add(hasher().hash(row.as_bytes()));
        }
        proof
    }

    #[test]
    fn order_does_not_matter_but_every_row_does() {
        assert_eq!(proof(&["1\ta", "2\tb"]), proof(&["2\tb", "1\ta"]));
        assert_ne!(proof(&["1\ta", "2\tb"]), proof(&["1\ta", "2\tc"]));
        assert_ne!(proof(&["1\ta"]), proof(&["1\ta", "1\ta"]));
        // With XOR, pairs of equal rows would vanish.
        assert_ne!(proof(&["a", "a", "b", "b"]).sum, proof(&["c", "c", "d", "d"]).sum);
        assert_ne!(proof(&["ab", "c"]), proof(&["a", "bc"]));
    }

    #[test]
    fn proofs_of_parts_add_up() {
        let mut parts = proof(&["1", "2"]);
        parts.merge(proof(&["3"]));
        assert_eq!(parts, proof(&["3", "1", "2"]));
    }

    #[test]
    fn a_row_in_parts_hashes_like_a_whole_row() {
        for length in [0, 1, 16, 200, 241, 1000, 100_000] {
            let row: Vec<u8> = (0..length).map(|i| u8::try_from(i % 253).unwrap()).collect();
            let mut parts = hasher().start();
            for part in row.chunks(77) {
                parts.update(part);
            }
            assert_eq!(parts.digest128(), hasher().hash(&row), "{length} bytes");
        }
    }

    #[test]
    fn the_key_is_the_first_column() {
        assert_eq!(hasher().key_hash(b"12\tx\n"), hasher().key_hash(b"12\ty"));
        assert_eq!(hasher().key_hash(b"12\n"), hasher().key_hash(b"12"));
        assert_ne!(hasher().key_hash(b"12\tx"), hasher().key_hash(b"1\t2x"));
    }

    #[test]
    fn the_sum_is_hex_in_json() {
        let proof = RowProof { rows: 2, sum: 0xab };
        let json = serde_json::to_string(&proof).unwrap();
        assert_eq!(json, r#"{"rows":2,"sum":"000000000000000000000000000000ab"}"#);
        assert_eq!(serde_json::from_str::<RowProof>(&json).unwrap(), proof);
        assert!(serde_json::from_str::<RowProof>(r#"{"rows":2,"sum":"+b"}"#).is_err());
    }
}
