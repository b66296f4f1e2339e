//! The page of metrics, as other programs read it.

use std::collections::{BTreeMap, BTreeSet};

use chronavault_service::Status;
use chronavault_service::metrics::{Description, Form, families, text};
use serde_json::Value;

use crate::reader::{promtool, read, run, workspace};
use crate::scene::{AWKWARD, now, status};

/// A sample, by its name and its labels.
type Samples = BTreeMap<(String, BTreeMap<String, String>), f64>;

fn samples(families: &[Value]) -> Samples {
    let all = families.iter().flat_map(|family| family["samples"].as_array().unwrap());
    all.map(|sample| {
        let labels = serde_json::from_value(sample["labels"].clone()).unwrap();
        (
            (sample["name"].as_str().unwrap().to_owned(), labels),
            sample["value"].as_str().unwrap().parse().unwrap(),
        )
    })
    .collect()
}

#[track_caller]
fn value(samples: &Samples, name: &str, labels: &[(&str, &str)]) -> f64 {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    *samples.get(&(name.to_owned(), labels)).unwrap_or_else(|| panic!("no {name}: {samples:#?}"))
}

#[track_caller]
fn assert_values(samples: &Samples, labels: &[(&str, &str)], values: &[(&str, f64)]) {
    for (name, expected) in values {
        let found = value(samples, &format!("chronavault_{name}"), labels);
        assert!((found - expected).abs() < 1e-6, "{name} is {found}, not {expected}");
    }
}

/// What the strict parser makes of everything.
fn everything() -> Samples {
    samples(&read(&text(&status(), now(), Form::OpenMetrics), Form::OpenMetrics).unwrap())
}

const BOOKS: [(&str, &str); 2] = [("source", "books"), ("kind", "logical")];

#[test]
fn backups_proofs_and_rpo_are_numbers() {
    let found = everything();
    let unix = |at: jiff::Timestamp| f64::from(i32::try_from(at.as_second()).unwrap());
    let hour = 3600.0;
    let at = unix(now());
    assert_values(
        &found,
        &BOOKS,
        &[
            ("backup_last_timestamp_seconds", at - 5.0 * hour + 600.0),
            ("backup_last_age_seconds", 5.0 * hour - 600.0),
            ("backup_last_plain_bytes", 1_000_000.0),
            ("backup_last_stored_bytes", 30_000.0),
            ("backup_last_reused_bytes", 900_000.0),
            ("backup_last_compression_ratio", 0.3),
            ("backup_last_reuse_ratio", 0.9),
            // That of the older backup is the newer proof.
            ("proof_last_timestamp_seconds", at - 3.0 * hour),
            ("proof_last_age_seconds", 3.0 * hour),
            ("proof_last_restore_duration_seconds", 7.25),
            ("rpo_seconds", 30.0 * hour),
            ("recovery_point_age_seconds", 29.0 * hour),
            ("next_run_timestamp_seconds", at + 19.0 * hour),
        ],
    );
    for (proof, count) in [("proven", 2.0), ("sound", 1.0), ("failed", 0.0), ("none", 1.0)] {
        assert_values(&found, &[BOOKS[0], BOOKS[1], ("proof", proof)], &[("backups", count)]);
    }
    // Of a source without a schedule and of an empty backup, there is less to say, and its name arrives as it is.
    let awkward = [("source", AWKWARD), ("kind", "physical")];
    assert_values(&found, &awkward, &[("backup_last_plain_bytes", 0.0)]);
    let labels: BTreeMap<_, _> =
        awkward.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    for absent in [
        "rpo_seconds",
        "backup_last_compression_ratio",
        "backup_last_reuse_ratio",
        "recovery_point_age_seconds",
    ] {
        assert!(!found.contains_key(&(format!("chronavault_{absent}"), labels.clone())), "{absent}");
    }
}

#[test]
fn runs_are_counted() {
    let found = everything();
    let run = |operation, outcome| {
        value(
            &found,
            "chronavault_runs_total",
            &[("operation", operation), BOOKS[0], BOOKS[1], ("outcome", outcome)],
        )
    };
    for outcome in ["done", "warnings", "failed", "cancelled"] {
        assert!((run("backup", outcome) - 1.0).abs() < 1e-9, "{outcome}");
    }
    assert!((run("verify", "failed") - 1.0).abs() < 1e-9);
    let of_backup = [("operation", "backup"), BOOKS[0], BOOKS[1]];
    let at = f64::from(i32::try_from(now().as_second()).unwrap());
    assert_values(
        &found,
        &of_backup,
        &[
            ("runs_unfinished", 1.0),
            ("run_last_duration_seconds", 3.0),
            ("run_last_timestamp_seconds", at - 5.0 * 3600.0),
            ("run_last_success_timestamp_seconds", at - 53.0 * 3600.0),
        ],
    );
    let prune = [("operation", "prune"), ("source", ""), ("kind", "")];
    assert_values(&found, &prune, &[("run_last_duration_seconds", 2.0)]);
    // The backup that was made and not proven, and the verification that failed.
    assert_values(&found, &BOOKS, &[("verification_failures_total", 2.0)]);
    assert_values(
        &found,
        &BOOKS,
        &[("backup_duration_seconds_count", 2.0), ("backup_duration_seconds_sum", 661.0)],
    );
    for (end, count) in [("60.0", 0.0), ("300.0", 1.0), ("900.0", 2.0), ("+Inf", 2.0)] {
        assert_values(
            &found,
            &[BOOKS[0], BOOKS[1], ("le", end)],
            &[("backup_duration_seconds_bucket", count)],
        );
    }
}

#[test]
fn wal_storage_keys_journal_and_the_daemon_are_numbers() {
    let found = everything();
    let at = f64::from(i32::try_from(now().as_second()).unwrap());
    assert_values(
        &found,
        &[("source", "cluster"), ("system", "7301234567890123456")],
        &[
            ("wal_archived_timestamp_seconds", at - 30.0),
            ("wal_window_start_timestamp_seconds", at - 360_000.0),
            ("wal_stored_bytes", 4096.0),
            ("wal_gaps", 1.0),
            ("wal_lag_bytes", 16_777_216.0),
            ("wal_receiver_up", 1.0),
            ("wal_receiver_restarts_total", 2.0),
            ("wal_slot_in_danger", 0.0),
        ],
    );
    assert_values(&found, &[("use", "wal")], &[("storage_used_bytes", 90.0)]);
    assert_values(
        &found,
        &[],
        &[
            ("storage_free_bytes", 864_000_000.0),
            ("storage_prunable_bytes", 77.0),
            ("storage_growth_bytes_per_second", 1000.0),
            ("storage_until_full_seconds", 864_000.0),
            ("key_slots", 2.0),
            ("journal_head_sequence", 4711.0),
            ("journal_problems", 1.0),
            ("start_time_seconds", at - 48.0 * 3600.0),
            ("loop_turn_timestamp_seconds", at - 1.5),
            ("observation_timestamp_seconds", at - 20.0),
            ("observation_duration_seconds", 0.34),
        ],
    );
    let used = [("slot", "0a"), ("label", ""), ("used", "true")];
    assert_values(&found, &used, &[("key_age_seconds", 864_000.0)]);
    let other = [("slot", "0b"), ("label", "safe of the notary"), ("used", "false")];
    assert_values(&found, &other, &[("key_checked_timestamp_seconds", at - 86_400.0)]);
    assert_values(&found, &[("version", "0.1.0")], &[("build_info", 1.0)]);
    assert_values(&found, &[("code", "clock.step")], &[("troubles", 2.0)]);
    assert_values(
        &found,
        &[("channel", "mail")],
        &[("alert_channel_failures_total", 3.0), ("alert_deliveries_total", 12.0)],
    );
    // All digits of a position are there, more than a float has.
    assert!(text(&status(), now(), Form::OpenMetrics).contains(" 9007199254740993\n"));
}

#[test]
fn both_formats_say_the_same_and_everything_that_is_documented() {
    let strict = read(&text(&status(), now(), Form::OpenMetrics), Form::OpenMetrics).unwrap();
    let classic = read(&text(&status(), now(), Form::Prometheus), Form::Prometheus).unwrap();
    assert_eq!(samples(&strict), samples(&classic));
    for family in &strict {
        let name = family["name"].as_str().unwrap();
        assert!(name.starts_with("chronavault_"), "{name}");
        let unit = family["unit"].as_str().unwrap();
        let has_unit = ["seconds", "bytes", "ratio"].contains(&name.rsplit('_').next().unwrap());
        assert_eq!(has_unit, !unit.is_empty(), "{name} in {unit}");
    }
    let order = |written: &[Value]| {
        written.iter().map(|f| f["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let names: BTreeSet<String> = samples(&strict).into_keys().map(|(name, _)| name).collect();
    let documented: BTreeSet<String> = families().iter().flat_map(Description::sample_names).collect();
    assert_eq!(names, documented);
    assert_eq!(order(&strict), families().iter().map(|family| family.name.to_owned()).collect::<Vec<_>>());
    for (family, described) in strict.iter().zip(families()) {
        assert_eq!(family["help"], described.help);
        let labels = family["samples"][0]["labels"].as_object().unwrap();
        let labels: BTreeSet<_> = labels.keys().map(String::as_str).filter(|name| *name != "le").collect();
        assert_eq!(labels, described.labels.iter().copied().collect(), "{}", described.name);
    }
}

#[test]
fn promtool_has_no_complaint() {
    for form in [Form::Prometheus, Form::OpenMetrics] {
        let page = text(&status(), now(), form);
        assert!(read(&page, form).is_ok());
        // promtool 2 reads the older format only.
        if form == Form::Prometheus
            && let Some(mut promtool) = promtool()
        {
            let output = run(promtool.args(["check", "metrics"]), &page);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && said.is_empty(), "{said}");
        }
    }
}

#[test]
fn before_anything_is_known_the_daemon_speaks_of_itself() {
    let status = Status { observation: None, ..status() };
    let found = samples(&read(&text(&status, now(), Form::OpenMetrics), Form::OpenMetrics).unwrap());
    assert!(
        found.keys().all(|(name, _)| !name.contains("backup") && !name.contains("observation")),
        "{found:?}"
    );
    assert_values(
        &found,
        &[],
        &[("loop_turn_timestamp_seconds", f64::from(i32::try_from(now().as_second()).unwrap()) - 1.5)],
    );
}

#[test]
fn the_same_labels_twice_make_one_sample() {
    let mut status = status();
    status.channels = vec![status.channels[0].clone(), status.channels[0].clone()];
    assert!(read(&text(&status, now(), Form::OpenMetrics), Form::OpenMetrics).is_ok());
}

#[test]
fn the_page_of_metrics_names_each_of_them() {
    let path = workspace().join("docs/monitoring.md");
    let written = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = written.split_once("<!-- metrics -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- /metrics -->\n").unwrap();
    let row = |family: Description| {
        let [name, ..] = &family.sample_names()[..] else { panic!("{family:?}") };
        let name = name.trim_end_matches("_bucket");
        let kind = format!("{:?}", family.kind).to_lowercase();
        format!(
            "| `{name}` | {kind} | {} | {} |\n",
            family.labels.join(", "),
            family.help.trim_end_matches('.')
        )
    };
    let rows: String = families().into_iter().map(row).collect();
    let table = format!("| name | kind | labels | what it says |\n|---|---|---|---|\n{rows}");
    let wanted = format!("{before}<!-- metrics -->\n{table}<!-- /metrics -->\n{after}");
    if std::env::var_os("CHRONAVAULT_UPDATE_PAGES").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let is_same = std::fs::read_to_string(&path).unwrap() == wanted;
    assert!(is_same, "docs/monitoring.md has other metrics; CHRONAVAULT_UPDATE_PAGES=1 writes them anew");
}
