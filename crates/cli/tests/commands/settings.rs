//! Settings and keys that are not right: nothing is touched, and the exit status is 2.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::{KEY, Place};

#[test]
fn a_key_that_is_none_is_refused() {
    let with =
        |key: &str| Place::new().with("BACKUP_ENCRYPTION_KEY", key).with("DATABASE_URL", "postgres://h/d");
    for command in [&["list"][..], &["backup"], &["verify", "latest"], &["init"]] {
        with(&KEY[..62]).run(command).fails(2, "key.length", "62 hexadecimal digits instead of 64");
        with(&format!("{KEY}ab")).run(command).fails(2, "key.length", "66 hexadecimal digits");
        with(&KEY.replace('5', "g")).run(command).fails(
            2,
            "key.digits",
            "character 1 is not a hexadecimal digit",
        );
    }
    Place::new().run(&["list"]).fails(2, "key.missing", "no encryption key is set");
}

#[test]
fn a_key_file_must_be_private_and_there() {
    let place = Place::new();
    let place = {
        let path = place.path("key").display().to_string();
        place.with("BACKUP_ENCRYPTION_KEY_FILE", &path)
    };
    place.run(&["list"]).fails(2, "key.unreadable", "BACKUP_ENCRYPTION_KEY_FILE");
    fs::write(place.path("key"), format!("{KEY}\n")).unwrap();
    fs::set_permissions(place.path("key"), fs::Permissions::from_mode(0o644)).unwrap();
    place.run(&["list"]).fails(2, "key.permissions", "other users can read the key file");
    fs::set_permissions(place.path("key"), fs::Permissions::from_mode(0o600)).unwrap();
    place.run(&["list"]).fails(1, "repository.missing", "backups/isolated");
    let both = place.with("BACKUP_ENCRYPTION_KEY", KEY);
    both.run(&["list"]).fails(2, "settings.conflict", "are both set");
}

#[test]
fn the_settings_file_is_found_and_its_errors_have_lines() {
    let place = Place::new();
    fs::write(place.path("chronavault.toml"), "[retention]\ndays = \"long\"\n").unwrap();
    place.run(&["list"]).fails(2, "settings.file", "chronavault.toml, line 2");
    fs::write(place.path("other.toml"), "[sources.a]\nurl = \"postgres://u:hunter2@h/d\"\nurls = 1\n")
        .unwrap();
    place.run(&["list", "--config", "other.toml"]).fails(2, "settings.file", "other.toml, line 3");
    place.run(&["list", "--config", "none.toml"]).fails(2, "settings.file_unreadable", "none.toml");
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    let key = || Place::new().with("BACKUP_ENCRYPTION_KEY", KEY);
    key().with("BACKUP_REPOSITORY", "s3://bucket").run(&["list"]).fails(2, "settings.scheme", "s3://");
    key().with("BACKUP_RETENTION_DAYS", "many").run(&["list"]).fails(
        2,
        "settings.value",
        "BACKUP_RETENTION_DAYS",
    );
    key().with("BACKUP_INTERVAL_HOURS", "0").run(&["list"]).fails(
        2,
        "settings.value",
        "BACKUP_INTERVAL_HOURS",
    );
    key().with("BACKUP_MAX_SIZE_GB", "x").run(&["backup"]).fails(2, "settings.value", "BACKUP_MAX_SIZE_GB");
    key().run(&["backup"]).fails(2, "settings.no_source", "no database is named");
    let url = key().with("DATABASE_URL", "postgres://u:hunter2@h:notaport/d");
    url.run(&["backup"]).fails(2, "settings.url", "DATABASE_URL");
}
