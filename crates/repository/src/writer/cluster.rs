//! The files of a cluster: one stream that lists them, one with their regions.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use format::{FileRecord, ListEntry, PhysicalRecord};
use model::ClusterPath;

use super::archive::ArchiveWriter;
use super::earlier::Span;
use super::regions::RegionWriter;
use super::shared::Shared;
use super::stream::Stream;
use crate::Error;

/// Writes the files of a cluster. Files are named in order, from any thread; their regions are written by [`RegionWriter`]s, one
/// for each thread, in any order.
pub struct ClusterWriter {
    index: ArchiveWriter,
    regions: Arc<Stream>,
    shared: Arc<Shared>,
    named: Mutex<Named>,
}

#[derive(Default)]
struct Named {
    records: Vec<FileRecord>,
    /// For each file in order, its place in `records`, and its regions in the earlier backup.
    files: Vec<(usize, Option<Span>)>,
}

impl std::fmt::Debug for ClusterWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClusterWriter({} files)", self.named().files.len())
    }
}

impl ClusterWriter {
    pub(super) fn new(index: ArchiveWriter, regions: Arc<Stream>, shared: Arc<Shared>) -> Self {
        Self { index, regions, shared, named: Mutex::default() }
    }

    fn named(&self) -> MutexGuard<'_, Named> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The size of a region in bytes.
    pub fn region_bytes(&self) -> u32 {
        self.shared.repository.head.chunking.region_bytes
    }

    /// Names a directory.
    pub fn directory(&self, path: &ClusterPath, mode: u32) {
        self.named().records.push(FileRecord { path: path.clone(), mode, bytes: None });
    }

    /// Names the next file and returns its number: 0, 1, 2, …
    ///
    /// # Errors
    /// When there are more than 2^32 files.
    pub fn file(&self, path: &ClusterPath, mode: u32) -> Result<u32, Error> {
        let span = self.shared.earlier().and_then(|earlier| earlier.span(path));
        let mut named = self.named();
        let number = u32::try_from(named.files.len()).map_err(|_| Error::TooLarge {
            what: "the number of files".to_owned(),
            bytes: named.files.len() as u64,
            limit: u32::MAX.into(),
        })?;
        named.records.push(FileRecord { path: path.clone(), mode, bytes: Some(0) });
        let place = named.records.len() - 1;
        named.files.push((place, span));
        // Under the lock: the parts of a stream are opened in order.
        self.regions.open_part(number);
        Ok(number)
    }

    /// Says that all regions of a file were written, and how many bytes it has.
    pub fn finish_file(&self, file: u32, bytes: u64) {
        let mut named = self.named();
        let Some((place, _)) = named.files.get(file as usize).copied() else { return };
        if let Some(record) = named.records.get_mut(place) {
            record.bytes = Some(bytes);
        }
        drop(named);
        let regions = bytes.div_ceil(u64::from(self.region_bytes()));
        self.regions.finish_part(file, u32::try_from(regions).unwrap_or(u32::MAX));
    }

    /// Writes regions from one thread.
    ///
    /// # Errors
    /// When no compressor can be made.
    pub fn worker(&self) -> Result<RegionWriter<'_>, Error> {
        RegionWriter::new(self, Arc::clone(&self.shared))
    }

    /// The earlier backup whose regions may be used again: its facts and its files.
    pub fn earlier(&self) -> Option<(&PhysicalRecord, &[FileRecord])> {
        self.shared.earlier().map(|earlier| (&earlier.record, earlier.files.as_slice()))
    }

    /// Whether regions of the earlier backup may be taken over unread. If not, they are only used again where they are equal.
    pub fn serves_unread(&self) -> bool {
        self.shared.earlier().is_some_and(|earlier| earlier.serves_unread)
    }

    /// Completes the list of files. Call it when every worker has finished.
    ///
    /// # Errors
    /// When the backup has failed.
    pub fn finish(self) -> Result<u64, Error> {
        let Self { mut index, named, .. } = self;
        let named = named.into_inner().unwrap_or_else(PoisonError::into_inner);
        let list = FileRecord::encode_all(&named.records).map_err(super::pack::seal("the list of files"))?;
        index.push(&list)?;
        index.finish()?;
        Ok(named.files.len() as u64)
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.regions
    }

    /// The regions of a file in the earlier backup.
    pub(super) fn earlier_span(&self, file: u32) -> Option<Span> {
        self.named().files.get(file as usize).and_then(|(_, span)| *span)
    }

    /// The entry of a region in the earlier backup.
    pub(super) fn earlier_entry(&self, span: Option<Span>, region: u32) -> Option<ListEntry> {
        self.shared.earlier()?.entry(span?, region)
    }
}
