//! Creating a repository and its key, and repositories that cannot be opened.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::harness::{KEY, Place};

#[test]
fn init_makes_a_key_that_later_commands_find() {
    let place = Place::new();
    let said = place.run(&["init"]);
    said.succeeds();
    let path = place.path("home/.config/chronavault/key");
    assert!(said.out.contains(&path.display().to_string()), "{said:?}");
    assert!(said.out.contains("loses every backup"), "{said:?}");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    let key = fs::read_to_string(&path).unwrap();
    assert_eq!(key.trim().len(), 64);
    let root = place.path("backups/isolated");
    assert!(!path.starts_with(&root) && root.join("chronavault.json").exists());
    assert_eq!(fs::metadata(&root).unwrap().mode() & 0o7777, 0o700);

    let listed = place.run(&["list"]);
    listed.succeeds();
    assert!(listed.out.contains("no backups yet"), "{listed:?}");
    assert!(!listed.out.contains(key.trim()) && !said.out.contains(key.trim()));
    insta::assert_json_snapshot!(place.run(&["list", "--json"]).json(), @r#"
    {
      "backups": [],
      "schema_version": 1,
      "unreadable": []
    }
    "#);

    // Again: nothing changes.
    let again = place.run(&["init"]);
    again.succeeds();
    assert!(again.out.contains("already"), "{again:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), key);
}

#[test]
fn init_says_the_same_in_json() {
    let place = Place::new().with("BACKUP_ENCRYPTION_KEY", KEY);
    let mut said = place.run(&["init", "--json"]).json();
    let root = place.root().canonicalize().unwrap().display().to_string();
    assert_eq!(said["repository"], format!("{root}/backups/isolated"));
    assert_eq!(said["repository_id"].as_str().map(str::len), Some(32));
    said["repository"] = "ROOT".into();
    said["repository_id"] = "ID".into();
    insta::assert_json_snapshot!(said, @r#"
    {
      "created": true,
      "key": {
        "generated": false,
        "origin": "environment",
        "path": null
      },
      "repository": "ROOT",
      "repository_id": "ID",
      "schema_version": 1
    }
    "#);
    assert!(!place.path("home").exists(), "a key was made although one was set");
}

#[test]
fn init_makes_a_key_where_it_is_told_but_not_inside_the_repository() {
    let place = Place::new();
    place.run(&["init", "--key-file", "backups/isolated/key"]).fails(2, "key.inside_repository", "inside");
    assert!(!place.path("backups").exists());
    place.run(&["init", "--key-file", "keys/mine"]).succeeds();
    assert_eq!(fs::metadata(place.path("keys/mine")).unwrap().mode() & 0o7777, 0o600);
    place.run(&["list", "--key-file", "keys/mine"]).succeeds();
    place.run(&["list"]).fails(2, "key.missing", "no encryption key is set");
}

#[test]
fn init_does_not_make_a_new_key_for_an_old_repository() {
    let place = Place::new();
    place.run(&["init", "--key-file", "mine"]).succeeds();
    place.run(&["init"]).fails(2, "key.missing", "no encryption key is set");
    assert!(!place.path("home/.config").exists());
    let other = place.with("BACKUP_ENCRYPTION_KEY", KEY);
    other.run(&["init"]).fails(2, "key.wrong", "does not belong to the repository");
}

#[test]
fn a_repository_that_cannot_be_opened_says_why() {
    let place = Place::new().with("BACKUP_ENCRYPTION_KEY", KEY);
    place.run(&["list"]).fails(1, "repository.missing", "there is no repository");
    place.run(&["init"]).succeeds();
    let root = place.path("backups/isolated");
    let wrong = KEY.replace('5', "6");
    let said = place.command(&["list"]).env("BACKUP_ENCRYPTION_KEY", &wrong).output().unwrap();
    crate::harness::Said::from(said).fails(2, "key.wrong", "does not belong to the repository");

    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    place.run(&["list"]).fails(1, "storage.loose", "open to other users");
    let tolerant = place.command(&["list"]).env("BACKUP_ISOLATION_ENABLED", "false").output().unwrap();
    crate::harness::Said::from(tolerant).succeeds();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap();

    let head = root.join("chronavault.json");
    let text = fs::read_to_string(&head).unwrap();
    fs::write(&head, text.replace("262144", "262145")).unwrap();
    place.run(&["list"]).fails(1, "repository.head_changed", "chronavault.json");
    fs::write(&head, &text[..text.len() / 2]).unwrap();
    place.run(&["list"]).fails(1, "repository.head_changed", "chronavault.json");
    fs::remove_file(&head).unwrap();
    place.run(&["list"]).fails(1, "repository.head_missing", "chronavault.json");
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let place = Place::new().with("BACKUP_ENCRYPTION_KEY", KEY);
    fs::write(place.path("backups"), "a file").unwrap();
    place.run(&["init"]).fails(1, "storage.type", "is not a directory");
}
