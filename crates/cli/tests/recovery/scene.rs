//! A server with books, a proven backup of them, and settings that name both.

use std::fs;

use serde_json::Value;
use testkit::Cluster;

use crate::harness::{KEY, Place};

const BOOKS: &str = "
    CREATE TABLE entry (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, memo text NOT NULL);
    INSERT INTO entry (memo) SELECT 'entry ' || n FROM generate_series(1, 5000) n;
    CREATE TABLE audit (entry int REFERENCES entry, note jsonb);
    INSERT INTO audit SELECT n, jsonb_build_object('n', n) FROM generate_series(1, 50) n;
";

pub(crate) struct Scene {
    pub(crate) cluster: Cluster,
    pub(crate) place: Place,
    /// The backup of the whole books.
    pub(crate) backup: String,
}

impl Scene {
    /// Settings have `more` at the end of the table of recovery.
    pub(crate) fn new(more: &str) -> Self {
        let cluster = Cluster::start();
        cluster.create_database("books");
        cluster.psql("books", BOOKS);
        let place = Place::new().with("BACKUP_ENCRYPTION_KEY", KEY);
        let log = place.path("services.log").display().to_string();
        let hook = |word: &str| {
            format!(r#"["/bin/sh", "-c", "echo {word} $CHRONAVAULT_EVENT $CHRONAVAULT_SOURCE >> {log}"]"#)
        };
        let settings = format!(
            "[sources.books]\nurl = {:?}\n\n[recovery]\nstop_services = {}\nstart_services = {}\n{more}\n",
            cluster.url("books"),
            hook("stopped"),
            hook("started"),
        );
        fs::write(place.path("chronavault.toml"), settings).unwrap();
        place.run(&["init"]).succeeds();
        let made = place.run(&["backup", "--json"]);
        let backup = made.succeeds().json()["id"].as_str().unwrap().to_owned();
        Self { cluster, place, backup }
    }

    /// What the hooks did.
    pub(crate) fn services(&self) -> Vec<String> {
        let log = fs::read_to_string(self.place.path("services.log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// The names of all databases but the templates and `postgres`.
    pub(crate) fn databases(&self) -> Vec<String> {
        let sql =
            "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres' ORDER BY 1";
        self.cluster.psql("postgres", sql).lines().map(str::to_owned).collect()
    }

    /// The number of rows of `entry` as they were backed up.
    pub(crate) fn good_rows(&self, database: &str) -> String {
        let sql = "SELECT count(*) FROM entry WHERE memo = 'entry ' || id";
        self.cluster.psql(database, sql).trim().to_owned()
    }
}

/// The state of each step, as `name state`.
pub(crate) fn steps(recovery: &Value, list: &str) -> Vec<String> {
    let steps = recovery[list].as_array().unwrap_or_else(|| panic!("no {list}: {recovery}"));
    let words =
        |step: &Value| format!("{} {}", step["step"].as_str().unwrap(), step["state"].as_str().unwrap());
    steps.iter().map(words).collect()
}
