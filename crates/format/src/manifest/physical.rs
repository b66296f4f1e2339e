//! What a physical backup says about its cluster (docs/format.md, section 9).

use model::{ClusterPath, Lsn, SegmentSize, SystemId, TimelineId};
use serde::{Deserialize, Serialize};

use super::{StreamKind, StreamRecord};
use crate::FormatError;

/// The name of the stream that lists the files of a cluster: one [`FileRecord`] a line.
pub const FILES: &str = "files";
/// The name of the stream of the regions of those files, in the order of the list.
pub const REGIONS: &str = "regions";

/// What a physical backup says about its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhysicalRecord {
    /// The system identifier.
    pub system_identifier: SystemId,
    /// `server_version_num`.
    pub server_version: u32,
    /// The timeline of the backup.
    pub timeline: TimelineId,
    /// Where replay of the WAL begins.
    pub start_lsn: Lsn,
    /// Where the cluster is consistent.
    pub stop_lsn: Lsn,
    /// Size of its WAL segments.
    pub wal_segment_bytes: SegmentSize,
    /// Size of its pages.
    pub block_bytes: u32,
    /// Whether its pages have checksums.
    pub data_checksums: bool,
    /// Whether it was read from a standby.
    pub from_standby: bool,
    /// How it was read: `base_backup`, `data_directory`, …
    pub method: String,
    /// Its tablespaces outside the data directory.
    pub tablespaces: Vec<TablespaceRecord>,
    /// Number of files.
    pub files: u64,
    /// Pages whose checksums were wrong, each read more than once; at most a thousand are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bad_pages: Vec<BadPage>,
    /// How many there were.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bad_page_count: u64,
}

/// A tablespace outside the data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TablespaceRecord {
    /// Its OID.
    pub oid: u32,
    /// Where it was.
    pub location: String,
}

/// A page whose checksum is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BadPage {
    /// The file.
    pub path: ClusterPath,
    /// The block in the relation's fork.
    pub block: u32,
}

/// A file or an empty directory of a cluster: one line of the stream [`FILES`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRecord {
    /// Where it is.
    pub path: ClusterPath,
    /// Its permission bits.
    pub mode: u32,
    /// Its size; nothing for a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl PhysicalRecord {
    pub(super) fn check(&self, streams: &[StreamRecord]) -> Result<(), FormatError> {
        let has = |name: &str, kind| streams.iter().any(|stream| stream.name == name && stream.kind == kind);
        if !has(FILES, StreamKind::Archive) || !has(REGIONS, StreamKind::Regions) {
            return Err(FormatError::malformed("the manifest of a physical backup lacks its files"));
        }
        if self.stop_lsn < self.start_lsn {
            return Err(FormatError::malformed("a physical backup ends before it begins"));
        }
        Ok(())
    }
}

impl FileRecord {
    /// The regions that the file takes in the stream [`REGIONS`].
    pub fn regions(&self, region_bytes: u32) -> u64 {
        self.bytes.unwrap_or(0).div_ceil(u64::from(region_bytes))
    }

    /// The list as the stream holds it.
    pub fn encode_all(records: &[Self]) -> Result<Vec<u8>, FormatError> {
        let mut lines = Vec::new();
        for record in records {
            serde_json::to_writer(&mut lines, record).map_err(FormatError::json("a file record"))?;
            lines.push(b'\n');
        }
        Ok(lines)
    }

    /// The list that a stream holds.
    pub fn decode_all(bytes: &[u8]) -> Result<Vec<Self>, FormatError> {
        let lines = match bytes.strip_suffix(b"\n") {
            Some(lines) => lines,
            None if bytes.is_empty() => return Ok(Vec::new()),
            None => return Err(FormatError::malformed("the list of files is cut off")),
        };
        let parse = |line| serde_json::from_slice(line).map_err(FormatError::json("a file record"));
        lines.split(|byte| *byte == b'\n').map(parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(path: &str, bytes: Option<u64>) -> FileRecord {
        FileRecord { path: path.parse().unwrap(), mode: 0o600, bytes }
    }

    #[test]
    fn a_list_of_files_survives_encoding() {
        let records =
            [record("base/5/1259", Some(8192)), record("pg_notify", None), record("a \"b\" ä", Some(0))];
        let bytes = FileRecord::encode_all(&records).unwrap();
        assert!(bytes.starts_with(br#"{"path":"base/5/1259","mode":384,"bytes":8192}"#));
        assert_eq!(FileRecord::decode_all(&bytes).unwrap(), records);
        assert_eq!(FileRecord::decode_all(b"").unwrap(), []);
        for length in 1..bytes.len() {
            let whole = bytes[..length].ends_with(b"\n");
            assert_eq!(FileRecord::decode_all(&bytes[..length]).is_ok(), whole, "{length}");
        }
    }

    #[test]
    fn what_a_list_of_files_should_not_hold_is_refused() {
        for line in [
            r#"{"path":"../x","mode":384,"bytes":1}"#,
            r#"{"path":"x","mode":384,"bytes":-1}"#,
            r#"{"path":"x","bytes":1}"#,
            r#"{"path":"x","mode":384,"size":1}"#,
            "",
        ] {
            assert!(FileRecord::decode_all(format!("{line}\n").as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn a_file_takes_whole_regions_and_a_rest() {
        let regions = |bytes| record("x", bytes).regions(1000);
        assert_eq!([None, Some(0), Some(1), Some(1000), Some(1001)].map(regions), [0, 0, 1, 1, 2]);
    }
}
