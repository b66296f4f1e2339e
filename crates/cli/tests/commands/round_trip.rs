//! The main job through the binary, on a real server: back up, prove, list, show, restore, export.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use testkit::Cluster;

use crate::harness::{KEY, Place, Said};

const BOOKS: &str = "
    CREATE TABLE entry (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, memo text NOT NULL);
    INSERT INTO entry (memo) SELECT 'entry ' || n FROM generate_series(1, 5000) n;
    CREATE TABLE audit (entry int REFERENCES entry, at timestamptz DEFAULT '2026-01-01', note jsonb);
    INSERT INTO audit (entry, note) SELECT n, jsonb_build_object('n', n) FROM generate_series(1, 50) n;
    CREATE ROLE bookkeeper;
    GRANT SELECT ON entry TO bookkeeper;
";

/// A server with the database `books`, and a place whose settings name it.
fn scene() -> (Cluster, Place) {
    let cluster = Cluster::start();
    cluster.create_database("books");
    cluster.psql("books", BOOKS);
    let place = Place::new().with("BACKUP_ENCRYPTION_KEY", KEY).with("DATABASE_URL", &cluster.url("books"));
    place.run(&["init"]).succeeds();
    (cluster, place)
}

/// What differs from run to run, replaced by its type.
fn redacted(mut value: Value) -> Value {
    fn walk(value: &mut Value, name: &str) {
        match value {
            Value::Object(members) => members.iter_mut().for_each(|(name, value)| walk(value, name)),
            Value::Array(items) => items.iter_mut().for_each(|item| walk(item, name)),
            Value::Number(_) if name.ends_with("_ms") => *value = "MS".into(),
            Value::Number(_) if matches!(name, "plain_bytes" | "stored_bytes" | "reused_bytes") => {
                *value = "BYTES".into();
            }
            Value::String(text) if name.ends_with("_at") || name == "at" => {
                assert!(text.ends_with('Z') && text.len() == 20, "{text} is no time in UTC");
                *value = "TIME".into();
            }
            Value::String(text) if name == "id" => {
                assert!(text.starts_with("backup-2"), "{text}");
                *value = "ID".into();
            }
            _ => {}
        }
    }
    walk(&mut value, "");
    value
}

#[test]
fn a_backup_is_made_proven_listed_and_shown() {
    let (_cluster, place) = scene();
    let said = place.run(&["backup", "--json"]);
    said.succeeds();
    assert!(said.err.contains("reading the database"), "progress in plain lines: {said:?}");
    let made = said.json();
    insta::assert_json_snapshot!(redacted(made.clone()), @r#"
    {
      "duration_ms": "MS",
      "filtered": false,
      "filters": {
        "exclude_table_data": [],
        "exclude_tables": [],
        "schemas": []
      },
      "finished_at": "TIME",
      "id": "ID",
      "kind": "logical",
      "plain_bytes": "BYTES",
      "reused_bytes": "BYTES",
      "rows": 5050,
      "schema_version": 1,
      "source": "books",
      "started_at": "TIME",
      "stored_bytes": "BYTES",
      "tables": 2,
      "verification": {
        "duration_ms": "MS",
        "id": "ID",
        "level": "restore",
        "outcome": "proven",
        "problems": [],
        "restore_ms": "MS",
        "rows": 5050,
        "tables": 2,
        "unreached": null
      },
      "verified": true,
      "warnings": []
    }
    "#);
    let id = made["id"].as_str().unwrap();
    is_listed(&place, id);
    is_shown(&place, id);
    is_verified(&place);
    // A lower level hides no proof.
    assert_eq!(place.run(&["list", "--json"]).json()["backups"][0]["proof"]["level"], "restore");
    assert!(place.run(&["list"]).out.contains("proven 2"));
    assert!(place.run(&["show", id]).out.contains("not proven; sound"), "each result is shown as what it is");
    // sha256sum needs no key.
    let checksums = place.path("backups/isolated").join(format!("{id}.sha256"));
    assert!(fs::read_to_string(checksums).unwrap().contains(".pack"));
}

fn is_listed(place: &Place, id: &str) {
    insta::assert_json_snapshot!(redacted(place.run(&["list", "--json"]).json()), @r#"
    {
      "backups": [
        {
          "filtered": false,
          "finished_at": "TIME",
          "holds": [],
          "id": "ID",
          "kind": "logical",
          "plain_bytes": "BYTES",
          "proof": {
            "at": "TIME",
            "level": "restore",
            "restore_ms": "MS"
          },
          "source": "books",
          "stored_bytes": "BYTES"
        }
      ],
      "schema_version": 1,
      "unreadable": []
    }
    "#);
    let listed = place.run(&["list"]);
    assert!(listed.succeeds().out.contains(id) && listed.out.contains("proven 2"), "{listed:?}");
    assert_eq!(place.run(&["list", "--source", "other", "--json"]).json()["backups"], json!([]));
}

fn is_shown(place: &Place, id: &str) {
    let shown = place.run(&["show", "latest"]);
    shown.succeeds();
    for fact in [id, "public.entry", "5,000", "bookkeeper", "PostgreSQL 1", "proven"] {
        assert!(shown.out.contains(fact), "{fact}: {shown:?}");
    }
    let shown = place.run(&["show", id, "--json"]).json();
    assert_eq!((&shown["id"], &shown["rows"], &shown["tables"]), (&json!(id), &json!(5050), &json!(2)));
    assert_eq!(shown["logical"]["tables"][1]["proof"]["rows"], 5000);
    assert_eq!(shown["proofs"][0]["outcome"], "proven");
    place.run(&["show", "backup-2020-01-01-000000-abcdef"]).fails(1, "backup.missing", "there is no backup");
}

fn is_verified(place: &Place) {
    let verified = place.run(&["verify", "latest", "--level", "contents", "--json"]);
    insta::assert_json_snapshot!(redacted(verified.succeeds().json()), @r#"
    {
      "duration_ms": "MS",
      "id": "ID",
      "level": "contents",
      "outcome": "sound",
      "problems": [],
      "restore_ms": null,
      "rows": 5050,
      "schema_version": 1,
      "tables": 2,
      "unreached": null,
      "warnings": []
    }
    "#);
    let all = place.run(&["verify", "--all", "--level", "objects", "--json"]).json();
    assert_eq!(all["verifications"][0]["outcome"], "sound");
    place.run(&["verify", "latest", "--source", "other"]).fails(1, "backup.none", "\"other\"");
}

#[test]
fn a_backup_is_restored_and_exported() {
    let (cluster, place) = scene();
    let said = place.run(&["backup", "--no-verify"]);
    assert!(said.succeeds().out.contains("not proven"), "{said:?}");
    let rows = |database: &str| cluster.psql(database, "SELECT count(*), max(memo) FROM entry");
    let url = |database: &str| cluster.url(database);

    place.run(&["restore", "latest", "--to", &url("again")]).fails(1, "target.missing", "again");
    let said = place.run(&["restore", "latest", "--to", &url("again"), "--create", "--json"]);
    let mut restored = redacted(said.succeeds().json());
    assert!(restored["target"].as_str().unwrap().starts_with("again on "), "{restored}");
    restored["target"] = "TARGET".into();
    let checks = restored.as_object_mut().unwrap().remove("checks").unwrap();
    assert!(checks.as_array().unwrap().iter().all(|check| check["outcome"] == "passed"), "{checks}");
    insta::assert_json_snapshot!(restored, @r#"
    {
      "duration_ms": "MS",
      "id": "ID",
      "left_out": [],
      "rows": 5050,
      "schema_version": 1,
      "tables": 2,
      "target": "TARGET",
      "warnings": []
    }
    "#);
    assert_eq!(rows("again"), rows("books"));

    place.run(&["restore", "latest", "--to", &url("again")]).fails(1, "target.not_empty", "again");
    place.run(&["restore", "latest", "--to", &url("again"), "--create"]).fails(1, "target.exists", "again");
    cluster.psql("again", "DELETE FROM audit; DELETE FROM entry");
    place.run(&["restore", "latest", "--to", &url("again"), "--clean"]).succeeds();
    assert_eq!(rows("again"), rows("books"));

    cluster.create_database("one");
    let said = place.run(&["restore", "latest", "--to", &url("one"), "--table", "audit", "--json"]);
    let left_out = said.succeeds().json()["left_out"].clone();
    assert!(left_out.to_string().contains("entry"), "the foreign key has no table to refer to: {left_out}");
    assert_eq!(cluster.psql("one", "SELECT count(*) FROM audit").trim(), "50");
    place.run(&["restore", "latest", "--to", &url("one"), "--table", "nothing"]).fails(
        1,
        "table.missing",
        "nothing",
    );

    exports(&cluster, &place);

    cluster.psql(
        "postgres",
        "DROP DATABASE books; DROP DATABASE again; DROP DATABASE IF EXISTS exported; DROP ROLE bookkeeper",
    );
    place.run(&["restore", "latest", "--to", &url("again"), "--create"]).fails(
        1,
        "roles.missing",
        "bookkeeper",
    );
    let said = place.run(&["restore", "latest", "--to", &url("again"), "--create", "--create-roles"]);
    said.succeeds();
    assert_eq!(
        cluster.psql("again", "SELECT has_table_privilege('bookkeeper', 'entry', 'SELECT')").trim(),
        "t"
    );
}

fn exports(cluster: &Cluster, place: &Place) {
    let sql = place.run(&["export", "latest", "-q"]);
    assert_eq!(sql.succeeds().err, "");
    cluster.create_database("exported");
    cluster.psql("exported", &sql.out);
    assert_eq!(cluster.psql("exported", "SELECT count(*) FROM entry").trim(), "5000");

    let said = place.run(&["export", "latest", "--format", "custom", "--output", "books.dump", "--json"]);
    let said = said.succeeds().json();
    let file = fs::metadata(place.path("books.dump")).unwrap();
    assert_eq!((said["bytes"].as_u64(), file.mode() & 0o7777), (Some(file.len()), 0o600));
    assert!(fs::read(place.path("books.dump")).unwrap().starts_with(b"PGDMP"));
    place.run(&["export", "latest", "--output", "books.dump"]).fails(1, "output.exists", "books.dump");
    place.run(&["export", "latest", "--json"]).fails(2, "usage", "--output");
    place.run(&["export", "latest", "--table", "nothing"]).fails(1, "table.missing", "nothing");
    let names: Vec<_> = fs::read_dir(place.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        !names.iter().any(|name| Path::new(name).extension().is_some_and(|end| end == "tmp")),
        "{names:?}"
    );
}

#[test]
fn a_filtered_backup_is_never_called_complete_and_a_second_one_is_small() {
    let (cluster, place) = scene();
    let first = place.run(&["backup", "--no-verify", "--json"]).json();
    let said = place.run(&["backup", "--exclude-table-data", "audit"]);
    assert!(said.succeeds().out.contains("filtered, not complete: --exclude-table-data audit"), "{said:?}");
    assert!(place.run(&["list"]).out.contains("logical, filtered"));
    let shown = place.run(&["show", "latest"]);
    assert!(shown.out.contains("logical, filtered") && shown.out.contains("left out"), "{shown:?}");
    assert_eq!(place.run(&["list", "--json"]).json()["backups"][0]["filtered"], true);

    let id = place.run(&["list", "--json"]).json()["backups"][0]["id"].as_str().unwrap().to_owned();
    let sentence = format!("warning[filtered]: {id} is filtered, not complete: --exclude-table-data audit");
    let to = cluster.url("filtered");
    for command in [
        &["verify", "latest"][..],
        &["verify", "--all", "--level", "objects"],
        &["restore", "latest", "--to", &to, "--create"],
        &["export", "latest"],
    ] {
        let said = place.run(command);
        assert_eq!(said.succeeds().err.matches(&sentence).count(), 1, "{said:?}");
    }
    let warned = place.run(&["verify", "latest", "--json"]).json()["warnings"][0]["code"].clone();
    assert_eq!(warned, "filtered");

    cluster.psql("books", "INSERT INTO entry (memo) VALUES ('one more')");
    let again = place.run(&["backup", "--no-verify", "--json"]).json();
    let stored = |backup: &Value| backup["stored_bytes"].as_u64().unwrap();
    assert!(stored(&again) < stored(&first), "{} after {}", stored(&again), stored(&first));

    place.run(&["backup", "--schema", "nothing"]).fails(2, "backup.filters", "nothing");
    let small = ["backup", "--no-verify", "--max-size-gb", "0.000001"];
    let said = place.run(&small);
    assert_eq!(said.exit, 4, "{said:?}");
    assert!(said.err.contains("warning[larger_than_limit]"), "{said:?}");
    let refused = place.run(&[&small[..], &["--max-size-policy", "refuse"]].concat());
    refused.fails(1, "backup.too_large", "more than the limit");
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let (_cluster, place) = scene();
    place.run(&["backup", "--no-verify"]).succeeds();
    let mut child =
        place.command(&["export", "latest"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let said = Said::from(child.wait_with_output().unwrap());
    assert_eq!(said.exit, 1, "{said:?}");
    assert!(said.err.contains("error[output.failed]"), "{said:?}");
}
