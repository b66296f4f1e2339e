//! How bytes can fail to be what they should be.

use crate::ChunkId;

/// Why bytes were refused. The caller knows which object they came from and says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The first bytes are those of something else.
    #[error("it does not begin like a {expected}")]
    Magic {
        /// What was expected.
        expected: &'static str,
    },
    /// It was written by a later version of the program.
    #[error("it has {field} {found}, and this program knows only {known}")]
    Newer {
        /// Which number: format version, suite, type …
        field: &'static str,
        /// What it says.
        found: u64,
        /// What this program knows.
        known: u64,
    },
    /// It ends too early.
    #[error("it ends at byte {length}, within {place}")]
    Truncated {
        /// What was being read.
        place: &'static str,
        /// Length of what there is.
        length: u64,
    },
    /// It goes on where it should end.
    #[error("it has {extra} bytes after its end")]
    Trailing {
        /// How many.
        extra: u64,
    },
    /// It belongs to another repository.
    #[error("it belongs to another repository")]
    Foreign,
    /// It is whole and of this repository, but of another backup.
    #[error("it is the {what} of another backup")]
    OtherBackup {
        /// What it is: `manifest` or `proof`.
        what: &'static str,
    },
    /// It is whole and of this repository, but was written at another place.
    #[error("it is the {what} of another place")]
    OtherPlace {
        /// What it is.
        what: &'static str,
    },
    /// It was sealed in an epoch for which there is no key.
    #[error("it was sealed in key epoch {epoch}, for which there is no key")]
    UnknownEpoch {
        /// The epoch.
        epoch: u32,
    },
    /// Authentication failed: the bytes are not those that were sealed, or not under this key.
    #[error("{what} does not authenticate")]
    Authentication {
        /// What was opened.
        what: &'static str,
    },
    /// Something contradicts the rules of the format.
    #[error("{problem}")]
    Malformed {
        /// What does not fit.
        problem: &'static str,
    },
    /// The plaintext is not the one with this id.
    #[error("a chunk is not the one with id {expected}")]
    WrongChunk {
        /// The id that it should have.
        expected: ChunkId,
    },
    /// It exceeds a limit.
    #[error("{what} has {value}, more than the limit of {limit}")]
    Limit {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        value: u64,
        /// The limit.
        limit: u64,
    },
    /// It is not the JSON that it should be.
    #[error("{what} is not valid: {message}")]
    Json {
        /// What was parsed.
        what: &'static str,
        /// What the parser says. It holds no secret: only sealed or public text is parsed.
        message: String,
    },
    /// Compression or decompression failed.
    #[error("a chunk cannot be {what}")]
    Codec {
        /// `compressed` or `decompressed`.
        what: &'static str,
    },
}

impl FormatError {
    pub(crate) const fn malformed(problem: &'static str) -> Self {
        Self::Malformed { problem }
    }

    pub(crate) fn json(what: &'static str) -> impl FnOnce(serde_json::Error) -> Self {
        move |error| Self::Json { what, message: error.to_string() }
    }
}
