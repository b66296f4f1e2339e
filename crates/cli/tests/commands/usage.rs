//! The command line itself: help, usage errors, completions, manual pages.

use crate::harness::Place;

const COMMANDS: [&str; 24] = [
    "init",
    "backup",
    "list",
    "show",
    "verify",
    "restore",
    "check",
    "export",
    "prune",
    "keys",
    "delete",
    "hold",
    "wal",
    "journal",
    "alert",
    "recover",
    "drill",
    "runbook",
    "serve",
    "config",
    "doctor",
    "demo",
    "completions",
    "man",
];
/// The commands that have parts.
const PARTS: [(&str, &[&str]); 6] = [
    ("recover", &["corruption", "point-in-time", "lost-host", "tables", "list"]),
    ("wal", &["push", "fetch", "receive", "status"]),
    ("config", &["check", "show"]),
    ("alert", &["test", "list"]),
    ("journal", &["show", "verify"]),
    ("keys", &["list", "add", "rotate", "remove", "escrow"]),
];

#[test]
fn help_names_every_command_and_none_that_is_missing() {
    let place = Place::new();
    let help = place.run(&["--help"]);
    help.succeeds();
    for command in COMMANDS {
        assert!(help.out.contains(&format!("\n  {command} ")), "{command}");
        let help = place.run(&[command, "--help"]);
        help.succeeds();
        assert!(help.out.contains("Examples:") && help.out.contains("--json"), "{command}");
    }
    for (command, parts) in PARTS {
        let help = place.run(&[command, "--help"]).out;
        for part in parts {
            assert!(help.contains(&format!("\n  {part} ")), "{part}");
            let help = place.run(&[command, part, "--help"]);
            assert!(help.succeeds().out.contains("Example"), "{part}");
        }
    }
    let help = place.run(&["wal", "--help"]).out;
    assert!(!help.contains("prefetch"), "nobody calls that but the program itself");
    assert!(!help.contains("\n  recovered "), "only a server calls that");
    assert!(place.run(&["--version"]).out.starts_with("chronavault "));
}

#[test]
fn a_usage_error_is_one_sentence_with_a_hint() {
    let place = Place::new();
    place.run(&["bakcup"]).fails(2, "usage", "unrecognized subcommand 'bakcup'");
    place.run(&["restore", "latest"]).fails(2, "usage", "--to <URL>");
    place.run(&["show", "yesterday"]).fails(2, "usage", "\"yesterday\" is not a backup id");
    place.run(&["verify"]).fails(2, "usage", "<ID|latest>");
    place.run(&["verify", "latest", "--all"]).fails(2, "usage", "cannot be used with");
    place.run(&["verify", "latest", "--level", "deep"]).fails(2, "usage", "\"deep\" is not one of");
    place.run(&["prnue"]).fails(2, "usage", "'prnue'");
    place.run(&["restore", "latest", "--to", "x", "postgres://u:hunter2@h/d"]).fails(
        2,
        "usage",
        "postgres://u:",
    );
    place.run(&["keys", "add"]).fails(2, "usage", "--generate <FILE>");
    place.run(&["keys", "remove", "5e"]).fails(2, "usage", "4 to 32 hexadecimal digits");
    place.run(&["keys", "remove", "5ec2e7c0", "--force"]).fails(2, "usage", "--through <FILE>");
    // P9: a key in the wrong place is not repeated; the harness looks for it.
    place.run(&["keys", "remove", crate::harness::KEY]).fails(
        2,
        "usage",
        "never put a key on the command line",
    );
    place.run(&["keys", "add", "--from", "x", crate::harness::KEY]).fails(2, "usage", "unexpected argument");
    assert_eq!(place.run(&[]).exit, 2);
}

#[test]
fn a_usage_error_in_json_is_an_object() {
    let said = Place::new().run(&["list", "--json", "--sauce", "x"]);
    said.fails(2, "usage", "'--sauce'");
    insta::assert_json_snapshot!(said.json(), @r#"
    {
      "error": {
        "code": "usage",
        "hint": "A similar argument exists: '--source'. Run `chronavault list --help`.",
        "message": "unexpected argument '--sauce' found"
      },
      "schema_version": 1
    }
    "#);
}

#[test]
fn a_physical_backup_leaves_nothing_out() {
    let place = Place::new().with("DATABASE_URL", "postgres://nowhere/x");
    let said = place.run(&["backup", "--kind", "physical", "--schema", "x"]);
    said.fails(2, "backup.filters", "the whole cluster");
}

#[test]
fn a_cluster_is_restored_to_one_moment_and_not_into_a_database() {
    let place = Place::new();
    let with = |arguments: &[&str]| place.run(&[&["restore", "latest"], arguments].concat());
    with(&["--data-dir", "x", "--to", "y"]).fails(2, "usage", "cannot be used with");
    with(&["--data-dir", "x", "--at", "2026-11-23 12:00:00"]).fails(
        2,
        "usage",
        "is not a time with its zone",
    );
    with(&["--data-dir", "x", "--lsn", "0/1", "--immediate"]).fails(2, "usage", "cannot be used with");
    with(&["--to", "x", "--immediate"]).fails(2, "usage", "cannot be used with");
}

#[test]
fn completions_and_manual_pages_are_made_for_every_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let said = place.run(&["completions", shell]);
        said.succeeds();
        for command in COMMANDS {
            assert!(said.out.contains(command), "{shell} {command}");
        }
    }
    place.run(&["man", "pages"]).succeeds();
    for command in COMMANDS {
        let page = std::fs::read_to_string(place.path(&format!("pages/chronavault-{command}.1"))).unwrap();
        assert!(page.contains(".SH NAME"), "{command}");
    }
    assert!(place.path("pages/chronavault.1").exists());
    let files = place.run(&["man", "pages", "--json"]).json()["files"].as_array().map_or(0, Vec::len);
    assert_eq!(files, COMMANDS.len() + PARTS.iter().map(|(_, parts)| parts.len()).sum::<usize>() + 1);
    assert!(place.run(&["man"]).out.starts_with(".ie"));
}
