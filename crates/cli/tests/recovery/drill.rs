//! `drill`: a rehearsal leaves everything alone, and is kept as evidence.

use std::fs;

use crate::scene::{Scene, steps};

#[test]
fn a_rehearsal_is_timed_kept_and_leaves_everything_alone() {
    let scene = Scene::new("");
    let planned = scene.place.run(&["drill", "--dry-run", "--json"]).succeeds().json();
    assert_eq!(planned["rehearsal"], true);
    let done = scene.place.run(&["drill", "--json"]).succeeds().json();
    assert_eq!(
        steps(&done, "steps"),
        ["choose done", "sandbox done", "restore done", "check done", "switch done"]
    );
    assert_eq!((&done["within_objectives"], &done["found"]["rows"]), (&true.into(), &5050.into()), "{done}");
    assert_eq!((scene.databases(), scene.services()), (vec!["books".to_owned()], vec![]));
    let report = fs::read_to_string(done["report"].as_str().unwrap()).unwrap();
    for evidence in [
        "# Drill: corruption of books",
        "asked for by",
        "journal up to",
        "SHA-256 of its manifest",
        "time to recover",
    ] {
        assert!(report.contains(evidence), "{evidence}: {report}");
    }
    let again = scene.place.run(&["drill", "--dry-run", "--json"]).succeeds().json();
    let estimates = again["steps"].as_array().unwrap().iter().filter(|step| step["estimate_ms"].is_u64());
    assert_eq!(estimates.count(), 5, "every step was measured: {again}");
    let listed = scene.place.run(&["recover", "list", "--json"]).succeeds().json();
    assert_eq!(listed["recoveries"].as_array().unwrap().len(), 1, "{listed}");
    let runs = scene.place.run(&["journal", "show", "--json"]).succeeds().json();
    let drill = runs["runs"].as_array().unwrap().iter().find(|run| run["operation"] == "drill").unwrap();
    assert!(drill["recovery"]["rto_ms"].as_u64().unwrap() > 0, "{drill}");
}

#[test]
fn every_scenario_can_be_rehearsed() {
    let scene = Scene::new("");
    for scenario in ["point-in-time", "lost-host", "tables"] {
        let done = scene.place.run(&["drill", "--scenario", scenario, "--json"]).succeeds().json();
        assert_eq!((&done["scenario"], &done["state"]), (&scenario.into(), &"done".into()), "{done}");
    }
    let tables = scene.place.run(&["recover", "list", "--json"]).succeeds().json();
    let rows = &tables["recoveries"][0]["found"]["rows"];
    assert!(*rows == 2500 || *rows == 25, "half of a table: {tables}");
    assert_eq!(scene.databases(), ["books"]);
}

#[test]
fn what_takes_too_long_or_loses_too_much_needs_a_person() {
    let scene = Scene::new("rto_hours = 0\nrpo_hours = 0");
    let said = scene.place.run(&["drill", "--json"]);
    assert_eq!(said.exit, 4, "{said:?}");
    let codes: Vec<_> = said.json()["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["code"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(codes, ["recovery.rto", "recovery.rpo"]);
}
