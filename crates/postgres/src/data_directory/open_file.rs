//! A file that is being read, by several threads.
//!
//! Invariant: reading leaves the page cache as it was. What the server keeps there stays, and what only we needed goes, so that a
//! backup does not push the working set of the database out of memory.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{Advice, OFlags, fadvise};
use rustix::io::{ReadWriteFlags, preadv2};

use crate::cluster::FileNumber;

/// A file that was named to the sink.
#[derive(Debug)]
pub(super) struct OpenFile {
    file: File,
    pub(super) number: FileNumber,
    /// Bytes when it was opened. Nothing behind them is read.
    pub(super) bytes: u64,
    /// Regions in those bytes.
    pub(super) regions: u32,
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
    pub(super) fn new(file: File, number: FileNumber, bytes: u64, regions: u32) -> Self {
        // Regions go to several threads, so that the kernel's guesses about what comes next are wrong. A region is large enough
        // to be read at once.
        let _ = fadvise(&file, 0, None, Advice::Random);
        Self { file, number, bytes, regions, left: AtomicU32::new(regions) }
    }

    /// Fills `buffer` from `offset` on. Fewer bytes mean that the file ends there.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let (cached, knows) = self.read_cached(offset, buffer);
        if cached == buffer.len() {
            return Ok(cached);
        }
        let behind = offset + cached as u64;
        let read = read_full(&self.file, behind, &mut buffer[cached..])?;
        if let Some(length) = NonZeroU64::new(read as u64).filter(|_| knows) {
            let _ = fadvise(&self.file, behind, Some(length), Advice::DontNeed);
        }
        Ok(cached + read)
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
