//! What the spool gives, and what it does not.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use model::SegmentSize;
use repository::HolderKey;
use storage::MemoryStore;

use super::*;

const SYSTEM: SystemId = SystemId(77);

fn size() -> SegmentSize {
    SegmentSize::new(2 << 20).unwrap()
}

fn name(number: u64) -> WalSegmentName {
    WalSegmentName::containing(model::TimelineId::FIRST, model::Lsn(number * (2 << 20)), size())
}

/// A segment with the first page that it should have.
fn wal(number: u64) -> Vec<u8> {
    let mut bytes = vec![0x10, 0xd1, 0x02, 0x00, 1, 0, 0, 0];
    bytes.extend((number * (2 << 20)).to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(SYSTEM.0.to_le_bytes());
    bytes.extend((2u32 << 20).to_le_bytes());
    bytes.resize(2 << 20, u8::try_from(number).unwrap());
    bytes
}

struct Scene {
    directory: tempfile::TempDir,
    repository: Repository,
    archive: WalArchive,
    spool: Spool,
}

fn scene() -> Scene {
    let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    let store = Arc::new(MemoryStore::new());
    let repository = Repository::init(store, &HolderKey::new([7; 32]), now, &|bytes| bytes.fill(5)).unwrap();
    let archive = repository.wal(SYSTEM);
    for number in 3..6 {
        archive.put_segment(name(number), size(), &wal(number), now).unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::beside(&directory.path().join("RECOVERYXLOG"), SYSTEM, &repository);
    Scene { directory, repository, archive, spool }
}

impl Scene {
    fn target(&self) -> PathBuf {
        self.directory.path().join("RECOVERYXLOG")
    }

    fn names(&self) -> Vec<WalSegmentName> {
        self.spool.entries().iter().map(|entry| entry.name).collect()
    }

    fn file(&self, number: u64) -> PathBuf {
        let entries = self.spool.entries();
        let entry = entries.iter().find(|entry| entry.name == name(number)).unwrap();
        self.spool.directory.join(entry.file())
    }
}

#[test]
fn a_segment_goes_in_and_comes_out_once() {
    let scene = scene();
    assert_eq!(scene.names(), []);
    scene.spool.make().unwrap();
    assert!(scene.spool.put(name(3), [1; 8], &scene.archive).unwrap());
    assert!(scene.spool.put(name(4), [2; 8], &scene.archive).unwrap());
    assert!(!scene.spool.put(name(9), [3; 8], &scene.archive).unwrap(), "it is not archived");
    assert_eq!(scene.names(), [name(3), name(4)]);
    let modes = [&scene.directory.path().join(DIRECTORY), &scene.spool.directory, &scene.file(3)]
        .map(|path| fs::metadata(path).unwrap().permissions().mode() & 0o7777);
    assert_eq!(modes, [0o700, 0o700, 0o600]);
    assert!(scene.spool.take(name(3), &scene.target(), &scene.archive));
    assert!(fs::read(scene.target()).unwrap() == wal(3));
    assert!(!scene.spool.take(name(3), &scene.target(), &scene.archive));
    assert!(!scene.spool.take(name(5), &scene.target(), &scene.archive));
    assert!(fs::read(scene.target()).unwrap() == wal(3), "what is not there changes nothing");
    assert_eq!(fs::read_dir(&scene.spool.directory).unwrap().count(), 1, "nothing half written is left");
}

/// Puts a segment into the spool, does something to its file, and demands that it neither comes out nor stays.
#[track_caller]
fn does_not_come_out(change: impl FnOnce(&Scene, &Path)) {
    let scene = scene();
    scene.spool.make().unwrap();
    scene.spool.put(name(3), [1; 8], &scene.archive).unwrap();
    scene.spool.put(name(4), [1; 8], &scene.archive).unwrap();
    let file = scene.file(3);
    change(&scene, &file);
    assert!(!scene.spool.take(name(3), &scene.target(), &scene.archive));
    assert!(!scene.target().exists() && fs::symlink_metadata(&file).is_err());
    assert!(scene.spool.take(name(4), &scene.target(), &scene.archive), "the others stay");
}

/// Changes the file in place. The clock of a file system can be coarse, so the time is set.
fn rewrite(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(file).unwrap();
    change(&mut bytes);
    fs::write(file, bytes).unwrap();
    File::options().write(true).open(file).unwrap().set_modified(SystemTime::now()).unwrap();
}

#[test]
fn a_file_that_was_changed_does_not_come_out() {
    does_not_come_out(|_, file| rewrite(file, |bytes| bytes[1_500_000] ^= 1));
    does_not_come_out(|_, file| rewrite(file, |bytes| bytes.truncate(2_000_000)));
    does_not_come_out(|_, file| rewrite(file, |bytes| bytes.push(0)));
    does_not_come_out(|_, file| rewrite(file, Vec::clear));
}

#[test]
fn a_file_that_was_replaced_does_not_come_out() {
    let copied = |file: &Path, from: &Path| {
        let modified = fs::metadata(file).unwrap().modified().unwrap();
        let copy = file.with_extension("copy");
        fs::copy(from, &copy).unwrap();
        File::options().write(true).open(&copy).unwrap().set_modified(modified).unwrap();
        fs::rename(copy, file).unwrap();
    };
    // As a copy of a whole data directory would have it.
    does_not_come_out(|_, file| copied(file, file));
    does_not_come_out(|scene, file| copied(file, &scene.file(4)));
    does_not_come_out(|_, file| {
        fs::rename(file, file.with_extension("moved")).unwrap();
        symlink(file.with_extension("moved"), file).unwrap();
    });
    // One segment under the name of another.
    let scene = scene();
    scene.spool.make().unwrap();
    scene.spool.put(name(3), [1; 8], &scene.archive).unwrap();
    let other = Entry { name: name(4), ..scene.spool.entries()[0] };
    fs::rename(scene.file(3), scene.spool.directory.join(other.file())).unwrap();
    assert!(!scene.spool.take(name(4), &scene.target(), &scene.archive));
}

#[test]
fn what_another_cluster_or_repository_left_is_not_seen() {
    let scene = scene();
    scene.spool.make().unwrap();
    scene.spool.put(name(3), [1; 8], &scene.archive).unwrap();
    let other = Spool::beside(&scene.target(), SystemId(78), &scene.repository);
    assert_eq!(other.entries(), []);
    assert!(!other.take(name(3), &scene.target(), &scene.archive));
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    let store = Arc::new(MemoryStore::new());
    let repository = Repository::init(store, &HolderKey::new([7; 32]), now, &|bytes| bytes.fill(6)).unwrap();
    assert_eq!(Spool::beside(&scene.target(), SYSTEM, &repository).entries(), []);
}

#[test]
fn one_process_at_a_time_fetches_ahead() {
    let scene = scene();
    assert!(scene.spool.is_idle(), "before there is a spool");
    scene.spool.make().unwrap();
    let right = scene.spool.right().unwrap();
    assert!(!scene.spool.is_idle() && scene.spool.right().is_none());
    drop(right);
    assert!(scene.spool.is_idle());
}

#[test]
fn a_sweep_leaves_what_is_wanted() {
    let scene = scene();
    scene.spool.make().unwrap();
    for number in 3..6 {
        scene.spool.put(name(number), [1; 8], &scene.archive).unwrap();
    }
    let leftover = scene.spool.directory.join(format!("{}.0101{TEMPORARY}", name(3)));
    fs::write(&leftover, b"half").unwrap();
    fs::write(scene.spool.directory.join("README"), b"not ours").unwrap();
    let right = scene.spool.right().unwrap();
    scene.spool.sweep(&right, |wanted| wanted == name(4));
    assert_eq!(scene.names(), [name(4)]);
    assert!(!leftover.exists());
    assert_eq!(fs::read_dir(&scene.spool.directory).unwrap().count(), 3, "segment, lock, and the other file");
}
