//! The order of system calls behind a put, as `strace` sees them, and what a put does when the system fails it.
//!
//! Each test runs this test binary again under `strace`, with one environment variable that names the store.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use chronavault_storage::{Created, Isolation, Key, LocalStore, Store, StoreError};

/// Names the root of the store when this binary runs under `strace`.
const ROOT: &str = "CHRONAVAULT_TEST_STORE_ROOT";
const OBJECT: &str = "packs/ab/object.pack";
const BYTES: &[u8] = b"bytes of the object";

fn put(root: &Path) -> Result<Created, StoreError> {
    LocalStore::new(root, Isolation::Required).unwrap().put(&Key::new(OBJECT).unwrap(), BYTES)
}

/// The child of the other tests: two attempts at one put. On its own it does nothing.
#[test]
fn child_puts_one_object() {
    if let Some(root) = std::env::var_os(ROOT) {
        // Injected faults count the calls of each thread. These writes keep the counts of this one above those of the
        // thread that reports the result of the test, so that only the put is hit.
        let mut sink = std::fs::File::options().write(true).open("/dev/null").unwrap();
        for _ in 0..100 {
            sink.write_all(b"x").unwrap();
        }
        for attempt in ["first", "second"] {
            match put(Path::new(&root)) {
                Ok(created) => println!("{attempt}: {created:?}"),
                Err(StoreError::Full { .. }) => println!("{attempt}: full"),
                Err(error) => println!("{attempt}: {error}"),
            }
        }
    }
}

/// The child of the test of `settle`: a process that did not put the object. On its own it does nothing.
#[test]
fn child_settles_one_object() {
    if let Some(root) = std::env::var_os(ROOT) {
        let store = LocalStore::new(Path::new(&root), Isolation::Required).unwrap();
        println!("first: {:?}", store.settle(&Key::new(OBJECT).unwrap()));
        println!("second: {:?}", store.settle(&Key::new("packs/ab/none.pack").unwrap()).is_err());
    }
}

/// The child of the tests of `trash`. On its own it does nothing.
#[test]
fn child_trashes_one_object() {
    if let Some(root) = std::env::var_os(ROOT) {
        let store = LocalStore::new(Path::new(&root), Isolation::Required).unwrap();
        let key = Key::new(OBJECT).unwrap();
        println!("first: {:?}", store.trash(&key, &key.in_trash("lot").unwrap()).map_err(|_| "failed"));
    }
}

/// Prepares a store with the object in it.
fn stored(root: &Path) {
    put(root).unwrap();
}

/// What a child that puts printed, and the system calls it made below the store's parent, with paths relative to that.
fn trace(inject: Option<&str>) -> (tempfile::TempDir, PathBuf, Vec<String>, Vec<String>) {
    trace_child("child_puts_one_object", inject, |_| {})
}

/// The same of any child, with a root that was prepared.
fn trace_child(
    child: &str,
    inject: Option<&str>,
    prepare: impl FnOnce(&Path),
) -> (tempfile::TempDir, PathBuf, Vec<String>, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let top = directory.path().canonicalize().unwrap();
    let root = top.join("backups/isolated");
    prepare(&root);
    let log = top.join("strace.log");
    let output = Command::new("strace")
        .args(["-f", "-y", "-qq", "-e", "signal=none", "-e"])
        .arg(
            "trace=mkdir,mkdirat,openat,write,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlinkat",
        )
        .args(inject.map(|what| format!("-einject={what}")))
        .arg("-o")
        .arg(&log)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", child, "--nocapture", "--test-threads=1"])
        .env(ROOT, &root)
        .output()
        .expect("strace must be installed to run this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results = String::from_utf8(output.stdout).unwrap();
    let results = results.lines().filter(|line| line.contains("first: ") || line.contains("second: "));
    let results = results.map(|line| line.rsplit("first: ").next().unwrap().to_owned()).collect();
    let text = std::fs::read_to_string(&log).unwrap();
    let prefix = format!("{}/", top.display());
    let calls = text.lines().filter(|line| line.contains(top.to_str().unwrap()));
    let calls = calls.map(|line| line.split_once(' ').unwrap().1.trim().replace(&prefix, "")).collect();
    (directory, root, results, calls)
}

/// Position of the first call at or after `from` that contains all of `parts`.
fn find(calls: &[String], from: usize, parts: &[&str]) -> usize {
    let found = calls[from..].iter().position(|call| parts.iter().all(|part| call.contains(part)));
    from + found.unwrap_or_else(|| panic!("no {parts:?} after call {from} in\n{}", calls.join("\n")))
}

/// P3: what is acknowledged is durable.
#[test]
fn a_put_is_synced_before_it_is_visible() {
    let (_directory, root, results, calls) = trace(None);
    assert_eq!(results, ["New", "second: AlreadyThere"], "{calls:#?}");
    let top = root.parent().unwrap().parent().unwrap().to_str().unwrap();

    // Each new directory, and then its entry.
    let made = find(&calls, 0, &["mkdir", "\"backups\""]);
    let at = find(&calls, made, &["fsync(", &format!("<{top}>")]);
    let made = find(&calls, at, &["mkdir", "\"backups/isolated\""]);
    let at = find(&calls, made, &["fsync(", "<backups>"]);
    let made = find(&calls, at, &["mkdirat(", "\"packs\""]);
    let at = find(&calls, made, &["fsync(", "<backups/isolated>"]);
    let made = find(&calls, at, &["mkdirat(", "\"ab\""]);
    let at = find(&calls, made, &["fsync(", "<backups/isolated/packs>"]);

    // The object under a name that means nothing; its bytes; then its name; then the entry of that.
    let opened =
        find(&calls, at, &["openat(", "object.pack.", ".tmp", "O_CREAT", "O_EXCL", "O_NOFOLLOW", "0600"]);
    let written = find(&calls, opened, &["write(", ".tmp>", "bytes of the object"]);
    let synced = find(&calls, written, &["fsync(", ".tmp>"]);
    let renamed = find(&calls, synced, &["renameat2(", ".tmp\"", "\"object.pack\"", "RENAME_NOREPLACE"]);
    find(&calls, renamed, &["fsync(", "<backups/isolated/packs/ab>"]);
    let visible = calls.iter().position(|call| call.contains("\"object.pack\"") && !call.contains("ENOENT"));
    assert_eq!(visible, Some(renamed), "nothing gives the object its name before it is synced");
}

/// Whoever gave the object its name may have died before that was durable; its bytes were.
#[test]
fn what_somebody_else_put_is_settled_by_syncing_every_name_that_leads_to_it() {
    let (_directory, _root, results, calls) = trace_child("child_settles_one_object", None, stored);
    assert_eq!(results, ["Ok(())", "second: true"], "{calls:#?}");
    for directory in ["backups", "backups/isolated", "backups/isolated/packs", "backups/isolated/packs/ab"] {
        find(&calls, 0, &["fsync(", &format!("<{directory}>")]);
    }
    assert!(!calls.iter().any(|call| call.contains("write(") || call.contains("O_CREAT")), "{calls:#?}");
}

/// It is in the trash before it is gone, and gone before that is said.
#[test]
fn what_is_trashed_is_gone_durably() {
    let (_directory, root, results, calls) = trace_child("child_trashes_one_object", None, stored);
    assert_eq!(results, ["Ok(true)"], "{calls:#?}");
    let made = find(&calls, 0, &["fsync(", "<backups/isolated/trash/lot/packs>"]);
    let renamed = find(&calls, made, &["renameat", "<backups/isolated/packs/ab>", "\"object.pack\""]);
    let kept = find(&calls, renamed, &["fsync(", "<backups/isolated/trash/lot/packs/ab>"]);
    find(&calls, kept, &["fsync(", "<backups/isolated/packs/ab>"]);
    assert_eq!(std::fs::read(root.join("trash/lot").join(OBJECT)).unwrap(), BYTES);
    assert!(!root.join(OBJECT).exists());
}

/// A full disk is the usual reason to prune: what cannot be kept aside is deleted.
#[test]
fn what_has_no_room_in_the_trash_is_deleted() {
    for failing in ["mkdirat:error=ENOSPC:when=1", "renameat,renameat2:error=ENOSPC:when=1"] {
        let (_directory, root, results, calls) =
            trace_child("child_trashes_one_object", Some(failing), stored);
        assert_eq!(results, ["Ok(true)"], "{calls:#?}");
        let gone = find(&calls, 0, &["unlinkat(", "\"object.pack\""]);
        find(&calls, gone, &["fsync(", "<backups/isolated/packs/ab>"]);
        assert!(!root.join(OBJECT).exists() && !root.join("trash/lot").join(OBJECT).exists());
    }
    let failing = Some("renameat,renameat2:error=EIO:when=1");
    let (_directory, root, results, _) = trace_child("child_trashes_one_object", failing, stored);
    assert_eq!(results, ["Err(\"failed\")"]);
    assert!(root.join(OBJECT).exists(), "any other error takes nothing away");
}

#[test]
fn a_failed_sync_is_an_error_and_leaves_nothing_visible() {
    let fsyncs = {
        let (_directory, _root, _results, calls) = trace(None);
        let renamed = find(&calls, 0, &["renameat2("]);
        calls[..renamed].iter().filter(|call| call.starts_with("fsync(")).count() + 1
    };
    assert_eq!(fsyncs, 6, "four directories, the file, and the directory of the file");
    for nth in 1..=fsyncs {
        let (_directory, root, results, calls) = trace(Some(&format!("fsync:error=EIO:when={nth}")));
        assert!(results[0].contains("sync"), "fsync {nth}: {results:?}");
        // The same caller tries again with the bytes it still has: the object is written anew, not assumed to be there.
        assert_eq!(results[1], "second: New", "fsync {nth}: {calls:#?}");
        let names: Vec<_> = std::fs::read_dir(root.join("packs/ab"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["object.pack"], "fsync {nth}");
        assert_eq!(std::fs::read(root.join(OBJECT)).unwrap(), BYTES);
    }
}

#[test]
fn a_full_disk_is_a_typed_error_and_leaves_nothing() {
    let (directory, _root, _results, _calls) = trace(None);
    let log = std::fs::read_to_string(directory.path().join("strace.log")).unwrap();
    let written = log.lines().position(|line| line.contains("write(") && line.contains(".tmp>")).unwrap();
    let thread = log.lines().nth(written).unwrap().split_once(' ').unwrap().0;
    let of_thread = |line: &&str| line.starts_with(thread) && line.contains(" write(");
    let nth_write = log.lines().take(written + 1).filter(of_thread).count();

    for (call, nth) in [("write", nth_write), ("fsync", 5), ("renameat2", 1), ("mkdirat", 1)] {
        let (_directory, root, results, calls) = trace(Some(&format!("{call}:error=ENOSPC:when={nth}")));
        assert_eq!(results, ["full", "second: New"], "{call}: {calls:#?}");
        assert_eq!(std::fs::read_dir(root.join("packs/ab")).unwrap().count(), 1, "{call}");
    }
}

/// P4: stored objects are written once.
#[test]
fn a_put_does_not_replace() {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::new(directory.path().join("isolated"), Isolation::Required).unwrap();
    let key = Key::new("packs/ab/object.pack").unwrap();
    store.put(&key, b"first").unwrap();
    let before = std::fs::metadata(store.root().join(key.as_str())).unwrap();
    assert!(matches!(store.put(&key, b"other"), Err(StoreError::Conflict { .. })));
    assert_eq!(store.put(&key, b"first").unwrap(), Created::AlreadyThere);
    let after = std::fs::metadata(store.root().join(key.as_str())).unwrap();
    assert_eq!(store.get(&key, 100).unwrap(), b"first");
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
}
