//! Takes the files of a cluster from a source and gives them to the repository, looking at page checksums on the way.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError, RwLock};

use model::ClusterPath;
use postgres::page;
use postgres::{Again, ClusterFile, ClusterSink, ClusterStart, FileNumber, Region, RegionSink, SinkError};
use repository::{BadPage, ClusterWriter, RegionWriter};

use crate::progress::Progress;

/// How often a page whose checksum is wrong is read again: it may have been torn by a write at the same moment.
const READS_AGAIN: u32 = 5;
/// Bad pages that are listed one by one.
const LISTED_BAD_PAGES: usize = 1000;

/// The files of one backup on their way.
pub(super) struct Sink<'a> {
    cluster: &'a ClusterWriter,
    start: &'a ClusterStart,
    progress: &'a Progress<'a>,
    /// By number, what each file is.
    files: RwLock<Vec<Named>>,
    /// Files with pages that the earlier backup found bad. Their regions are looked at even where they did not change.
    suspects: Suspects,
    bad: Mutex<BadPages>,
}

/// Which files may hold pages that were bad before.
enum Suspects {
    Listed(BTreeSet<ClusterPath>),
    /// There were more than are listed.
    All,
}

impl Suspects {
    fn of(cluster: &ClusterWriter) -> Self {
        match cluster.earlier() {
            Some((record, _)) if record.bad_page_count > record.bad_pages.len() as u64 => Self::All,
            earlier => {
                let bad = earlier.into_iter().flat_map(|(record, _)| &record.bad_pages);
                Self::Listed(bad.map(|page| page.path.clone()).collect())
            }
        }
    }

    fn has(&self, path: &ClusterPath) -> bool {
        match self {
            Self::Listed(paths) => paths.contains(path),
            Self::All => true,
        }
    }
}

/// A file with what is to be known of its pages.
#[derive(Clone)]
struct Named {
    path: ClusterPath,
    /// The number of its first page; nothing where there are no pages with checksums.
    first_block: Option<u32>,
    is_suspect: bool,
}

/// Pages that stayed bad.
#[derive(Debug, Default)]
pub(super) struct BadPages {
    pub(super) listed: BTreeSet<BadPage>,
    pub(super) count: u64,
}

impl<'a> Sink<'a> {
    pub(super) fn new(
        cluster: &'a ClusterWriter,
        start: &'a ClusterStart,
        progress: &'a Progress<'a>,
    ) -> Self {
        let suspects = Suspects::of(cluster);
        Self { cluster, start, progress, files: RwLock::default(), suspects, bad: Mutex::default() }
    }

    pub(super) fn into_bad_pages(self) -> BadPages {
        self.bad.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn named(&self, file: FileNumber) -> Option<Named> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.get(file.0 as usize).cloned()
    }

    /// Looks at the pages of a region, and reads those that are bad again. Returns whether any byte changed.
    fn inspect(&self, file: &Named, number: u32, bytes: &mut [u8], again: Again<'_>) -> bool {
        let Some(first_of_file) = file.first_block else { return false };
        let (region_bytes, block_bytes) = (self.cluster.region_bytes(), self.start.block_bytes);
        let first = first_of_file + number * (region_bytes / block_bytes);
        let look = |bytes: &[u8]| page::bad_blocks(bytes, block_bytes, first, self.start.start_lsn);
        let mut bad = look(bytes);
        let mut changed = false;
        for _ in 0..READS_AGAIN {
            if bad.is_empty() {
                break;
            }
            for block in &bad {
                let within = (block - first) as usize * block_bytes as usize;
                let offset = u64::from(number) * u64::from(region_bytes) + within as u64;
                let Some(page) = bytes.get_mut(within..within + block_bytes as usize) else { continue };
                changed |= again(offset, page);
            }
            bad = look(bytes);
        }
        self.report(file, &bad);
        changed
    }

    fn report(&self, file: &Named, blocks: &[u32]) {
        if blocks.is_empty() {
            return;
        }
        let mut bad = self.bad.lock().unwrap_or_else(PoisonError::into_inner);
        bad.count += blocks.len() as u64;
        for block in blocks {
            if bad.listed.len() < LISTED_BAD_PAGES {
                bad.listed.insert(BadPage { path: file.path.clone(), block: *block });
            }
        }
    }
}

fn refuse(error: impl Into<crate::Error>) -> SinkError {
    Box::new(error.into())
}

impl ClusterSink for Sink<'_> {
    fn region_bytes(&self) -> u32 {
        self.cluster.region_bytes()
    }

    fn directory(&self, path: &ClusterPath, mode: u32) -> Result<(), SinkError> {
        self.cluster.directory(path, mode);
        Ok(())
    }

    fn file(&self, file: &ClusterFile) -> Result<FileNumber, SinkError> {
        let first_block = if self.start.data_checksums { page::relation_file(&file.path) } else { None };
        // Under the lock, so that both sides count in the same order.
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        let number = self.cluster.file(&file.path, file.mode).map_err(refuse)?;
        let is_suspect = self.suspects.has(&file.path);
        files.push(Named { path: file.path.clone(), first_block, is_suspect });
        Ok(FileNumber(number))
    }

    fn finish(&self, file: FileNumber, bytes: u64) -> Result<(), SinkError> {
        self.cluster.finish_file(file.0, bytes);
        Ok(())
    }

    fn worker(&self) -> Result<Box<dyn RegionSink + '_>, SinkError> {
        let writer = self.cluster.worker().map_err(refuse)?;
        Ok(Box::new(Worker { sink: self, writer, current: None }))
    }
}

/// One thread of a source.
struct Worker<'a> {
    sink: &'a Sink<'a>,
    writer: RegionWriter<'a>,
    /// The file of the last region.
    current: Option<(FileNumber, Named)>,
}

impl Worker<'_> {
    fn enter(&mut self, file: FileNumber) {
        if self.current.as_ref().is_none_or(|(number, _)| *number != file) {
            self.current = self.sink.named(file).map(|named| (file, named));
        }
    }
}

impl RegionSink for Worker<'_> {
    fn store(&mut self, region: Region, bytes: &mut [u8], again: Again<'_>) -> Result<(), SinkError> {
        self.enter(region.file);
        let length = bytes.len() as u64;
        let Self { sink, writer, current } = self;
        let is_suspect = current.as_ref().is_some_and(|(_, file)| file.is_suspect);
        let mut look = |bytes: &mut [u8]| match current {
            Some((_, file)) => sink.inspect(file, region.number, bytes, again),
            None => false,
        };
        if is_suspect {
            look(bytes);
            writer.store(region.file.0, region.number, bytes, &mut |_| false).map_err(refuse)?;
        } else {
            writer.store(region.file.0, region.number, bytes, &mut look).map_err(refuse)?;
        }
        self.sink.progress.add(length).map_err(refuse)
    }

    fn earlier(&mut self, region: Region, bytes: &mut Vec<u8>) -> Result<bool, SinkError> {
        self.writer.earlier(region.file.0, region.number, bytes).map_err(refuse)
    }

    fn keep(&mut self, region: Region) -> Result<bool, SinkError> {
        self.enter(region.file);
        if self.current.as_ref().is_some_and(|(_, file)| file.is_suspect) {
            // The source has to read it, so that it is looked at.
            return Ok(false);
        }
        let kept = self.writer.keep(region.file.0, region.number).map_err(refuse)?;
        if kept {
            self.sink.progress.add(self.sink.region_bytes().into()).map_err(refuse)?;
        }
        Ok(kept)
    }

    fn finish(self: Box<Self>) -> Result<(), SinkError> {
        self.writer.finish().map_err(refuse)
    }
}
