//! `recover` and `drill` of a cluster, while it is in use or after it was damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use testkit::kill_at;
use testkit::random::{Random, number};

use crate::ledger::{self, Commit, Writer};
use crate::site::{Recovered, Site};

/// A cluster that was backed up while it was written to, and whose WAL is archived to its end.
fn scene() -> (Site, Vec<Commit>) {
    let site = Site::new();
    let writer = Writer::start(&site);
    writer.commits(30);
    site.backup();
    writer.commits(60);
    let commits = writer.stop();
    site.archive_everything();
    (site, commits)
}

fn data(site: &Site) -> PathBuf {
    site.cluster.sandbox().data_directory()
}

fn recover(site: &Site, arguments: &[&str]) -> Value {
    let data = data(site).display().to_string();
    let words = [&["recover"], arguments, &["--data-dir", &data, "--yes", "--json"]].concat();
    serde_json::from_str(&site.succeeds(&words)).unwrap()
}

fn states(recovery: &Value) -> Vec<String> {
    let steps = recovery["steps"].as_array().unwrap();
    let words =
        |step: &Value| format!("{} {}", step["step"].as_str().unwrap(), step["state"].as_str().unwrap());
    steps.iter().map(words).collect()
}

fn beside(recovery: &Value) -> PathBuf {
    PathBuf::from(recovery["found"]["directories"]["beside"].as_str().unwrap())
}

fn rows(site: &Site) -> u64 {
    let mut client = site.cluster.client("books");
    client.query_one("SELECT count(*) FROM ledger", &[]).unwrap().number(0).unwrap()
}

#[test]
fn a_cluster_is_recovered_to_a_moment_beside_the_one_that_runs() {
    let (site, commits) = scene();
    let good = &commits[commits.len() - 20];
    site.cluster.psql("books", "UPDATE ledger SET amount = 0");
    site.archive_everything();
    let done = recover(&site, &["point-in-time", "--at", &good.time]);
    assert_eq!(states(&done), ["preflight done", "choose done", "restore done", "replay done", "check done"]);
    assert_eq!(done["rpo_ms"], 0, "exactly that moment: {done}");
    assert_eq!(rows(&site), commits.len() as u64, "the one that runs is not touched");
    {
        let recovered = Recovered::start(&site, beside(&done), "books");
        assert_eq!(recovered.ledger(), (good.number, ledger::sum_of_first(good.number)));
        recovered.leaves_no_trace();
        recovered.client().execute("INSERT INTO ledger VALUES (1000000, 1, 'new')").unwrap();
    }
    // Its server archives the history of the timeline that it is on.
    let ready = beside(&done).join("pg_wal/archive_status/00000002.history.ready");
    assert!(ready.exists(), "{}", ready.display());
    let said = site.run(&[
        "recover",
        "point-in-time",
        "--at",
        &good.time,
        "--switch",
        "--yes",
        "--data-dir",
        &data(&site).display().to_string(),
    ]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("error[directory.in_use]") && said.contains("runs on"), "{said}");
}

#[test]
fn a_damaged_or_deleted_data_directory_is_replaced_and_can_be_put_back() {
    let (mut site, commits) = scene();
    let whole = (commits.len() as u64, ledger::sum_of_first(commits.len() as u64));
    let ledger = |site: &Site| {
        let mut client = site.cluster.client("books");
        let row = client.query_one("SELECT count(*), sum(amount) FROM ledger", &[]).unwrap();
        (row.number::<u64>(0).unwrap(), row.number::<u64>(1).unwrap())
    };
    // A page of the table is overwritten.
    let file = site.cluster.psql("books", "CHECKPOINT; SELECT pg_relation_filepath('ledger')");
    let file = data(&site).join(file.lines().last().unwrap());
    site.cluster.sandbox_mut().stop().unwrap();
    overwrite(&file);

    let done = recover(&site, &["corruption"]);
    assert_eq!(states(&done).last().unwrap(), "switch done");
    assert!(
        overwritten(&beside(&done).join(file.strip_prefix(data(&site)).unwrap())),
        "the damaged one is kept"
    );
    site.cluster.sandbox_mut().start_again().unwrap();
    assert_eq!(ledger(&site), whole, "everything that was archived");
    site.cluster.sandbox_mut().stop().unwrap();

    let undone = recover(&site, &["corruption", "--rollback"]);
    assert_eq!(undone["state"], "rolled-back");
    assert!(overwritten(&file));

    fs::remove_dir_all(data(&site)).unwrap();
    recover(&site, &["corruption"]);
    site.cluster.sandbox_mut().start_again().unwrap();
    assert_eq!(ledger(&site), whole);

    // On another machine, so to speak.
    site.cluster.sandbox_mut().stop().unwrap();
    fs::rename(data(&site), data(&site).with_file_name("lost")).unwrap();
    let done = recover(&site, &["lost-host"]);
    assert_eq!(done["recoveries"][0]["state"], "done", "{done}");
    site.cluster.sandbox_mut().start_again().unwrap();
    assert_eq!(ledger(&site), whole);
}

/// Zeros the middle of a file.
fn overwrite(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    bytes[100..4000].fill(0xff);
    fs::write(file, bytes).unwrap();
}

fn overwritten(file: &Path) -> bool {
    fs::read(file).unwrap()[100..4000].iter().all(|byte| *byte == 0xff)
}

#[test]
fn a_cluster_is_rehearsed_to_a_random_moment_with_its_real_wal() {
    let (site, commits) = scene();
    for scenario in ["point-in-time", "corruption"] {
        let said = site.succeeds(&["drill", "--scenario", scenario, "--json"]);
        let done: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(states(&done), ["choose done", "restore done", "replay done", "check done"]);
        assert!(done["rto_ms"].as_u64().unwrap() > 0 && done["rpo_ms"].as_u64().is_some(), "{done}");
        assert!(done["found"]["rows"].as_u64().unwrap() > 30, "{done}");
    }
    assert_eq!(rows(&site), commits.len() as u64);
    let listed: Value = serde_json::from_str(&site.succeeds(&["recover", "list", "--json"])).unwrap();
    assert_eq!(listed["recoveries"].as_array().unwrap().len(), 2, "{listed}");
}

#[test]
fn a_recovery_of_a_cluster_that_is_killed_anywhere_goes_on_or_goes_back() {
    let (seed, count) = (number("CHRONAVAULT_SEED", 3), number("CHRONAVAULT_COUNT", 5));
    println!("seed {seed}, {count} kills of recoveries of a cluster");
    let mut random = Random(seed);
    let (mut site, commits) = scene();
    let data = data(&site);
    site.cluster.sandbox_mut().stop().unwrap();
    let mark = data.join("damaged");
    for kill in 0..count {
        // Whichever directory has the name now counts as damaged.
        fs::write(&mark, "").unwrap();
        // At the begin of one of the steps after the preflight, or a little later.
        let (step, delay) = (2 + kill % 5, random.below(150));
        let data_dir = data.display().to_string();
        let recovery = site.command(&["recover", "corruption", "--data-dir", &data_dir, "--yes"]);
        kill_at(recovery, &format!("step {step} of 6"), Duration::from_millis(delay));
        assert!(
            data.join("PG_VERSION").exists(),
            "kill {kill} at step {step} after {delay} ms: the name is nobody's"
        );
        let is_back = random.below(3) == 0;
        let ended = recover(&site, &["corruption", if is_back { "--rollback" } else { "--resume" }]);
        assert_eq!(ended["state"], if is_back { "rolled-back" } else { "done" }, "kill {kill}: {ended}");
        assert_eq!(mark.exists(), is_back, "kill {kill} at step {step} after {delay} ms: {ended}");
        for entry in fs::read_dir(data.parent().unwrap()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().contains("_recovered_") {
                fs::remove_dir_all(path).unwrap();
            }
        }
    }
    site.cluster.sandbox_mut().start_again().unwrap();
    assert_eq!(rows(&site), commits.len() as u64);
}
