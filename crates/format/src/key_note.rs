//! What is said of keys in clear text (docs/format.md, section 4): notes of slots, records of checks, and the claim of a rotation.
//! No key opens anything by what stands here.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{FormatError, SlotId};

/// The version of notes, checks and claims that this program writes.
pub const KEY_NOTE_VERSION: u32 = 1;
/// Most characters of a label.
pub const LABEL_CHARS_MAX: usize = 64;
/// Most bytes of a note, a check or a claim.
pub const KEY_NOTE_BYTES_MAX: u64 = 4096;

/// Why a text is no label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a label has 1 to 64 characters, none of which is a control character")]
pub struct LabelError;

/// A name for a key, for people. It is stored in clear text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyLabel(String);

impl KeyLabel {
    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for KeyLabel {
    type Error = LabelError;

    fn try_from(text: String) -> Result<Self, LabelError> {
        let length = text.chars().count();
        if (1..=LABEL_CHARS_MAX).contains(&length) && !text.chars().any(char::is_control) {
            Ok(Self(text))
        } else {
            Err(LabelError)
        }
    }
}

impl std::str::FromStr for KeyLabel {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        text.to_owned().try_into()
    }
}

impl From<KeyLabel> for String {
    fn from(label: KeyLabel) -> Self {
        label.0
    }
}

/// What is known of a slot beyond its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotNote {
    /// [`KEY_NOTE_VERSION`].
    pub version: u32,
    /// The id of the key: that of its slot for epoch 1.
    pub key: SlotId,
    /// When the slot was made.
    pub created_at: Timestamp,
    /// Whose key it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<KeyLabel>,
}

/// A copy of a key was typed in or scanned, and opened the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCheck {
    /// [`KEY_NOTE_VERSION`].
    pub version: u32,
    /// When.
    pub checked_at: Timestamp,
}

/// A rotation is under way. The same rotation always has the same claim, so that it can go on, and another one cannot begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationClaim {
    /// [`KEY_NOTE_VERSION`].
    pub version: u32,
    /// The epoch that it begins.
    pub epoch: u32,
    /// The id of the new key.
    pub key: SlotId,
}

macro_rules! json_object {
    ($($name:ident: $what:literal),+) => {
        $(impl $name {
            /// Its JSON text, in one line.
            pub fn to_json(&self) -> Result<Vec<u8>, FormatError> {
                let mut json = serde_json::to_vec(self).map_err(FormatError::json($what))?;
                json.push(b'\n');
                Ok(json)
            }

            /// Reads it.
            pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
                let parsed: Self = serde_json::from_slice(bytes).map_err(FormatError::json($what))?;
                if parsed.version == KEY_NOTE_VERSION {
                    return Ok(parsed);
                }
                let (found, known) = (parsed.version.into(), KEY_NOTE_VERSION.into());
                Err(FormatError::Newer { field: "version", found, known })
            }
        })+
    };
}
json_object!(SlotNote: "the note of a key slot", KeyCheck: "the check of a key", RotationClaim: "the claim of a rotation");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_can_be_read_with_cat() {
        let created_at = "2026-11-23T12:00:00Z".parse().unwrap();
        let key = SlotId([0xab; 16]);
        let label = "the safe".parse().ok();
        let note = SlotNote { version: KEY_NOTE_VERSION, key, created_at, label };
        let text = String::from_utf8(note.to_json().unwrap()).unwrap();
        let id = "ab".repeat(16);
        assert_eq!(
            text,
            format!(
                "{{\"version\":1,\"key\":\"{id}\",\"created_at\":\"2026-11-23T12:00:00Z\",\"label\":\"the safe\"}}\n"
            )
        );
        assert_eq!(SlotNote::parse(text.as_bytes()).unwrap(), note);
        let without = text.replace(",\"label\":\"the safe\"", ",\"later\":1");
        assert_eq!(SlotNote::parse(without.as_bytes()).unwrap(), SlotNote { label: None, ..note });
        let newer = text.replace("\"version\":1", "\"version\":2");
        assert!(matches!(SlotNote::parse(newer.as_bytes()), Err(FormatError::Newer { .. })));
    }

    #[test]
    fn a_label_is_one_short_line() {
        assert_eq!("Büro, Safe 2".parse::<KeyLabel>().unwrap().as_str(), "Büro, Safe 2");
        for text in ["", "a\nb", "\u{1b}[31m", &"x".repeat(65)] {
            assert_eq!(text.parse::<KeyLabel>(), Err(LabelError), "{text:?}");
        }
    }
}
