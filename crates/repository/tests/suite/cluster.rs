//! Files of a cluster: written region by region, used again at their places, read back.

use std::collections::BTreeMap;

use chronavault_repository::{CommitFacts, Committed, PhysicalRecord, Repository, WriteOptions};
use model::{BackupId, ClusterPath, Kind, Lsn, SegmentSize, SystemId, TimelineId};
use storage::MemoryStore;

use crate::ledger::{self, Numbers};

type Files = BTreeMap<String, Vec<u8>>;

fn path(text: &str) -> ClusterPath {
    text.parse().unwrap()
}

/// Pages that look like those of a table.
fn pages(seed: u64, bytes: usize) -> Vec<u8> {
    let mut numbers = Numbers(seed);
    let mut pages = Vec::with_capacity(bytes);
    while pages.len() < bytes {
        let number = numbers.any();
        pages.extend_from_slice(&number.to_le_bytes());
        pages.extend_from_slice(&[0; 24]);
    }
    pages.truncate(bytes);
    pages
}

fn cluster() -> Files {
    Files::from([
        ("PG_VERSION".to_owned(), b"15\n".to_vec()),
        ("base/5/1259".to_owned(), pages(1, 3 << 20)),
        ("base/5/1260".to_owned(), pages(2, (1 << 20) + 8192)),
        ("base/5/empty".to_owned(), Vec::new()),
        ("global/pg_control".to_owned(), pages(3, 8192)),
    ])
}

pub(crate) fn record() -> PhysicalRecord {
    PhysicalRecord {
        system_identifier: SystemId(7_312_345),
        server_version: 150_018,
        timeline: TimelineId::FIRST,
        start_lsn: Lsn(0x200_0028),
        stop_lsn: Lsn(0x200_0100),
        wal_segment_bytes: SegmentSize::DEFAULT,
        block_bytes: 8192,
        data_checksums: true,
        from_standby: false,
        method: "test".into(),
        tablespaces: vec![],
        files: 5,
        bad_pages: vec![],
        bad_page_count: 0,
    }
}

/// Writes `files` with two threads that share each file.
fn backup(repository: &Repository, id: BackupId, files: &Files) -> Committed {
    let writer = repository.begin(id, "books", Kind::Physical, WriteOptions::default()).unwrap();
    assert_eq!(writer.reuse_problems(), []);
    let cluster = writer.cluster().unwrap();
    cluster.directory(&path("pg_notify"), 0o700);
    let region = cluster.region_bytes() as usize;
    for (name, bytes) in files {
        let file = cluster.file(&path(name), 0o600).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let cluster = &cluster;
                scope.spawn(move || {
                    let mut worker = cluster.worker().unwrap();
                    for (number, bytes) in bytes.chunks(region).enumerate().filter(|(n, _)| n % 2 == thread) {
                        let number = u32::try_from(number).unwrap();
                        worker.store(file, number, &mut bytes.to_vec(), &mut |_| false).unwrap();
                    }
                    worker.finish().unwrap();
                });
            }
        });
        cluster.finish_file(file, bytes.len() as u64);
    }
    assert_eq!(cluster.finish().unwrap(), files.len() as u64);
    let facts = CommitFacts { logical: None, physical: Some(record()), ..ledger::facts(vec![]) };
    writer.commit(facts).unwrap()
}

fn read(repository: &Repository, id: &BackupId) -> Files {
    let reader = repository.read(id).unwrap();
    let mut regions = reader.regions().unwrap();
    let mut files = Files::new();
    for file in reader.files().unwrap() {
        let Some(expected) = file.bytes else { continue };
        let mut bytes = Vec::new();
        for _ in 0..file.regions(reader.region_bytes()) {
            bytes.extend(reader.chunk(&regions.next().unwrap().unwrap()).unwrap());
        }
        assert_eq!(bytes.len() as u64, expected);
        files.insert(file.path.to_string(), bytes);
    }
    assert!(regions.next().is_none());
    files
}

fn check(repository: &Repository, id: &BackupId) {
    assert_eq!(ledger::problems(repository, id), []);
}

#[test]
fn files_come_back_as_they_were() {
    let (_, repository) = ledger::in_memory();
    let files = cluster();
    let committed = backup(&repository, ledger::id(0), &files);
    assert_eq!(read(&repository, &ledger::id(0)), files);
    check(&repository, &ledger::id(0));
    assert_eq!(committed.manifest.streams.len(), 2);
    let reader = repository.read(&ledger::id(0)).unwrap();
    let directories: Vec<_> =
        reader.files().unwrap().into_iter().filter(|file| file.bytes.is_none()).collect();
    assert_eq!(directories.len(), 1);
    assert_eq!((directories[0].path.as_str(), directories[0].mode), ("pg_notify", 0o700));
}

#[test]
fn an_unchanged_cluster_stores_nothing_but_its_manifest() {
    let (_, repository) = ledger::in_memory();
    let files = cluster();
    backup(&repository, ledger::id(0), &files);
    let second = backup(&repository, ledger::id(1), &files).manifest;
    let data: usize = files.values().map(Vec::len).sum();
    assert_eq!(second.stored_bytes, 0, "{:?}", second.packs);
    assert!(second.reused_bytes >= data as u64);
    assert_eq!(read(&repository, &ledger::id(1)), files);
}

#[test]
fn a_changed_region_is_stored_as_its_difference() {
    let (store, repository) = ledger::in_memory();
    let mut files = cluster();
    let first = backup(&repository, ledger::id(0), &files).manifest;
    // One byte in every page of the larger table, a file that grows, one that goes and one that comes.
    for page in files.get_mut("base/5/1259").unwrap().chunks_mut(8192) {
        page[100] ^= 0xff;
    }
    files.get_mut("base/5/1260").unwrap().extend(pages(9, 8192));
    files.remove("base/5/empty");
    files.insert("base/5/1300".to_owned(), pages(4, 8192));
    let second = backup(&repository, ledger::id(1), &files).manifest;
    assert!(
        second.stored_bytes * 20 < first.stored_bytes,
        "{} of {}",
        second.stored_bytes,
        first.stored_bytes
    );
    // The third is a difference to the same base as the second, which may go.
    files.get_mut("base/5/1259").unwrap()[77] ^= 1;
    backup(&repository, ledger::id(2), &files);
    for day in [1, 2] {
        check(&repository, &ledger::id(day));
    }
    assert_eq!(read(&repository, &ledger::id(2)), files);
    assert_eq!(read(&reopened(&store), &ledger::id(0)), cluster());
}

fn reopened(store: &MemoryStore) -> Repository {
    Repository::open(std::sync::Arc::new(store.clone()), &ledger::holder()).unwrap()
}

#[test]
fn regions_may_be_kept_unread_or_patched() {
    let (_, repository) = ledger::in_memory();
    let files = cluster();
    backup(&repository, ledger::id(0), &files);
    let writer = repository.begin(ledger::id(1), "books", Kind::Physical, WriteOptions::default()).unwrap();
    let cluster = writer.cluster().unwrap();
    assert_eq!(cluster.earlier().unwrap().0, &record());
    assert!(cluster.serves_unread());
    let (name, bytes) = ("base/5/1260", &files["base/5/1260"]);
    let file = cluster.file(&path(name), 0o600).unwrap();
    let mut worker = cluster.worker().unwrap();
    for region in 0..2 {
        assert!(worker.keep(file, region).unwrap());
    }
    let mut last = Vec::new();
    assert!(worker.earlier(file, 2, &mut last).unwrap());
    assert_eq!(last, bytes[1 << 20..]);
    assert!(!worker.earlier(file, 3, &mut Vec::new()).unwrap() && !worker.keep(file, 3).unwrap());
    last[0] ^= 1;
    worker.store(file, 2, &mut last, &mut |_| false).unwrap();
    worker.finish().unwrap();
    cluster.finish_file(file, bytes.len() as u64);
    cluster.finish().unwrap();
    let facts = CommitFacts { logical: None, physical: Some(record()), ..ledger::facts(vec![]) };
    writer.commit(facts).unwrap();
    let mut expected = bytes.clone();
    expected[1 << 20] ^= 1;
    assert_eq!(read(&repository, &ledger::id(1)), Files::from([(name.to_owned(), expected)]));
    check(&repository, &ledger::id(1));
}

#[test]
fn only_new_regions_are_inspected_and_what_the_inspection_mends_is_stored() {
    let (_, repository) = ledger::in_memory();
    let mut files = cluster();
    backup(&repository, ledger::id(0), &files);
    files.get_mut("PG_VERSION").unwrap()[0] = b'9';
    let writer = repository.begin(ledger::id(1), "books", Kind::Physical, WriteOptions::default()).unwrap();
    let cluster = writer.cluster().unwrap();
    cluster.directory(&path("pg_notify"), 0o700);
    let mut worker = cluster.worker().unwrap();
    let mut inspected = 0;
    for (name, bytes) in &files {
        let file = cluster.file(&path(name), 0o600).unwrap();
        for (number, region) in bytes.chunks(cluster.region_bytes() as usize).enumerate() {
            let mut mend = |bytes: &mut [u8]| {
                inspected += 1;
                bytes[0] = b'1';
                true
            };
            worker.store(file, u32::try_from(number).unwrap(), &mut region.to_vec(), &mut mend).unwrap();
        }
        cluster.finish_file(file, bytes.len() as u64);
    }
    worker.finish().unwrap();
    cluster.finish().unwrap();
    let facts = CommitFacts { logical: None, physical: Some(record()), ..ledger::facts(vec![]) };
    let manifest = writer.commit(facts).unwrap().manifest;
    assert_eq!((inspected, manifest.stored_bytes), (1, 0));
    assert_eq!(read(&repository, &ledger::id(1)), self::cluster());
}

#[test]
fn a_file_that_was_not_finished_makes_the_commit_fail() {
    let (_, repository) = ledger::in_memory();
    let writer = repository.begin(ledger::id(0), "books", Kind::Physical, WriteOptions::default()).unwrap();
    let cluster = writer.cluster().unwrap();
    let file = cluster.file(&path("x"), 0o600).unwrap();
    let mut worker = cluster.worker().unwrap();
    worker.store(file, 0, &mut [1; 100], &mut |_| false).unwrap();
    worker.finish().unwrap();
    cluster.finish().unwrap();
    let facts = CommitFacts { logical: None, physical: Some(record()), ..ledger::facts(vec![]) };
    assert!(writer.commit(facts).is_err());
    assert_eq!(repository.ids().unwrap(), []);
}
