//! Writes the files of a backup into a data directory, several regions at a time.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender};
use repository::{BackupReader, Entries, FileRecord, ListEntry};
use rustix::io::Errno;

use super::directory::{Before, CONTROL, TargetDirectory, failed};
use crate::progress::Progress;
use crate::{Error, crew};

/// Regions that a thread takes at once.
const BATCH_REGIONS: usize = 16;

/// Bytes that are written to a file before the disk is made to begin with them.
const SYNC_BYTES: usize = 16 << 20;
/// Files that wait to be synced.
const FILES_TO_SYNC: usize = 64;

/// Writes all files but the control file, whose bytes it returns. Where files are there `before`, only regions that differ are
/// written. Nothing is durable yet.
pub(super) fn write(
    reader: &BackupReader,
    files: &[FileRecord],
    target: &TargetDirectory,
    before: Before,
    jobs: usize,
    progress: &Progress<'_>,
) -> Result<Vec<u8>, Error> {
    lay_out(files, target, before)?;
    let queue = Mutex::new(Queue::new(reader, files)?);
    let (written, to_sync) = crossbeam_channel::bounded(FILES_TO_SYNC);
    let writing = Writing { reader, files, target, before, progress };
    let run = |written| crew::stopping_others(progress, || writing.run(&queue, OpenFile::new(written)));
    thread::scope(|scope| {
        let syncing = scope.spawn(|| crew::stopping_others(progress, || sync(&to_sync, target)));
        let senders = std::iter::repeat_n(written, jobs.max(1));
        let workers: Vec<_> = senders.map(|written| scope.spawn(|| run(written))).collect();
        let done = workers.into_iter().map(crew::join).collect::<Vec<_>>();
        crew::all(done.into_iter().chain([crew::join(syncing)]).collect())
    })?;
    Ok(queue.into_inner().unwrap_or_else(PoisonError::into_inner).control)
}

/// Makes the disk begin with what was written while the rest is still being decrypted. What it leaves is synced at the end.
fn sync(files: &Receiver<OwnedFd>, target: &TargetDirectory) -> Result<(), Error> {
    for file in files {
        rustix::fs::fdatasync(&file).map_err(|errno| failed("synced", target.path(), errno))?;
    }
    Ok(())
}

/// Makes directories and empty files, and removes what the backup does not have.
fn lay_out(files: &[FileRecord], target: &TargetDirectory, before: Before) -> Result<(), Error> {
    if before == Before::Files {
        let wanted: std::collections::HashSet<_> = files.iter().map(|file| &file.path).collect();
        for path in target.list()?.iter().filter(|path| !wanted.contains(path)) {
            if path.as_str() != super::directory::MARKER {
                target.remove_file(path)?;
            }
        }
    }
    for file in files {
        match file.bytes {
            None => target.directory(&file.path, file.mode)?,
            Some(0) => {
                let empty = target.file(&file.path, file.mode)?;
                rustix::fs::ftruncate(&empty, 0)
                    .map_err(|errno| failed("written", &target.path().join(file.path.as_str()), errno))?;
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// A region that is to be written.
#[derive(Debug, Clone, Copy)]
struct Work {
    /// Its file, by position in the list.
    file: usize,
    /// Its offset in the file, in bytes.
    offset: u64,
    entry: ListEntry,
}

/// All regions in order.
struct Queue<'a> {
    reader: &'a BackupReader,
    entries: Entries,
    files: &'a [FileRecord],
    file: usize,
    region: u64,
    control: Vec<u8>,
}

impl<'a> Queue<'a> {
    fn new(reader: &'a BackupReader, files: &'a [FileRecord]) -> Result<Self, Error> {
        Ok(Self { reader, entries: reader.regions()?, files, file: 0, region: 0, control: Vec::new() })
    }

    /// The next regions; none when all were given out.
    fn take(&mut self) -> Result<Vec<Work>, Error> {
        let mut batch = Vec::with_capacity(BATCH_REGIONS);
        let region_bytes = self.reader.region_bytes();
        while batch.len() < BATCH_REGIONS {
            let Some(file) = self.files.get(self.file) else { break };
            if self.region == file.regions(region_bytes) {
                (self.file, self.region) = (self.file + 1, 0);
                continue;
            }
            // The list of files was compared with the number of entries when it was read.
            let Some(entry) = self.entries.next() else { break };
            let entry = entry?;
            let offset = self.region * u64::from(region_bytes);
            let length = u64::from(region_bytes).min(file.bytes.unwrap_or(0) - offset);
            if u64::from(entry.place.plain_bytes) != length {
                return Err(Error::Malformed {
                    id: self.reader.manifest().id.clone(),
                    what: "the list of files",
                    message: format!("{} has another size than its regions", file.path),
                });
            }
            self.region += 1;
            if file.path.as_str() == CONTROL {
                self.control.extend(self.reader.chunk(&entry)?);
            } else {
                batch.push(Work { file: self.file, offset, entry });
            }
        }
        Ok(batch)
    }
}

struct Writing<'a> {
    reader: &'a BackupReader,
    files: &'a [FileRecord],
    target: &'a TargetDirectory,
    before: Before,
    progress: &'a Progress<'a>,
}

impl Writing<'_> {
    fn run(&self, queue: &Mutex<Queue<'_>>, mut open: OpenFile) -> Result<(), Error> {
        let mut loader = self.reader.loader();
        loop {
            let batch = queue.lock().unwrap_or_else(PoisonError::into_inner).take()?;
            if batch.is_empty() {
                return Ok(());
            }
            let bytes = batch.iter().map(|work| u64::from(work.entry.place.plain_bytes)).sum();
            let wanted = match self.before {
                Before::Empty => batch,
                Before::Files => self.different(batch, &mut open)?,
            };
            let entries: Vec<_> = wanted.iter().map(|work| work.entry).collect();
            let mut places = wanted.iter();
            loader.load(&entries, |_, bytes| match places.next() {
                Some(work) => self.put(work, bytes, &mut open),
                None => Ok(()),
            })?;
            self.progress.add(bytes)?;
        }
    }

    /// The regions that are not in the directory already.
    fn different(&self, batch: Vec<Work>, open: &mut OpenFile) -> Result<Vec<Work>, Error> {
        let mut different = Vec::with_capacity(batch.len());
        let mut buffer = Vec::new();
        for work in batch {
            buffer.resize(work.entry.place.plain_bytes as usize, 0);
            let file = self.open(&work, open)?;
            let length =
                read_at(file, &mut buffer, work.offset).map_err(|errno| self.failed(&work, errno))?;
            buffer.truncate(length);
            if !self.reader.is_chunk(&work.entry, &buffer) {
                different.push(work);
            }
        }
        Ok(different)
    }

    fn put(&self, work: &Work, bytes: &[u8], open: &mut OpenFile) -> Result<(), Error> {
        let file = self.open(work, open)?;
        let (mut rest, mut offset) = (bytes, work.offset);
        while !rest.is_empty() {
            match rustix::io::pwrite(file, rest, offset) {
                Ok(written) => {
                    rest = rest.get(written..).unwrap_or_default();
                    offset += written as u64;
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.failed(work, errno)),
            }
        }
        open.unsynced += bytes.len();
        if open.unsynced >= SYNC_BYTES {
            open.hand_over();
        }
        Ok(())
    }

    fn open<'a>(&self, work: &Work, open: &'a mut OpenFile) -> Result<&'a OwnedFd, Error> {
        if open.number != Some(work.file) {
            open.close();
        }
        if open.file.is_none() {
            let record = self.record(work)?;
            let file = self.target.file(&record.path, record.mode)?;
            if self.before == Before::Files {
                rustix::fs::ftruncate(&file, record.bytes.unwrap_or(0))
                    .map_err(|errno| self.failed(work, errno))?;
            }
            open.number = Some(work.file);
            open.file = Some(file);
        }
        open.file.as_ref().ok_or(Error::Cancelled)
    }

    fn record(&self, work: &Work) -> Result<&FileRecord, Error> {
        self.files.get(work.file).ok_or(Error::Cancelled)
    }

    fn failed(&self, work: &Work, errno: Errno) -> Error {
        let path = self.files.get(work.file).map(|file| self.target.path().join(file.path.as_str()));
        failed("written", &path.unwrap_or_default(), errno)
    }
}

/// The file that a thread wrote to last.
struct OpenFile {
    number: Option<usize>,
    file: Option<OwnedFd>,
    /// Bytes written since it was last handed over to be synced.
    unsynced: usize,
    /// Files of which much was written.
    written: Sender<OwnedFd>,
}

impl OpenFile {
    fn new(written: Sender<OwnedFd>) -> Self {
        Self { number: None, file: None, unsynced: 0, written }
    }

    /// Has the file synced. If there is much to sync already, that can wait.
    fn hand_over(&mut self) {
        if let Some(copy) = self.file.as_ref().and_then(|file| file.try_clone().ok()) {
            let _ = self.written.try_send(copy);
        }
        self.unsynced = 0;
    }

    fn close(&mut self) {
        if self.unsynced >= SYNC_BYTES / 4 {
            self.hand_over();
        }
        (self.number, self.file, self.unsynced) = (None, None, 0);
    }
}

/// Reads as much as there is, up to the size of the buffer.
fn read_at(file: &OwnedFd, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match rustix::io::pread(file, rest, offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(done)
}
