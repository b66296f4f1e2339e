//! A place with a repository and made-up segments of 1 MiB.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use model::{Lsn, SegmentSize, SystemId, TimelineId, WalSegmentName};
use repository::{HolderKey, Repository, WalArchive};
use storage::{Isolation, LocalStore};

use crate::harness::{KEY, Place};

pub(crate) const SYSTEM: SystemId = SystemId(7_312_345_678_901_234_567);

pub(crate) fn size() -> SegmentSize {
    SegmentSize::new(1 << 20).unwrap()
}

pub(crate) fn timeline(number: u32) -> TimelineId {
    TimelineId::new(number).unwrap()
}

pub(crate) fn name(on: u32, number: u64) -> WalSegmentName {
    WalSegmentName::containing(timeline(on), Lsn(number << 20), size())
}

/// A segment with the first page that it should have; other versions have other bytes behind it.
pub(crate) fn wal(on: u32, number: u64, version: u8) -> Vec<u8> {
    let mut bytes = vec![0x10, 0xd1, 0x02, 0x00];
    bytes.extend(on.to_le_bytes());
    bytes.extend((number << 20).to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(SYSTEM.0.to_le_bytes());
    bytes.extend((1u32 << 20).to_le_bytes());
    bytes.extend(8192u32.to_le_bytes());
    bytes.resize(1 << 20, version ^ u8::try_from(number).unwrap());
    bytes
}

/// A place with an empty repository, and a directory for WAL.
pub(crate) fn place() -> Place {
    let place = Place::new().with("BACKUP_ENCRYPTION_KEY", KEY);
    place.run(&["init"]).succeeds();
    fs::create_dir_all(place.path("pg_wal/archive_status")).unwrap();
    place
}

/// Writes a segment as the server leaves it.
pub(crate) fn write(place: &Place, on: u32, number: u64) -> PathBuf {
    let path = place.path("pg_wal").join(name(on, number).to_string());
    fs::write(&path, wal(on, number, 0)).unwrap();
    path
}

/// Says that the server waits for a file to be archived.
pub(crate) fn ready(place: &Place, on: u32, number: u64) {
    fs::write(place.path("pg_wal/archive_status").join(format!("{}.ready", name(on, number))), b"").unwrap();
}

/// Writes segments and pushes each.
pub(crate) fn archive(place: &Place, on: u32, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        let path = write(place, on, number);
        place.run(&["wal", "push", path.to_str().unwrap()]).succeeds();
    }
}

/// The same archive without the program in between.
pub(crate) fn opened(place: &Place) -> WalArchive {
    let store = LocalStore::new(place.path("backups/isolated"), Isolation::Required).unwrap();
    Repository::open(Arc::new(store), &HolderKey::parse(KEY).unwrap()).unwrap().wal(SYSTEM)
}

pub(crate) fn object(place: &Place, on: u32, file: &str) -> PathBuf {
    place.path(&format!("backups/isolated/wal/{SYSTEM}/{on:08X}/{file}"))
}
