//! `recover lost-host`: another machine, with the repository and a key, and nothing else.

use std::fs;

use testkit::Cluster;

use crate::harness::{KEY, Place};
use crate::scene::Scene;

#[test]
fn everything_comes_back_on_an_empty_machine() {
    let scene = Scene::new("");
    scene.cluster.psql("postgres", "CREATE ROLE bookkeeper LOGIN; CREATE DATABASE shop OWNER bookkeeper");
    scene.cluster.psql("shop", "CREATE TABLE item AS SELECT 7 AS id");
    scene.cluster.psql("books", "GRANT SELECT ON entry TO bookkeeper");
    let file = scene.place.path("chronavault.toml");
    let settings = fs::read_to_string(&file).unwrap();
    let url = scene.cluster.url("shop").replace("postgres@", "postgres:hunter2@");
    fs::write(&file, format!("{settings}\n[sources.shop]\nurl = {url:?}\n")).unwrap();
    for source in ["books", "shop"] {
        scene.place.run(&["backup", "--source", source]).succeeds();
    }

    // Another machine.
    let (cluster, place) = (Cluster::start(), Place::new().with("BACKUP_ENCRYPTION_KEY", KEY));
    let repository = format!("file://{}", scene.place.path("backups/isolated").display());
    let (new, to) = (place.path("chronavault.toml").display().to_string(), cluster.url("postgres"));
    let arguments =
        ["recover", "lost-host", "--repository", &repository, "--to", &to, "--configuration", &new, "--json"];
    let planned = place.run(&[&arguments[..], &["--dry-run"]].concat()).succeeds().json();
    assert_eq!(planned["recoveries"].as_array().unwrap().len(), 2, "{planned}");
    assert!(!place.path("chronavault.toml").exists(), "a plan writes nothing");
    place.run(&[&arguments[..8], &[]].concat()).fails(2, "recover.unconfirmed", "nobody said yes");

    let done = place.run(&[&arguments[..], &["--yes"]].concat()).succeeds().json();
    let states: Vec<_> = done["recoveries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["source"].clone(), it["state"].clone()))
        .collect();
    assert_eq!(states, [("books".into(), "done".into()), ("shop".into(), "done".into())]);
    let recovered = fs::read_to_string(place.path("chronavault.toml")).unwrap();
    assert!(recovered.contains("[sources.shop]") && recovered.contains("stop_services"), "{recovered}");
    assert!(!recovered.contains("hunter2"), "{recovered}");
    let good = cluster.psql("books", "SELECT count(*) FROM entry WHERE memo = 'entry ' || id");
    assert_eq!(good.trim(), "5000");
    assert_eq!(cluster.psql("shop", "SELECT id FROM item").trim(), "7");
    let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'shop'";
    assert_eq!(cluster.psql("postgres", owner).trim(), "bookkeeper");
    let may_read = "SELECT has_table_privilege('bookkeeper', 'entry', 'SELECT')";
    assert_eq!(cluster.psql("books", may_read).trim(), "t");
    assert_eq!(scene.services(), ["started start-services"], "by the hook of the recovered settings");

    // The same again has nothing to do.
    let again = place.run(&[&arguments[..], &["--yes"]].concat()).succeeds().json();
    assert_eq!(again["configuration"]["written"], false);
    assert_eq!(again["recoveries"][0]["id"], done["recoveries"][0]["id"]);
}
