//! A file that is being read, by several threads.
//!
//! Invariant: reading leaves the page cache as it was, but for parts of a region. What the server keeps there stays, and what only
//! we needed goes, so that a backup does not push the working set of the database out of memory.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustix::fs::{Advice, OFlags, fadvise};
use rustix::io::{ReadWriteFlags, preadv2};

use crate::cluster::FileNumber;

/// Bytes that the disk is asked for before their turn, so that it works while we do.
const AHEAD_BYTES: u32 = 8 << 20;
/// Bytes that are looked for in memory to learn about a region: at its start and at its end.
const PROBE_BYTES: usize = 16;

/// A file that was named to the sink.
#[derive(Debug)]
pub(super) struct OpenFile {
    file: File,
    pub(super) number: FileNumber,
    /// Bytes when it was opened. Nothing behind them is read.
    pub(super) bytes: u64,
    region_bytes: u32,
    /// For each region: it was not in memory before we asked for it.
    cold: Vec<AtomicBool>,
    /// Regions that were not given yet.
    left: AtomicU32,
}

/// Opens an ordinary file, never following a link at the end of the path nor waiting for somebody to write into a pipe.
pub(super) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no ordinary file"));
    }
    Ok((file, metadata))
}

/// Permission bits.
pub(super) fn mode(metadata: &Metadata) -> u32 {
    metadata.permissions().mode() & 0o7777
}

impl OpenFile {
    /// A file of `regions` regions, which are read in their order, more or less.
    pub(super) fn new(file: File, number: FileNumber, bytes: u64, regions: u32, region_bytes: u32) -> Self {
        // Regions go to several threads, so that the kernel's guesses about what comes next are wrong.
        let _ = fadvise(&file, 0, None, Advice::Random);
        let cold = (0..regions).map(|_| AtomicBool::new(false)).collect();
        Self { file, number, bytes, region_bytes, cold, left: AtomicU32::new(regions) }
    }

    /// Regions in its bytes.
    pub(super) fn regions(&self) -> u32 {
        u32::try_from(self.cold.len()).unwrap_or(u32::MAX)
    }

    /// Fills `buffer` with a region. Fewer bytes mean that the file ends there.
    pub(super) fn read(&self, region: u32, buffer: &mut [u8]) -> io::Result<usize> {
        self.ask_ahead(region);
        let offset = self.offset(region);
        if self.is_cold(region) {
            let read = read_full(&self.file, offset, buffer)?;
            self.forget(offset, read);
            return Ok(read);
        }
        let (cached, knows) = self.read_cached(offset, buffer);
        if cached == buffer.len() {
            return Ok(cached);
        }
        let behind = offset + cached as u64;
        let read = read_full(&self.file, behind, &mut buffer[cached..])?;
        if knows {
            self.forget(behind, read);
        }
        Ok(cached + read)
    }

    /// Asks the disk for the region that is so far behind this one; with the first region also for those in between.
    fn ask_ahead(&self, region: u32) {
        let ahead = (AHEAD_BYTES / self.region_bytes.max(1)).max(1);
        let first = if region == 0 { 1 } else { region.saturating_add(ahead) };
        for region in first..=region.saturating_add(ahead) {
            let Some(cold) = self.cold.get(region as usize) else { return };
            let offset = self.offset(region);
            let length = (self.bytes - offset).min(u64::from(self.region_bytes));
            let is_there = |at: u64| self.read_cached(at, &mut [0; PROBE_BYTES]) != (0, true);
            if is_there(offset) || is_there(offset + length.saturating_sub(PROBE_BYTES as u64)) {
                continue;
            }
            cold.store(true, Ordering::Relaxed);
            let _ = fadvise(&self.file, offset, NonZeroU64::new(length), Advice::WillNeed);
        }
    }

    fn offset(&self, region: u32) -> u64 {
        u64::from(region) * u64::from(self.region_bytes)
    }

    fn is_cold(&self, region: u32) -> bool {
        self.cold.get(region as usize).is_some_and(|cold| cold.load(Ordering::Relaxed))
    }

    /// Takes from memory what only we needed there.
    fn forget(&self, offset: u64, length: usize) {
        if let Some(length) = NonZeroU64::new(length as u64) {
            let _ = fadvise(&self.file, offset, Some(length), Advice::DontNeed);
        }
    }

    /// What of it is in memory already, up to the first byte that is not; and whether this file system can tell.
    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> (usize, bool) {
        let mut slices = [IoSliceMut::new(buffer)];
        match preadv2(&self.file, &mut slices, offset, ReadWriteFlags::NOWAIT) {
            Ok(read) => (read, true),
            Err(error) => (0, error == rustix::io::Errno::AGAIN),
        }
    }

    /// Reads what is there now. Whether there is as much.
    pub(super) fn read_again(&self, offset: u64, buffer: &mut [u8]) -> bool {
        self.file.read_exact_at(buffer, offset).is_ok()
    }

    /// One region less; whether it was the last one.
    pub(super) fn is_last(&self) -> bool {
        self.left.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

fn read_full(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const REGION_BYTES: u32 = 64 << 10;
    const REGIONS: u32 = 8;

    fn file() -> OpenFile {
        let mut file = tempfile::tempfile().unwrap();
        for region in 0..REGIONS {
            file.write_all(&vec![u8::try_from(region).unwrap(); REGION_BYTES as usize]).unwrap();
        }
        file.sync_all().unwrap();
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        OpenFile::new(file, FileNumber(0), u64::from(REGION_BYTES * REGIONS), REGIONS, REGION_BYTES)
    }

    fn is_in_memory(file: &OpenFile, region: u32) -> bool {
        file.read_cached(file.offset(region), &mut [0; 1]) != (0, true)
    }

    #[test]
    fn what_was_in_memory_stays_and_the_rest_goes() {
        if is_in_memory(&file(), 0) {
            // A file system in memory, or one that cannot tell.
            return;
        }
        // Another file, since to look may be to make the kernel read.
        let file = file();
        let mut buffer = vec![0; REGION_BYTES as usize];
        read_full(&file.file, file.offset(5), &mut buffer).unwrap();
        for region in 0..REGIONS {
            assert_eq!(file.read(region, &mut buffer).unwrap(), buffer.len());
            assert!(buffer.iter().all(|byte| u32::from(*byte) == region), "region {region}");
        }
        let in_memory: Vec<u32> = (0..REGIONS).filter(|region| is_in_memory(&file, *region)).collect();
        assert_eq!(in_memory, [5]);
    }

    #[test]
    fn a_file_that_is_cut_off_ends_early() {
        let file = file();
        file.file.set_len(u64::from(2 * REGION_BYTES) + 10).unwrap();
        let mut buffer = vec![0; REGION_BYTES as usize];
        assert_eq!(file.read(1, &mut buffer).unwrap(), buffer.len());
        assert_eq!(file.read(2, &mut buffer).unwrap(), 10);
        assert_eq!(file.read(3, &mut buffer).unwrap(), 0);
        assert!(!file.read_again(u64::from(2 * REGION_BYTES), &mut buffer));
        assert!(file.read_again(u64::from(2 * REGION_BYTES), &mut buffer[..10]));
    }

    #[test]
    fn only_ordinary_files_are_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "x").unwrap();
        assert_eq!(open(&path).unwrap().1.len(), 1);
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(open(&link).is_err() && open(directory.path()).is_err());
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(open(&pipe).is_err());
    }
}
