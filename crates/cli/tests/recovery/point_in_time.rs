//! `recover point-in-time` of a database: what was there before a moment, beside what is there now or in its place.

use crate::scene::{Scene, steps};

#[test]
fn the_newest_backup_before_the_moment_is_restored_beside() {
    let scene = Scene::new("");
    let moment = scene
        .cluster
        .psql("books", "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
    let moment = moment.trim();
    scene.cluster.psql("books", "UPDATE entry SET memo = 'oops'");
    let later = scene.place.run(&["backup", "--json"]).succeeds().json();

    let arguments = ["recover", "point-in-time", "--at", moment, "--yes", "--json"];
    let done = scene.place.run(&arguments).succeeds().json();
    assert_eq!(done["found"]["backup"], scene.backup.as_str(), "not {later}");
    assert_eq!(steps(&done, "steps"), ["preflight done", "choose done", "restore done", "check done"]);
    let restored = done["found"]["databases"]["restored"].as_str().unwrap();
    assert_eq!((scene.good_rows("books"), scene.good_rows(restored)), ("0".to_owned(), "5000".to_owned()));
    assert!(scene.services().is_empty(), "what is only looked at needs no stop");
    assert!(done["rpo_ms"].as_u64().unwrap() < 3_600_000, "from the snapshot to the moment: {done}");

    let switched = scene.place.run(&[&arguments[..], &["--switch"]].concat()).succeeds().json();
    assert_eq!(steps(&switched, "steps").len(), 7, "{switched}");
    assert_eq!(scene.good_rows("books"), "5000");
    scene.place.run(&["recover", "point-in-time", "--at", "2020-01-01T00:00:00Z", "--yes"]).fails(
        1,
        "recover.no_backup",
        "from 2020-01-01T00:00:00Z or before",
    );
}
