//! `check`, and checks after restores, through the binary.

use std::fs;

use serde_json::{Value, json};
use testkit::Cluster;

use crate::harness::{KEY, Place};

const BOOKS: &str = "
    CREATE SCHEMA accounting; CREATE TABLE accounting.entry (id serial PRIMARY KEY, debit numeric, credit numeric);
    INSERT INTO accounting.entry (debit, credit) SELECT n, n FROM generate_series(1, 100) n;
    ALTER DATABASE books SET search_path = accounting;
";

const CHECKS: &str = r#"
[[checks]]
name = "debits equal credits"
query = "SELECT id, debit - credit AS difference FROM entry WHERE debit <> credit ORDER BY id"

[[checks]]
name = "the books are in use"
query = "SELECT count(*) FROM entry"
expect = ">= 1"
severity = "warning"
limit_seconds = 30

[[checks]]
name = "of others"
query = "SELECT 1"
sources = ["wages"]

[sources.books]
schemas = []
[sources.wages]
"#;

fn scene() -> (Cluster, Place) {
    let cluster = Cluster::start();
    cluster.create_database("books");
    cluster.psql("books", BOOKS);
    let place = Place::new().with("BACKUP_ENCRYPTION_KEY", KEY).with("DATABASE_URL", &cluster.url("books"));
    fs::write(place.path("chronavault.toml"), CHECKS).unwrap();
    (cluster, place)
}

/// Name and outcome of each check.
fn outcomes(answer: &Value) -> Vec<(&str, &str)> {
    let checks = answer["checks"].as_array().unwrap();
    checks.iter().map(|it| (it["name"].as_str().unwrap(), it["outcome"].as_str().unwrap())).collect()
}

#[test]
fn a_live_database_is_checked_without_a_repository() {
    let (cluster, place) = scene();
    let said = place.run(&["check", "--source", "books"]);
    said.succeeds();
    for line in [
        "6 checks",
        "ok       foreign keys: 0 foreign keys",
        "ok       debits equal credits: as expected: no rows",
    ] {
        assert!(said.out.contains(line), "{line}: {said:?}");
    }
    let shown = place.run(&["config", "show"]).out;
    assert!(shown.contains("checks.the books are in use") && shown.contains(">= 1, warning"), "{shown}");

    cluster.psql("books", "UPDATE entry SET debit = debit + 1 WHERE id IN (3, 5)");
    let said = place.run(&["check", "--source", "books"]);
    said.fails(1, "check.failed", "1 of 6 checks does not hold in books");
    assert!(said.out.contains("FAILED   debits equal credits: 2 rows where none were expected"), "{said:?}");
    assert!(said.out.contains("         id=3  difference=1\n"), "{said:?}");
    let answer = place.run(&["check", "--json"]).json();
    assert_eq!(
        outcomes(&answer),
        [
            ("foreign keys", "passed"),
            ("sequences", "passed"),
            ("invalid indexes", "passed"),
            ("constraints not valid", "passed"),
            ("debits equal credits", "failed"),
            ("the books are in use", "passed"),
        ]
    );
    assert_eq!(answer["error"]["code"], "check.failed");
    let check = &answer["checks"][4];
    assert_eq!((&check["kind"], &check["severity"]), (&json!("configured"), &json!("critical")));
    assert_eq!(check["columns"], json!(["id", "difference"]));
    assert_eq!((&check["rows"], &check["more_rows"]), (&json!([["3", "1"], ["5", "1"]]), &json!(false)));
    assert!(check["duration_ms"].is_u64());

    // A warning ends with another status, and what is not asked for is not run.
    cluster.psql("books", "DELETE FROM entry");
    let said = place.run(&["check", "--only", "the books are in use", "--only", "sequences"]);
    assert_eq!((said.exit, said.out.matches('\n').count()), (4, 4), "{said:?}");
    assert!(said.out.contains("warning  the books are in use: the value is \"0\""), "{said:?}");
    place.run(&["check", "--only", "of others"]).fails(
        2,
        "check.unknown",
        "\"of others\" for the source \"books\"",
    );
}

#[test]
fn another_database_is_checked_with_the_checks_of_a_source() {
    let (cluster, place) = scene();
    cluster.create_database("empty");
    // The password of a URL is warned of, and never shown; trust is what lets it in.
    let url = cluster.url("empty");
    let said = place.run(&["check", "--source", "books", "--database", &url, "--json"]);
    assert_eq!(said.exit, 1, "{said:?}");
    let answer = said.json();
    assert!(answer["database"].as_str().unwrap().starts_with("empty on"), "{said:?}");
    assert!(
        answer["checks"][4]["message"]
            .as_str()
            .unwrap()
            .contains("relation \"entry\" does not exist (42P01)")
    );
    let said = place.run(&["check", "--source", "wages", "--database", &url, "--json"]);
    assert_eq!(outcomes(&said.json()).last(), Some(&("of others", "failed")));
    let with_password = "postgres://u:hunter2@127.0.0.1:1/books";
    let said = place.run(&["check", "--database", with_password]);
    said.fails(1, "server.unreachable", "127.0.0.1:1");
    assert!(said.err.contains("warning[password.visible]") && said.err.contains("--database"), "{said:?}");
}

#[test]
fn checks_that_mean_nothing_are_refused() {
    let place = Place::new();
    for (table, says) in [
        ("name = 'a'\nquery = ''", "query is empty"),
        ("name = ''\nquery = 'SELECT 1'", "name is not 1 to 100 bytes"),
        ("name = 'sequences'\nquery = 'SELECT 1'", "there is another check \"sequences\""),
        ("name = 'a'\nquery = 'SELECT 1'\nexpect = 'norows'", "\"norows\" is none of: no rows"),
        ("name = 'a'\nquery = 'SELECT 1'\nlimit_seconds = 0", "limit_seconds is 0"),
    ] {
        fs::write(place.path("chronavault.toml"), format!("[[checks]]\n{table}\n")).unwrap();
        place.run(&["config", "check"]).fails(2, "settings.value", says);
    }
    let unknown = "[[checks]]\nname = 'a'\nquery = 'SELECT 1'\nsources = ['x']\n[sources.books]\n";
    fs::write(place.path("chronavault.toml"), unknown).unwrap();
    place.run(&["config", "check"]).fails(2, "settings.value", "there is no source \"x\"");
    for (table, says) in [
        ("name = 'a'\nqury = 'SELECT 1'", "unknown field `qury`"),
        ("name = 'a'", "missing field `query`"),
        ("name = 'a'\nquery = 'SELECT 1'\nseverity = 'bad'", "unknown variant `bad`"),
        ("name = 'a'\nquery = 'SELECT 1'\nexpect = 1.5", "a text, a whole number, true or false"),
    ] {
        fs::write(place.path("chronavault.toml"), format!("[[checks]]\n{table}\n")).unwrap();
        place.run(&["config", "check"]).fails(2, "settings.file", says);
    }
    fs::write(place.path("chronavault.toml"), "[[checks]]\nname = 'a'\nquery = 'SELECT 0'\nexpect = 0\n")
        .unwrap();
    assert!(place.run(&["config", "show"]).out.contains("= 0, critical"));
}

#[test]
fn what_is_restored_is_checked_before_it_replaces_anything() {
    let (cluster, place) = scene();
    place.run(&["init"]).succeeds();
    let backup = |arguments: &[&str]| place.run(&[&["backup", "--source", "books"], arguments].concat());
    backup(&["--no-verify"]).succeeds();
    let url = cluster.url("again");
    let restore = |arguments: &[&str]| place.run(&[&["restore", "latest", "--to", &url], arguments].concat());
    let said = restore(&["--create"]);
    assert!(said.succeeds().out.contains("Checked: 7 checks, all hold."), "{said:?}");
    let said = restore(&["--clean", "--json"]);
    assert_eq!(outcomes(&said.json()).len(), 7, "{said:?}");
    // Chosen tables are no whole database.
    cluster.psql("again", "DROP TABLE accounting.entry");
    let said = restore(&["--table", "accounting.entry", "--json"]);
    assert_eq!((said.exit, &said.json()["checks"]), (0, &Value::Null), "{said:?}");

    // A backup of books that do not balance is complete, and does not count as proven.
    cluster.psql("books", "UPDATE entry SET debit = 0 WHERE id = 7");
    let said = backup(&["--json"]);
    assert_eq!(said.exit, 3, "{said:?}");
    let problem = &said.json()["verification"]["problems"][0];
    assert_eq!(
        (&problem["code"], &problem["object"]),
        (&json!("check.failed"), &json!("check \"debits equal credits\""))
    );
    assert!(!said.out.contains("difference"), "rows are not in a report that is kept: {said:?}");

    cluster.psql("again", "CREATE TABLE mine ()");
    let said = restore(&["--clean"]);
    said.fails(1, "checks.failed", "debits equal credits");
    assert_eq!(cluster.psql("again", "SELECT count(*) FROM mine").trim(), "0", "nothing was replaced");
    restore(&["--clean", "--no-checks"]).succeeds();
    cluster.psql("postgres", "DROP DATABASE again");
    let said = restore(&["--create"]);
    assert_eq!(said.exit, 4, "{said:?}");
    assert!(
        said.err.contains("warning[check_failed]: the check \"debits equal credits\" does not hold"),
        "{said:?}"
    );
    assert!(said.out.contains("Checked: 7 checks, 6 hold.\nFAILED   debits equal credits"), "{said:?}");
    assert_eq!(cluster.psql("again", "SELECT count(*) FROM accounting.entry").trim(), "100");

    // A part of a database cannot be held to rules of the whole.
    backup(&["--exclude-table-data", "accounting.entry"]).succeeds();

    let runs = place.run(&["journal", "show", "--json"]).json();
    place.run(&["check", "--only", "sequences"]).succeeds();
    let after = place.run(&["journal", "show", "--operation", "check", "--json"]).json();
    let run = &after["runs"][0];
    assert_eq!(
        (&run["operation"], &run["source"], &run["outcome"]),
        (&json!("check"), &json!("books"), &json!("done")),
        "{after} {runs}"
    );
}
