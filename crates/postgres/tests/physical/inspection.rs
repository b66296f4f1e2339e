//! What each check of a running cluster says of damage.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use chronavault_postgres::{
    AmcheckError, AmcheckReport, RestoredCluster, RowCounts, amcheck, count_rows, find_missing_files,
};
use testkit::Cluster;
use testkit::cluster::{client_tools, server_tools};

use crate::restored::{LIMIT, read, request, restore};
use crate::server::{self, fill, one, scratch};
use crate::sink::Copy;

const SESSIONS: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// A cluster with two databases.
fn cluster() -> Cluster {
    let cluster = server::cluster(|_| ());
    let mut client = cluster.client("postgres");
    fill(&mut client, "t", 5000);
    fill(&mut client, "\"Other.\"\"t\"", 10);
    client
        .execute("CREATE UNLOGGED TABLE u AS SELECT 1 a; CREATE MATERIALIZED VIEW m AS SELECT 1 a")
        .unwrap();
    client.execute("CREATE MATERIALIZED VIEW empty AS SELECT 1 a WITH NO DATA").unwrap();
    client
        .execute(
            "CREATE TABLE p (a int) PARTITION BY LIST (a); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)",
        )
        .unwrap();
    client
        .execute(
            "INSERT INTO p VALUES (1); CREATE TABLE parent (a int); CREATE TABLE child () INHERITS (parent)",
        )
        .unwrap();
    client.execute("INSERT INTO child VALUES (1), (2)").unwrap();
    cluster.create_database("other");
    fill(&mut cluster.client("other"), "t", 20);
    cluster
}

/// Restores a copy with `damage` done to its data directory, and promotes it.
fn damaged(copy: &Copy, parent: &Path, damage: impl FnOnce(&Path)) -> RestoredCluster {
    let directory = restore(copy, parent);
    damage(&directory.data());
    let mut restored = directory.start(&server_tools(), &request(copy)).unwrap();
    restored.promote(LIMIT).unwrap();
    restored
}

fn counts(restored: &RestoredCluster) -> RowCounts {
    count_rows(&restored.options(restored.database()), SESSIONS, &|| false).unwrap()
}

fn listed(counts: &RowCounts) -> Vec<(String, String, u64)> {
    let line =
        |rows: &chronavault_postgres::TableRows| (rows.database.clone(), rows.table.to_string(), rows.rows);
    counts.tables.iter().map(line).collect()
}

/// The report, where this server can be checked.
fn check(restored: &RestoredCluster) -> Option<AmcheckReport> {
    let tools = client_tools(restored.tools());
    match amcheck(&tools, &restored.options(restored.database()), SESSIONS) {
        Ok(report) => Some(report),
        Err(AmcheckError::TooOld { major: 13 }) if restored.tools().major() == 13 => None,
        Err(error) => panic!("{error:?}"),
    }
}

fn missing(restored: &RestoredCluster) -> Vec<(String, bool)> {
    let segment_bytes =
        u64::from(restored.control().segment_blocks) * u64::from(restored.control().block_bytes);
    let options = restored.options(restored.database());
    let found = find_missing_files(&options, &restored.data_directory(), segment_bytes).unwrap();
    assert!(found.relations > 300 && found.unreadable.is_empty(), "{found:?}");
    found.missing.into_iter().map(|file| (file.path, file.is_short)).collect()
}

#[test]
fn a_whole_cluster_has_nothing_to_report() {
    let scratch = scratch();
    let cluster = cluster();
    let copy = read(&cluster, &scratch.path().join("copy"));
    // While recovery is paused it can be counted as well.
    let mut restored = restore(&copy, scratch.path()).start(&server_tools(), &request(&copy)).unwrap();
    let paused = counts(&restored);
    restored.promote(LIMIT).unwrap();
    let promoted = counts(&restored);
    assert!(paused.unreadable.is_empty() && promoted.unreadable.is_empty());
    assert_eq!(listed(&paused), listed(&promoted));
    let expected = [
        ("other", "public.t", 20),
        ("postgres", "public.Other.\"t", 10),
        ("postgres", "public.child", 2),
        ("postgres", "public.m", 1),
        ("postgres", "public.p1", 1),
        ("postgres", "public.parent", 0),
        ("postgres", "public.t", 5000),
    ];
    assert_eq!(
        listed(&promoted),
        expected.map(|(database, table, rows)| (database.into(), table.into(), rows))
    );
    assert_eq!(missing(&restored), []);
    if let Some(report) = check(&restored) {
        assert_eq!(report, AmcheckReport::default());
    }
}

#[test]
fn each_check_finds_its_damage() {
    let scratch = scratch();
    let cluster = cluster();
    let mut client = cluster.client("postgres");
    let path =
        |client: &mut _, relation: &str| one(client, &format!("SELECT pg_relation_filepath('{relation}')"));
    let (table, index) = (path(&mut client, "t"), path(&mut client, "t_pkey"));
    let (dropped, unlogged) = (path(&mut client, "m"), path(&mut client, "u"));
    let copy = read(&cluster, &scratch.path().join("copy"));
    let restored = damaged(&copy, scratch.path(), |data| {
        let mut bytes = fs::read(data.join(&table)).unwrap();
        bytes[3 * 8192 + 4000] ^= 1;
        fs::write(data.join(&table), bytes).unwrap();
        // As if the index had never heard of the rows behind its first pages: its second page is a copy of the first one.
        let mut bytes = fs::read(data.join(&index)).unwrap();
        bytes.copy_within(8192..2 * 8192, 4 * 8192);
        fs::write(data.join(&index), bytes).unwrap();
        fs::remove_file(data.join(&dropped)).unwrap();
        fs::remove_file(data.join(format!("{unlogged}_init"))).unwrap();
    });
    let counts = counts(&restored);
    let unreadable: Vec<String> = counts
        .unreadable
        .iter()
        .map(|failure| format!("{}: {}", failure.table.as_ref().unwrap(), failure.error))
        .collect();
    assert_eq!(unreadable.len(), 2, "{unreadable:?}");
    assert!(
        unreadable.iter().any(|line| line.starts_with("public.t: ERROR: invalid page in block 3")),
        "{unreadable:?}"
    );
    assert!(
        unreadable.iter().any(|line| line.starts_with("public.m: ERROR: could not open file")),
        "{unreadable:?}"
    );
    assert_eq!(counts.tables.len(), 5);
    assert_eq!(missing(&restored), [(dropped.clone(), false), (format!("{unlogged}_init"), false)]);
    if let Some(report) = check(&restored) {
        let has = |relation: &str, message: &str| {
            report.findings.iter().any(|finding| {
                finding.relation == format!("postgres.public.{relation}") && finding.message.contains(message)
            })
        };
        assert!(has("t", "invalid page in block 3"), "{report:?}");
        assert!(has("t_pkey", "invalid page"), "{report:?}");
        assert!(has("m", "could not open file"), "{report:?}");
    }
}

/// Damage that no checksum shows, since the pages are whole.
#[test]
fn an_index_that_lacks_rows_is_found() {
    let scratch = scratch();
    let cluster = cluster();
    let mut client = cluster.client("postgres");
    let index = one(&mut client, "SELECT pg_relation_filepath('t_pkey')");
    // An older state of the index.
    client.execute("CHECKPOINT").unwrap();
    let older = fs::read(cluster.sandbox().data_directory().join(&index)).unwrap();
    client.execute("INSERT INTO t SELECT n, 'x' FROM generate_series(5001, 5020) n").unwrap();
    let copy = read(&cluster, &scratch.path().join("copy"));
    let restored = damaged(&copy, scratch.path(), |data| fs::write(data.join(&index), &older).unwrap());
    assert!(counts(&restored).unreadable.is_empty());
    assert_eq!(missing(&restored), []);
    if let Some(report) = check(&restored) {
        let [finding] = &report.findings[..] else { panic!("{report:?}") };
        assert_eq!(
            (finding.kind.as_str(), finding.relation.as_str()),
            ("btree index", "postgres.public.t_pkey")
        );
        assert!(finding.message.contains("lacks matching index tuple"), "{report:?}");
    }
}

#[test]
fn a_database_that_cannot_be_opened_does_not_hide_the_others() {
    let scratch = scratch();
    let cluster = cluster();
    let oid = one(&mut cluster.client("other"), "SELECT oid FROM pg_database WHERE datname = 'other'");
    let copy = read(&cluster, &scratch.path().join("copy"));
    let restored = damaged(&copy, scratch.path(), |data| {
        fs::remove_file(data.join("base").join(&oid).join("PG_VERSION")).unwrap();
    });
    let counts = counts(&restored);
    let [failure] = &counts.unreadable[..] else { panic!("{counts:?}") };
    assert_eq!((failure.database.as_str(), &failure.table), ("other", &None));
    assert_eq!(counts.tables.len(), 6);
}
