//! The tables of ARCHITECTURE.md against what Cargo says: the page and the workspace cannot disagree.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

type Names = BTreeSet<String>;

const PREFIX: &str = "chronavault-";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .other_options(vec!["--offline".into(), "--locked".into()])
        .exec()
        .unwrap()
}

fn page() -> String {
    std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap()
}

/// The cells of every row of the tables below the heading `## section`, without table heads and rules.
fn table_rows<'a>(page: &'a str, section: &str) -> Vec<Vec<&'a str>> {
    let heading = format!("## {section}");
    let lines: Vec<_> = page
        .lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .collect();
    assert!(!lines.is_empty(), "ARCHITECTURE.md has no section {section:?}");
    let is_rule = |line: &str| line.starts_with("|---");
    let rows = lines.iter().enumerate().filter(|(at, line)| {
        let is_head = lines.get(at + 1).is_some_and(|next| is_rule(next));
        line.starts_with('|') && !is_rule(line) && !is_head
    });
    rows.map(|(_, line)| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// Which room may use which; `None` stands for "any".
fn allowed_uses(page: &str) -> BTreeMap<String, Option<Names>> {
    let uses = |cell: &str| match cell {
        "-" => Some(Names::new()),
        any if any.starts_with("any") => None,
        list => Some(list.split(',').map(|room| room.trim().to_owned()).collect()),
    };
    table_rows(page, "Rooms").into_iter().map(|row| (row[0].to_owned(), uses(row[1]))).collect()
}

fn room_of(package: &Package) -> String {
    package.name.strip_prefix(PREFIX).unwrap().to_owned()
}

fn rooms_used(package: &Package, kinds: &[DependencyKind]) -> Names {
    let used = package.dependencies.iter().filter(|dependency| kinds.contains(&dependency.kind));
    used.filter_map(|dependency| dependency.name.strip_prefix(PREFIX)).map(str::to_owned).collect()
}

const SHIPPED: [DependencyKind; 2] = [DependencyKind::Normal, DependencyKind::Build];

#[test]
fn the_table_names_every_room_and_no_other() {
    let documented: Names = allowed_uses(&page()).into_keys().collect();
    let existing: Names = metadata().workspace_packages().into_iter().map(room_of).collect();
    assert_eq!(documented, existing);
}

#[test]
fn a_room_uses_only_what_the_table_allows() {
    let allowed = allowed_uses(&page());
    for package in metadata().workspace_packages() {
        let room = room_of(package);
        if let Some(uses) = &allowed[&room] {
            let forbidden: Vec<_> = rooms_used(package, &SHIPPED).difference(uses).cloned().collect();
            assert!(forbidden.is_empty(), "{room} must not use {forbidden:?}");
        }
    }
}

#[test]
fn the_testkit_is_only_ever_a_dev_dependency() {
    for package in metadata().workspace_packages() {
        assert!(!rooms_used(package, &SHIPPED).contains("testkit"), "{} ships the testkit", package.name);
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let page = page();
    let rows = table_rows(&page, "Dependencies");
    assert!(rows.iter().all(|row| !row[1].is_empty()), "a dependency without a reason");
    let documented: Names = rows.iter().map(|row| row[0].to_owned()).collect();
    let metadata = metadata();
    let dependencies = metadata.workspace_packages().into_iter().flat_map(|package| &package.dependencies);
    let used: Names = dependencies
        .map(|dependency| dependency.name.clone())
        .filter(|name| !name.starts_with(PREFIX))
        .collect();
    let without_reason: Vec<_> = used.difference(&documented).collect();
    let without_use: Vec<_> = documented.difference(&used).collect();
    assert!(without_reason.is_empty(), "ARCHITECTURE.md gives no reason for {without_reason:?}");
    assert!(without_use.is_empty(), "ARCHITECTURE.md names {without_use:?}, which no room uses");
}

/// The text of every file with tests.
fn tests() -> String {
    let mut text = String::new();
    let mut places: Vec<PathBuf> = vec![root().join("crates"), root().join("tools/tests")];
    while let Some(place) = places.pop() {
        if place.is_dir() {
            places.extend(std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()));
        } else if place.components().any(|part| part.as_os_str() == "tests") || place.ends_with("tests.rs") {
            text.push_str(&std::fs::read_to_string(place).unwrap_or_default());
        }
    }
    text
}

#[test]
fn every_promise_is_named_by_a_test() {
    let (page, tests) = (page(), tests());
    let is_word = |text: &str, word: &str| {
        let mut parts = text.split(word).peekable();
        std::iter::from_fn(|| Some((parts.next()?, *parts.peek()?))).any(|(before, after)| {
            !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric)
        })
    };
    for row in table_rows(&page, "Promises") {
        assert!(is_word(&tests, row[0]), "{}: {}", row[0], row[1]);
    }
}

#[test]
fn every_invariant_of_the_write_order_has_its_test() {
    let page = std::fs::read_to_string(root().join("docs/format.md")).unwrap();
    let tests = tests();
    let rows = table_rows(&page, "13. Write order");
    assert!(rows.len() >= 8);
    for row in rows {
        for name in row[2].split(", ").map(|name| name.trim_matches('`')) {
            assert!(tests.contains(&format!("fn {name}()")), "{} names a test that is not there", row[0]);
        }
    }
}

#[test]
fn the_table_is_read_as_it_is_written() {
    let page = "## Rooms\n\n| room | may use |\n|---|---|\n| a | - |\n| b | a, c |\n| t | any; dev |\n\n## Next\n| x | - |\n";
    let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect::<Names>();
    let expected = [
        ("a".to_owned(), Some(Names::new())),
        ("b".to_owned(), Some(names(&["a", "c"]))),
        ("t".to_owned(), None),
    ];
    assert_eq!(allowed_uses(page), BTreeMap::from(expected));
}
