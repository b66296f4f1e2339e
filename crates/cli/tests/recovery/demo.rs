//! `demo --scenario`: every scenario on a throwaway cluster.

use crate::harness::Place;

#[test]
fn every_scenario_can_be_shown() {
    let place = Place::new();
    for scenario in ["corruption", "point-in-time", "lost-host", "tables"] {
        let done = place.run(&["demo", "--scenario", scenario, "--size", "1", "--json"]).succeeds().json();
        assert_eq!(done["scenario"], scenario);
        let last = done["steps"].as_array().unwrap().last().unwrap()["detail"].as_str().unwrap();
        assert!(last.starts_with("every row is back"), "{scenario}: {last}");
    }
}
