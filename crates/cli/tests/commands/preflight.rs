//! What a restore would meet, through the binary: all of it at once, and before anything is written.

use serde_json::{Value, json};
use testkit::Cluster;

use crate::harness::{KEY, Place};

const BOOKS: &str =
    "CREATE ROLE keeper; CREATE TABLE entry (id int PRIMARY KEY); ALTER TABLE entry OWNER TO keeper;
     INSERT INTO entry SELECT generate_series(1, 100)";

fn scene() -> (Cluster, Place) {
    let cluster = Cluster::start();
    cluster.create_database("books");
    cluster.psql("books", BOOKS);
    let place = Place::new().with("BACKUP_ENCRYPTION_KEY", KEY).with("DATABASE_URL", &cluster.url("books"));
    place.run(&["init"]).succeeds();
    place.run(&["backup", "--no-verify"]).succeeds();
    (cluster, place)
}

fn codes<'a>(answer: &'a Value, severity: &str) -> Vec<&'a str> {
    let findings = answer["findings"].as_array().unwrap();
    let wanted = findings.iter().filter(|finding| finding["severity"] == severity);
    wanted.map(|finding| finding["code"].as_str().unwrap()).collect()
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let (cluster, place) = scene();
    let url = cluster.url("again");
    let restore = |arguments: &[&str]| place.run(&[&["restore", "latest", "--to", &url], arguments].concat());
    let said = restore(&["--create", "--dry-run"]);
    assert!(said.succeeds().out.contains(
        "(1 table, 100 rows), into a new database that gets its name when it is complete, and checked."
    ));
    assert!(said.out.contains("note     pg_restore: "), "{said:?}");
    let answer = restore(&["--create", "--dry-run", "--json"]).json();
    assert_eq!((&answer["dry_run"], codes(&answer, "error").len()), (&json!(true), 0), "{answer}");
    assert_eq!(
        cluster.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname = 'again'").trim(),
        "0"
    );
    let runs = place.run(&["journal", "show", "--operation", "restore", "--json"]).json();
    assert_eq!(runs["runs"], json!([]), "a dry run is not recorded");

    // Each error with what to do about it; with one, its own code.
    cluster.psql("postgres", "DROP DATABASE books; ALTER ROLE keeper RENAME TO somebody");
    let said = restore(&["--create", "--dry-run"]);
    said.fails(1, "roles.missing", "has no role \"keeper\"");
    assert!(said.out.contains("ERROR    roles: the target server has no role \"keeper\" [roles.missing]\n         -> Create the roles"));
    let said = restore(&["--jobs", "64", "--create", "--dry-run"]);
    assert!(said.out.contains("[roles.missing]"), "{said:?}");
    let said = place.run(&["restore", "latest", "--to", &cluster.url("nowhere"), "--json"]);
    let answer = said.json();
    assert_eq!(
        (said.exit, codes(&answer, "error")),
        (1, vec!["target.missing", "roles.missing"]),
        "{answer}"
    );
    assert_eq!((&answer["dry_run"], &answer["error"]["code"]), (&json!(false), &json!("restore.preflight")));
    let hint = answer["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("--create to create") && hint.contains("--create-roles"), "{hint}");

    // What would be noticed by others is warned of, and done.
    cluster.psql("postgres", "ALTER ROLE somebody RENAME TO keeper; CREATE DATABASE again");
    let mut till = cluster.client("again");
    till.execute("SET application_name = 'till'").unwrap();
    let said = restore(&["--clean", "--dry-run"]);
    assert_eq!(said.exit, 4, "{said:?}");
    assert!(
        said.out.contains(
            "warning  database again: it is in use by 1 sessions, which will be ended: 1 of \"till\""
        ),
        "{said:?}"
    );
    assert!(till.execute("SELECT 1").is_ok());
    let said = restore(&["--clean"]);
    assert!(said.succeeds().err.contains("warning[target.in_use]"), "{said:?}");
    assert_eq!(cluster.psql("again", "SELECT count(*) FROM entry").trim(), "100");
}
