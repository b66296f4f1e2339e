//! A physical repository of a released format is read by every later version (`tests/golden/README.md`).

use std::path::Path;

use serde_json::Value;

use crate::site::{Recovered, Site};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/v1-physical");
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// The version of the server that it was made from: no other can read the files.
const MAJOR: u32 = 15;
const FIRST: &str = "backup-2026-11-26-010049-220fa5";
const SECOND: &str = "backup-2026-11-26-010058-6e7b40";

fn json(site: &Site, arguments: &[&str]) -> Value {
    serde_json::from_str(&site.succeeds(arguments)).unwrap()
}

/// Restores, and returns rows and a sum over all of them once a server has recovered.
fn recovered(site: &Site, name: &str, arguments: &[&str]) -> (u64, i64) {
    let data = site.path(name);
    site.succeeds(&[&["restore"], arguments, &["--data-dir", data.to_str().unwrap()]].concat());
    let server = Recovered::start(site, data, "postgres");
    let sql = "SELECT count(*), sum(hashtext(e::text)) FROM entry e";
    let row = server.client().query_one(sql, &[]).unwrap();
    server.leaves_no_trace();
    (row.number(0).unwrap(), row.text(1).unwrap().parse().unwrap())
}

#[test]
fn a_physical_repository_of_format_1_still_restores() {
    let site = Site::holding(Path::new(GOLDEN), KEY, MAJOR);
    let listed = json(&site, &["list", "--json"]);
    let backups = listed["backups"].as_array().unwrap();
    let ids: Vec<_> = backups.iter().map(|backup| backup["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [SECOND, FIRST]);
    for backup in backups {
        assert_eq!((&backup["kind"], &backup["proof"]["level"]), (&"physical".into(), &"restore".into()));
    }
    let verified = json(&site, &["verify", "--all", "--level", "contents", "--json"]);
    for one in verified["verifications"].as_array().unwrap() {
        assert_eq!((&one["outcome"], &one["problems"]), (&"sound".into(), &Value::Array(Vec::new())));
    }
    let status = json(&site, &["wal", "status", "--verify", "--json"]);
    assert_eq!(status["clusters"][0]["gaps"], Value::Array(Vec::new()));
    assert_eq!(status["clusters"][0]["windows"][0]["last_segment"], "000000010000000000000011");
    // All of the WAL, over the second backup and its differences; and up to a restore point, over the first.
    assert_eq!(recovered(&site, "latest", &["latest"]), (1610, 49_736_838_081));
    assert_eq!(recovered(&site, "named", &[FIRST, "--name", "between"]), (1600, 53_549_620_731));
}
