//! The earlier backup that an incremental one is made against, and the manifest of it that the server wants.

use std::collections::HashMap;

use aws_lc_rs::digest::{Context, SHA256};
use model::ClusterPath;

use crate::cluster::EarlierBackup;

/// The first major version with incremental base backups.
pub(super) const INCREMENTAL_MAJOR: u32 = 17;

/// The sizes of the files of an earlier backup.
#[derive(Debug, Default)]
pub(super) struct EarlierFiles(HashMap<ClusterPath, u64>);

impl EarlierFiles {
    pub(super) fn new(earlier: &EarlierBackup) -> Self {
        Self(earlier.files.iter().cloned().collect())
    }

    /// The size of a file in bytes, if the earlier backup has it.
    pub(super) fn bytes(&self, path: &ClusterPath) -> Option<u64> {
        self.0.get(path).copied()
    }
}

/// A backup manifest of an earlier backup, line by line (PostgreSQL documentation, chapter 75). The server looks at names and sizes
/// of files, at the WAL, at the system identifier, and at the checksum of the whole.
pub(super) fn manifest_lines(earlier: &EarlierBackup) -> impl Iterator<Item = String> {
    let head = format!(
        "{{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": {},\n\"Files\": [\n",
        earlier.system_id
    );
    let count = earlier.files.len();
    let files = earlier.files.iter().enumerate().map(move |(at, (path, bytes))| {
        // Quoting a string cannot fail.
        let path = serde_json::Value::from(path.as_str());
        let comma = if at + 1 < count { "," } else { "" };
        format!("{{ \"Path\": {path}, \"Size\": {bytes} }}{comma}\n")
    });
    let EarlierBackup { timeline, start_lsn, stop_lsn, .. } = earlier;
    let wal = format!(
        "],\n\"WAL-Ranges\": [\n{{ \"Timeline\": {timeline}, \"Start-LSN\": \"{start_lsn}\", \"End-LSN\": \"{stop_lsn}\" }}\n],\n"
    );
    let mut lines = std::iter::once(head).chain(files).chain(std::iter::once(wal));
    let mut digest = Some(Context::new(&SHA256));
    std::iter::from_fn(move || {
        if let Some(line) = lines.next() {
            digest.as_mut()?.update(line.as_bytes());
            return Some(line);
        }
        let sum = hex::encode(digest.take()?.finish());
        Some(format!("\"Manifest-Checksum\": \"{sum}\"}}\n"))
    })
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::digest;
    use model::{Lsn, SystemId, TimelineId};

    use super::*;

    #[test]
    fn the_manifest_is_what_the_server_reads() {
        let earlier = EarlierBackup {
            system_id: SystemId(7),
            timeline: TimelineId::FIRST,
            data_checksums: true,
            started_at: jiff::Timestamp::UNIX_EPOCH,
            start_lsn: Lsn(0x200_0028),
            stop_lsn: Lsn(0x200_0100),
            files: vec![("base/1/\"q\"".parse().unwrap(), 8192), ("PG_VERSION".parse().unwrap(), 3)],
        };
        let text: String = manifest_lines(&earlier).collect();
        let before = "{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": 7,\n\"Files\": [\n\
            { \"Path\": \"base/1/\\\"q\\\"\", \"Size\": 8192 },\n{ \"Path\": \"PG_VERSION\", \"Size\": 3 }\n],\n\
            \"WAL-Ranges\": [\n{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/2000100\" }\n],\n";
        let sum = hex::encode(digest(&SHA256, before.as_bytes()));
        assert_eq!(text, format!("{before}\"Manifest-Checksum\": \"{sum}\"}}\n"));
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }
}
