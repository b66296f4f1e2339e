//! Copies of journals: whoever changes the log of a machine cannot change what is here.
//!
//! Invariant: a copy is put once and holds entries that no other copy of its journal holds. Deliberately absent: the journal itself,
//! which is a file of the machine that keeps it.

use format::{CONTAINER_BYTES_MAX, JournalId, JournalKey, ObjectKey, open_journal_copy, seal_journal_copy};

use crate::records::{damaged, reading};
use crate::repository::storage_key;
use crate::{Error, Repository};

/// Keys of copies start so.
const JOURNALS: &str = "journal/";

/// One copy: the number of the first entry in it, and its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JournalCopy {
    /// The journal.
    pub journal: JournalId,
    /// The number of its first entry.
    pub first: u64,
}

impl JournalCopy {
    /// The key of the object, for messages.
    pub fn key(self) -> String {
        self.object().to_string()
    }

    const fn object(self) -> ObjectKey {
        ObjectKey::Journal(self.first, self.journal)
    }
}

impl Repository {
    /// The key under which entries are authenticated.
    pub fn journal_key(&self) -> &JournalKey {
        self.inner.keyring.secrets().journal_key()
    }

    /// All copies, by journal and then in the order of their entries.
    ///
    /// # Errors
    /// When the store cannot list.
    pub fn journal_copies(&self) -> Result<Vec<JournalCopy>, Error> {
        let listed = self.inner.store.list(JOURNALS)?;
        let parsed = listed.iter().filter_map(|object| match ObjectKey::parse(object.key.as_str()) {
            Some(ObjectKey::Journal(first, journal)) => Some(JournalCopy { journal, first }),
            _ => None,
        });
        let mut copies: Vec<_> = parsed.collect();
        copies.sort_unstable();
        Ok(copies)
    }

    /// The lines of a copy, each with its newline. They are what was put; whether they are a chain is for their reader to see.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the object is not the one that was put.
    pub fn read_journal_copy(&self, copy: JournalCopy) -> Result<Vec<u8>, Error> {
        let key = copy.object();
        let read = self.inner.store.get(&storage_key(&key)?, CONTAINER_BYTES_MAX as u64);
        let mut bytes = read.map_err(|error| reading(&key, error))?;
        open_journal_copy(&mut bytes, &self.inner.keyring).map_err(|error| damaged(&key, &error))
    }

    /// Puts whole lines as a copy. Returns whether it is there now; it is not when somebody else was faster.
    ///
    /// # Errors
    /// When the store fails.
    pub fn write_journal_copy(&self, copy: JournalCopy, lines: &[u8]) -> Result<bool, Error> {
        let key = copy.object();
        let sealed = seal_journal_copy(lines, &self.inner.keyring, crate::random::salt()?)
            .map_err(|source| Error::Seal { what: key.to_string(), source })?;
        match self.inner.store.put(&storage_key(&key)?, &sealed.bytes) {
            Ok(_) => Ok(true),
            // The salt is random, so even the same lines are other bytes.
            Err(storage::StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
