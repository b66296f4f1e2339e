//! Why a key was not added, rotated or removed.

use format::{FormatError, ObjectKey, SlotId};
use model::BackupId;
use storage::StoreError;

use crate::error::Problem;
use crate::{Error, OpenError};

/// A change of keys that was not made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The repository does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Something in the repository cannot be read.
    #[error(transparent)]
    Repository(#[from] Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A slot, a note or the head cannot be formed.
    #[error("{what} cannot be formed")]
    Form {
        /// What.
        what: &'static str,
        /// Why not.
        #[source]
        source: FormatError,
    },
    /// A slot was written and cannot be read back.
    #[error("{key} cannot be read back")]
    ReadBack {
        /// The slot.
        key: ObjectKey,
    },
    /// The new key is the old one.
    #[error("the new key is the key in use")]
    SameKey,
    /// A backup that could be read before cannot be read with the key that is to stay.
    #[error("{id} cannot be read with the key that is to stay")]
    Canary {
        /// The backup.
        id: BackupId,
        /// What is wrong with it.
        #[source]
        source: Box<Problem>,
    },
    /// Another rotation has begun and is not complete.
    #[error("a rotation to epoch {epoch} with key {key} has begun and is not complete")]
    OtherRotation {
        /// The epoch that it begins.
        epoch: u32,
        /// The id of its new key, as far as its claim can be read.
        key: String,
    },
    /// Somebody changed the keys meanwhile.
    #[error("somebody else rotated the keys of the repository meanwhile")]
    RotatedMeanwhile,
    /// A key that was to be kept does not open the repository.
    #[error("the key that is to be kept does not open the repository")]
    NotHolder,
    /// There is no such key.
    #[error("the repository has no key {wanted}")]
    NoSuchKey {
        /// What was asked for.
        wanted: SlotId,
    },
    /// No other key opens the repository.
    #[error("key {key} is the last one that opens the repository")]
    LastKey {
        /// The key.
        key: SlotId,
    },
    /// The key through which was to be proven that nothing is lost is the one that was to go.
    #[error("key {key} is the one in use")]
    InUse {
        /// The key.
        key: SlotId,
    },
}
