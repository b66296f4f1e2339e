//! What WAL there is, by name alone.

use std::collections::{BTreeMap, BTreeSet};

use format::ObjectKey;
use model::{SystemId, TimelineId, WalName, WalSegmentName};

use super::WalArchive;
use crate::{Error, Repository};

/// Keys of WAL start so.
pub(crate) const WAL: &str = "wal/";

/// The names of all WAL of a cluster. Nothing of it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WalCatalogue {
    /// The timelines that have any.
    pub timelines: BTreeMap<TimelineId, TimelineWal>,
}

/// The names of all WAL of one timeline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TimelineWal {
    /// Segments that are whole, and the stored size of each in bytes.
    pub segments: BTreeMap<WalSegmentName, u64>,
    /// Offsets of the pieces of segments, in bytes. A segment may be whole and still have pieces.
    pub pieces: BTreeMap<WalSegmentName, BTreeSet<u32>>,
    /// Segments under the name `….partial`.
    pub partials: BTreeSet<WalSegmentName>,
    /// What base backups left behind: the segment and the offset in it at which each began.
    pub backups: BTreeSet<(WalSegmentName, u32)>,
    /// Whether the history of the timeline is there.
    pub has_history: bool,
    /// Stored bytes of all objects of the timeline.
    pub stored_bytes: u64,
}

impl WalArchive {
    /// The names of all WAL of the cluster.
    ///
    /// Store calls: 1 list.
    ///
    /// # Errors
    /// When the store cannot list.
    pub fn catalogue(&self) -> Result<WalCatalogue, Error> {
        let mut catalogue = WalCatalogue::default();
        for object in self.repository.store.list(&format!("{WAL}{}/", self.system))? {
            if let Some(key) = ObjectKey::parse(object.key.as_str()) {
                catalogue.add(&key, object.size);
            }
        }
        Ok(catalogue)
    }
}

impl Repository {
    /// The clusters of which there is any WAL.
    ///
    /// Store calls: 1 list.
    ///
    /// # Errors
    /// When the store cannot list.
    pub fn wal_systems(&self) -> Result<BTreeSet<SystemId>, Error> {
        let listed = self.inner.store.list(WAL)?;
        let systems = listed.iter().filter_map(|object| match ObjectKey::parse(object.key.as_str()) {
            Some(ObjectKey::Wal(system, _) | ObjectKey::WalPiece(system, ..)) => Some(system),
            _ => None,
        });
        Ok(systems.collect())
    }
}

impl WalCatalogue {
    /// Adds an object of WAL; any other is none of the catalogue.
    pub(crate) fn add(&mut self, key: &ObjectKey, stored_bytes: u64) {
        match key {
            ObjectKey::Wal(_, name) => self.timeline(name.timeline()).add(*name, stored_bytes),
            ObjectKey::WalPiece(_, segment, offset) => {
                let timeline = self.timeline(segment.timeline);
                timeline.pieces.entry(*segment).or_default().insert(*offset);
                timeline.stored_bytes += stored_bytes;
            }
            _ => {}
        }
    }

    fn timeline(&mut self, timeline: TimelineId) -> &mut TimelineWal {
        self.timelines.entry(timeline).or_default()
    }
}

impl TimelineWal {
    /// The last segment of which there is anything that can be recovered to.
    pub fn last(&self) -> Option<WalSegmentName> {
        self.segments.keys().chain(self.pieces.keys()).max().copied()
    }

    fn add(&mut self, name: WalName, stored_bytes: u64) {
        self.stored_bytes += stored_bytes;
        match name {
            WalName::Segment(segment) => {
                self.segments.insert(segment, stored_bytes);
            }
            WalName::Partial(segment) => {
                self.partials.insert(segment);
            }
            WalName::Backup(segment, offset) => {
                self.backups.insert((segment, offset));
            }
            WalName::History(_) => self.has_history = true,
        }
    }
}
