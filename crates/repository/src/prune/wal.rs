//! The archived WAL, as a prune sees it: what there is of each timeline, and which objects go.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use format::ObjectKey;
use model::{
    RetentionPlan, StoredTimeline, StoredWal, SystemId, TimelineId, WalCut, WalFate, WalName, WalSegmentName,
};
use storage::Listed;

use super::Objects;
use crate::wal::{WAL, WalCatalogue};
use crate::{Error, Repository};

/// The WAL of a timeline: what goes of it, and what stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedWal {
    /// The cluster.
    pub system: SystemId,
    /// The timeline.
    pub timeline: TimelineId,
    /// Up to where it goes, or why all of it stays.
    pub fate: WalFate,
    /// What goes: segments, and what belongs to them.
    pub objects: Objects,
    /// The segments among it.
    pub segments: Option<SegmentRange>,
    /// Bytes of what stays.
    pub kept_bytes: u64,
}

/// Segments that go. Some between may not be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentRange {
    /// The first.
    pub first: WalSegmentName,
    /// The last.
    pub last: WalSegmentName,
    /// How many they are.
    pub number: u64,
}

/// All objects of WAL, by cluster and timeline.
#[derive(Debug, Default)]
pub(super) struct Archive(BTreeMap<SystemId, System>);

#[derive(Debug, Default)]
struct System {
    catalogue: WalCatalogue,
    objects: BTreeMap<TimelineId, Vec<(ObjectKey, Listed)>>,
}

impl Repository {
    /// Lists all WAL.
    ///
    /// Store calls: 1 list.
    pub(super) fn wal_objects(&self) -> Result<Archive, Error> {
        let mut archive = Archive::default();
        for object in self.inner.store.list(WAL)? {
            let Some(key) = ObjectKey::parse(object.key.as_str()) else { continue };
            let (system, timeline) = match &key {
                ObjectKey::Wal(system, name) => (*system, name.timeline()),
                ObjectKey::WalPiece(system, segment, _) => (*system, segment.timeline),
                _ => continue,
            };
            let system = archive.0.entry(system).or_default();
            system.catalogue.add(&key, object.size);
            system.objects.entry(timeline).or_default().push((key, object));
        }
        Ok(archive)
    }

    /// What retention has to know of it.
    ///
    /// Store calls: for each timeline those of [`crate::WalArchive::archived`], and for its last segment 1 size and 1 range or those of
    /// [`crate::WalArchive::unfinished`].
    pub(super) fn stored_wal(&self, archive: &Archive) -> Result<Vec<StoredWal>, Error> {
        let mut stored = Vec::new();
        for (system, found) in &archive.0 {
            let wal = self.wal(*system);
            let mut timelines = Vec::new();
            for (timeline, names) in &found.catalogue.timelines {
                // What is damaged is no reason to keep less: such a timeline counts as one that goes on.
                let archived = wal.archived(*timeline, names, &mut Vec::new())?;
                timelines.push(StoredTimeline { archived, written_until: wal.written_until(names)? });
            }
            stored.push(StoredWal { system: *system, timelines });
        }
        Ok(stored)
    }
}

impl Archive {
    /// The objects that go, and those that stay.
    pub(super) fn plan(self, retention: &RetentionPlan) -> Vec<PlannedWal> {
        let Self(mut systems) = self;
        let mut planned = Vec::new();
        for verdict in &retention.wal {
            let found =
                systems.get_mut(&verdict.system).and_then(|found| found.objects.remove(&verdict.timeline));
            let found = found.unwrap_or_default();
            let all: u64 = found.iter().map(|(_, object)| object.size).sum();
            let (segments, objects) = match &verdict.fate {
                WalFate::Cut(cut) => doomed(cut, found),
                WalFate::Stays(_) => (None, Objects::default()),
            };
            planned.push(PlannedWal {
                system: verdict.system,
                timeline: verdict.timeline,
                fate: verdict.fate.clone(),
                kept_bytes: all - objects.bytes(),
                objects,
                segments,
            });
        }
        planned
    }
}

/// What lies before a cut, in the order in which it goes: from the beginning of the timeline on, and of each segment what belongs
/// to it before itself, the first piece last (W10).
fn doomed(cut: &WalCut, found: Vec<(ObjectKey, Listed)>) -> (Option<SegmentRange>, Objects) {
    let mut doomed: Vec<_> =
        found.into_iter().filter(|(key, _)| segment(key).is_some_and(|segment| cut.takes(segment))).collect();
    doomed.sort_by_key(|(key, _)| (segment(key), place(key)));
    let whole = doomed.iter().filter_map(|(key, _)| match key {
        ObjectKey::Wal(_, WalName::Segment(segment)) => Some(*segment),
        _ => None,
    });
    let range = whole.clone().next().zip(whole.clone().next_back());
    let range = range.map(|(first, last)| SegmentRange { first, last, number: whole.count() as u64 });
    (range, Objects(doomed.into_iter().map(|(_, object)| object).collect()))
}

/// The segment that an object goes with. A history stays.
fn segment(key: &ObjectKey) -> Option<WalSegmentName> {
    match key {
        ObjectKey::Wal(
            _,
            WalName::Segment(segment) | WalName::Partial(segment) | WalName::Backup(segment, _),
        )
        | ObjectKey::WalPiece(_, segment, _) => Some(*segment),
        _ => None,
    }
}

/// Among those of one segment.
fn place(key: &ObjectKey) -> (u8, Reverse<u32>) {
    match key {
        ObjectKey::WalPiece(_, _, offset) => (0, Reverse(*offset)),
        ObjectKey::Wal(_, WalName::Backup(_, offset)) => (1, Reverse(*offset)),
        ObjectKey::Wal(_, WalName::Partial(_)) => (2, Reverse(0)),
        _ => (3, Reverse(0)),
    }
}
