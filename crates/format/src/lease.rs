//! Leases: the right to do something alone (docs/format.md, section 19).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::FormatError;

/// The version of leases that this program writes.
pub const LEASE_VERSION: u32 = 1;

/// Who has a right, and until when. It is clear text, so that `cat` shows who holds somebody up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// [`LEASE_VERSION`].
    pub version: u32,
    /// The right, in words.
    pub right: String,
    /// Who has it.
    pub holder: String,
    /// Its process, so that whoever is on the same machine can see that it is gone. Means nothing elsewhere.
    pub process: String,
    /// Tells this holder from all others, in hexadecimal digits.
    pub token: String,
    /// Since when.
    pub taken_at: Timestamp,
    /// Until when, unless it is renewed.
    pub expires_at: Timestamp,
}

impl Lease {
    /// The lease as it is stored.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, FormatError> {
        let mut json = serde_json::to_vec(self).map_err(FormatError::json("a lease"))?;
        json.push(b'\n');
        Ok(json)
    }

    /// Reads a lease.
    ///
    /// # Errors
    /// When it is not one, or of another version.
    pub fn from_json(json: &[u8]) -> Result<Self, FormatError> {
        let lease: Self = serde_json::from_slice(json).map_err(FormatError::json("a lease"))?;
        if lease.version == LEASE_VERSION {
            Ok(lease)
        } else {
            let (found, known) = (lease.version.into(), LEASE_VERSION.into());
            Err(FormatError::Newer { field: "lease version", found, known })
        }
    }
}
