//! Which tables are listed, and how their rows are read and loaded.

use std::collections::BTreeMap;

use chronavault_postgres::{
    Client, PageRange, Snapshot, SnapshotOptions, Table, TableKind, apply_session_settings, list_tables,
};
use model::Filters;

use crate::server::{Server, copy_in, copy_out};

fn tables(client: &mut Client) -> BTreeMap<String, Table> {
    apply_session_settings(client).unwrap();
    let tables = list_tables(client, &Filters::default()).unwrap();
    tables.into_iter().map(|table| (table.name.name.clone(), table)).collect()
}

const KINDS: &str = "CREATE TABLE plain (a int, b int, c int GENERATED ALWAYS AS (a + 1) STORED, d text); \
    ALTER TABLE plain DROP b; CREATE TABLE parent (x int); CREATE TABLE child (y int) INHERITS (parent); \
    CREATE TABLE p (i int) PARTITION BY RANGE (i); CREATE TABLE leaf PARTITION OF p FOR VALUES FROM (0) TO (10); \
    CREATE UNLOGGED TABLE scratch (i int); CREATE TEMP TABLE temporary (i int); CREATE TABLE no_columns (); \
    CREATE MATERIALIZED VIEW filled AS SELECT 1 AS one; CREATE MATERIALIZED VIEW unfilled AS SELECT 1 AS one WITH NO DATA; \
    CREATE VIEW v AS SELECT 1 AS one; CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; \
    CREATE FOREIGN TABLE remote (i int) SERVER s; \
    CREATE EXTENSION hstore; CREATE TABLE config (id int, t text); CREATE TABLE internal (id int); \
    ALTER EXTENSION hstore ADD TABLE config; ALTER EXTENSION hstore ADD TABLE internal; \
    UPDATE pg_extension SET extconfig = ARRAY['config'::regclass], extcondition = ARRAY['WHERE id > 1 OR t = ''x'' -- user'] \
      WHERE extname = 'hstore'; \
    INSERT INTO config VALUES (1, 'ours'), (2, 'theirs'), (1, 'x'); INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2, 3)";

#[test]
fn each_kind_of_table_is_listed_as_what_it_is() {
    let server = Server::start();
    server.create("d");
    let mut client = server.client("d");
    client.execute(KINDS).unwrap();
    let tables = tables(&mut client);
    let names: Vec<_> = tables.keys().map(String::as_str).collect();
    let expected = [
        "child",
        "config",
        "filled",
        "leaf",
        "no_columns",
        "p",
        "parent",
        "plain",
        "remote",
        "scratch",
        "unfilled",
    ];
    assert_eq!(names, expected);
    assert_eq!(tables["plain"].columns, ["a", "d"]);
    assert_eq!(tables["leaf"].kind, TableKind::Leaf);
    assert_eq!(tables["p"].kind, TableKind::Partitioned);
    assert_eq!(tables["filled"].kind, TableKind::MaterializedView { populated: true });
    assert_eq!(tables["unfilled"].kind, TableKind::MaterializedView { populated: false });
    assert_eq!(tables["remote"].kind, TableKind::Foreign);
    assert!(tables["scratch"].unlogged && tables["scratch"].rows_wanted);
    let unwanted: Vec<_> = tables.values().filter(|t| !t.rows_wanted).map(|t| t.name.name.as_str()).collect();
    assert_eq!(unwanted, ["filled", "p", "remote", "unfilled"]);
    assert_eq!(tables["config"].extension.as_deref(), Some("hstore"));

    let mut rows = |name: &str| copy_out(&mut client, &tables[name].copy_out_sql(None));
    assert_eq!(rows("config"), ["2\ttheirs\n", "1\tx\n"]);
    assert_eq!(rows("parent"), ["1\n"], "rows of children are not read through the parent");
    assert_eq!(rows("child"), ["2\t3\n"]);
    let range = PageRange { first: 0, end: Some(1) };
    assert_eq!(copy_out(&mut client, &tables["config"].copy_out_sql(Some(range))), ["2\ttheirs\n", "1\tx\n"]);
}

#[test]
fn rows_without_columns_and_awkward_names_survive() {
    let server = Server::start();
    let sql = "CREATE DATABASE d ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0";
    server.client("postgres").execute(sql).unwrap();
    let mut client = server.client("d");
    client.execute("SET client_encoding = 'UTF8'").unwrap();
    let create = "CREATE TABLE empty (); INSERT INTO empty DEFAULT VALUES; INSERT INTO empty DEFAULT VALUES; \
         CREATE SCHEMA \"Ä \"\"\\\"; CREATE TABLE \"Ä \"\"\\\".\"Größe\\n\" (\"ß\"\"\" text, computed int GENERATED ALWAYS AS (1) STORED); \
         INSERT INTO \"Ä \"\"\\\".\"Größe\\n\" VALUES (E'ü\\t\\\\N')";
    client.execute(create).unwrap();
    let tables = tables(&mut client);
    assert_eq!(tables["Größe\\n"].columns, ["ß\""]);
    for (name, expected) in [("empty", vec!["\n", "\n"]), ("Größe\\n", vec!["\u{fffd}\\t\\\\N\n"])] {
        let table = &tables[name];
        // Rows come in the encoding of the database.
        assert_eq!(copy_out(&mut client, &table.copy_out_sql(None)), expected);
        let range = Some(PageRange { first: 0, end: None });
        assert_eq!(copy_out(&mut client, &table.copy_out_sql(range)), expected);
        let bytes: &[u8] = if name == "empty" { b"\n\n" } else { b"\xfc\\t\\\\N\n" };
        copy_in(&mut client, &table.copy_in_sql(), bytes);
        assert_eq!(copy_out(&mut client, &table.copy_out_sql(None)), [expected.clone(), expected].concat());
    }
}

#[test]
fn ranges_cover_every_page_once_and_begin_where_they_did() {
    let server = Server::start();
    server.create("d");
    let mut client = server.client("d");
    client.execute("CREATE TABLE t (i int, filler text); INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 5000) i").unwrap();
    let mut snapshot = Snapshot::take(&server.options("d"), &SnapshotOptions::default()).unwrap();
    let mut table = snapshot.tables()[0].clone();
    assert_eq!(table.ranges(), [None]);
    assert!(table.pages > 300 && table.bytes == table.pages * 8192);
    if client.server_major() < 14 {
        assert_eq!(table.range_pages, None, "each range would read the whole table");
        return;
    }
    assert_eq!(table.range_pages, Some(8192));
    table.range_pages = Some(100);
    let ranges = table.ranges();
    assert_eq!(ranges.len() as u64, table.pages.div_ceil(100));
    assert_eq!(ranges[1], Some(PageRange { first: 100, end: Some(200) }));
    assert_eq!(ranges.last().unwrap().unwrap().end, None);
    let whole = copy_out(snapshot.client(), &table.copy_out_sql(None));
    let parts: Vec<_> =
        ranges.iter().flat_map(|r| copy_out(snapshot.client(), &table.copy_out_sql(*r))).collect();
    assert_eq!(whole.len(), 5000);
    assert!(whole == parts, "the parts are the whole, in its order");
    let plan = table.copy_out_sql(ranges[1]).replace("COPY (", "EXPLAIN ").replace(") TO STDOUT", "");
    let plan = &snapshot.client().query(&plan, &[]).unwrap()[0];
    assert!(plan.text(0).unwrap().starts_with("Tid Range Scan"), "{plan:?}");
}
