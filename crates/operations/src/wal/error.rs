//! Why WAL could not be pushed or fetched.

use std::io;
use std::path::{Path, PathBuf};

use model::{ParseWalNameError, SegmentHeaderError};
use postgres::control::ControlError;

/// Why a file of WAL could not be pushed or fetched, where the repository is not to blame.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The path does not end in a name that PostgreSQL gives to WAL.
    #[error("{} cannot be archived", path.display())]
    Name {
        /// The path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: ParseWalNameError,
    },
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file has the name of a segment and is none.
    #[error("{} is not a WAL segment", path.display())]
    NotSegment {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: SegmentHeaderError,
    },
    /// Nothing says of which cluster the WAL is.
    #[error("the system identifier of the cluster cannot be read from {}", path.display())]
    NoSystem {
        /// Where `pg_control` was expected.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// `pg_control` says nothing that can be relied on.
    #[error("the system identifier of the cluster cannot be read from {}", path.display())]
    Control {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ControlError,
    },
}

impl WalError {
    pub(super) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }
}
