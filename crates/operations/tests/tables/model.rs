//! Random tables, changed at random, and a model that says what is missing, extra and changed.
//!
//! `CHRONAVAULT_SEED` chooses which.

use std::collections::BTreeMap;
use std::fmt::Write;

use chronavault_operations as operations;
use operations::{ApplyMode, Differing};
use testkit::random::{Random, number};

use crate::asking::{contents, counts, recover, written};
use crate::scene::Scene;

/// A kind of table: how it is made, and how its keys are written.
struct Kind {
    name: &'static str,
    definition: &'static str,
    /// The columns of the key; none where rows have none.
    key: &'static [&'static str],
    /// A key: what stands for it in the model, and its literals, of which there may be several that are equal to the server.
    make: fn(&mut Random) -> (String, Vec<String>),
}

const KINDS: &[Kind] = &[
    Kind {
        name: "by_int",
        definition: "(k int PRIMARY KEY, a text, n numeric)",
        key: &["k"],
        make: |random| simple((random.below(60).cast_signed() - 30).to_string()),
    },
    Kind {
        name: "by_bigint",
        definition: "(a text, k bigint NOT NULL UNIQUE, n numeric)",
        key: &["k"],
        make: |random| simple((random.any().cast_signed() >> random.below(60)).to_string()),
    },
    Kind {
        name: "by_text",
        definition: "(k text PRIMARY KEY, a text, n numeric)",
        key: &["k"],
        make: |random| simple(quoted(word(random))),
    },
    Kind {
        name: "by_pair",
        definition: "(a text, k1 varchar COLLATE \"C\", k2 int, n numeric, PRIMARY KEY (k2, k1))",
        key: &["k2", "k1"],
        make: |random| {
            let (text, number) = (quoted(word(random)), random.below(4));
            simple(format!("{text}, {number}"))
        },
    },
    Kind {
        name: "by_uuid",
        definition: "(k uuid PRIMARY KEY, a text, n numeric)",
        key: &["k"],
        make: |random| {
            let first = random.below(40);
            simple(format!("'{first:08X}-0000-4000-8000-00000000000A'"))
        },
    },
    Kind {
        name: "by_numeric",
        definition: "(k numeric PRIMARY KEY, a text, n numeric)",
        key: &["k"],
        make: |random| {
            // 1.5 and 1.50 are one key, written in two ways.
            let number = random.below(80).cast_signed() - 40;
            let text = format!("{}.{}", number / 2, if number % 2 == 0 { 0 } else { 5 });
            let sign = if number == -1 { "-" } else { "" };
            (format!("{sign}{text}"), vec![format!("{sign}{text}"), format!("{sign}{text}0")])
        },
    },
    Kind {
        name: "by_time",
        definition: "(k timestamptz PRIMARY KEY, a text, n numeric)",
        key: &["k"],
        make: |random| {
            let hours = random.below(50);
            simple(format!("timestamptz '0001-01-01 00:00:00+00 BC' + {hours} * interval '400 years 1 hour'"))
        },
    },
    Kind {
        name: "by_char",
        definition: "(k char(9) PRIMARY KEY, a text, n numeric)",
        key: &["k"],
        make: |random| {
            let word = word(random).trim_end().chars().take(9).collect::<String>();
            simple(quoted(word.trim_end()))
        },
    },
    Kind {
        name: "by_nothing",
        definition: "(k text, a text, n numeric)",
        key: &[],
        make: |random| {
            if random.below(4) == 0 { simple("NULL".to_owned()) } else { simple(quoted(word(random))) }
        },
    },
    Kind {
        name: "in_partitions",
        definition: "(k int PRIMARY KEY, a text, n numeric, twice int GENERATED ALWAYS AS (k * 2) STORED) PARTITION BY RANGE (k); \
             CREATE TABLE in_partitions_low (n numeric, a text, k int NOT NULL, twice int GENERATED ALWAYS AS (k * 2) STORED); \
             ALTER TABLE in_partitions ATTACH PARTITION in_partitions_low FOR VALUES FROM (MINVALUE) TO (0); \
             CREATE TABLE in_partitions_high PARTITION OF in_partitions FOR VALUES FROM (0) TO (MAXVALUE)",
        key: &["k"],
        make: |random| simple((random.below(60).cast_signed() - 30).to_string()),
    },
];

fn simple(literal: String) -> (String, Vec<String>) {
    (literal.clone(), vec![literal])
}

/// Words that sort differently wherever one asks, and that COPY escapes.
fn word(random: &mut Random) -> &'static str {
    const WORDS: [&str; 24] = [
        "", "a", "A", "b", "B", "ab", "a b", "a-b", "aB", "Ab", "ä", "Ä", "z", "é", "e", "\\", "\\N", "a\\",
        "a\tb", "a\nb", "日本", "_", "~", "a'b",
    ];
    WORDS[usize::try_from(random.below(WORDS.len() as u64)).unwrap()]
}

fn quoted(text: &str) -> String {
    ::model::quote_literal(text)
}

/// A row: the key as the model knows it, its literal, and the literals of the two values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    key: String,
    literal: String,
    values: [String; 2],
}

fn row(kind: &Kind, random: &mut Random) -> Row {
    let (key, literals) = (kind.make)(random);
    let literal = literals[usize::try_from(random.below(literals.len() as u64)).unwrap()].clone();
    Row { key, literal, values: values(random) }
}

fn values(random: &mut Random) -> [String; 2] {
    let text = if random.below(3) == 0 { "NULL".to_owned() } else { quoted(word(random)) };
    let number = if random.below(3) == 0 { "NULL".to_owned() } else { random.below(5).to_string() };
    [text, number]
}

/// The rows of a table, some of them twice where there is no key.
fn table(kind: &Kind, random: &mut Random) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for _ in 0..random.below(60) {
        let row = row(kind, random);
        if kind.key.is_empty() || !rows.iter().any(|other| other.key == row.key) {
            rows.push(row);
        }
    }
    rows
}

/// Some rows go, some change, some come.
fn change(kind: &Kind, rows: &[Row], random: &mut Random) -> Vec<Row> {
    let mut changed: Vec<Row> = rows.iter().filter(|_| random.below(5) > 0).cloned().collect();
    for row in &mut changed {
        if random.below(4) == 0 {
            row.values = values(random);
        }
    }
    for row in table(kind, random).into_iter().take(8) {
        if kind.key.is_empty() || !changed.iter().any(|other| other.key == row.key) {
            changed.push(row);
        }
    }
    changed
}

/// Missing, extra, changed and same, as the model counts them.
fn expected(kind: &Kind, old: &[Row], new: &[Row]) -> (u64, u64, u64, u64) {
    let mut counts = (0, 0, 0, 0);
    if kind.key.is_empty() {
        let mut balance: BTreeMap<&Row, i64> = BTreeMap::new();
        for (row, side) in old.iter().map(|row| (row, 1)).chain(new.iter().map(|row| (row, -1))) {
            *balance.entry(row).or_default() += side;
        }
        counts.0 = balance.values().map(|count| u64::try_from(*count).unwrap_or(0)).sum();
        counts.1 = balance.values().map(|count| u64::try_from(-*count).unwrap_or(0)).sum();
        counts.3 = old.len() as u64 - counts.0;
        return counts;
    }
    for row in old {
        match new.iter().find(|other| other.key == row.key) {
            None => counts.0 += 1,
            Some(other) if other == row => counts.3 += 1,
            Some(_) => counts.2 += 1,
        }
    }
    counts.1 = new.iter().filter(|row| !old.iter().any(|other| other.key == row.key)).count() as u64;
    counts
}

fn columns(kind: &Kind) -> &'static str {
    match kind.name {
        "by_pair" => "k1, k2, a, n",
        _ => "k, a, n",
    }
}

fn fill(kind: &Kind, rows: &[Row]) -> String {
    let mut sql = format!("DELETE FROM {};\n", kind.name);
    for row in rows {
        let values = row.values.join(", ");
        let Kind { name, .. } = kind;
        writeln!(sql, "INSERT INTO {name} ({}) VALUES ({}, {values});", columns(kind), row.literal).unwrap();
    }
    sql
}

#[test]
fn differences_are_those_of_the_model_and_both_modes_do_what_they_say() {
    let seed = number("CHRONAVAULT_SEED", 5);
    println!("seed {seed}");
    let mut random = Random(seed);
    let scene = Scene::new();
    let make: Vec<String> =
        KINDS.iter().map(|kind| format!("CREATE TABLE {} {};", kind.name, kind.definition)).collect();
    scene.database("old", &make.concat());
    // Where words have another order than their bytes. Not every server has such a collation.
    let collation = "SELECT quote_ident(collname) FROM pg_collation WHERE collname IN ('en-x-icu', 'en_US.utf8', 'en_US') LIMIT 1";
    let collation = scene.cluster.psql("old", collation);
    if !collation.trim().is_empty() {
        scene
            .cluster
            .psql("old", &format!("ALTER TABLE by_text ALTER k TYPE text COLLATE {}", collation.trim()));
    }
    let mut tables = Vec::new();
    for kind in KINDS {
        let old = table(kind, &mut random);
        let new = change(kind, &old, &mut random);
        scene.cluster.psql("old", &fill(kind, &old));
        tables.push((kind, old, new));
    }
    let id = scene.backup("old").manifest.id;
    let kept: Vec<_> = KINDS.iter().map(|kind| contents(&scene, "old", kind.name)).collect();
    for (kind, _, new) in &tables {
        scene.cluster.psql("old", &fill(kind, new));
    }
    scene.cluster.psql("postgres", "CREATE DATABASE live TEMPLATE old; CREATE DATABASE live2 TEMPLATE old");
    let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();

    let compared = recover(&scene, &id, "live", &names, None);
    let of = |report: &operations::TableRecoveryReport, name: &str| {
        report.tables.iter().find(|table| table.before.table.name == name).unwrap().clone()
    };
    for (kind, old, new) in &tables {
        let table = of(&compared, kind.name);
        let wanted = expected(kind, old, new);
        assert_eq!(counts(&table), wanted, "{}: {old:?} {new:?}", kind.name);
        assert_eq!(table.before.key, kind.key, "{}", kind.name);
        for (differing, count) in
            [(Differing::Missing, wanted.0), (Differing::Extra, wanted.1), (Differing::Changed, wanted.2)]
        {
            let samples = table.before.samples.iter().filter(|sample| sample.differing == differing).count();
            assert_eq!(samples as u64, count.min(3), "{}", kind.name);
        }
        assert_eq!(
            contents(&scene, "live", kind.name),
            contents(&scene, "live2", kind.name),
            "nothing was written"
        );
    }

    let inserted = recover(&scene, &id, "live2", &names, Some(ApplyMode::InsertMissing));
    for (kind, old, new) in &tables {
        let (missing, extra, changed, same) = expected(kind, old, new);
        let table = of(&inserted, kind.name);
        assert_eq!(written(&table), (missing, 0, 0, 0), "{}", kind.name);
        let after = table.after.unwrap();
        assert_eq!(
            (after.missing, after.extra, after.changed, after.same),
            (0, extra, changed, same + missing)
        );
        let rows = contents(&scene, "live2", kind.name).len() as u64;
        assert_eq!(rows, new.len() as u64 + missing, "{}", kind.name);
    }

    let replaced = recover(&scene, &id, "live", &names, Some(ApplyMode::Replace));
    for ((kind, old, new), kept) in tables.iter().zip(&kept) {
        let (missing, extra, changed, _) = expected(kind, old, new);
        assert_eq!(written(&of(&replaced, kind.name)), (missing, changed, extra, 0), "{}", kind.name);
        assert_eq!(contents(&scene, "live", kind.name), *kept, "{}", kind.name);
    }
}
