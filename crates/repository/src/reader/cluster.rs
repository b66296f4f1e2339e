//! The files of a physical backup.

use std::io::Read;

use format::{FILES, FileRecord, ObjectKey, REGIONS};

use super::{BackupReader, Entries};
use crate::Error;
use crate::error::{Problem, ProblemKind};
use crate::records::damaged;

impl BackupReader {
    /// The files and directories of the cluster, in the order of their regions.
    ///
    /// # Errors
    /// [`Error::NoSuchStream`] when the backup is not a physical one; [`Error::Damaged`].
    pub fn files(&self) -> Result<Vec<FileRecord>, Error> {
        let mut list = Vec::new();
        self.stream(FILES)?
            .read_to_end(&mut list)
            .map_err(|error| error.downcast::<Error>().unwrap_or(Error::Stopped))?;
        let key = ObjectKey::Manifest(self.manifest().id.clone());
        let files = FileRecord::decode_all(&list).map_err(|error| damaged(&key, &error))?;
        let regions: u64 = files.iter().map(|file| file.regions(self.region_bytes())).sum();
        if self.stream_record(REGIONS)?.entries != regions {
            let message = "the files that it lists need another number of regions than there are";
            return Err(Problem::new(FILES, ProblemKind::Inconsistent, message).into());
        }
        Ok(files)
    }

    /// The size of a region in bytes.
    pub fn region_bytes(&self) -> u32 {
        self.shared.records.repository.head.chunking.region_bytes
    }

    /// The regions of all files in order.
    ///
    /// # Errors
    /// [`Error::NoSuchStream`] when the backup is not a physical one.
    pub fn regions(&self) -> Result<Entries, Error> {
        self.entries(REGIONS)
    }

    /// Whether `bytes` are those of the chunk that `entry` names.
    pub fn is_chunk(&self, entry: &format::ListEntry, bytes: &[u8]) -> bool {
        bytes.len() == entry.place.plain_bytes as usize
            && self.shared.records.repository.chunk_id(bytes) == entry.place.id
    }
}
