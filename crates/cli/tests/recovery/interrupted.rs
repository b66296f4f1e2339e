//! Recoveries that fail or are killed at any step: what is there is known, and the same command goes on or goes back.
//!
//! `CHRONAVAULT_SEED` and `CHRONAVAULT_COUNT` choose at which moments recoveries are killed, and how many.

use std::fs;
use std::time::Duration;

use testkit::kill_at;
use testkit::random::{Random, number};

use crate::scene::{Scene, steps};

const RESUME: [&str; 5] = ["recover", "corruption", "--resume", "--yes", "--json"];

#[test]
fn services_that_do_not_stop_or_start_stop_a_recovery_that_then_goes_on() {
    let scene = Scene::new("health_url = \"http://127.0.0.1:1/health\"\nhealth_seconds = 1");
    scene.cluster.psql("books", "DROP TABLE audit; UPDATE entry SET memo = 'oops'");
    let settings = fs::read_to_string(scene.place.path("chronavault.toml")).unwrap();
    let set = |settings: &str| fs::write(scene.place.path("chronavault.toml"), settings).unwrap();

    set(&settings.replace("echo stopped", "echo no longer >&2; exit 3; echo"));
    let said = scene.place.run(&["recover", "corruption", "--yes"]);
    said.fails(
        1,
        "recover.site",
        "the recovery stopped at the step stop-services: stopping the services failed",
    );
    assert!(said.err.contains("no longer") && said.err.contains("--resume"), "{said:?}");
    assert_eq!((scene.databases().len(), scene.good_rows("books")), (1, "0".to_owned()), "nothing was done");

    set(&settings);
    let said = scene.place.run(&RESUME);
    assert_eq!(said.exit, 1, "{said:?}");
    let stopped = said.json();
    assert_eq!(stopped["error"]["code"], "recover.site");
    assert_eq!(steps(&stopped, "steps").last().unwrap(), "health failed");
    assert_eq!(scene.good_rows("books"), "5000", "what was switched stays so until somebody says otherwise");

    let undone = scene.place.run(&["recover", "corruption", "--rollback", "--yes", "--json"]);
    assert_eq!(undone.exit, 1, "the health is asked for after going back, too: {undone:?}");
    assert_eq!(scene.good_rows("books"), "0");
    set(&settings.replace("health_url", "# health_url"));
    scene.place.run(&["recover", "corruption", "--rollback", "--yes"]).succeeds();
    assert_eq!(scene.good_rows("books"), "0");
    scene.place.run(&["recover", "corruption", "--resume", "--yes"]).fails(1, "recover.none", "was undone");
}

#[test]
fn a_check_that_does_not_hold_stops_before_the_switch() {
    let scene = Scene::new("");
    let file = scene.place.path("chronavault.toml");
    let rule =
        "[[checks]]\nname = \"few entries\"\nquery = \"SELECT count(*) FROM entry\"\nexpect = \"< 10\"\n";
    fs::write(&file, fs::read_to_string(&file).unwrap() + rule).unwrap();
    scene.cluster.psql("books", "DROP TABLE audit");
    let said = scene.place.run(&["recover", "corruption", "--yes"]);
    said.fails(1, "recover.checks", "the recovery stopped at the step check");
    assert_eq!(
        scene.cluster.psql("books", "SELECT count(*) FROM pg_tables WHERE tablename = 'audit'").trim(),
        "0"
    );
    let done = scene.place.run(&[&RESUME[..], &["--despite-checks"]].concat()).succeeds().json();
    assert_eq!(done["found"]["problems"][0]["code"], "check.failed", "{done}");
    assert_eq!(scene.cluster.psql("books", "SELECT count(*) FROM audit").trim(), "50");
}

#[test]
fn a_name_that_cannot_be_given_leaves_both_databases_as_they_were() {
    let scene = Scene::new("");
    scene.cluster.psql("books", "UPDATE entry SET memo = 'oops'");
    // Somebody else changes something about the database, for longer than anybody waits.
    let mut other = scene.cluster.client("postgres");
    other.execute("BEGIN; COMMENT ON DATABASE books IS 'damaged'").unwrap();
    let said = scene.place.run(&["recover", "corruption", "--yes"]);
    said.fails(1, "server.failed", "the recovery stopped at the step switch");
    other.execute("ROLLBACK").unwrap();
    assert_eq!(scene.good_rows("books"), "0", "it accepts connections as before");
    scene.place.run(&RESUME).succeeds();
    assert_eq!(scene.good_rows("books"), "5000");
}

#[test]
fn a_recovery_that_is_killed_anywhere_goes_on_or_goes_back() {
    let (seed, count) = (number("CHRONAVAULT_SEED", 5), number("CHRONAVAULT_COUNT", 10));
    println!("seed {seed}, {count} kills of recoveries");
    let mut random = Random(seed);
    let scene = Scene::new("");
    for kill in 0..count {
        scene.cluster.psql("books", "UPDATE entry SET memo = 'oops'");
        // At the begin of one of the seven steps, or a little later.
        let (step, delay) = (1 + kill % 7, random.below(60) * (kill / 7).min(1));
        let recovery = scene.place.command(&["recover", "corruption", "--yes"]);
        kill_at(recovery, &format!("step {step} of 7"), Duration::from_millis(delay));
        let databases = scene.databases();
        assert!(
            databases.contains(&"books".to_owned()),
            "kill {kill} at step {step} after {delay} ms: {databases:?}"
        );
        let is_back = random.below(3) == 0;
        let arguments =
            if is_back { ["recover", "corruption", "--rollback", "--yes", "--json"] } else { RESUME };
        let ended = scene.place.run(&arguments).succeeds().json();
        let expected = if is_back { ("rolled-back", "0") } else { ("done", "5000") };
        assert_eq!(
            (ended["state"].as_str().unwrap(), &*scene.good_rows("books")),
            expected,
            "kill {kill}: {ended}"
        );
        let temporary = scene.databases().into_iter().find(|name| name.starts_with("chronavault_restore_"));
        assert_eq!(temporary, None, "kill {kill} at step {step} after {delay} ms");
        for name in scene.databases().iter().filter(|name| *name != "books") {
            scene.cluster.psql("postgres", &format!("DROP DATABASE {name}"));
        }
    }
}
