//! Holds: backups that somebody wants to stay (docs/format.md, section 17).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::FormatError;

/// The version of holds that this program writes.
pub const HOLD_VERSION: u32 = 1;

/// Why a backup stays, and until when. It is clear text, so that `cat` shows it without a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// [`HOLD_VERSION`].
    pub version: u32,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// Who placed it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When it ends; nothing when somebody has to release it.
    pub until: Option<Timestamp>,
}

impl Hold {
    /// The hold as it is stored.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, FormatError> {
        let mut json = serde_json::to_vec(self).map_err(FormatError::json("a hold"))?;
        json.push(b'\n');
        Ok(json)
    }

    /// Reads a hold.
    ///
    /// # Errors
    /// When it is not one, or of another version.
    pub fn from_json(json: &[u8]) -> Result<Self, FormatError> {
        let hold: Self = serde_json::from_slice(json).map_err(FormatError::json("a hold"))?;
        if hold.version == HOLD_VERSION {
            Ok(hold)
        } else {
            let (found, known) = (hold.version.into(), HOLD_VERSION.into());
            Err(FormatError::Newer { field: "hold version", found, known })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_can_be_read_with_cat() {
        let hold = Hold {
            version: HOLD_VERSION,
            placed_at: "2026-11-23T12:00:00Z".parse().unwrap(),
            by: "alice@db1".into(),
            reason: "audit of 2026".into(),
            until: "2027-03-01T00:00:00Z".parse().ok(),
        };
        let json = hold.to_json().unwrap();
        let text = String::from_utf8(json.clone()).unwrap();
        let expected = "{\"version\":1,\"placed_at\":\"2026-11-23T12:00:00Z\",\"by\":\"alice@db1\",\
                        \"reason\":\"audit of 2026\",\"until\":\"2027-03-01T00:00:00Z\"}\n";
        assert_eq!(text, expected);
        assert_eq!(Hold::from_json(&json).unwrap(), hold);
        let newer = text.replace("\"version\":1", "\"version\":2");
        assert!(matches!(Hold::from_json(newer.as_bytes()), Err(FormatError::Newer { .. })));
        assert!(Hold::from_json(b"{}").is_err());
    }
}
