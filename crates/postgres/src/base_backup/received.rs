//! Which files came, to be compared with the server's own list.

use std::collections::HashMap;

use model::ClusterPath;

/// What came of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReceivedFile {
    pub(super) bytes: u64,
    /// CRC-32C, if the manifest is to have them.
    pub(super) checksum: Option<u32>,
}

/// The files that came, by the names that the server gave them.
#[derive(Debug, Default)]
pub(super) struct ReceivedFiles {
    files: HashMap<ClusterPath, ReceivedFile>,
}

impl ReceivedFiles {
    /// Notes a file.
    pub(super) fn add(&mut self, path: ClusterPath, file: ReceivedFile) {
        self.files.insert(path, file);
    }

    /// A file of this name came.
    pub(super) fn has(&self, path: &ClusterPath) -> bool {
        self.files.contains_key(path)
    }

    /// The file of this name, once.
    pub(super) fn take(&mut self, path: &ClusterPath) -> Option<ReceivedFile> {
        self.files.remove(path)
    }

    /// Some file that was not taken. WAL is not in the manifest.
    pub(super) fn left_over(&self) -> Option<&ClusterPath> {
        self.files.keys().find(|path| !path.as_str().starts_with("pg_wal/"))
    }
}
