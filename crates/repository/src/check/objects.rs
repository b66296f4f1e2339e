//! The level `objects`: sizes and hashes of whole objects.

use aws_lc_rs::digest;
use format::{CONTAINER_BYTES_MAX, Container, ContainerKind, FormatError, ObjectKey, PackRecord};
use storage::StoreError;

use super::Check;
use crate::catalog::{checksums, finish_sha256};
use crate::error::{Problem, ProblemKind};
use crate::records::reading;
use crate::repository::{Inner, storage_key};
use crate::{BackupReader, Error, Repository};

/// How much of an object is read at a time, in bytes.
const READ_BYTES: u64 = 1 << 20;

/// Checks all objects of a backup. Returns whether the checksum file is missing.
pub(super) fn check(
    repository: &Repository,
    reader: &BackupReader,
    check: &Check<'_>,
) -> Result<bool, Error> {
    let inner = repository.inner.as_ref();
    super::for_each(reader.manifest().packs.iter(), |_, pack| {
        check.tolerate(check_pack(inner, pack, check)).map(|_| ())
    })?;
    Ok(check.tolerate(check_checksums(inner, reader, check))?.unwrap_or(false))
}

fn check_pack(inner: &Inner, pack: &PackRecord, check: &Check<'_>) -> Result<(), Error> {
    let key = ObjectKey::Pack(pack.sha256);
    let place = storage_key(&key)?;
    let report = |kind, message: String| check.report(Problem::new(key.to_string(), kind, message));
    let Some(size) = inner.store.size(&place)? else {
        report(ProblemKind::Missing, "it is not there".to_owned());
        return check.advance(pack.bytes);
    };
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut buffer = Vec::new();
    let mut offset = 0;
    while offset < size {
        let length = (size - offset).min(READ_BYTES);
        buffer.resize(usize::try_from(length).unwrap_or_default(), 0);
        if let Err(error) = inner.store.read_range(&place, offset, &mut buffer) {
            // Gone or shorter since a moment ago.
            return Err(reading(&key, error));
        }
        hash.update(&buffer);
        offset += length;
        check.advance(length)?;
    }
    if size == pack.bytes && finish_sha256(&hash.finish()).0 == pack.sha256.0 {
        return Ok(());
    }
    let kind = judge(inner, &key, size, pack.bytes)?;
    let message = match kind {
        ProblemKind::Foreign => "it is a pack of another repository".to_owned(),
        ProblemKind::Swapped => "it is another pack of this repository".to_owned(),
        ProblemKind::Truncated => format!("it has {size} bytes instead of {}", pack.bytes),
        _ => "its bytes are not those that were written".to_owned(),
    };
    report(kind, message);
    Ok(())
}

/// In which way a pack is wrong whose size or hash is.
fn judge(inner: &Inner, key: &ObjectKey, size: u64, expected: u64) -> Result<ProblemKind, Error> {
    let fallback = if size == expected { ProblemKind::Changed } else { ProblemKind::Truncated };
    let mut bytes = match inner.store.get(&storage_key(key)?, CONTAINER_BYTES_MAX as u64) {
        Ok(bytes) => bytes,
        Err(StoreError::NotFound { .. } | StoreError::TooLarge { .. }) => return Ok(fallback),
        Err(error) => return Err(error.into()),
    };
    if Container::open(ContainerKind::Pack, &bytes, &inner.keyring)
        .is_err_and(|error| error == FormatError::Foreign)
    {
        return Ok(ProblemKind::Foreign);
    }
    let is_sound = format::walk(ContainerKind::Pack, &mut bytes, &inner.keyring, |_, _| Ok(())).is_ok();
    Ok(if is_sound { ProblemKind::Swapped } else { fallback })
}

/// Checks the checksum file. Returns whether it is missing.
fn check_checksums(inner: &Inner, reader: &BackupReader, check: &Check<'_>) -> Result<bool, Error> {
    let key = ObjectKey::Checksum(reader.manifest().id.clone());
    let expected = checksums(reader.manifest(), reader.manifest_sha256());
    // One byte more shows that there is more.
    let limit = expected.len() as u64 + 1;
    let message = match inner.store.get(&storage_key(&key)?, limit) {
        Ok(found) if found == expected.as_bytes() => return Ok(false),
        Ok(found) if expected.as_bytes().starts_with(&found) => "it is cut off",
        Ok(_) | Err(StoreError::TooLarge { .. }) => "it does not list the objects of this backup",
        Err(StoreError::NotFound { .. }) => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    let kind = if message == "it is cut off" { ProblemKind::Truncated } else { ProblemKind::Changed };
    check.report(Problem::new(key.to_string(), kind, message));
    Ok(false)
}
