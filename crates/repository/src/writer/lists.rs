//! Writing the lists of a stream.

use format::{Codec, ListEntry, NewRecord, RecordType};

use super::pack;
use super::packs::{Spot, Table};
use super::shared::Shared;
use super::stream::Entry;
use crate::Error;

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
    // Lists are mostly hashes, which do not compress.
    shared.append_short_lived(&NewRecord {
        record_type: RecordType::List,
        codec: Codec::Stored,
        plain_len: pack::length(&bytes)?,
        id,
        base: None,
        body: &bytes,
    })
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
