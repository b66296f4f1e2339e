//! Writing the lists of a stream.

use format::{Compressor, ListEntry, RecordType};

use super::pack;
use super::packs::{Spot, Table};
use super::shared::Shared;
use super::stream::Entry;
use crate::Error;

/// The level at which lists are compressed.
const LIST_LEVEL: i32 = 1;

/// Stores a list of `entries`, all of whose packs are closed, or finds the same list in the parent.
pub(super) fn write_list(shared: &Shared, stream: &str, entries: &[Entry]) -> Result<Spot, Error> {
    let named: Option<Vec<ListEntry>> = {
        let packs = shared.packs.lock();
        entries.iter().map(|entry| name(&packs, entry)).collect()
    };
    let named = named.ok_or_else(|| Error::Unfinished { stream: stream.to_owned() })?;
    let bytes = format::encode_list(&named).map_err(pack::seal("a list"))?;
    let id = shared.chunk_id(&bytes);
    if let Some(spot) = shared.reuse_list(id) {
        return Ok(spot);
    }
    // Half of a list is hashes, which do not compress; most of the rest is zeros and small numbers.
    let mut compressor = Compressor::new(LIST_LEVEL).map_err(pack::seal("a list"))?;
    let encoded = pack::encode(Some(&mut compressor), &bytes)?;
    shared.append_short_lived(&pack::record(RecordType::List, id, &bytes, encoded)?)
}

fn name(packs: &Table, entry: &Entry) -> Option<ListEntry> {
    let base = match &entry.base {
        Some(base) => Some(packs.named(base)?),
        None => None,
    };
    Some(ListEntry {
        place: packs.named(&entry.spot)?,
        rows: entry.rows,
        continues: entry.continues,
        key_hash: entry.key_hash,
        base,
    })
}
