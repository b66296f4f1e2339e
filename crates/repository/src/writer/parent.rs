//! The backup whose chunks a new one may use again: a compact index of its lists.
//!
//! Invariant: memory is bounded. 32 bytes are kept for each entry, up to a named number of entries; the entries themselves are
//! read again when they are needed. What cannot be read is not used again: damage in an old backup never stops a new one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use format::{ChunkId, FileRecord, ListEntry, Manifest, PackId, Place, StreamKind, StreamRecord};
use model::QualifiedName;

use super::earlier::EarlierCluster;
use crate::cache::Cache;
use crate::error::Problem;
use crate::records::Records;
use crate::{Error, lists};

/// Most entries that are indexed: 64 MiB of memory, enough for about 1 TB of rows. What lies beyond is stored again.
pub const MAX_INDEXED_ENTRIES: usize = 1 << 21;
/// Lists that are kept in memory, each of at most 4,096 entries (about 700 kB).
const CACHED_LISTS: usize = 12;

type Lists = Cache<ChunkId, Arc<Vec<ListEntry>>>;

/// An earlier backup, opened for reuse.
#[derive(Debug)]
pub(super) struct Parent {
    source: Arc<Source>,
    archives: HashMap<String, ParentStream>,
    tables: HashMap<QualifiedName, ParentStream>,
    lists: HashMap<ChunkId, Place>,
    /// The files of a physical backup.
    cluster: Option<EarlierCluster>,
    /// What could not be read.
    pub(super) problems: Vec<Problem>,
}

/// What all streams of a parent share.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) records: Arc<Records>,
    pub(super) cache: Lists,
    /// Packs whose chunks may be used again, with their sizes.
    usable: HashMap<PackId, u64>,
}

/// One stream of the parent.
#[derive(Debug, Clone)]
pub(super) struct ParentStream {
    source: Arc<Source>,
    index: Arc<Index>,
}

#[derive(Debug, Default)]
struct Index {
    /// The lists, each with the position of its first entry.
    lists: Vec<(u32, Place)>,
    /// First bytes of chunk ids and the positions of their entries, sorted.
    ids: Vec<(u64, u32)>,
    /// Key hashes and the positions of their entries, sorted.
    keys: Vec<(u64, u32)>,
    entries: u32,
}

/// Bytes of a pack that the parent needs, counting each record once.
#[derive(Debug, Default)]
struct Liveness {
    live: HashMap<PackId, u64>,
    seen: HashSet<(PackId, u32)>,
}

impl Liveness {
    /// Counts a record that nothing else names, which saves remembering it.
    fn add_unique(&mut self, place: &Place) {
        *self.live.entry(place.pack).or_default() +=
            u64::from(place.sealed_bytes) + format::RECORD_HEADER_BYTES as u64;
    }

    fn add(&mut self, place: &Place) {
        if self.seen.insert((place.pack, place.offset)) {
            self.add_unique(place);
        }
    }
}

impl Parent {
    /// Reads the lists of the backup that `manifest` describes. `there` holds the packs that are in the store now. `is_good` says
    /// that nothing bad is known of it, so that regions can be taken over unread.
    pub(super) fn open(
        manifest: &Manifest,
        records: &Arc<Records>,
        there: &HashMap<PackId, u64>,
        files: Vec<FileRecord>,
        is_good: bool,
    ) -> Self {
        let mut liveness = Liveness::default();
        let mut problems = Vec::new();
        let mut room = MAX_INDEXED_ENTRIES;
        let mut indexes = Vec::new();
        let mut regions = Vec::new();
        for stream in &manifest.streams {
            if stream.kind == StreamKind::Regions {
                let (lists, problem) = region_lists(stream, records, &mut liveness);
                regions = lists;
                problems.extend(problem);
                continue;
            }
            let (index, problem) = Index::read(stream, records, &mut liveness, &mut room);
            problems.extend(problem);
            indexes.push((stream, Arc::new(index)));
        }
        let mut usable = HashMap::new();
        for pack in &manifest.packs {
            // Where less than half of a pack is still needed, its chunks are stored again, so that it can go one day.
            let live =
                liveness.live.get(&pack.sha256).map_or(0, |live| live + format::CONTAINER_OVERHEAD_BYTES);
            if there.get(&pack.sha256) == Some(&pack.bytes) && live.saturating_mul(2) >= pack.bytes {
                usable.insert(pack.sha256, pack.bytes);
            }
        }
        let source =
            Arc::new(Source { records: Arc::clone(records), cache: Cache::new(CACHED_LISTS), usable });
        let mut parent = Self {
            source,
            archives: HashMap::new(),
            tables: HashMap::new(),
            lists: regions.iter().map(|(_, place)| (place.id, *place)).collect(),
            cluster: None,
            problems,
        };
        for (stream, index) in indexes {
            parent.add(stream, index);
        }
        if let Some(record) = &manifest.physical {
            let region_bytes = records.repository.head.chunking.region_bytes;
            let source = Arc::clone(&parent.source);
            let cluster = EarlierCluster::new(source, regions, record.clone(), files, region_bytes);
            parent.cluster = Some(cluster.with_unread(is_good));
        }
        parent
    }

    fn add(&mut self, stream: &StreamRecord, index: Arc<Index>) {
        self.lists.extend(index.lists.iter().map(|(_, place)| (place.id, *place)));
        let of_parent = ParentStream { source: Arc::clone(&self.source), index };
        match &stream.table {
            Some(table) => self.tables.insert(table.clone(), of_parent),
            None => self.archives.insert(stream.name.clone(), of_parent),
        };
    }

    /// The stream of the same table, or for an archive the stream of the same name.
    pub(super) fn stream(&self, name: &str, table: Option<&QualifiedName>) -> Option<ParentStream> {
        match table {
            Some(table) => self.tables.get(table).cloned(),
            None => self.archives.get(name).cloned(),
        }
    }

    /// A list chunk of the parent, when its pack may be used again, with the size of that.
    pub(super) fn list(&self, id: &ChunkId) -> Option<(Place, u64)> {
        let place = self.lists.get(id)?;
        Some((*place, *self.source.usable.get(&place.pack)?))
    }

    /// The files of a physical backup.
    pub(super) fn cluster(&self) -> Option<&EarlierCluster> {
        self.cluster.as_ref()
    }

    /// The size of a pack that may be used again.
    pub(super) fn usable(&self, pack: &PackId) -> Option<u64> {
        self.source.usable.get(pack).copied()
    }
}

/// The lists of the regions of a cluster, as far as they can be read, each with the position of its first entry.
fn region_lists(
    stream: &StreamRecord,
    records: &Records,
    liveness: &mut Liveness,
) -> (Vec<(u64, Place)>, Option<Problem>) {
    let mut found = Vec::new();
    let mut position = 0;
    for place in lists::places(stream) {
        let entries = match lists::read(records, &place) {
            Ok(entries) => entries,
            Err(error) => return (found, Some(as_problem(error, &stream.name))),
        };
        liveness.add(&place);
        found.push((position, place));
        for entry in &entries {
            // A region that occurs twice makes its pack seem more alive than it is, and does no harm.
            liveness.add_unique(&entry.place);
            if let Some(base) = &entry.base {
                liveness.add_unique(base);
            }
        }
        position += entries.len() as u64;
    }
    (found, None)
}

impl Index {
    /// Indexes `stream`, as far as its lists can be read and there is `room`.
    fn read(
        stream: &StreamRecord,
        records: &Records,
        liveness: &mut Liveness,
        room: &mut usize,
    ) -> (Self, Option<Problem>) {
        let mut index = Self::default();
        let mut problem = None;
        for place in lists::places(stream) {
            let entries = match lists::read(records, &place) {
                Ok(entries) if entries.len() <= *room => entries,
                Ok(_) => break,
                Err(error) => {
                    problem = Some(as_problem(error, &stream.name));
                    break;
                }
            };
            *room -= entries.len();
            liveness.add(&place);
            index.lists.push((index.entries, place));
            for entry in &entries {
                liveness.add(&entry.place);
                if let Some(base) = &entry.base {
                    liveness.add(base);
                }
                index.ids.push((first_bytes(&entry.place.id), index.entries));
                if stream.table.is_some() {
                    index.keys.push((entry.key_hash, index.entries));
                }
                index.entries += 1;
            }
        }
        index.ids.sort_unstable();
        index.keys.sort_unstable();
        (index, problem)
    }
}

pub(super) fn as_problem(error: Error, stream: &str) -> Problem {
    match error {
        Error::Damaged(problem) => problem,
        other => Problem::new(stream, crate::ProblemKind::Unreadable, other.to_string()),
    }
}

fn first_bytes(id: &ChunkId) -> u64 {
    id.0.first_chunk().copied().map_or(0, u64::from_le_bytes)
}

/// The positions in a sorted index at `key`.
fn positions(index: &[(u64, u32)], key: u64) -> impl Iterator<Item = u32> {
    let start = index.partition_point(|(other, _)| *other < key);
    let from = index.get(start..).unwrap_or_default();
    from.iter().take_while(move |(other, _)| *other == key).map(|(_, position)| *position)
}

impl ParentStream {
    /// The entry of the chunk `id` and its position, when the packs it needs may be used again.
    pub(super) fn find(&self, id: &ChunkId) -> Option<(u32, ListEntry)> {
        positions(&self.index.ids, first_bytes(id)).find_map(|position| {
            let entry = self.at(position)?;
            let packs = [Some(entry.place.pack), entry.base.map(|base| base.pack)];
            let is_usable = packs.into_iter().flatten().all(|pack| self.source.usable.contains_key(&pack));
            (entry.place.id == *id && is_usable).then_some((position, entry))
        })
    }

    /// The position of the chunk that began with the same first column.
    pub(super) fn find_key(&self, key_hash: u64) -> Option<u32> {
        positions(&self.index.keys, key_hash).next()
    }

    /// The full chunk at `position`, or the base of the delta there, when it may be used.
    pub(super) fn base_at(&self, position: u32) -> Option<Place> {
        let entry = self.at(position)?;
        let base = entry.base.unwrap_or(entry.place);
        self.source.usable.contains_key(&base.pack).then_some(base)
    }

    /// The entry at `position`. A list that can no longer be read is as good as none.
    fn at(&self, position: u32) -> Option<ListEntry> {
        let number = self.index.lists.partition_point(|(first, _)| *first <= position).checked_sub(1)?;
        let (first, place) = self.index.lists.get(number)?;
        let read = || lists::read(&self.source.records, place).map(|entries| (Arc::new(entries), 1));
        let entries = self.source.cache.get_or_make(&place.id, read).ok()?;
        entries.get((position - first) as usize).copied()
    }
}
