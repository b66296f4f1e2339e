//! What is particular to the local store: permissions, links, leftovers, new directories.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::*;

fn store() -> (tempfile::TempDir, LocalStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::new(directory.path().join("backups/isolated"), Isolation::Required).unwrap();
    (directory, store)
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn it_conforms() {
    let (_directory, store) = store();
    crate::conformance::check(&store);
}

#[test]
fn it_conforms_when_renames_cannot_refuse_to_replace() {
    let (_directory, store) = store();
    let open = |name: &str| {
        store.put(&key(name), b"x").unwrap();
        store.open_directory("").unwrap().unwrap()
    };
    let root = open("taken");
    rustix::fs::linkat(&root, "taken", &root, "free", AtFlags::empty()).unwrap();
    let again = rustix::fs::linkat(&root, "free", &root, "taken", AtFlags::empty());
    assert_eq!(again, Err(Errno::EXIST), "the fallback relies on links that do not replace");
}

#[test]
fn only_the_owner_can_reach_what_a_put_makes() {
    let (directory, store) = store();
    store.put(&key("packs/ab/x.pack"), b"x").unwrap();
    for path in ["backups", "backups/isolated", "backups/isolated/packs", "backups/isolated/packs/ab"] {
        assert_eq!(mode(&directory.path().join(path)), 0o700, "{path}");
    }
    assert_eq!(mode(&store.root().join("packs/ab/x.pack")), 0o600);
}

#[test]
fn looser_permissions_are_refused() {
    let (directory, store) = store();
    let object = key("packs/x");
    store.put(&object, b"x").unwrap();
    let file = store.root().join("packs/x");
    for (path, tight) in
        [(&file, 0o600), (&store.root().join("packs"), 0o700), (&store.root().to_owned(), 0o700)]
    {
        for bit in [0o040, 0o004, 0o010, 0o002] {
            set_mode(path, tight | bit);
            let result = store.get(&object, 10);
            assert!(
                matches!(&result, Err(StoreError::Loose { path: named, mode }) if named == path && *mode == tight | bit)
            );
        }
        set_mode(path, tight);
    }
    assert_eq!(store.get(&object, 10).unwrap(), b"x");

    set_mode(&file, 0o644);
    let lenient = LocalStore::new(directory.path().join("backups/isolated"), Isolation::Off).unwrap();
    assert_eq!(lenient.get(&object, 10).unwrap(), b"x");
}

#[test]
fn a_foreign_owner_is_refused() {
    if !rustix::process::geteuid().is_root() {
        // Only root can give a file away; the check itself has no branch for root.
        return;
    }
    let (_directory, store) = store();
    store.put(&key("x"), b"x").unwrap();
    std::os::unix::fs::chown(store.root().join("x"), Some(12_345), None).unwrap();
    let result = store.get(&key("x"), 10);
    assert!(matches!(result, Err(StoreError::ForeignOwner { owner: 12_345, expected: 0, .. })));
}

#[test]
fn symbolic_links_and_pipes_are_not_objects() {
    let (directory, store) = store();
    store.put(&key("real"), b"x").unwrap();
    symlink("real", store.root().join("link")).unwrap();
    fs::create_dir(directory.path().join("elsewhere")).unwrap();
    symlink(directory.path().join("elsewhere"), store.root().join("packs")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        store.root().join("pipe"),
        FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    for name in ["link", "pipe", "packs/x"] {
        let read = store.get(&key(name), 10);
        assert!(matches!(read, Err(StoreError::WrongType { .. })), "{name}: {read:?}");
        let written = store.put(&key(name), b"x");
        assert!(matches!(written, Err(StoreError::WrongType { .. })), "{name}: {written:?}");
    }
    let listed: Vec<_> = store.list("").unwrap().into_iter().map(|object| object.key.to_string()).collect();
    assert_eq!(
        listed,
        ["link", "packs", "pipe", "real"],
        "what is not an object fails when read, and is not hidden"
    );
    assert!(fs::read_dir(directory.path().join("elsewhere")).unwrap().next().is_none());
}

#[test]
fn leftovers_are_not_listed_and_are_swept_when_old() {
    let (_directory, store) = store();
    store.put(&key("packs/ab/x.pack"), b"x").unwrap();
    let leftover = store.root().join("packs/ab/x.pack.0123456789abcdef.tmp");
    let foreign = store.root().join("packs/ab/notes.tmp");
    fs::write(&leftover, b"half").unwrap();
    fs::write(&foreign, b"of somebody else").unwrap();
    assert_eq!(store.list("").unwrap().len(), 1);

    let now = SystemTime::now();
    assert_eq!(store.sweep(now - Duration::from_hours(1)).unwrap(), Swept::default());
    assert!(leftover.exists());
    assert_eq!(store.sweep(now + Duration::from_hours(1)).unwrap(), Swept { files: 1, bytes: 4 });
    assert!(!leftover.exists() && foreign.exists());
    assert_eq!(store.get(&key("packs/ab/x.pack"), 10).unwrap(), b"x");
}

#[test]
fn the_trash_leaves_no_empty_directories() {
    let (_directory, store) = store();
    let names = ["packs/ab/x.pack", "packs/cd/y.pack", "backup.manifest"];
    let aside = |name: &str| key(name).in_trash("2026-11-23-120000").unwrap();
    for name in names {
        store.put(&key(name), name.as_bytes()).unwrap();
        assert!(store.trash(&key(name), &aside(name)).unwrap());
        assert_eq!(store.get(&aside(name), 100).unwrap(), name.as_bytes());
    }
    assert_eq!(mode(&store.root().join("trash/2026-11-23-120000/packs/ab")), 0o700);
    // What lies there in the same order comes back with one `cp`.
    assert!(store.root().join("trash/2026-11-23-120000/packs/ab/x.pack").exists());
    let left = |path: &str| fs::read_dir(store.root().join(path)).map_or(0, Iterator::count);
    store.delete(&aside(names[0])).unwrap();
    assert_eq!(left("trash/2026-11-23-120000/packs"), 1);
    store.delete(&aside(names[1])).unwrap();
    assert_eq!(left("trash/2026-11-23-120000"), 1);
    store.delete(&aside(names[2])).unwrap();
    assert_eq!(left("trash"), 0);
    assert_eq!(left("packs"), 2, "directories in which somebody may be putting something stay");
}

#[test]
fn a_directory_is_not_trashed() {
    let (_directory, store) = store();
    store.put(&key("packs/ab/x.pack"), b"x").unwrap();
    let packs = key("packs/ab");
    assert!(!store.trash(&packs, &packs.in_trash("lot").unwrap()).unwrap());
    assert_eq!(store.get(&key("packs/ab/x.pack"), 1).unwrap(), b"x");
    assert!(!store.root().join("trash").exists());
}

#[test]
fn a_failed_put_leaves_no_file() {
    let (_directory, store) = store();
    store.put(&key("taken"), b"x").unwrap();
    let root = store.open_directory("").unwrap().unwrap();
    assert!(!object::create(&root, &key("taken"), b"other").unwrap());
    assert_eq!(fs::read_dir(store.root()).unwrap().count(), 1);
    assert_eq!(store.get(&key("taken"), 1).unwrap(), b"x");
}

#[test]
fn before_the_first_put_there_is_nothing() {
    let (directory, store) = store();
    assert_eq!(store.list("").unwrap(), vec![]);
    assert_eq!(store.size(&key("x")).unwrap(), None);
    assert!(store.free_space().unwrap().unwrap() > 0);
    assert!(fs::read_dir(directory.path()).unwrap().next().is_none(), "reading makes nothing");
}

#[test]
fn a_full_disk_is_named() {
    // /dev/full has no room for files; a limit on the size of files gives the same kind of error.
    let error = StoreError::writing("write", &key("packs/x"), Errno::NOSPC);
    assert_eq!(error.to_string(), "there is no space left to write packs/x");
    for errno in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
        assert!(matches!(StoreError::writing("write", &key("x"), errno), StoreError::Full { .. }));
    }
}
