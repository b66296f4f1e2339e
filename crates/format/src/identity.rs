//! The names of things that are named by bytes: repositories, packs, chunks, slots.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The text is not the hexadecimal form of an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} has {digits} lower-case hexadecimal digits")]
pub struct ParseHexError {
    what: &'static str,
    digits: usize,
}

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub [u8; $bytes]);

        impl $name {
            /// Length in bytes.
            pub const BYTES: usize = $bytes;
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = ParseHexError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let error = ParseHexError { what: $what, digits: 2 * $bytes };
                let mut bytes = [0; $bytes];
                let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
                match hex::decode_to_slice(text, &mut bytes) {
                    Ok(()) if is_lower => Ok(Self(bytes)),
                    _ => Err(error),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseHexError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

identity! {
    /// A repository, at random.
    RepositoryId, 16, "a repository id"
}
identity! {
    /// A pack: the SHA-256 of its bytes.
    PackId, 32, "a pack name"
}
identity! {
    /// A chunk: the keyed BLAKE3 of its plaintext.
    ChunkId, 32, "a chunk id"
}
identity! {
    /// A key slot: derived from the holder's key, so that a holder finds its own.
    SlotId, 16, "a slot id"
}
identity! {
    /// What an epoch's root key is checked against.
    Commitment, 32, "a key commitment"
}
identity! {
    /// A journal: one machine's log of what was done with a repository, at random.
    JournalId, 8, "a journal id"
}
identity! {
    /// A site: a host with a settings file, derived from both.
    SiteId, 8, "a site id"
}
identity! {
    /// A SHA-256 that names nothing.
    Sha256, 32, "a SHA-256"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_lower_case_hex() {
        let id = SlotId([0xab; 16]);
        assert_eq!(id.to_string(), "ab".repeat(16));
        assert_eq!("ab".repeat(16).parse::<SlotId>().unwrap(), id);
        for text in ["AB".repeat(16), "ab".repeat(15), "zz".repeat(16), String::new()] {
            assert!(text.parse::<SlotId>().is_err(), "{text}");
        }
    }
}
