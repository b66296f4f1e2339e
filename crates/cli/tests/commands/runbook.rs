//! `runbook`, and what the repository keeps of a site, with a real server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use testkit::Cluster;

use crate::harness::{KEY, Place};

/// A repository, and a database whose settings have a password in them.
fn scene() -> (Cluster, Place) {
    let cluster = Cluster::start();
    cluster.create_database("books");
    cluster.psql("books", "CREATE TABLE entry AS SELECT generate_series(1, 100) AS id");
    let place = Place::new();
    fs::write(place.path("key"), KEY).unwrap();
    fs::set_permissions(place.path("key"), fs::Permissions::from_mode(0o600)).unwrap();
    settings(&place, &cluster, "");
    place.run(&["init"]).succeeds();
    (cluster, place)
}

fn settings(place: &Place, cluster: &Cluster, more: &str) {
    let url = cluster.url("books");
    let url = if url.contains("://") {
        format!("{url}{}password=hunter2", if url.contains('?') { "&" } else { "?" })
    } else {
        format!("{url} password=hunter2")
    };
    let shown = |name: &str| place.path(name).display().to_string();
    let (key, directory) = (shown("key"), shown("backups"));
    let text = format!(
        "# as of old: postgres://alice:hunter2@db/books\n[repository]\nkey_file = '{key}'\ndirectory = '{directory}'\n\
         [sources.books]\nurl = {url:?}\n[recovery]\ncontacts = [\"Ada, +49 30 1234567\"]\n{more}"
    );
    fs::write(place.path("chronavault.toml"), text).unwrap();
}

/// The documents of a kind in the repository, oldest first.
fn documents(place: &Place, kind: &str) -> Vec<String> {
    let mut names = Vec::new();
    for site in fs::read_dir(place.path("backups/isolated/site")).into_iter().flatten() {
        for file in fs::read_dir(site.unwrap().path()).unwrap() {
            names.push(file.unwrap().file_name().into_string().unwrap());
        }
    }
    names.retain(|name| name.ends_with(kind));
    names.sort();
    names
}

/// What `recover_site.py` reads of the repository.
fn in_plain_text(place: &Place, out: &str) -> String {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = Command::new(workspace.join("scripts/python.sh")).output().unwrap();
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
    let out = place.path(out);
    let done = Command::new(String::from_utf8(python.stdout).unwrap().trim())
        .arg(workspace.join("tools/recover_site.py"))
        .args([&place.path("backups/isolated"), &out])
        .env("BACKUP_ENCRYPTION_KEY", KEY)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let site = fs::read_dir(out).unwrap().next().unwrap().unwrap().path();
    ["chronavault.toml", "facts.json", "runbook.md"]
        .map(|name| fs::read_to_string(site.join(name)).unwrap())
        .concat()
}

#[test]
fn the_runbook_of_a_site_is_written_and_kept() {
    let (_cluster, place) = scene();
    place.run(&["backup", "--no-verify"]).succeeds();
    assert_eq!(documents(&place, "configuration").len(), 1, "the settings are kept with the first backup");
    place.run(&["backup", "--no-verify"]).succeeds();
    let before = documents(&place, "configuration");
    let path = place.path("runbook.md").display().to_string();
    let said = place.run(&["runbook", "--output", &path, "--json"]).succeeds().json();
    assert_eq!((&said["path"], &said["is_new"]), (&path.as_str().into(), &true.into()));
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!text.contains("hunter2") && !text.contains(&KEY[..16]), "{text}");
    for words in ["# Recovery of ", "- Ada, +49 30 1234567\n", "## books\n", "| logical | ", "recover.py"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(place.path("backups/isolated").join(said["object"].as_str().unwrap()).is_file());

    // The same again is the same, and is kept once; what is printed is what is kept.
    let again = place.run(&["runbook", "--output", &path, "--json"]).succeeds().json();
    assert_eq!(
        (&again["sha256"], &again["object"], &again["is_new"]),
        (&said["sha256"], &said["object"], &false.into())
    );
    assert_eq!(place.run(&["runbook"]).succeeds().out, text);
    assert_eq!(documents(&place, "runbook").len(), 1);
    assert!(before.len() <= 2 && documents(&place, "configuration").len() <= 2, "{before:?}");

    // Without this program, all of it can be read.
    let read = in_plain_text(&place, "lost");
    assert!(read.contains(&text) && read.contains("[sources.books]") && !read.contains("hunter2"), "{read}");

    // Of one source alone it is not kept; and nothing but a runbook is replaced.
    let one = place.run(&["runbook", "--source", "books", "--json"]).succeeds().json();
    assert!(one["object"].is_null() && documents(&place, "runbook").len() == 1);
    place.run(&["runbook", "--source", "wages"]).fails(2, "settings.source", "wages");
    place.run(&["runbook", "--output", "chronavault.toml"]).fails(1, "output.exists", "no runbook");
}

#[test]
fn what_the_runbook_says_can_be_done() {
    let (_cluster, place) = scene();
    place.run(&["backup", "--no-verify"]).succeeds();
    let text = place.run(&["runbook"]).succeeds().out.clone();
    let calls: Vec<_> = text.lines().filter(|line| line.starts_with("chronavault ")).collect();
    let rehearsed: Vec<_> = calls
        .iter()
        // What is lost is not here to be rehearsed.
        .filter(|call| call.ends_with("--dry-run") && !call.contains("lost-host"))
        .collect();
    assert_eq!(rehearsed.len(), 2, "{calls:#?}");
    // The shell of whoever reads it, with the environment that it names.
    let exports: Vec<_> = text
        .lines()
        .skip_while(|line| *line != "unset BACKUP_DIRECTORY")
        .take_while(|line| *line != "```")
        .collect();
    let run = |call: &str| {
        let script = format!("set -eu\n{}\n{call}", exports.join("\n"));
        let program = Path::new(env!("CARGO_BIN_EXE_chronavault")).parent().unwrap().display().to_string();
        let path = format!("{program}:{}", std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        let shell = shell.args(["-c", &script]).env_clear().env("PATH", path).env("HOME", place.path("home"));
        crate::harness::Said::from(shell.current_dir("/").output().unwrap())
    };
    for call in rehearsed {
        run(call).succeeds();
    }
    for call in calls {
        run(&format!("{call} --help")).succeeds();
    }
}

#[test]
fn settings_that_cannot_be_kept_are_a_warning() {
    let (_cluster, place) = scene();
    // Where a directory should be is a file.
    fs::write(place.path("backups/isolated/site"), "in the way").unwrap();
    fs::set_permissions(place.path("backups/isolated/site"), fs::Permissions::from_mode(0o600)).unwrap();
    let said = place.run(&["backup", "--no-verify", "--json"]);
    assert_eq!(said.exit, 4, "{said:?}");
    assert!(said.err.contains("warning[site.not_kept]"), "{said:?}");
    assert_eq!(said.json()["warnings"][0]["code"], "site.not_kept");
    assert_eq!(place.run(&["list", "--json"]).succeeds().json()["backups"].as_array().unwrap().len(), 1);
    let said = place.run(&["runbook"]);
    assert_eq!(said.exit, 4, "{said:?}");
    assert!(said.out.contains("# Recovery of "), "{said:?}");
}
