//! `keys` through the binary: lists, second holders, rotation, recovery sheets. No output but the sheet holds a key.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{KEY, Place, Said};

/// The key file of a place whose key was made by `init`.
const KEY_FILE: &str = "home/.config/chronavault/key";

fn initialised() -> Place {
    let place = Place::new();
    place.run(&["init"]).succeeds();
    place
}

fn key(place: &Place, path: &str) -> String {
    fs::read_to_string(place.path(path)).unwrap().trim().to_owned()
}

/// Runs with something on standard input, and demands that no key of the place is in the output.
fn run_with(place: &Place, arguments: &[&str], input: &str) -> Said {
    let mut child = place
        .command(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Said::from(child.wait_with_output().unwrap())
}

fn listed(place: &Place) -> Value {
    place.run(&["keys", "list", "--json"]).json()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// P9: nothing that was said holds any of the keys.
fn shows_none_of(said: &Said, keys: &[&String]) {
    for key in keys {
        assert!(!said.out.contains(&key[..16]) && !said.err.contains(&key[..16]), "{said:?}");
        assert!(!said.out.contains(&key[..16].to_uppercase()), "{said:?}");
    }
}

#[test]
fn the_list_says_where_the_key_comes_from_and_never_what_it_is() {
    let place = Place::new().with("BACKUP_ENCRYPTION_KEY", KEY);
    place.run(&["init"]).succeeds();
    let said = place.run(&["keys", "list"]);
    said.succeeds();
    assert!(said.out.contains("comes from BACKUP_ENCRYPTION_KEY") && said.out.contains("in use"), "{said:?}");
    let mut list = listed(&place);
    let id = list["keys"][0]["id"].as_str().unwrap().to_owned();
    assert!(place.path(&format!("backups/isolated/keys/{id}.slot")).exists());
    for (pointer, value) in [
        ("/repository_id", "REPOSITORY"),
        ("/keys/0/id", "ID"),
        ("/keys/0/slots/0/id", "ID"),
        ("/keys/0/created_at", "THEN"),
        ("/keys/0/slots/0/created_at", "THEN"),
    ] {
        *list.pointer_mut(pointer).unwrap() = value.into();
    }
    insta::assert_json_snapshot!(list, @r#"
    {
      "epoch": 1,
      "key": {
        "origin": "environment",
        "path": null
      },
      "keys": [
        {
          "age_days": 0,
          "checked_at": null,
          "created_at": "THEN",
          "id": "ID",
          "in_use": true,
          "label": null,
          "opens": true,
          "slots": [
            {
              "created_at": "THEN",
              "epoch": 1,
              "id": "ID",
              "problem": null
            }
          ]
        }
      ],
      "repository_id": "REPOSITORY",
      "schema_version": 1
    }
    "#);
}

#[test]
fn a_second_key_is_made_read_or_piped_in() {
    let place = initialised();
    let own = key(&place, KEY_FILE);
    let said = place.run(&["keys", "add", "--generate", "usb/second", "--label", "the safe", "--json"]);
    let added = said.succeeds().json();
    assert_eq!(mode(&place.path("usb/second")), 0o600);
    let second = key(&place, "usb/second");
    shows_none_of(&said, &[&own, &second]);
    assert_eq!((&added["slots_added"], &added["label"]), (&1.into(), &"the safe".into()));
    place.run(&["list", "--key-file", "usb/second"]).succeeds();

    place.run(&["keys", "add", "--generate", "usb/second"]).fails(
        1,
        "key.not_written",
        "cannot write the new key",
    );
    let again = place.run(&["keys", "add", "--from", "usb/second"]);
    assert!(again.succeeds().out.contains("has access already"), "{again:?}");
    let piped = run_with(&place, &["keys", "add", "--from", "-"], &format!("{KEY}\n"));
    piped.succeeds();
    run_with(&place, &["keys", "add", "--from", "-"], &KEY[..63]).fails(
        2,
        "key.length",
        "63 hexadecimal digits",
    );
    place.run(&["keys", "add", "--generate", "backups/isolated/k"]).fails(
        2,
        "key.inside_repository",
        "inside",
    );
    fs::write(place.path("open"), KEY).unwrap();
    fs::set_permissions(place.path("open"), fs::Permissions::from_mode(0o644)).unwrap();
    place.run(&["keys", "add", "--from", "open"]).fails(2, "key.permissions", "other users can read");
    let said = place.run(&["keys", "list"]);
    shows_none_of(said.succeeds(), &[&own, &second, &KEY.to_owned()]);
    assert_eq!(listed(&place)["keys"].as_array().unwrap().len(), 3);
}

#[test]
fn a_key_is_removed_by_its_first_digits_but_never_the_last() {
    let place = initialised();
    let id = |list: &Value, at: usize| list["keys"][at]["id"].as_str().unwrap().to_owned();
    let own = id(&listed(&place), 0);
    place.run(&["keys", "remove", &own[..8]]).fails(1, "key.last", "is the last one");
    place.run(&["keys", "remove", "00000000"]).fails(2, "key.unknown", "no key 00000000");
    place.run(&["keys", "add", "--generate", "second", "--label", "bob"]).succeeds();
    let second = id(&listed(&place), 1);
    place.run(&["keys", "remove", &own]).fails(1, "key.in_use", "is the one in use");

    let said = place.run(&["keys", "remove", &second[..8], "--dry-run"]);
    assert!(said.succeeds().out.contains("(bob) would be removed"), "{said:?}");
    place.run(&["list", "--key-file", "second"]).succeeds();
    let removed = place.run(&["keys", "remove", &second[..8], "--json"]).succeeds().json();
    assert_eq!((&removed["key_id"], &removed["slots_removed"]), (&second.as_str().into(), &1.into()));
    place.run(&["list", "--key-file", "second"]).fails(2, "key.wrong", "does not belong");

    place.run(&["keys", "add", "--from", "second"]).succeeds();
    place.run(&["keys", "remove", &own, "--force", "--through", KEY_FILE]).fails(1, "key.in_use", "in use");
    place.run(&["keys", "remove", &own, "--force", "--through", "second"]).succeeds();
    place.run(&["list"]).fails(2, "key.wrong", "does not belong");
    place.run(&["list", "--key-file", "second"]).succeeds();
}

#[test]
fn a_rotation_puts_the_new_key_in_the_place_of_the_old_one() {
    let place = initialised();
    place.run(&["keys", "add", "--generate", "bob", "--label", "bob"]).succeeds();
    place.run(&["keys", "add", "--generate", "eve", "--label", "eve"]).succeeds();
    let old = key(&place, KEY_FILE);
    let planned = place.run(&["keys", "rotate", "--dry-run", "--also", "bob", "--json"]).succeeds().json();
    assert_eq!((&planned["epoch"], planned["left_behind"].as_array().map(Vec::len)), (&2.into(), Some(1)));
    assert_eq!(key(&place, KEY_FILE), old);
    assert_eq!(listed(&place)["epoch"], 1);

    let said = place.run(&["keys", "rotate", "--also", "bob"]);
    assert_eq!(said.exit, 4, "{said:?}");
    assert!(said.err.contains("warning[key.left_behind]") && said.err.contains("(eve)"), "{said:?}");
    assert!(said.out.contains("keys escrow") && said.out.contains("wal receive"), "{said:?}");
    let new = key(&place, KEY_FILE);
    shows_none_of(&said, &[&old, &new]);
    assert_ne!(old, new);
    assert_eq!(mode(&place.path(KEY_FILE)), 0o600);
    assert!(!place.path(&format!("{KEY_FILE}.next")).exists());
    let list = listed(&place);
    assert_eq!((&list["epoch"], list["keys"].as_array().map(Vec::len)), (&2.into(), Some(3)));
    place.run(&["list", "--key-file", "bob"]).succeeds();
    place.run(&["list", "--key-file", "eve"]).fails(2, "key.outdated", "up to key epoch 1 only");
    // The old key is kept for old copies, and opens nothing here.
    let kept: Vec<_> = fs::read_dir(place.path("home/.config/chronavault")).unwrap().collect();
    let kept: Vec<_> = kept.into_iter().map(|entry| entry.unwrap().path()).collect();
    let [aside] = &kept.iter().filter(|path| **path != place.path(KEY_FILE)).collect::<Vec<_>>()[..] else {
        panic!("{kept:?}")
    };
    assert_eq!(fs::read_to_string(aside).unwrap().trim(), old);
    place.run(&["list", "--key-file", aside.to_str().unwrap()]).fails(2, "key.wrong", "does not belong");
    place.run(&["keys", "add", "--from", "eve"]).succeeds();
    place.run(&["list", "--key-file", "eve"]).succeeds();
}

#[test]
fn a_rotation_that_was_interrupted_is_completed_by_the_same_command() {
    let place = initialised();
    // As if killed after the new head and before the key file was replaced.
    fs::copy(place.path(KEY_FILE), place.path("old")).unwrap();
    place.run(&["keys", "rotate"]).succeeds();
    fs::rename(place.path(KEY_FILE), place.path(&format!("{KEY_FILE}.next"))).unwrap();
    fs::copy(place.path("old"), place.path(KEY_FILE)).unwrap();
    let said = place.run(&["list"]);
    said.fails(2, "key.wrong", "does not belong");
    assert!(said.err.contains("run `chronavault keys rotate` again"), "{said:?}");
    let resumed = place.run(&["keys", "rotate", "--json"]).succeeds().json();
    assert_eq!((&resumed["resumed"], &resumed["epoch"]), (&true.into(), &2.into()));
    place.run(&["list"]).succeeds();
    assert!(!place.path(&format!("{KEY_FILE}.next")).exists());

    // As if killed when nothing but the new key was there: that one is used.
    place.run(&["keys", "add", "--generate", "probe"]).succeeds();
    fs::copy(place.path("probe"), place.path("expected")).unwrap();
    let probe = listed(&place)["keys"][1]["id"].as_str().unwrap().to_owned();
    place.run(&["keys", "remove", &probe]).succeeds();
    fs::rename(place.path("probe"), place.path(&format!("{KEY_FILE}.next"))).unwrap();
    let rotated = place.run(&["keys", "rotate", "--json"]).succeeds().json();
    assert_eq!((&rotated["resumed"], &rotated["epoch"]), (&false.into(), &3.into()));
    assert_eq!(key(&place, KEY_FILE), key(&place, "expected"));
}

#[test]
fn a_key_from_the_environment_is_rotated_into_a_file() {
    let place = Place::new().with("BACKUP_ENCRYPTION_KEY", KEY);
    place.run(&["init"]).succeeds();
    place.run(&["keys", "rotate"]).fails(1, "key.not_written", "cannot be replaced");
    let said = place.run(&["keys", "rotate", "--generate", "new", "--label", "second quarter"]);
    assert!(said.succeeds().out.contains("set BACKUP_ENCRYPTION_KEY_FILE=new"), "{said:?}");
    place.run(&["list"]).fails(2, "key.wrong", "does not belong");
    // The same again with the file that is there now completes what is complete.
    let again = place.run(&["keys", "rotate", "--from", "new", "--json"]).succeeds().json();
    assert_eq!((&again["resumed"], &again["epoch"]), (&true.into(), &2.into()));
    // A wrong key makes no new one.
    place.run(&["keys", "rotate", "--generate", "other"]).fails(2, "key.wrong", "does not belong");
    assert!(!place.path("other").exists());
    let said =
        place.command(&["keys", "list", "--key-file", "new"]).env_remove("BACKUP_ENCRYPTION_KEY").output();
    let said = Said::from(said.unwrap());
    assert!(said.succeeds().out.contains("second quarter"), "{said:?}");
}

#[test]
fn the_sheet_goes_nowhere_by_accident() {
    let place = initialised();
    let own = key(&place, KEY_FILE);
    let said = place.run(&["keys", "escrow"]);
    shows_none_of(said.fails(2, "key.not_shown", "no terminal"), &[&own]);
    let said = place.run(&["keys", "escrow", "--json", "--yes"]);
    shows_none_of(said.fails(2, "key.not_shown", "never part of JSON"), &[&own]);
    place.run(&["keys", "escrow", "--output", "sheet.pdf"]).fails(
        2,
        "usage",
        "ends neither in .svg nor in .txt",
    );
    place.run(&["keys", "escrow", "--output", "backups/isolated/a.txt"]).fails(
        2,
        "key.inside_repository",
        "inside",
    );
    let said = place.run(&["keys", "escrow", "--output", "sheet.svg", "--json"]);
    shows_none_of(said.succeeds(), &[&own]);
    assert_eq!(mode(&place.path("sheet.svg")), 0o600);
    assert!(key(&place, "sheet.svg").contains(&own[..4]));
    place.run(&["keys", "escrow", "--output", "sheet.svg"]).fails(1, "output.exists", "sheet.svg");

    let said = place.run(&["keys", "escrow", "--yes"]);
    said.succeeds();
    assert!(said.out.contains("RECOVERY SHEET") && said.out.contains('█') && said.err.is_empty());
    let list = listed(&place);
    for id in [&list["repository_id"], &list["keys"][0]["id"]] {
        assert!(said.out.contains(id.as_str().unwrap()), "{id}");
    }
    place.run(&["keys", "escrow", "--output", "sheet.txt"]).succeeds();
    let text = key(&place, "sheet.txt");
    assert!(text.contains("recover.py") && text.contains(&format!("1  {} {}", &own[..4], &own[4..8])));
}

#[test]
fn a_typed_sheet_is_tested_line_by_line() {
    let place = initialised();
    let own = key(&place, KEY_FILE);
    place.run(&["keys", "escrow", "--output", "sheet.txt"]).succeeds();
    let sheet = key(&place, "sheet.txt");
    let lines: Vec<_> = sheet
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()) && line.len() == 18)
        .collect();
    assert_eq!(lines.len(), 8, "{lines:?}");
    let check = |text: &str| {
        let said = run_with(&place, &["keys", "escrow", "--check", "--json"], text);
        shows_none_of(&said, &[&own]);
        said
    };
    assert_eq!(listed(&place)["keys"][0]["checked_at"], Value::Null);
    let checked = check(&lines.join("\n")).succeeds().json();
    assert_eq!((&checked["in_use"], &checked["epoch"]), (&true.into(), &1.into()));
    assert_ne!(listed(&place)["keys"][0]["checked_at"], Value::Null);
    check(&own).succeeds();
    check(&own.to_uppercase()).succeeds();
    place.run(&["keys", "escrow", "--check", "sheet.txt"]).succeeds();

    let digit = if lines[2].ends_with('0') { "1" } else { "0" };
    let mistyped = format!("{}{digit}", &lines[2][..lines[2].len() - 1]);
    let typed = [&lines[..2], &[mistyped.as_str()], &lines[3..5], &lines[6..]].concat().join("\n");
    check(&typed).fails(2, "key.escrow", "line 3 is mistyped: its check does not fit, line 6 is missing");
    check("").fails(2, "key.escrow", "neither the 64 digits");
    check(KEY).fails(2, "key.wrong", "does not belong");
    place.run(&["keys", "escrow", "--check", KEY_FILE]).fails(2, "key.escrow", "is the key file in use");
    // It needs no key but the one that was typed.
    fs::remove_file(place.path(KEY_FILE)).unwrap();
    assert_eq!(check(&own).succeeds().json()["in_use"], Value::Null);
}

#[test]
fn the_doctor_knows_old_keys_and_keys_that_were_left_behind() {
    let place = initialised();
    let findings = |place: &Place| -> Vec<String> {
        let said = place.run(&["doctor", "--json"]).json();
        let findings = said["findings"].as_array().unwrap().iter();
        findings
            .filter(|finding| finding["state"] == "warning")
            .map(|finding| finding["code"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(findings(&place), ["key.one_place"]);
    place.run(&["keys", "add", "--generate", "bob"]).succeeds();
    assert_eq!(findings(&place), [""; 0]);
    assert_eq!(place.run(&["keys", "rotate"]).exit, 4);
    assert_eq!(findings(&place), ["key.one_place", "key.left_behind"]);

    // Notes are clear text: one of long ago makes the key look old.
    let keys = place.path("backups/isolated/keys");
    let id = listed(&place)["keys"][0]["id"].as_str().unwrap().to_owned();
    let note = keys.join(format!("{id}.json"));
    let text = fs::read_to_string(&note).unwrap();
    let (before, after) = text.split_once("\"created_at\":\"").unwrap();
    fs::write(&note, format!("{before}\"created_at\":\"2020{}", &after[4..])).unwrap();
    assert_eq!(findings(&place), ["key.one_place", "key.old", "key.left_behind"]);
    let said = place.run(&["doctor"]);
    assert!(
        said.out.contains("is to be rotated every quarter") && said.out.contains("keys rotate"),
        "{said:?}"
    );
}

#[test]
fn the_journal_goes_on_over_a_rotation_and_says_nothing_of_keys() {
    let place = initialised();
    place.run(&["keys", "add", "--generate", "bob", "--label", "bob"]).succeeds();
    assert_eq!(place.run(&["keys", "rotate"]).exit, 4);
    place.run(&["keys", "escrow", "--output", "sheet.txt"]).succeeds();
    let bob = listed(&place)["keys"][1]["id"].as_str().unwrap().to_owned();
    place.run(&["keys", "remove", &bob]).succeeds();
    // One that an earlier call had begun is recorded once the repository opens again.
    fs::copy(place.path(KEY_FILE), place.path("old")).unwrap();
    place.run(&["keys", "rotate"]).succeeds();
    fs::rename(place.path(KEY_FILE), place.path(&format!("{KEY_FILE}.next"))).unwrap();
    fs::rename(place.path("old"), place.path(KEY_FILE)).unwrap();
    place.run(&["keys", "rotate"]).succeeds();

    let said = place.run(&["journal", "show", "--json"]);
    let runs = said.succeeds().json()["runs"].as_array().unwrap().clone();
    let word = |run: &Value, member: &str| run[member].as_str().unwrap().to_owned();
    let found: Vec<_> = runs.iter().rev().map(|run| (word(run, "operation"), word(run, "outcome"))).collect();
    let expected = [
        ("init", "done"),
        ("keys-add", "done"),
        ("keys-rotate", "warnings"),
        ("keys-escrow", "done"),
        ("keys-remove", "done"),
        ("keys-rotate", "done"),
        ("keys-rotate", "done"),
    ];
    assert_eq!(found, expected.map(|(operation, outcome)| (operation.to_owned(), outcome.to_owned())));
    place.run(&["journal", "verify"]).succeeds();
    let entries: String = fs::read_dir(place.path("backups/journal"))
        .unwrap()
        .map(|entry| String::from_utf8_lossy(&fs::read(entry.unwrap().path()).unwrap()).into_owned())
        .collect();
    assert!(entries.contains("keys-rotate"));
    for file in [KEY_FILE, "bob"] {
        assert!(!entries.contains(&key(&place, file)[..16]));
    }
    assert!(!entries.contains(KEY_FILE) && !entries.contains(".next"), "nor where they lie");
}
