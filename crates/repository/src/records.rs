//! Reading single records of packs.
//!
//! Invariant: what comes out of here was authenticated, is what its place says, and has the id that was asked for.

use std::sync::Arc;

use format::{
    Container, ContainerKind, FormatError, HEADER_BYTES, ObjectKey, PackId, Place, RECORD_HEADER_BYTES,
    RecordType,
};
use storage::StoreError;

use crate::Error;
use crate::cache::Cache;
use crate::error::{Problem, ProblemKind};
use crate::repository::{Inner, storage_key};

/// Packs whose keys are kept at hand: some 300 bytes each.
const OPEN_PACKS: usize = 512;

/// Opens records of any pack of a repository, from any thread.
pub(crate) struct Records {
    pub(crate) repository: Arc<Inner>,
    containers: Cache<PackId, Arc<Container>>,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Records({:?})", self.repository)
    }
}

impl Records {
    pub(crate) fn new(repository: Arc<Inner>) -> Self {
        Self { repository, containers: Cache::new(OPEN_PACKS) }
    }

    /// The plaintext of a full chunk or a list.
    pub(crate) fn read(&self, place: &Place, expected: RecordType) -> Result<Vec<u8>, Error> {
        let start = u64::from(place.offset);
        let mut bytes = vec![0; RECORD_HEADER_BYTES + place.sealed_bytes as usize];
        self.read_range(place.pack, start, &mut bytes)?;
        self.open(place, expected, &mut bytes, None)
    }

    /// The plaintext of a delta, given that of its base.
    pub(crate) fn read_delta(&self, place: &Place, base: &Place, plain: &[u8]) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; RECORD_HEADER_BYTES + place.sealed_bytes as usize];
        self.read_range(place.pack, place.offset.into(), &mut bytes)?;
        self.open(place, RecordType::Delta, &mut bytes, Some((base, plain)))
    }

    /// Reads a range of a pack.
    pub(crate) fn read_range(&self, pack: PackId, start: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let key = ObjectKey::Pack(pack);
        let result = self.repository.store.read_range(&storage_key(&key)?, start, buffer);
        result.map_err(|error| reading(&key, error))
    }

    /// Opens the record at `place`, whose bytes are `bytes`. A delta needs the plaintext of its base.
    pub(crate) fn open(
        &self,
        place: &Place,
        expected: RecordType,
        bytes: &mut [u8],
        base: Option<(&Place, &[u8])>,
    ) -> Result<Vec<u8>, Error> {
        let key = || ObjectKey::Pack(place.pack);
        let container = self.container(place.pack)?;
        let record = container.open_record(bytes).map_err(|error| damaged(&key(), &error))?;
        let header = record.header;
        let is_expected = header.record_type == expected
            && header.plain_len == place.plain_bytes
            && header.sealed_len == place.sealed_bytes
            && header.id == place.id
            && record.base == base.map(|(base, _)| base.id);
        if !is_expected {
            let message =
                format!("the record at byte {} is not the one that a list or manifest names", place.offset);
            return Err(Problem::new(key().to_string(), ProblemKind::Swapped, message).into());
        }
        let keyring = &self.repository.keyring;
        let plain = match base {
            None => record.plaintext(keyring),
            Some((_, base)) => record.plaintext_with_base(base, keyring),
        };
        plain.map_err(|error| damaged(&key(), &error))
    }

    fn container(&self, pack: PackId) -> Result<Arc<Container>, Error> {
        self.containers.get_or_make(&pack, || {
            let mut header = [0; HEADER_BYTES];
            self.read_range(pack, 0, &mut header)?;
            let container = Container::open(ContainerKind::Pack, &header, &self.repository.keyring)
                .map_err(|error| damaged(&ObjectKey::Pack(pack), &error))?;
            Ok((Arc::new(container), 1))
        })
    }
}

/// The error for an object that the store could not give.
pub(crate) fn reading(key: &ObjectKey, error: StoreError) -> Error {
    let (kind, message) = match &error {
        StoreError::NotFound { .. } => (ProblemKind::Missing, "it is not there".to_owned()),
        StoreError::Short { end, .. } => (ProblemKind::Truncated, format!("it ends before byte {end}")),
        StoreError::TooLarge { size, limit, .. } => {
            (ProblemKind::Changed, format!("it has {size} bytes, more than the limit of {limit}"))
        }
        _ => return error.into(),
    };
    Problem::new(key.to_string(), kind, message).into()
}

/// The error for an object whose bytes were refused.
pub(crate) fn damaged(key: &ObjectKey, error: &FormatError) -> Error {
    let kind = match error {
        FormatError::Newer { .. } => ProblemKind::NewerVersion,
        FormatError::Truncated { .. } | FormatError::Trailing { .. } => ProblemKind::Truncated,
        FormatError::OtherBackup { .. } | FormatError::OtherPlace { .. } => ProblemKind::Swapped,
        FormatError::Foreign => ProblemKind::Foreign,
        FormatError::UnknownEpoch { .. } => ProblemKind::WrongKey,
        _ => ProblemKind::Changed,
    };
    Problem::new(key.to_string(), kind, error.to_string()).into()
}
