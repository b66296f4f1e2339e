//! `recover corruption`: the damaged database is replaced by what was backed up, and kept.

use std::fs;

use crate::application::Application;
use crate::load::Load;
use crate::scene::{Scene, steps};

const ALL: [&str; 8] = [
    "preflight done",
    "stop-services done",
    "choose done",
    "restore done",
    "check done",
    "switch done",
    "start-services done",
    "health done",
];

#[test]
fn a_damaged_database_is_replaced_and_can_be_put_back() {
    let application = Application::start(2);
    let scene = Scene::new(&format!("health_url = {:?}", application.url));
    scene.cluster.psql("books", "DROP TABLE audit; UPDATE entry SET memo = 'oops'");
    // An application that holds on to the database.
    let mut holder = scene.cluster.client("books");
    holder.execute("BEGIN; SELECT count(*) FROM entry").unwrap();

    let plan = scene.place.run(&["recover", "corruption", "--dry-run", "--json"]).succeeds().json();
    assert_eq!(plan["found"]["backup"], scene.backup.as_str());
    assert!(plan["estimate_ms"].as_u64().unwrap() > 0, "the proof measured it: {plan}");
    assert_eq!(scene.databases(), ["books"], "a plan changes nothing");
    scene.place.run(&["recover", "corruption"]).fails(2, "recover.unconfirmed", "nobody said yes");

    let load = Load::start(scene.cluster.options("books"));
    load.goes_on();
    let done = scene.place.run(&["recover", "corruption", "--yes", "--json"]).succeeds().json();
    // The application writes into the restored database now.
    load.goes_on();
    assert_eq!(steps(&done, "steps"), ALL);
    assert_eq!((&done["state"], &done["within_objectives"]), (&"done".into(), &true.into()), "{done}");
    assert!(done["rpo_ms"].as_u64().unwrap() > 0, "{done}");
    assert_eq!(scene.services(), ["stopped stop-services books", "started start-services books"]);
    assert_eq!(application.asked(), 3);
    assert_eq!((scene.good_rows("books"), scene.databases().len()), ("5000".to_owned(), 2));
    let aside = done["found"]["databases"]["aside"].as_str().unwrap();
    assert_eq!(scene.good_rows(aside), "0", "the damaged one is kept, and can be looked at");
    assert!(holder.query("SELECT 1", &[]).is_err(), "who held on to it was sent away");
    let report = fs::read_to_string(done["report"].as_str().unwrap()).unwrap();
    assert!(report.contains("within the objectives") && report.contains(&scene.backup), "{report}");

    let undone =
        scene.place.run(&["recover", "corruption", "--rollback", "--yes", "--json"]).succeeds().json();
    assert_eq!(undone["state"], "rolled-back");
    assert_eq!(
        steps(&undone, "rollback"),
        ["stop-services done", "switch done", "start-services done", "health done"]
    );
    load.goes_on();
    assert_eq!(scene.good_rows("books"), "0");
    let restored = undone["found"]["databases"]["restored"].as_str().unwrap();
    assert_eq!(scene.good_rows(restored), "5000", "the restored one is kept");
    let runs = scene.place.run(&["journal", "show", "--json"]).succeeds().json();
    let recovered = runs["runs"].as_array().unwrap().iter().filter(|run| run["operation"] == "recover");
    let outcomes: Vec<_> = recovered.map(|run| run["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["done", "done", "failed"], "undone, done, and not confirmed");
}

#[test]
fn a_database_that_is_gone_comes_back() {
    let scene = Scene::new("");
    scene.cluster.psql("postgres", "DROP DATABASE books");
    let done = scene.place.run(&["recover", "corruption", "--yes", "--json"]).succeeds().json();
    assert_eq!((scene.databases(), scene.good_rows("books")), (vec!["books".to_owned()], "5000".to_owned()));
    assert!(done["found"]["databases"].get("damaged_oid").is_none(), "{done}");
    scene.place.run(&["recover", "corruption", "--rollback", "--yes"]).fails(
        1,
        "recover.nothing_behind",
        "there was no database",
    );
    assert_eq!(scene.databases(), ["books"], "what is the only one stays");
}

#[test]
fn a_backup_that_does_not_verify_is_passed_over() {
    let scene = Scene::new("");
    scene
        .cluster
        .psql("books", "INSERT INTO entry (memo) SELECT 'entry ' || n FROM generate_series(5001, 90000) n");
    let newer = scene.place.run(&["backup", "--json"]).succeeds().json();
    let newer = newer["id"].as_str().unwrap();
    // The newest pack is of the newer backup alone.
    let sums = fs::read_to_string(scene.place.path(&format!("backups/isolated/{newer}.sha256"))).unwrap();
    let older =
        fs::read_to_string(scene.place.path(&format!("backups/isolated/{}.sha256", scene.backup))).unwrap();
    let pack = sums.lines().find(|line| line.contains("packs/") && !older.contains(line)).unwrap();
    let pack = scene.place.path(&format!("backups/isolated/{}", pack.split_once("  ").unwrap().1));
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&pack, bytes).unwrap();

    let done = scene.place.run(&["recover", "corruption", "--yes", "--json"]).succeeds().json();
    assert_eq!(done["found"]["backup"], scene.backup.as_str());
    let skipped = &done["found"]["skipped"][0];
    assert_eq!(skipped["backup"], newer);
    assert!(skipped["reason"].as_str().unwrap().starts_with("it does not verify: packs/"), "{skipped}");
    assert_eq!(scene.good_rows("books"), "5000");
}
