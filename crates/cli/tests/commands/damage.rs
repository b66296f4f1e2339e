//! A repository that was changed behind our back: the verification fails with status 3, and names the object.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use testkit::Cluster;

use crate::harness::{KEY, Place, Said};

/// The files of the repository whose names end so.
fn files(directory: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Changes a byte of the last chunk of a pack. The first one may hold the time at which the dump was made, and is stored anew by
/// every backup; the last one is not.
fn flip_last_chunk(path: &Path) {
    const TRAILER: usize = 52 + 36 + 16;
    let mut bytes = fs::read(path).unwrap();
    let within = bytes.len() - TRAILER - 20;
    bytes[within] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn damage_is_found_named_and_survived() {
    let cluster = Cluster::start();
    // Rows that do not compress, so that they are what is in the middle of the pack.
    cluster.psql("postgres", "CREATE TABLE entry AS SELECT n, md5(n::text) FROM generate_series(1, 20000) n");
    let place =
        Place::new().with("BACKUP_ENCRYPTION_KEY", KEY).with("DATABASE_URL", &cluster.url("postgres"));
    place.run(&["init"]).succeeds();
    place.run(&["backup", "--no-verify"]).succeeds();
    let root = place.path("backups/isolated");

    let pack =
        files(&root, ".pack").into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    flip(&pack);
    for level in ["objects", "contents", "restore"] {
        let said = place.run(&["verify", "latest", "--level", level, "--json"]);
        said.fails(3, "verify.failed", "did not verify");
        let said = said.json();
        assert_eq!((&said["outcome"], &said["error"]["code"]), (&"failed".into(), &"verify.failed".into()));
        let problem = &said["problems"][0];
        assert_eq!(problem["code"], "object.changed", "{said}");
        assert!(pack.ends_with(problem["object"].as_str().unwrap()), "{said}");
        assert!(!problem["hint"].as_str().unwrap().is_empty());
    }
    let said = place.run(&["verify", "--all"]);
    assert!(said.fails(3, "verify.failed", ".pack").out.contains("[object.changed]"), "{said:?}");
    let listed = place.run(&["list"]);
    assert!(listed.succeeds().out.contains("FAILED"), "{listed:?}");
    let to = cluster.url("again");
    place.run(&["restore", "latest", "--to", &to, "--create"]).fails(1, "object.changed", ".pack");
    let there = cluster.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE '%again%'");
    assert_eq!(there.trim(), "0", "nothing half restored is left");

    // A damaged backup hides no other.
    let second = place.run(&["backup", "--no-verify", "--json"]).json()["id"].as_str().unwrap().to_owned();
    // Both may have begun in the same second, so their names do not say which is the first.
    let is_first = |path: &PathBuf| !path.to_string_lossy().contains(&second);
    let manifest = files(&root, ".manifest").into_iter().find(is_first).unwrap();
    flip(&manifest);
    let listed = place.run(&["list"]);
    assert_eq!(listed.exit, 4, "{listed:?}");
    assert!(listed.out.contains(&second) && listed.err.contains("warning[object.changed]"), "{listed:?}");
    let first = manifest.file_stem().unwrap().to_string_lossy().into_owned();
    assert_eq!(place.run(&["list", "--json"]).json()["unreadable"][0]["id"], first.as_str());
    place.run(&["show", &first]).fails(1, "object.changed", &first);

    // Lost altogether.
    fs::remove_file(root.join("chronavault.json")).unwrap();
    place.run(&["list"]).fails(1, "repository.head_missing", "chronavault.json");
    place.run(&["init"]).fails(1, "repository.head_missing", "chronavault.json");
}

/// Every file below `directory` with its bytes.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files(directory, "").into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn a_damaged_pack_does_not_spoil_the_backups_that_follow() {
    let cluster = Cluster::start();
    // Several chunks, wherever the gear table of the repository cuts them.
    cluster
        .psql("postgres", "CREATE TABLE entry AS SELECT n, md5(n::text) FROM generate_series(1, 150000) n");
    cluster.create_database("other");
    cluster.psql("other", "CREATE TABLE small AS SELECT n FROM generate_series(1, 100) n");
    let place =
        Place::new().with("BACKUP_ENCRYPTION_KEY", KEY).with("DATABASE_URL", &cluster.url("postgres"));
    let id = |said: &Said| said.json()["id"].as_str().unwrap().to_owned();
    place.run(&["init"]).succeeds();
    let first = id(place.run(&["backup", "--json"]).succeeds());
    let place = place.with("DATABASE_URL", &cluster.url("other"));
    let sound = id(place.run(&["backup", "--json"]).succeeds());
    let place = place.with("DATABASE_URL", &cluster.url("postgres"));
    let root = place.path("backups/isolated");
    let size = |path: &PathBuf| fs::metadata(path).unwrap().len();
    let pack = files(&root, ".pack").into_iter().max_by_key(size).unwrap();
    flip_last_chunk(&pack);
    let before = contents(&root);

    // The backup finds by itself that what it relies on is damaged; the one after that relies on it no more.
    let said = place.run(&["backup", "--json"]);
    said.fails(3, "verify.failed", ".pack");
    let hint = said.json()["error"]["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("make a new one now, which stores again what is damaged"), "{hint}");
    let (failed, third) = (id(&said), place.run(&["backup", "--json"]));
    let stored = |said: &Said| said.succeeds().json()["stored_bytes"].as_u64().unwrap();
    assert!(stored(&third) > size(&pack) / 2, "{third:?}");
    assert_eq!(third.json()["verified"], true);
    let fourth = place.run(&["backup", "--json"]);
    assert!(stored(&fourth) < size(&pack) / 2, "what is stored again is reused again: {fourth:?}");

    // What was there is as it was; what was sound is sound, and what is not is said to be so.
    let after = contents(&root);
    assert!(
        before.iter().all(|(path, bytes)| after.get(path) == Some(bytes)),
        "nothing was changed or removed"
    );
    for good in [&sound, &id(&third), &id(&fourth)] {
        place.run(&["verify", good]).succeeds();
    }
    for bad in [&first, &failed] {
        place.run(&["verify", bad]).fails(3, "verify.failed", ".pack");
    }
}
