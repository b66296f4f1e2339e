//! Keys: relative paths that mean the same in a directory and in a bucket, and can never leave their root.

use std::fmt;
use std::str::FromStr;

/// Most bytes of a key.
pub const MAX_KEY_BYTES: usize = 512;
/// Most bytes of one part of a key, so that a file name with the suffix of a temporary file stays within 255 bytes.
pub const MAX_PART_BYTES: usize = 200;

/// Keys of objects that were trashed start so. No other object is put there.
pub const TRASH: &str = "trash/";

/// The end of the name of a local temporary file; no key may end so.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// A checked key: parts of ASCII letters, digits, `-`, `_` and `.`, separated by `/`. No part is empty, starts with a
/// dot (so there is no `..` and no hidden file) or ends in `.tmp`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// The text is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a key of an object")]
pub struct KeyError {
    text: String,
}

impl Key {
    /// The key that `text` spells.
    ///
    /// # Errors
    /// When `text` breaks a rule of [`Key`].
    pub fn new(text: impl Into<String>) -> Result<Self, KeyError> {
        let text = text.into();
        if text.len() <= MAX_KEY_BYTES && text.split('/').all(is_part) {
            Ok(Self(text))
        } else {
            Err(KeyError { text: text.chars().take(80).collect() })
        }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where this object is kept after it was trashed together with others in `lot`, a name for all of them.
    ///
    /// # Errors
    /// When `lot` is no part of a key, or the key becomes too long.
    pub fn in_trash(&self, lot: &str) -> Result<Self, KeyError> {
        Self::new(format!("{TRASH}{lot}/{self}"))
    }

    /// The parts before the last one, joined, and the last part.
    pub(crate) fn split_name(&self) -> (&str, &str) {
        self.0.rsplit_once('/').unwrap_or(("", &self.0))
    }
}

/// Whether `part` may stand between two slashes of a key.
pub(crate) fn is_part(part: &str) -> bool {
    !part.is_empty()
        && part.len() <= MAX_PART_BYTES
        && !part.starts_with('.')
        && !part.ends_with(TEMPORARY_SUFFIX)
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_of_a_repository_are_keys() {
        for text in
            ["chronavault.json", "packs/ab/abcd.pack", "backup-2026-11-23-120000-abc123.manifest", "a/b/c/d"]
        {
            assert_eq!(Key::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn nothing_leaves_the_root() {
        let long_part = "a".repeat(MAX_PART_BYTES + 1);
        let long_key = ["abc"; 200].join("/");
        for text in [
            "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", ".hidden", "a\\b", "a b", "ä",
            "a\0", "a.tmp", "a/b.tmp", "a.tmp/b", &long_part, &long_key,
        ] {
            assert!(Key::new(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_key_is_always_below_its_root(text in "[a./_-]{0,12}") {
            if let Ok(key) = Key::new(text) {
                let path = std::path::Path::new(key.as_str());
                let only_names = path.components().all(|c| matches!(c, std::path::Component::Normal(_)));
                prop_assert!(only_names);
            }
        }
    }
}
