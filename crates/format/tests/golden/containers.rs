//! Sample containers: two packs of different epochs, a manifest, a proof, two objects of WAL, and a pack with regions of files.

use chronavault_format::{
    Codec, Compressor, ContainerBuilder, ContainerKind, ListEntry, NewRecord, Place, RecordType, encode_list,
};
use serde_json::{Value, json};

use crate::values::{BACKUP, Failed, base_rows, changed_regions, changed_rows, keyring, region};

/// A row in two chunks.
const BEGINNING: &[u8] = b"24\t0\tthe beginning";
const END: &[u8] = b" and the end of a row\n";

/// A record to be: what it holds and how.
pub(crate) struct Draft {
    pub(crate) record_type: RecordType,
    pub(crate) codec: Codec,
    pub(crate) plaintext: Vec<u8>,
    /// The plaintext of the base of a delta.
    pub(crate) base: Option<Vec<u8>>,
}

/// The encoded chunk of a record: from zstd, or from the vectors themselves, since another version of zstd may well
/// compress to other bytes.
pub(crate) trait Encode {
    fn encode(&mut self, draft: &Draft) -> Result<Vec<u8>, Failed>;
}

impl Encode for Compressor {
    fn encode(&mut self, draft: &Draft) -> Result<Vec<u8>, Failed> {
        Ok(match (draft.codec, &draft.base) {
            (Codec::ZstdDelta, Some(base)) => self.compress_delta(&draft.plaintext, base)?.to_vec(),
            (Codec::ZstdXor, Some(base)) => self.compress_xor(&draft.plaintext, base)?.to_vec(),
            (Codec::Zstd, _) => self.compress(&draft.plaintext)?.to_vec(),
            _ => draft.plaintext.clone(),
        })
    }
}

/// The encoded chunks of existing vectors, in their order.
impl<T: Iterator<Item = Vec<u8>>> Encode for std::iter::Fuse<T> {
    fn encode(&mut self, _draft: &Draft) -> Result<Vec<u8>, Failed> {
        self.next().ok_or_else(|| "the vectors hold too few records".into())
    }
}

/// All sample containers, in the order in which they refer to each other.
pub(crate) fn all(encode: &mut dyn Encode) -> Result<Value, Failed> {
    let (old, places) = container(ContainerKind::Pack, 1, 0x10, &first_pack(), encode)?;
    let lists = vec![Draft {
        record_type: RecordType::List,
        codec: Codec::Zstd,
        plaintext: encode_list(&entries(&places))?,
        base: None,
    }];
    let (new, list_places) = container(ContainerKind::Pack, 2, 0x20, &lists, encode)?;
    let manifest = json_draft(RecordType::Manifest, &manifest(&old, &new, &list_places[0]));
    let (manifest, _) = container(ContainerKind::Manifest, 2, 0x30, &[manifest], encode)?;
    let proof = json_draft(RecordType::Proof, &proof(&manifest["sha256"]));
    let (proof, _) = container(ContainerKind::Proof, 2, 0x40, &[proof], encode)?;
    let (history, _) = container(ContainerKind::Wal, 2, 0x60, &history(), encode)?;
    let (piece, _) = container(ContainerKind::Wal, 1, 0x70, &piece(), encode)?;
    let (regions, _) = container(ContainerKind::Pack, 2, 0x80, &regions(), encode)?;
    Ok(json!([old, new, manifest, proof, history, piece, regions]))
}

/// What an object of WAL holds: its head, then its chunks.
fn wal(head: &Value, codec: Codec, chunk: Vec<u8>) -> Vec<Draft> {
    let head = Draft { codec: Codec::Stored, ..json_draft(RecordType::WalHead, head) };
    vec![head, Draft { record_type: RecordType::WalChunk, codec, plaintext: chunk, base: None }]
}

/// The history of a timeline.
fn history() -> Vec<Draft> {
    let text = b"1\t0/3000148\tno recovery target specified\n".to_vec();
    let head = json!({
        "version": 1, "name": "00000002.history", "system_id": "7312345678901234567", "timeline": 2,
        "segment_bytes": null, "offset": 0, "bytes": text.len(), "archived_at": "2026-11-23T12:00:00Z",
        "a member of a later version": [1, 2],
    });
    wal(&head, Codec::Stored, text)
}

/// The bytes of a segment from 16384 on.
fn piece() -> Vec<Draft> {
    let bytes = base_rows();
    let head = json!({
        "version": 1, "name": "000000010000000A000000FF", "system_id": "7312345678901234567", "timeline": 1,
        "segment_bytes": 16_777_216, "offset": 16_384, "bytes": bytes.len(), "archived_at": "2026-11-23T12:00:10.25Z",
    });
    wal(&head, Codec::Zstd, bytes)
}

fn json_draft(record_type: RecordType, value: &Value) -> Draft {
    Draft { record_type, codec: Codec::Zstd, plaintext: value.to_string().into_bytes(), base: None }
}

fn first_pack() -> Vec<Draft> {
    let full = |codec, plaintext| Draft { record_type: RecordType::Full, codec, plaintext, base: None };
    let delta = Draft {
        record_type: RecordType::Delta,
        codec: Codec::ZstdDelta,
        plaintext: changed_rows(),
        base: Some(base_rows()),
    };
    vec![
        full(Codec::Zstd, base_rows()),
        delta,
        full(Codec::Stored, BEGINNING.to_vec()),
        full(Codec::Stored, END.to_vec()),
    ]
}

/// A region of a file, and what became of it, as differences byte by byte.
fn regions() -> Vec<Draft> {
    let base = Draft { record_type: RecordType::Full, codec: Codec::Stored, plaintext: region(), base: None };
    let differences = changed_regions().map(|plaintext| Draft {
        record_type: RecordType::Delta,
        codec: Codec::ZstdXor,
        plaintext,
        base: Some(region()),
    });
    std::iter::once(base).chain(differences).collect()
}

/// A list with a delta, a chunk that is continued, and a plain one.
fn entries(places: &[Place]) -> [ListEntry; 3] {
    let entry = |place, rows, continues, key_hash| ListEntry { place, rows, continues, key_hash, base: None };
    [
        ListEntry { base: Some(places[0]), ..entry(places[1], 23, false, 0x0123_4567_89ab_cdef) },
        entry(places[2], 0, true, 7),
        entry(places[3], 1, false, 7),
    ]
}

/// Seals a container; its JSON and the places of its records.
fn container(
    kind: ContainerKind,
    epoch: usize,
    salt: u8,
    drafts: &[Draft],
    encode: &mut dyn Encode,
) -> Result<(Value, Vec<Place>), Failed> {
    let keyring = keyring(epoch);
    let mut builder = ContainerBuilder::new(kind, &keyring, [salt; 32], Vec::new())?;
    let (mut records, mut spans) = (Vec::new(), Vec::new());
    for draft in drafts {
        let Draft { record_type, codec, ref plaintext, ref base } = *draft;
        let (body, id) = (encode.encode(draft)?, keyring.secrets().chunk_id(plaintext));
        let base = base.as_ref().map(|base| keyring.secrets().chunk_id(base));
        let plain_len = u32::try_from(plaintext.len())?;
        let span = builder.append(&NewRecord { record_type, codec, plain_len, id, base, body: &body })?;
        records.push(json!({
            "type": record_type as u8,
            "codec": codec as u8,
            "offset": span.offset,
            "sealed_bytes": span.sealed_len,
            "id": id,
            "base": base,
            "encoded": hex::encode(&body),
            "plaintext": hex::encode(plaintext),
        }));
        spans.push((span, plain_len, id));
    }
    let finished = builder.finish()?;
    let place = |(span, plain_bytes, id): (chronavault_format::RecordSpan, u32, _)| Place {
        pack: finished.id,
        offset: span.offset,
        sealed_bytes: span.sealed_len,
        plain_bytes,
        id,
    };
    let json = json!({
        "kind": format!("{kind:?}").to_lowercase(),
        "epoch": epoch,
        "salt": hex::encode([salt; 32]),
        "records": records,
        "bytes": hex::encode(&finished.bytes),
        "sha256": finished.id,
    });
    Ok((json, spans.into_iter().map(place).collect()))
}

fn manifest(old: &Value, new: &Value, list: &Place) -> Value {
    let size = |container: &Value| container["bytes"].as_str().map_or(0, str::len) / 2;
    let (old_bytes, new_bytes) = (size(old), size(new));
    let plain_bytes = changed_rows().len() + BEGINNING.len() + END.len();
    json!({
        "version": 1, "id": BACKUP, "kind": "logical", "source": "books",
        "started_at": "2026-11-23T12:00:00Z",
        "finished_at": "2026-11-23T12:00:09.5Z",
        "snapshot_at": "2026-11-23T12:00:01Z",
        "tool_version": "0.1.0", "parent": null,
        "plain_bytes": plain_bytes, "stored_bytes": old_bytes + new_bytes, "reused_bytes": 0,
        "packs": [{"sha256": old["sha256"], "bytes": old_bytes}, {"sha256": new["sha256"], "bytes": new_bytes}],
        "streams": [{
            "name": "rows/1", "kind": "rows", "table": {"schema": "Büro", "name": "Einträge"},
            "plain_bytes": plain_bytes, "entries": 3,
            "lists": [{
                "pack": list.pack, "offset": list.offset, "sealed_bytes": list.sealed_bytes,
                "plain_bytes": list.plain_bytes, "id": list.id,
            }],
        }],
        "logical": {
            "database": "books", "server_version": 150_018, "pg_dump_version": "15.18", "encoding": "UTF8",
            "properties": {}, "roles": [],
            "filters": {"schemas": [], "exclude_tables": [], "exclude_table_data": []},
            "extensions": [{"name": "plpgsql", "version": "1.0"}],
            "tables": [{
                "schema": "Büro", "name": "Einträge", "columns": ["id", "amount", "memo"],
                "proof": {"rows": 24, "sum": "0123456789abcdef0123456789abcdef"},
                "plain_bytes": plain_bytes,
            }],
            "counts": {"table": 1}, "globals_without_passwords": false,
        },
        "a member of a later version": [1, 2],
    })
}

fn proof(manifest_sha256: &Value) -> Value {
    json!({
        "version": 1, "backup": BACKUP, "manifest_sha256": manifest_sha256, "level": "restore",
        "outcome": "failed", "at": "2026-11-24T03:00:00Z", "duration_ms": 1500, "restore_ms": 900,
        "tables": 1, "rows": 24, "server_version": 150_018, "tool_version": "0.1.0",
        "problems": [{"code": "row-proof", "object": "Büro.Einträge", "message": "The table has other rows."}],
    })
}
