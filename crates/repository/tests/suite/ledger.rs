//! A made-up table, its daily changes, and backups of it into a repository in memory.

use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use chronavault_repository::{
    BackupWriter, Chunk, CommitFacts, Committed, HolderKey, MANIFEST_VERSION, Problem, Progress, Proof,
    Repository, WriteOptions,
};
use jiff::Timestamp;
use model::{BackupId, Kind, QualifiedName, RowProof, TableRecord};
use storage::{MemoryStore, Store};
pub(crate) use testkit::random::Random as Numbers;

/// One line of a journal as COPY text, without newline.
pub(crate) fn row(id: u64, version: u64) -> Vec<u8> {
    let mut numbers = Numbers(id.wrapping_mul(1_000_003) ^ version);
    let amount = numbers.below(10_000_000);
    let memo = ["rent", "salary", "invoice", "payment", "transfer", "refund", "fee"]
        [usize::try_from(numbers.below(7)).unwrap()];
    let hex = numbers.any();
    format!(
        "{id}\t{}\t{}\t{}.{:02}\t{memo} {hex:016x}\t{version}",
        id / 4,
        numbers.below(20_000),
        amount / 100,
        amount % 100
    )
    .into_bytes()
}

/// A key that every test uses.
pub(crate) fn holder() -> HolderKey {
    HolderKey::new([7; 32])
}

pub(crate) fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

pub(crate) fn id(day: u32) -> BackupId {
    let time = now() + jiff::SignedDuration::from_hours(24 * i64::from(day));
    BackupId::new(time, [0xab, 0xc1, 0x23])
}

pub(crate) fn table() -> QualifiedName {
    QualifiedName::new("public", "journal_lines")
}

/// A source of bytes that look random.
pub(crate) fn random() -> impl Fn(&mut [u8]) {
    let numbers = std::cell::RefCell::new(Numbers(42));
    move |bytes| {
        for byte in bytes {
            *byte = u8::try_from(numbers.borrow_mut().below(256)).unwrap();
        }
    }
}

/// A new repository in `store`.
pub(crate) fn init(store: impl Store + 'static) -> Repository {
    Repository::init(Arc::new(store), &holder(), now(), &random()).unwrap()
}

pub(crate) fn in_memory() -> (MemoryStore, Repository) {
    let store = MemoryStore::new();
    (store.clone(), init(store))
}

pub(crate) fn options() -> WriteOptions {
    WriteOptions { seal_threads: 2, ..WriteOptions::default() }
}

/// The chunks of rows, as a reader of COPY would cut them.
pub(crate) fn cut<R: AsRef<[u8]>>(repository: &Repository, rows: impl IntoIterator<Item = R>) -> Vec<Chunk> {
    let (cutter, hasher) = (repository.row_cutter(), repository.row_hasher());
    let mut chunks = Vec::new();
    let mut chunk = Chunk::default();
    for row in rows {
        let row = row.as_ref();
        let length = row.len() + 1;
        if length > cutter.max_bytes() {
            if !chunk.bytes.is_empty() {
                chunks.push(std::mem::take(&mut chunk));
            }
            let whole: Vec<u8> = [row, b"\n"].concat();
            let pieces: Vec<_> = whole.chunks(cutter.max_bytes()).collect();
            for (number, piece) in pieces.iter().enumerate() {
                let is_last = number + 1 == pieces.len();
                let key_hash = hasher.key_hash(row);
                chunks.push(Chunk {
                    bytes: piece.to_vec(),
                    rows: u32::from(is_last),
                    key_hash,
                    continues: !is_last,
                });
            }
            continue;
        }
        if chunk.bytes.is_empty() {
            chunk.key_hash = hasher.key_hash(row);
        }
        chunk.bytes.extend_from_slice(row);
        chunk.bytes.push(b'\n');
        chunk.rows += 1;
        if cutter.cut_after(chunk.bytes.len(), length, hasher.hash(row)) {
            chunks.push(std::mem::take(&mut chunk));
        }
    }
    if !chunk.bytes.is_empty() {
        chunks.push(chunk);
    }
    chunks
}

pub(crate) fn proof<R: AsRef<[u8]>>(repository: &Repository, rows: impl IntoIterator<Item = R>) -> RowProof {
    let mut proof = RowProof::default();
    for row in rows {
        proof.add(repository.row_hasher().hash(row.as_ref()));
    }
    proof
}

/// What a manifest says of a table with these rows.
pub(crate) fn record<R: AsRef<[u8]>>(repository: &Repository, rows: &[R]) -> TableRecord {
    let plain_bytes = rows.iter().map(|row| row.as_ref().len() as u64 + 1).sum();
    let proof = Some(proof(repository, rows));
    TableRecord { name: table(), columns: vec!["id".into()], proof, plain_bytes, condition: None }
}

pub(crate) fn facts(tables: Vec<TableRecord>) -> CommitFacts {
    CommitFacts {
        started_at: now(),
        finished_at: now(),
        snapshot_at: now(),
        tool_version: "0.1.0".into(),
        logical: Some(chronavault_repository::LogicalRecord {
            database: "books".into(),
            server_version: 150_018,
            pg_dump_version: "15.18".into(),
            encoding: "UTF8".into(),
            properties: serde_json::Value::Null,
            roles: vec![],
            filters: model::Filters::default(),
            extensions: vec![],
            tables,
            counts: std::collections::BTreeMap::new(),
            globals_without_passwords: false,
            inventory_version: 1,
        }),
        physical: None,
    }
}

/// Pushes `rows` as stream `rows/1`, in parts of about `part_rows`.
pub(crate) fn write_rows<R: AsRef<[u8]>>(
    repository: &Repository,
    writer: &BackupWriter,
    rows: &[R],
    part_rows: usize,
) {
    let stream = writer.rows("rows/1", &table()).unwrap();
    for (number, part) in rows.chunks(part_rows).enumerate() {
        let mut writer = stream.part(u32::try_from(number).unwrap()).unwrap();
        for chunk in cut(repository, part) {
            writer.push(chunk).unwrap();
        }
        writer.finish();
    }
}

/// A whole backup of `rows` and an archive.
pub(crate) fn back_up<R: AsRef<[u8]>>(
    repository: &Repository,
    id: &BackupId,
    rows: &[R],
    archive: &[u8],
    options: WriteOptions,
) -> Committed {
    let writer = repository.begin(id.clone(), "books", Kind::Logical, options).unwrap();
    write_rows(repository, &writer, rows, 1 << 20);
    let mut stream = writer.archive("archive").unwrap();
    stream.write_all(archive).unwrap();
    stream.finish().unwrap();
    let committed = writer.commit(facts(vec![record(repository, rows)])).unwrap();
    committed.checksums.as_ref().unwrap();
    committed
}

/// Every byte of a stream.
pub(crate) fn read_stream(repository: &Repository, id: &BackupId, stream: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    repository.read(id).unwrap().stream(stream).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

pub(crate) fn text<R: AsRef<[u8]>>(rows: &[R]) -> Vec<u8> {
    rows.iter().flat_map(|row| [row.as_ref(), b"\n"].concat()).collect()
}

/// Bytes that do not compress.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut numbers = Numbers(seed);
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| numbers.any().to_le_bytes()).collect();
    bytes.truncate(length);
    bytes
}

/// Lets a check go on.
pub(crate) fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// What a full check of a backup finds.
pub(crate) fn problems(repository: &Repository, id: &BackupId) -> Vec<Problem> {
    repository.check_contents(id, &go_on).unwrap().problems
}

/// A proof of a backup.
pub(crate) fn proof_of(committed: &Committed) -> Proof {
    Proof {
        version: MANIFEST_VERSION,
        backup: committed.manifest.id.clone(),
        manifest_sha256: committed.manifest_sha256,
        level: model::Level::Restore,
        outcome: model::Outcome::Proven,
        at: now(),
        duration_ms: 2,
        restore_ms: 1,
        tables: 1,
        rows: 100,
        server_version: 150_018,
        tool_version: "0.1.0".into(),
        problems: vec![],
    }
}
