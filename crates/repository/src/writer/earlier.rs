//! The files of the earlier backup of a cluster, and where their regions are.
//!
//! Invariant: memory is some hundred bytes for each file and 40 for each list, not for each region; entries are read again when
//! they are needed.

use std::collections::HashMap;
use std::sync::Arc;

use format::{FileRecord, ListEntry, PhysicalRecord, Place};
use model::ClusterPath;

use super::parent::Source;
use crate::lists;

/// The regions of one file within the stream of all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// The position of its first region.
    first: u64,
    regions: u64,
}

/// An earlier backup of the cluster, opened for reuse.
#[derive(Debug)]
pub(super) struct EarlierCluster {
    source: Arc<Source>,
    /// The lists of all regions, each with the position of its first entry.
    lists: Vec<(u64, Place)>,
    spans: HashMap<ClusterPath, Span>,
    pub(super) record: PhysicalRecord,
    pub(super) files: Vec<FileRecord>,
    /// Whether its regions can be taken over without being read from the cluster.
    pub(super) serves_unread: bool,
}

impl EarlierCluster {
    pub(super) fn new(
        source: Arc<Source>,
        lists: Vec<(u64, Place)>,
        record: PhysicalRecord,
        files: Vec<FileRecord>,
        region_bytes: u32,
    ) -> Self {
        let mut first = 0;
        let mut spans = HashMap::with_capacity(files.len());
        for file in &files {
            let regions = file.regions(region_bytes);
            if file.bytes.is_some() {
                spans.insert(file.path.clone(), Span { first, regions });
            }
            first += regions;
        }
        Self { source, lists, spans, record, files, serves_unread: true }
    }

    /// Says whether its regions can be taken over without being read from the cluster.
    pub(super) fn with_unread(self, serves_unread: bool) -> Self {
        Self { serves_unread, ..self }
    }

    /// The regions of the file at `path`.
    pub(super) fn span(&self, path: &ClusterPath) -> Option<Span> {
        self.spans.get(path).copied()
    }

    /// The entry of a region; nothing when the file was shorter, or when its list can no longer be read.
    pub(super) fn entry(&self, span: Span, region: u32) -> Option<ListEntry> {
        let position = (u64::from(region) < span.regions).then(|| span.first + u64::from(region))?;
        let number = self.lists.partition_point(|(first, _)| *first <= position).checked_sub(1)?;
        let (first, place) = self.lists.get(number)?;
        let read = || lists::read(&self.source.records, place).map(|entries| (Arc::new(entries), 1));
        let entries = self.source.cache.get_or_make(&place.id, read).ok()?;
        entries.get(usize::try_from(position - first).ok()?).copied()
    }
}
