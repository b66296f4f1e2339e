//! The backup manifest that the server sends at the end (PostgreSQL documentation, chapter 75): a second opinion on what came.
//!
//! Invariants: every file in it came with the size, and where it has checksums with the bytes, that it says, and every other
//! file that came is WAL; its own checksum is right. It is read line by line, as the server writes it, so its size does not matter.

use aws_lc_rs::digest::{Context, SHA256};
use model::{ClusterPath, Lsn, TimelineId};
use serde::Deserialize;

use super::received::{ReceivedFile, ReceivedFiles};
use crate::ClusterError;

/// Bytes of the longest line: a path of 1024 bytes, all of them escaped, and some words.
const LINE_LIMIT: usize = 16 * 1024;

/// Compares a manifest with the files that came, while it comes.
pub(super) struct ManifestReader {
    received: ReceivedFiles,
    line: Vec<u8>,
    /// SHA-256 of all lines before the last; nothing behind the last.
    digest: Option<Context>,
    ranges: Vec<WalRange>,
}

/// A part of the WAL that the backup needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct WalRange {
    #[serde(rename = "Timeline")]
    pub(super) timeline: TimelineId,
    #[serde(rename = "Start-LSN")]
    pub(super) start: Lsn,
    #[serde(rename = "End-LSN")]
    pub(super) end: Lsn,
}

#[derive(Deserialize)]
struct FileLine {
    #[serde(rename = "Path")]
    path: Option<String>,
    #[serde(rename = "Encoded-Path")]
    encoded_path: Option<String>,
    #[serde(rename = "Size")]
    bytes: u64,
    #[serde(rename = "Checksum-Algorithm")]
    algorithm: Option<String>,
    #[serde(rename = "Checksum")]
    checksum: Option<String>,
}

fn differs(problem: impl Into<String>) -> ClusterError {
    ClusterError::Manifest { problem: problem.into() }
}

impl ManifestReader {
    /// For a backup in which these files came.
    pub(super) fn new(received: ReceivedFiles) -> Self {
        Self { received, line: Vec::new(), digest: Some(Context::new(&SHA256)), ranges: Vec::new() }
    }

    /// Takes some of its bytes.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), ClusterError> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (piece, rest) = bytes.split_at(end + 1);
            self.line.extend_from_slice(piece);
            bytes = rest;
            let line = std::mem::take(&mut self.line);
            self.read_line(&line)?;
            self.line = line;
            self.line.clear();
        }
        self.line.extend_from_slice(bytes);
        if self.line.len() > LINE_LIMIT { Err(differs("it has a line that is too long")) } else { Ok(()) }
    }

    /// It is complete. Returns which WAL the backup needs.
    pub(super) fn finish(self) -> Result<Vec<WalRange>, ClusterError> {
        if self.digest.is_some() || !self.line.is_empty() {
            return Err(differs("it is not complete"));
        }
        match self.received.left_over() {
            None => Ok(self.ranges),
            Some(path) => Err(differs(format!("it does not have {path}, which came"))),
        }
    }

    fn read_line(&mut self, line: &[u8]) -> Result<(), ClusterError> {
        let Some(mut digest) = self.digest.take() else {
            return Err(differs("it goes on behind its checksum"));
        };
        let text = std::str::from_utf8(line).map_err(|_| differs("it is not UTF-8"))?.trim_end();
        if let Some(rest) = text.strip_prefix("\"Manifest-Checksum\": \"") {
            let actual = hex::encode(digest.finish());
            let is_right = rest.strip_suffix("\"}") == Some(actual.as_str());
            return if is_right { Ok(()) } else { Err(differs("its checksum is wrong")) };
        }
        digest.update(line);
        self.digest = Some(digest);
        let object = text.trim_end_matches(',');
        let malformed = |error: serde_json::Error| differs(format!("it has a malformed line ({error})"));
        if object.starts_with("{ \"Path\"") || object.starts_with("{ \"Encoded-Path\"") {
            let file = serde_json::from_str(object).map_err(malformed)?;
            self.compare(&file)?;
        } else if object.starts_with("{ \"Timeline\"") {
            self.ranges.push(serde_json::from_str(object).map_err(malformed)?);
        }
        Ok(())
    }

    fn compare(&mut self, file: &FileLine) -> Result<(), ClusterError> {
        let path = file.path()?;
        let Some(received) = self.received.take(&path) else {
            return Err(differs(format!("it has {path}, which did not come")));
        };
        if received.bytes != file.bytes {
            let (said, came) = (file.bytes, received.bytes);
            return Err(differs(format!("{path} has {said} bytes in it, and {came} came")));
        }
        file.compare_checksum(&path, received)
    }
}

impl FileLine {
    fn path(&self) -> Result<ClusterPath, ClusterError> {
        match (&self.path, &self.encoded_path) {
            (Some(path), _) => path.parse().map_err(|_| ClusterError::Name { name: path.clone() }),
            // Only names that are not UTF-8 are encoded.
            (None, Some(encoded)) => Err(ClusterError::Name { name: encoded.clone() }),
            (None, None) => Err(differs("it has a file without a path")),
        }
    }

    fn compare_checksum(&self, path: &ClusterPath, received: ReceivedFile) -> Result<(), ClusterError> {
        let Some(ours) = received.checksum else { return Ok(()) };
        // The server writes the four bytes of its number as they are in memory.
        let ours = hex::encode(ours.to_le_bytes());
        match (self.algorithm.as_deref(), &self.checksum) {
            (Some("CRC32C"), Some(theirs)) if *theirs == ours => Ok(()),
            (Some("CRC32C"), Some(_)) => Err(differs(format!("{path} has another checksum than what came"))),
            _ => Err(differs(format!("{path} has no checksum"))),
        }
    }
}

#[cfg(test)]
mod tests;
