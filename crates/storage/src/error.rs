//! What can go wrong between a key and its bytes.

use std::io;
use std::path::PathBuf;

use crate::Key;

/// A storage operation that did not happen, or of which it is not known whether it happened ([`StoreError::Io`]).
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no object at the key.
    #[error("{key} is not there")]
    NotFound {
        /// The key.
        key: Key,
    },
    /// An object with other bytes is already at the key; it was left as it is.
    #[error("{key} is already there with other bytes")]
    Conflict {
        /// The key.
        key: Key,
    },
    /// The object is larger than the caller is ready to hold.
    #[error("{key} has {size} bytes, more than the {limit} bytes that are allowed")]
    TooLarge {
        /// The key.
        key: Key,
        /// Size of the object in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The object ends before the range that was asked for.
    #[error("{key} ends before byte {end}")]
    Short {
        /// The key.
        key: Key,
        /// First byte after the range.
        end: u64,
    },
    /// There is no space or no quota left.
    #[error("there is no space left to write {key}")]
    Full {
        /// The key that was being written.
        key: Key,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others than the owner can reach a file or directory of the store.
    #[error("{} is open to other users (mode {mode:04o})", path.display())]
    Loose {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file or directory of the store belongs to somebody else.
    #[error("{} belongs to user id {owner}, not to user id {expected}", path.display())]
    ForeignOwner {
        /// The file or directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The user that this process runs as.
        expected: u32,
    },
    /// What stands at the path is a symbolic link or another thing that an object or its directory cannot be.
    #[error("{} is not {expected}", path.display())]
    WrongType {
        /// The path.
        path: PathBuf,
        /// What belongs there: `a regular file` or `a directory`.
        expected: &'static str,
    },
    /// The system refuses access.
    #[error("permission to {action} {what} is denied")]
    Denied {
        /// What was tried.
        action: &'static str,
        /// The key or path.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Any other failure.
    #[error("cannot {action} {what}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The key or path.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    /// Whether the object is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// The key or path that it is about.
    pub fn object(&self) -> String {
        match self {
            Self::NotFound { key }
            | Self::Conflict { key }
            | Self::TooLarge { key, .. }
            | Self::Short { key, .. }
            | Self::Full { key, .. } => key.to_string(),
            Self::Loose { path, .. } | Self::ForeignOwner { path, .. } | Self::WrongType { path, .. } => {
                path.display().to_string()
            }
            Self::Denied { what, .. } | Self::Io { what, .. } => what.clone(),
        }
    }

    /// The error for a system call that failed while doing `action` to `what`.
    pub(crate) fn system(action: &'static str, what: impl Into<String>, errno: rustix::io::Errno) -> Self {
        let source = io::Error::from(errno);
        match errno {
            rustix::io::Errno::ACCESS | rustix::io::Errno::PERM => {
                Self::Denied { action, what: what.into(), source }
            }
            _ => Self::Io { action, what: what.into(), source },
        }
    }

    /// The error for a system call that failed while `key` was written.
    pub(crate) fn writing(action: &'static str, key: &Key, errno: rustix::io::Errno) -> Self {
        use rustix::io::Errno;
        match errno {
            Errno::NOSPC | Errno::DQUOT | Errno::FBIG => {
                Self::Full { key: key.clone(), source: errno.into() }
            }
            _ => Self::system(action, key.as_str(), errno),
        }
    }
}
