//! What WAL there is of each cluster, and to which moments it can be recovered.
//!
//! Invariant: reads and never writes. What cannot be read is part of the answer: it is a gap with its cause.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use model::{
    ArchivedTimeline, BackupId, BackupSpan, Recoverability, RecoveryWindow, SegmentSize, SegmentState,
    StoredCluster, SystemId, TimelineId, WalName, WalSegmentName, recoverability,
};
use repository::{ClusterBackup, Problem, Repository, TimelineWal, WalArchive, WalCatalogue};

use crate::progress::Progress;
use crate::{Context, Error, Phase};

/// The WAL of one cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct WalStatus {
    /// The cluster.
    pub system: SystemId,
    /// The size of its segments.
    pub segment_size: SegmentSize,
    /// Whole segments in the archive.
    pub segments: u64,
    /// Stored bytes of all its WAL.
    pub stored_bytes: u64,
    /// What was archived last.
    pub newest: Option<NewestWal>,
    /// Its physical backups.
    pub backups: Vec<BackupSpan>,
    /// The windows with their times.
    pub windows: Vec<WalWindow>,
    /// The same without times, with what lies between.
    pub found: Recoverability,
    /// What is wrong with objects that were read.
    pub problems: Vec<Problem>,
}

/// The WAL that was archived last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewestWal {
    /// Its segment.
    pub segment: WalSegmentName,
    /// When it was archived.
    pub archived_at: Timestamp,
}

/// A recovery window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalWindow {
    /// The positions.
    pub window: RecoveryWindow,
    /// When its last WAL was archived: every transaction in it is older. Where all WAL is in the backup, when that was complete.
    pub to_time: Timestamp,
}

/// The status of every cluster that has WAL or physical backups. With `verify`, every segment is read and authenticated, on
/// `threads` threads.
///
/// # Errors
/// When the repository cannot be read, or the operation was told to stop.
pub fn wal_status(
    repository: &Repository,
    verify: bool,
    threads: usize,
    context: &Context<'_>,
) -> Result<Vec<WalStatus>, Error> {
    let (mut backups, damaged) = backups(repository)?;
    let mut systems = repository.wal_systems()?;
    systems.extend(backups.keys().copied());
    let progress = Progress::begin(context, Phase::Contents, 0);
    let mut all = Vec::new();
    for system in systems {
        let spans = backups.remove(&system).unwrap_or_default();
        let archive = repository.wal(system);
        let mut status = Reading { archive: &archive, progress: &progress, problems: damaged.clone() }
            .status(&spans, verify.then_some(threads))?;
        status.problems.sort_by(|a, b| a.object.cmp(&b.object));
        all.push(status);
    }
    Ok(all)
}

/// What is known of the physical backups of one cluster.
#[derive(Debug, Default)]
struct Backups {
    size: Option<SegmentSize>,
    spans: Vec<BackupSpan>,
}

/// The physical backups by cluster, and what is wrong with manifests that cannot be read.
fn backups(repository: &Repository) -> Result<(BTreeMap<SystemId, Backups>, Vec<Problem>), Error> {
    let mut found: BTreeMap<SystemId, Backups> = BTreeMap::new();
    let (backups, damaged) = repository.cluster_backups()?;
    for ClusterBackup { id, finished_at, cluster } in backups {
        let StoredCluster { system, segment_size, timeline, start, stop, holds_wal } = cluster;
        let of_system = found.entry(system).or_default();
        of_system.size = Some(segment_size);
        of_system.spans.push(BackupSpan { id, timeline, start, stop, finished_at, holds_wal });
    }
    Ok((found, damaged))
}

/// Reads what the names alone do not say.
struct Reading<'a> {
    archive: &'a WalArchive,
    progress: &'a Progress<'a>,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn status(mut self, backups: &Backups, verify: Option<usize>) -> Result<WalStatus, Error> {
        let catalogue = self.archive.catalogue()?;
        let newest = self.newest(&catalogue)?;
        let size = self.size(&catalogue)?.or(backups.size).unwrap_or(SegmentSize::DEFAULT);
        let damaged = match verify {
            Some(threads) => self.verify(&catalogue, threads)?,
            None => BTreeSet::new(),
        };
        let mut timelines = Vec::new();
        for (timeline, wal) in &catalogue.timelines {
            timelines.push(self.timeline(*timeline, wal, &damaged)?);
        }
        let found = recoverability(size, &backups.spans, &timelines);
        let mut windows = Vec::new();
        for window in &found.windows {
            windows.push(self.window(window, &backups.spans)?);
        }
        Ok(WalStatus {
            system: self.archive.system(),
            segment_size: size,
            segments: catalogue.timelines.values().map(|wal| wal.segments.len() as u64).sum(),
            stored_bytes: catalogue.timelines.values().map(|wal| wal.stored_bytes).sum(),
            newest,
            backups: backups.spans.clone(),
            windows,
            found,
            problems: self.problems,
        })
    }

    /// A result, or nothing when the object is damaged, which is noted.
    fn tolerate<T>(&mut self, result: Result<Option<T>, repository::Error>) -> Result<Option<T>, Error> {
        match result {
            Ok(found) => Ok(found),
            Err(repository::Error::Damaged(problem)) => {
                if !self.problems.contains(&problem) {
                    self.problems.push(problem);
                }
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// When the last WAL of a segment was archived, and the size of segments: from its head, or from those of its pieces.
    fn segment(&mut self, name: WalSegmentName) -> Result<Option<(Timestamp, SegmentSize)>, Error> {
        let whole = self.archive.head(WalName::Segment(name));
        if let Some(head) = self.tolerate(whole)? {
            return Ok(head.segment_bytes.map(|size| (head.archived_at, size)));
        }
        let unfinished = self.archive.unfinished(name);
        Ok(self.tolerate(unfinished)?.map(|known| (known.archived_at, known.size)))
    }

    /// What was archived last, of the last segments of all timelines.
    fn newest(&mut self, catalogue: &WalCatalogue) -> Result<Option<NewestWal>, Error> {
        let mut newest: Option<NewestWal> = None;
        for wal in catalogue.timelines.values() {
            let Some(segment) = wal.last() else { continue };
            let Some((archived_at, _)) = self.segment(segment)? else { continue };
            if newest.is_none_or(|newest| newest.archived_at < archived_at) {
                newest = Some(NewestWal { segment, archived_at });
            }
        }
        Ok(newest)
    }

    /// The size of segments, from the first that says it.
    fn size(&mut self, catalogue: &WalCatalogue) -> Result<Option<SegmentSize>, Error> {
        let segments =
            catalogue.timelines.values().flat_map(|wal| wal.segments.keys().chain(wal.pieces.keys()));
        for segment in segments {
            if let Some((_, size)) = self.segment(*segment)? {
                return Ok(Some(size));
            }
        }
        Ok(None)
    }

    fn timeline(
        &mut self,
        timeline: TimelineId,
        wal: &TimelineWal,
        damaged: &BTreeSet<WalSegmentName>,
    ) -> Result<ArchivedTimeline, Error> {
        let mut archived = self.archive.archived(timeline, wal, &mut self.problems)?;
        for (_, state) in archived.segments.iter_mut().filter(|(name, _)| damaged.contains(name)) {
            *state = SegmentState::Damaged;
        }
        Ok(archived)
    }

    fn window(&mut self, window: &RecoveryWindow, backups: &[BackupSpan]) -> Result<WalWindow, Error> {
        let archived = match window.last_segment {
            Some(segment) => self.segment(segment)?.map(|(archived_at, _)| archived_at),
            None => None,
        };
        let last =
            |id: &BackupId| backups.iter().find(|backup| backup.id == *id).map(|backup| backup.finished_at);
        let finished = window.backups.iter().filter_map(last).max().unwrap_or(window.from_time);
        Ok(WalWindow { window: window.clone(), to_time: archived.unwrap_or(finished).max(finished) })
    }

    /// Reads every whole segment; the damaged ones.
    fn verify(
        &mut self,
        catalogue: &WalCatalogue,
        threads: usize,
    ) -> Result<BTreeSet<WalSegmentName>, Error> {
        let segments = catalogue.timelines.values().flat_map(|wal| wal.segments.keys().copied());
        let queue = Mutex::new(segments);
        let results: Mutex<Vec<(WalSegmentName, repository::Error)>> = Mutex::default();
        let (archive, progress) = (self.archive, self.progress);
        // In a function, so that the lock is not held while its result is worked on.
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            while let Some(name) = next() {
                match archive.get(WalName::Segment(name), &mut io::sink()) {
                    Ok(head) => progress.add(head.map_or(0, |head| head.bytes))?,
                    Err(error) => {
                        results.lock().unwrap_or_else(PoisonError::into_inner).push((name, error));
                    }
                }
            }
            Ok::<_, Error>(())
        };
        let ended: Vec<_> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
            workers.into_iter().map(crate::crew::join).collect()
        });
        crate::crew::all(ended)?;
        let mut damaged = BTreeSet::new();
        for (name, error) in results.into_inner().unwrap_or_else(PoisonError::into_inner) {
            self.tolerate::<()>(Err(error))?;
            damaged.insert(name);
        }
        Ok(damaged)
    }
}
