//! Intents: what is being done in a repository right now (docs/format.md, section 16).

use jiff::Timestamp;
use model::BackupId;
use serde::{Deserialize, Serialize};

use crate::FormatError;

/// The version of intents that this program writes.
pub const INTENT_VERSION: u32 = 1;

/// Says since when somebody is at work. Who it is, is in its key. It is clear text and decides nothing: what counts is that it is
/// there, and the time in its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// [`INTENT_VERSION`].
    pub version: u32,
    /// When the work began.
    pub started_at: Timestamp,
    /// The backup whose chunks a backup uses again.
    pub parent: Option<BackupId>,
}

impl Intent {
    /// The intent as it is stored.
    pub fn to_json(&self) -> Result<Vec<u8>, FormatError> {
        let mut json = serde_json::to_vec(self).map_err(FormatError::json("an intent"))?;
        json.push(b'\n');
        Ok(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_can_be_read_with_cat() {
        let started_at = "2026-11-23T12:00:00Z".parse().unwrap();
        let parent = "backup-2026-11-22-120000-abc123".parse().ok();
        let intent = Intent { version: INTENT_VERSION, started_at, parent };
        let json = intent.to_json().unwrap();
        assert_eq!(
            String::from_utf8(json.clone()).unwrap(),
            "{\"version\":1,\"started_at\":\"2026-11-23T12:00:00Z\",\"parent\":\"backup-2026-11-22-120000-abc123\"}\n"
        );
        assert_eq!(serde_json::from_slice::<Intent>(&json).unwrap(), intent);
    }
}
