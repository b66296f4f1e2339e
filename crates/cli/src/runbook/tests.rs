//! A runbook of made-up facts: what it says, that it says nothing it must not, and that its commands are ones.

use clap::Parser;
use model::{Kind, RetentionPolicy, SystemId};
use operations::Objectives;
use repository::{KeySummary, SlotId};

use super::source::{BackupLine, ClusterBook, SourceBook, other_database};
use super::*;
use crate::args::Cli;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn backup(kind: Kind, day: u32) -> BackupLine {
    BackupLine {
        id: format!("backup-2026-11-{day}-120000-abc123").parse().unwrap(),
        kind,
        data_at: time(&format!("2026-11-{day}T12:00:01Z")),
        proof: (day == 23).then(|| ("proven".to_owned(), time("2026-11-23T12:05:00Z"))),
        is_filtered: false,
    }
}

fn source(name: &str, backups: Vec<BackupLine>) -> SourceBook {
    let has_cluster = backups.iter().any(|backup| backup.kind == Kind::Physical);
    let windows = vec![(time("2026-11-20T00:00:00Z"), time("2026-11-23T11:00:00Z"))];
    SourceBook {
        name: name.to_owned(),
        url: "postgres://alice@db/books?sslmode=require".to_owned(),
        database: "books".to_owned(),
        objectives: Objectives { rto_ms: 4 * 3_600_000, rpo_ms: 24 * 3_600_000 },
        stop: Some(vec!["systemctl".into(), "stop".into(), "it's books".into()]),
        start: None,
        health: Some("books.example:443".into()),
        contacts: vec!["Ada, +49 30 1234567".into()],
        schedules: vec![(format!("backup/{name}/logical"), "30 2 * * * (UTC)".into())],
        retention: RetentionPolicy { days: 30, wal_days: 7, keep_weekly: 8, ..RetentionPolicy::default() },
        backups,
        server: Some(150_018),
        cluster: has_cluster.then_some(ClusterBook { system: SystemId(77), windows }),
        drills: Vec::new(),
    }
}

fn runbook() -> Runbook {
    let key = KeySummary {
        id: SlotId([0xab; 16]),
        label: Some("safe | Bern".parse().unwrap()),
        created_at: Some(time("2026-11-01T00:00:00Z")),
        checked_at: None,
        in_use: true,
        slots: Vec::new(),
    };
    Runbook {
        host: "db1".into(),
        user: "chronavault".into(),
        program: "/usr/bin/chronavault".into(),
        config: Some("/etc/my settings/chronavault.toml".into()),
        repository: "/srv/100% backups/isolated".into(),
        repository_id: "0123".into(),
        journal: "/srv/journal".into(),
        state: "/srv/state".into(),
        recoveries: "/srv/state/recoveries".into(),
        key_file: Some("/etc/chronavault/key".into()),
        database_url: None,
        keys: vec![key],
        epoch: 1,
        contacts: vec!["Grace".into()],
        schedules: vec![("prune".into(), "30 5 * * * (UTC)".into())],
        sources: vec![
            source(
                "books",
                vec![backup(Kind::Logical, 23), backup(Kind::Logical, 22), backup(Kind::Physical, 21)],
            ),
            source("empty's", Vec::new()),
            source("logical", vec![backup(Kind::Logical, 23)]),
        ],
    }
}

/// The lines of all blocks of commands.
fn commands(text: &str) -> Vec<String> {
    let (mut is_in, mut lines) = (false, Vec::new());
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_in = line.trim_start() == "```sh";
        } else if is_in {
            lines.push(line.to_owned());
        }
    }
    lines
}

/// The words of a line as a shell splits it, as far as this document needs that.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if !quoted => word.get_or_insert_default().extend(characters.next()),
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn every_call_of_this_program_is_one_that_it_takes() {
    let text = runbook().text(time("2026-11-24T00:00:00Z"));
    let lines = commands(&text);
    let calls: Vec<_> = lines.iter().filter(|line| line.starts_with("chronavault ")).collect();
    assert!(calls.len() > 40, "{calls:#?}");
    for call in &calls {
        let words = words(call);
        // On an empty host there are no settings yet.
        let place = if words.contains(&"lost-host".to_owned()) { 7..9 } else { 1..3 };
        let name = if place.start == 7 { "--configuration" } else { "--config" };
        assert_eq!(words[place], [name, "/etc/my settings/chronavault.toml"], "{call}");
        if let Err(error) = Cli::try_parse_from(&words) {
            panic!("{call}\n{error}");
        }
    }
    // Each scenario of each source is there, and no line calls the program by the way.
    for source in ["books", "empty's", "logical"] {
        for scenario in ["corruption", "point-in-time", "tables", "lost-host"] {
            let is_of = |call: &&&String| {
                let words = words(call);
                words.contains(&source.to_owned()) && words.contains(&scenario.to_owned())
            };
            assert!(calls.iter().any(|call| is_of(&call)), "{source}, {scenario}");
        }
    }
    let hidden =
        lines.iter().filter(|line| line.contains("chronavault ") && !line.starts_with("chronavault "));
    assert_eq!(hidden.collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn the_same_facts_at_the_same_time_give_the_same_text() {
    let at = time("2026-11-24T00:00:00Z");
    let text = runbook().text(at);
    assert_eq!(text, runbook().text(at));
    assert!(text.starts_with(TITLE) && text.contains("Written at 2026-11-24T00:00:00Z by chronavault"));
    let later = runbook().text(time("2026-11-25T00:00:00Z"));
    let different = text.lines().zip(later.lines()).filter(|(a, b)| a != b).count();
    assert_eq!(different, 1, "the time is in one line");
}

#[test]
fn it_says_what_somebody_needs_at_night() {
    let text = runbook().text(time("2026-11-24T00:00:00Z"));
    for words in [
        "- Grace\n",
        "- Ada, +49 30 1234567\n",
        "| `backup-2026-11-23-120000-abc123` | logical | 2026-11-23T12:00:01Z | proven, 2026-11-23T12:05:00Z |",
        "| `backup-2026-11-21-120000-abc123` | physical | 2026-11-21T12:00:01Z | none |",
        "- from 2026-11-20T00:00:00Z to 2026-11-23T11:00:00Z\n",
        "systemctl stop 'it'\\''s books'",
        "- Start it: by hand",
        "a recovery may take 4 h 0 min, and the changes of 24 h 0 min may be lost",
        "backups for 30 days, every moment of clusters for 7 days, one of each of the last 8 weeks",
        "| `abababababababababababababababab` | safe \\| Bern | 2026-11-01T00:00:00Z | never | no | yes |",
        "export BACKUP_REPOSITORY='file:///srv/100%25 backups/isolated'\n",
        "**There was no backup of it when this was written.**",
        "sha256sum --quiet -c backup-2026-11-23-120000-abc123.sha256",
        "/load.sh books\n",
        "/start.sh --target-time '2026-11-23T11:00:00Z'\n",
        "recover_site.py '/srv/100% backups/isolated' /srv/recovered/site",
        "docs/format.md",
        "It was never rehearsed",
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
}

#[test]
fn another_database_of_the_same_server_is_named() {
    for (url, expected) in [
        ("postgres://alice@db:5432/books?sslmode=require", "postgres://alice@db:5432/again?sslmode=require"),
        ("postgres://alice@db", "postgres://alice@db/again"),
        ("host=db dbname=books", "host=db dbname=books dbname=again"),
    ] {
        assert_eq!(other_database(url, "again"), expected);
    }
}
