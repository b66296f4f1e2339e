//! The dashboard and the rules speak of metrics that there are.

use std::collections::BTreeSet;
use std::process::Command;

use chronavault_service::metrics::{Description, families};
use serde_json::Value;

use crate::reader::{promtool, python, run, workspace};

const RULES: &str = "contrib/prometheus/chronavault.rules.yml";
const RULE_TESTS: &str = "contrib/prometheus/chronavault.rules.test.yml";
const DASHBOARD: &str = "contrib/grafana/chronavault.json";

/// Every word of `text` that begins as our metrics do.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_' && letter != ':');
    words.filter(|word| word.starts_with("chronavault_")).map(str::to_owned).collect()
}

fn exported() -> BTreeSet<String> {
    families().iter().flat_map(Description::sample_names).collect()
}

fn text_of(path: &str) -> String {
    std::fs::read_to_string(workspace().join(path)).unwrap()
}

/// A file of YAML, as Python reads it.
fn yaml(path: &str) -> Value {
    let code = "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))";
    let output = run(python(&["yaml"]).args(["-c", code]), &text_of(path));
    assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// All rules of the file.
fn rules() -> Vec<Value> {
    let groups = yaml(RULES)["groups"].as_array().unwrap().clone();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                match value.as_str() {
                    Some(text) if ["expr", "query", "definition"].contains(&name.as_str()) => {
                        found.push(text.to_owned());
                    }
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn every_rule_uses_metrics_that_are_exported_and_says_what_to_do() {
    let page = text_of("docs/monitoring.md");
    let rules = rules();
    assert!(rules.len() > 10);
    for rule in rules {
        let name = rule["alert"].as_str().unwrap();
        let used = metrics_in(rule["expr"].as_str().unwrap());
        assert!(!used.is_empty(), "{name}");
        let unknown: Vec<_> = used.difference(&exported()).cloned().collect();
        assert!(unknown.is_empty(), "{name} uses {unknown:?}");
        assert!(["critical", "warning"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{name}");
        for annotation in ["summary", "description"] {
            assert!(rule["annotations"][annotation].as_str().is_some_and(|text| !text.is_empty()), "{name}");
        }
        assert!(page.contains(&format!("`{name}`")), "docs/monitoring.md does not speak of {name}");
    }
}

#[test]
fn every_panel_uses_metrics_that_are_exported() {
    let dashboard: Value = serde_json::from_str(&text_of(DASHBOARD)).unwrap();
    let mut found = Vec::new();
    expressions(&dashboard, &mut found);
    assert!(found.len() > 15, "{found:?}");
    let used = metrics_in(&found.join("\n"));
    assert!(used.len() > 15, "{used:?}");
    let unknown: Vec<_> = used.difference(&exported()).cloned().collect();
    assert!(unknown.is_empty(), "the dashboard uses {unknown:?}");
    if let Some(mut promtool) = promtool() {
        let rules = found.iter().enumerate().map(|(number, text)| {
            let expression = text.replace("$instance", ".*").replace("$source", ".*");
            serde_json::json!({ "record": format!("panel:{number}"), "expr": expression })
        });
        // Variables of the dashboard ask for the values of a label, which is no expression.
        let rules: Vec<_> =
            rules.filter(|rule| !rule["expr"].as_str().unwrap().starts_with("label_values")).collect();
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("panels.yml");
        // JSON is YAML.
        let file = serde_json::json!({ "groups": [{ "name": "panels", "rules": rules }] });
        std::fs::write(&path, file.to_string()).unwrap();
        accepts(&mut promtool, &["check", "rules"], path.to_str().unwrap());
    }
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "an id for each panel");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{}", panel["title"]);
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
    }
}

/// Runs `promtool` on a file.
fn accepts(promtool: &mut Command, arguments: &[&str], path: &str) {
    let output = promtool.args(arguments).arg(workspace().join(path)).output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && !said.contains("FAILED"), "{said}");
}

#[test]
fn promtool_accepts_the_rules_and_each_fires_when_it_should() {
    // Which alerts the tests of the rules expect is looked at by Python too, so that none is left out.
    let tests = yaml(RULE_TESTS)["tests"].as_array().unwrap().clone();
    let expected: BTreeSet<String> = tests
        .iter()
        .flat_map(|test| test["alert_rule_test"].as_array().unwrap())
        .filter(|test| test["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty()))
        .map(|test| test["alertname"].as_str().unwrap().to_owned())
        .collect();
    let alerts: BTreeSet<String> =
        rules().iter().map(|rule| rule["alert"].as_str().unwrap().to_owned()).collect();
    assert_eq!(expected, alerts);
    if let Some(mut promtool) = promtool() {
        accepts(&mut promtool, &["check", "rules"], RULES);
    }
    if let Some(mut promtool) = promtool() {
        accepts(&mut promtool, &["test", "rules"], RULE_TESTS);
    }
}
