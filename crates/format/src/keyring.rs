//! All keys of an open repository.

use crate::{ChunkId, FormatError, RepositoryId, RootKey, Secrets};

/// The root keys of all epochs of one repository, and the secrets derived from the first.
#[derive(Debug, Clone)]
pub struct Keyring {
    repository: RepositoryId,
    root_keys: Vec<RootKey>,
    secrets: Secrets,
}

impl Keyring {
    /// A keyring of root keys, the first of epoch 1.
    pub fn new(repository: RepositoryId, first: RootKey, later: Vec<RootKey>) -> Self {
        let secrets = Secrets::derive(&first, repository);
        let root_keys = std::iter::once(first).chain(later).collect();
        Self { repository, root_keys, secrets }
    }

    /// The repository.
    pub fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// The secrets that do not depend on the epoch.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The epoch in which new objects are sealed.
    pub fn current_epoch(&self) -> u32 {
        u32::try_from(self.root_keys.len()).unwrap_or(u32::MAX)
    }

    /// The root key of an epoch.
    pub fn root_key(&self, epoch: u32) -> Result<&RootKey, FormatError> {
        let index = usize::try_from(epoch).ok().and_then(|epoch| epoch.checked_sub(1));
        index.and_then(|index| self.root_keys.get(index)).ok_or(FormatError::UnknownEpoch { epoch })
    }

    /// Checks that a plaintext is the one with this id.
    pub fn check_chunk(&self, id: ChunkId, plaintext: &[u8]) -> Result<(), FormatError> {
        if self.secrets.chunk_id(plaintext) == id {
            Ok(())
        } else {
            Err(FormatError::WrongChunk { expected: id })
        }
    }
}
