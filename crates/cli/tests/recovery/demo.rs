//! `demo --scenario`: every scenario on a throwaway cluster.

use crate::harness::Place;

fn shows(scenario: &str) {
    let done = Place::new().run(&["demo", "--scenario", scenario, "--size", "1", "--json"]).succeeds().json();
    assert_eq!(done["scenario"], scenario);
    let last = done["steps"].as_array().unwrap().last().unwrap()["detail"].as_str().unwrap();
    assert!(last.starts_with("every row is back"), "{scenario}: {last}");
}

#[test]
fn corruption_can_be_shown() {
    shows("corruption");
}

#[test]
fn point_in_time_can_be_shown() {
    shows("point-in-time");
}

#[test]
fn a_lost_host_can_be_shown() {
    shows("lost-host");
}

#[test]
fn tables_can_be_shown() {
    shows("tables");
}
