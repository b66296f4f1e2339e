//! The level `contents`: every chunk of every stream.

use std::collections::HashSet;
use std::io::Read;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use format::{ListEntry, PackId, StreamKind, StreamRecord};
use model::{RowHasher, RowProof};

use super::Check;
use super::rows::RowScanner;
use crate::error::{Problem, ProblemKind};
use crate::{BackupReader, Error, Loader, Repository};

/// How much of an archive is read at a time, in bytes.
const READ_BYTES: usize = 256 << 10;

/// Checks all streams of a backup.
pub(super) fn check(repository: &Repository, reader: &BackupReader, check: &Check<'_>) -> Result<(), Error> {
    let packs: HashSet<PackId> = reader.manifest().packs.iter().map(|pack| pack.sha256).collect();
    for stream in &reader.manifest().streams {
        match stream.kind {
            StreamKind::Archive => check_archive(reader, stream, &packs, check)?,
            StreamKind::Rows => check_rows(repository, reader, stream, &packs, check)?,
            StreamKind::Regions => check_regions(reader, stream, &packs, check)?,
        }
    }
    Ok(())
}

impl BackupReader {
    /// The proof of the rows of a stream, from the text that is stored.
    ///
    /// # Errors
    /// [`Error::NoSuchStream`]; [`Error::Damaged`].
    pub fn row_proof(&self, stream: &str, hasher: &RowHasher) -> Result<RowProof, Error> {
        let groups = self.groups(stream)?;
        let sum = Mutex::new(RowProof::default());
        super::for_each(groups, |loader, group| {
            let proof = scan(loader.get_or_insert_with(|| self.loader()), stream, &group?, hasher)?;
            sum.lock().unwrap_or_else(PoisonError::into_inner).merge(proof);
            Ok(())
        })?;
        Ok(sum.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The proof of a group of chunks, none of whose rows leaves the group.
fn scan(
    loader: &mut Loader,
    stream: &str,
    group: &[ListEntry],
    hasher: &RowHasher,
) -> Result<RowProof, Error> {
    let mut rows = RowScanner::new(hasher);
    loader.load(group, |entry, bytes| {
        if rows.scan(bytes) == u64::from(entry.rows) {
            Ok(())
        } else {
            Err(inconsistent(stream, "a chunk has another number of rows than its list says"))
        }
    })?;
    rows.finish().ok_or_else(|| inconsistent(stream, "a row has no end"))
}

fn inconsistent(stream: &str, message: impl Into<String>) -> Error {
    Problem::new(stream, ProblemKind::Inconsistent, message).into()
}

fn check_rows(
    repository: &Repository,
    reader: &BackupReader,
    stream: &StreamRecord,
    packs: &HashSet<PackId>,
    check: &Check<'_>,
) -> Result<(), Error> {
    let hasher = repository.row_hasher();
    let sum = Mutex::new(Some(RowProof::default()));
    super::for_each(reader.groups(&stream.name)?, |loader, group| {
        let proof = match check.tolerate(group)? {
            Some(group) => {
                check_packs(&group, stream, packs, check);
                let loader = loader.get_or_insert_with(|| reader.loader());
                let proof = scan(loader, &stream.name, &group, &hasher);
                check.advance(group.iter().map(|entry| u64::from(entry.place.plain_bytes)).sum())?;
                match check.tolerate(proof)? {
                    Some(proof) => Some(proof),
                    // Look at each chunk on its own, so that every damaged object is named.
                    None => check_chunks(loader, &group, check).map(|()| None)?,
                }
            }
            None => None,
        };
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        *sum = sum.take().zip(proof).map(|(mut sum, proof)| {
            sum.merge(proof);
            sum
        });
        Ok(())
    })?;
    let sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = sum {
        check.rows.fetch_add(found.rows, Ordering::Relaxed);
        compare(reader, stream, found, check);
    }
    Ok(())
}

/// Compares the proof of what is stored with the proof of what was read from the database.
fn compare(reader: &BackupReader, stream: &StreamRecord, found: RowProof, check: &Check<'_>) {
    let tables = reader.manifest().logical.iter().flat_map(|logical| &logical.tables);
    let record = tables.into_iter().find(|table| Some(&table.name) == stream.table.as_ref());
    let message = match record.map(|table| table.proof) {
        Some(Some(expected)) if expected == found => return,
        Some(Some(expected)) if expected.rows != found.rows => {
            format!("it holds {} rows instead of {}", found.rows, expected.rows)
        }
        Some(Some(_)) => "its rows are not those that were read from the table".to_owned(),
        Some(None) => "the manifest has no row proof of its table".to_owned(),
        None => "the manifest does not list its table".to_owned(),
    };
    check.report(Problem::new(stream.name.as_str(), ProblemKind::Inconsistent, message));
}

fn check_chunks(loader: &mut Loader, group: &[ListEntry], check: &Check<'_>) -> Result<(), Error> {
    for entry in group {
        check.tolerate(loader.load(std::slice::from_ref(entry), |_, _| Ok::<_, Error>(())))?;
    }
    Ok(())
}

/// Every pack that a list names must be one that the manifest names: P2, a backup stands alone.
fn check_packs(group: &[ListEntry], stream: &StreamRecord, packs: &HashSet<PackId>, check: &Check<'_>) {
    let named = group.iter().flat_map(|entry| [Some(entry.place.pack), entry.base.map(|base| base.pack)]);
    if let Some(pack) = named.flatten().find(|pack| !packs.contains(pack)) {
        let message = format!("its lists name the pack {pack}, which the manifest does not");
        check.report(Problem::new(stream.name.as_str(), ProblemKind::Inconsistent, message));
    }
}

fn check_regions(
    reader: &BackupReader,
    stream: &StreamRecord,
    packs: &HashSet<PackId>,
    check: &Check<'_>,
) -> Result<(), Error> {
    super::for_each(reader.groups(&stream.name)?, |loader, group| {
        let Some(group) = check.tolerate(group)? else { return Ok(()) };
        check_packs(&group, stream, packs, check);
        let loader = loader.get_or_insert_with(|| reader.loader());
        let whole = check.tolerate(loader.load(&group, |_, _| Ok::<_, Error>(())))?;
        check.advance(group.iter().map(|entry| u64::from(entry.place.plain_bytes)).sum())?;
        // Look at each chunk on its own, so that every damaged object is named.
        if whole.is_some() { Ok(()) } else { check_chunks(loader, &group, check) }
    })?;
    // That the list of files agrees with the regions.
    check.tolerate(reader.files()).map(drop)
}

fn check_archive(
    reader: &BackupReader,
    stream: &StreamRecord,
    packs: &HashSet<PackId>,
    check: &Check<'_>,
) -> Result<(), Error> {
    let mut bytes = reader.stream(&stream.name)?;
    let mut buffer = vec![0; READ_BYTES];
    let failed = loop {
        match bytes.read(&mut buffer) {
            Ok(0) => break None,
            Ok(count) => check.advance(count as u64)?,
            Err(error) => break Some(error.downcast::<Error>().unwrap_or(Error::Stopped)),
        }
    };
    drop(bytes);
    let is_sound = failed.is_none();
    if let Some(error) = failed {
        check.tolerate(Err::<(), _>(error))?;
    }
    let mut loader = reader.loader();
    for group in reader.groups(&stream.name)? {
        let Some(group) = check.tolerate(group)? else { break };
        check_packs(&group, stream, packs, check);
        if !is_sound {
            check_chunks(&mut loader, &group, check)?;
        }
    }
    Ok(())
}
