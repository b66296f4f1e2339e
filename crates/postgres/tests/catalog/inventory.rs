//! Inventories of databases that went through a dump, and of databases that changed.

use chronavault_postgres::archive::Walker;
use chronavault_postgres::{
    Client, Snapshot, SnapshotOptions, apply_session_settings, read_large_objects, sequence_value,
    take_inventory, with_dumped_sequence_values,
};
use model::{Filters, Inventory};

use crate::mutations::MUTATIONS;
use crate::server::Server;

fn session(server: &Server, database: &str, role: &str) -> Client {
    let mut client = server.client_as(database, role);
    apply_session_settings(&mut client).unwrap();
    client.execute("BEGIN ISOLATION LEVEL REPEATABLE READ").unwrap();
    client
}

fn inventory(server: &Server, database: &str, filters: &Filters) -> Inventory {
    take_inventory(&mut session(server, database, "postgres"), filters).unwrap()
}

/// The lines of `rich.sql` that a server of this version understands.
fn rich_sql(major: u32) -> String {
    let mut wanted = true;
    let mut sql = String::new();
    for line in include_str!("rich.sql").lines() {
        match line.strip_prefix("-- From ") {
            Some(since) => wanted = major >= since.trim_end_matches(" on:").parse().unwrap(),
            None if line == "-- All:" => wanted = true,
            None if wanted => sql.extend([line, "\n"]),
            None => {}
        }
    }
    sql
}

fn rich() -> Server {
    let server = Server::start();
    let mut client = server.client("postgres");
    client.execute("CREATE ROLE alice; CREATE ROLE bob; CREATE ROLE reader LOGIN").unwrap();
    server.create("rich");
    server.psql("rich", &rich_sql(client.server_major()));
    server
}

/// Dumps `from` with `flags` and restores it into the new database `to`.
fn restore(server: &Server, from: &str, to: &str, flags: &[String]) {
    server.create(to);
    let dump = server.program("pg_dump", from).args(flags).output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let text = String::from_utf8(dump.stdout).unwrap();
    // From 17 on, pg_dump writes this for older servers too, which refuse it.
    server.psql(to, &text.replace("\nSET transaction_timeout = 0;\n", "\n"));
}

fn differences(expected: &Inventory, found: &Inventory) -> Vec<String> {
    expected.differences(found).iter().map(ToString::to_string).collect()
}

const EXPRESSIONS: &str = "SELECT string_agg(pg_get_constraintdef(oid), ';' ORDER BY conname) FROM pg_constraint \
     WHERE contype = 'c' AND conrelid <> 0";

#[test]
fn a_restored_copy_has_the_same_inventory_and_the_same_again() {
    let server = rich();
    let source = inventory(&server, "rich", &Filters::default());
    let classes = source.counts();
    assert!(classes.len() >= 45, "a class is missing: {:?}", classes.keys());
    let mut from = "rich";
    for to in ["copy", "copy_of_copy"] {
        restore(&server, from, to, &[]);
        assert_eq!(differences(&source, &inventory(&server, to, &Filters::default())), Vec::<String>::new());
        from = to;
    }
    let text =
        |database| server.client(database).query_one(EXPRESSIONS, &[]).unwrap().text(0).unwrap().to_owned();
    assert_ne!(
        text("rich"),
        text("copy"),
        "PostgreSQL words some expressions in another way after a restore"
    );
}

#[test]
fn a_filtered_copy_has_the_inventory_of_the_filter() {
    let server = rich();
    server.psql("rich", "DROP VIEW ledger.joins; DROP TABLE ledger.child; CREATE SCHEMA own; CREATE SEQUENCE own.s; CREATE TABLE own.a (i serial); \
        CREATE TABLE own.b (i int GENERATED ALWAYS AS IDENTITY, x int); CREATE INDEX ON own.b (x); \
        CREATE MATERIALIZED VIEW own.m AS SELECT i FROM own.a; COMMENT ON TABLE own.b IS 'b'; COMMENT ON INDEX own.b_x_idx IS 'x'; \
        CREATE FUNCTION own.f() RETURNS trigger LANGUAGE plpgsql AS 'begin end'; \
        CREATE TRIGGER t BEFORE INSERT ON own.b FOR EACH ROW EXECUTE FUNCTION own.f(); COMMENT ON TRIGGER t ON own.b IS 't'; \
        COMMENT ON FUNCTION own.f() IS 'f'; SELECT nextval('own.s');");
    let own = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let cases = [
        (own(&["own"]), own(&[]), own(&[])),
        (own(&["own"]), own(&["own.b"]), own(&[])),
        (own(&["own"]), own(&["own.a_i_seq", "own.m"]), own(&["own.s"])),
        (own(&["own"]), own(&[]), own(&["own.*"])),
        (own(&[]), own(&["own.b", "\"My \"\"Schema\"\"\".*"]), own(&["ledger.totals", "ledger.number"])),
    ];
    for (number, (schemas, exclude_tables, exclude_table_data)) in cases.into_iter().enumerate() {
        let mut flags = Vec::new();
        flags.extend(schemas.iter().map(|pattern| format!("--schema={pattern}")));
        flags.extend(exclude_tables.iter().map(|pattern| format!("--exclude-table={pattern}")));
        flags.extend(exclude_table_data.iter().map(|pattern| format!("--exclude-table-data={pattern}")));
        let copy = format!("copy_{number}");
        restore(&server, "rich", &copy, &flags);
        let filters = Filters { schemas, exclude_tables, exclude_table_data };
        let expected = inventory(&server, "rich", &filters);
        let found = inventory(&server, &copy, &filters);
        assert_eq!(differences(&expected, &found), Vec::<String>::new(), "{filters}");
        assert!(!expected.items().is_empty());
    }
}

#[test]
fn a_role_that_may_only_read_takes_the_same_inventory() {
    let server = rich();
    let mut client = server.client("rich");
    let grants = "ALTER ROLE reader BYPASSRLS; GRANT USAGE ON SCHEMA public TO reader; \
         DO $$ DECLARE x record; BEGIN \
           FOR x IN SELECT oid::regnamespace s FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP \
             EXECUTE format('GRANT USAGE ON SCHEMA %1$s TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA %1$s TO reader; \
               GRANT SELECT ON ALL SEQUENCES IN SCHEMA %1$s TO reader', x.s); END LOOP; \
           FOR x IN SELECT oid FROM pg_largeobject_metadata LOOP \
             EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO reader', x.oid); END LOOP; END $$";
    client.execute(grants).unwrap();
    let all = inventory(&server, "rich", &Filters::default());
    let seen = take_inventory(&mut session(&server, "rich", "reader"), &Filters::default()).unwrap();
    // pg_dump leaves these out too, if the role is not a superuser.
    assert_eq!(differences(&all, &seen), ["subscription sub is missing"]);
}

#[test]
fn every_change_is_one_difference() {
    let server = rich();
    let mut client = session(&server, "rich", "postgres");
    let major = client.server_major();
    let before = take_inventory(&mut client, &Filters::default()).unwrap();
    let mut wrong = Vec::new();
    for (since, sql, expected) in MUTATIONS.iter().filter(|(since, ..)| major >= *since) {
        client.execute("SAVEPOINT change").unwrap();
        let found = match client.execute(sql) {
            Ok(()) => differences(&before, &take_inventory(&mut client, &Filters::default()).unwrap()),
            Err(error) => vec![error.to_string()],
        };
        client.execute("ROLLBACK TO SAVEPOINT change").unwrap();
        if found != *expected {
            wrong.push(format!("{sql} (from {since}):\n  expected {expected:?}\n  found {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What no rollback undoes.
    client.execute("SELECT nextval('ledger.number')").unwrap();
    let after = take_inventory(&mut client, &Filters::default()).unwrap();
    assert_eq!(differences(&before, &after), ["sequence value ledger.number has another definition"]);
    let item = sequence_value("ledger.entry_id_seq", 61, true);
    assert!(after.items().contains(&item), "the value is the one that setval in a dump says");
    let locks = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation >= 16384";
    client.execute("COMMIT; BEGIN").unwrap();
    take_inventory(&mut client, &Filters::default()).unwrap();
    assert_eq!(client.query_one(locks, &[]).unwrap().get(0), Some("0"), "locks are released");
}

/// Sequences go on under a snapshot, so what a dump holds is not what the inventory saw.
#[test]
fn a_sequence_that_counts_meanwhile_is_compared_with_the_dump() {
    let server = Server::start();
    server.create("d");
    let create = "CREATE SCHEMA \"S.\"\"x\"; CREATE SEQUENCE \"S.\"\"x\".\"Zähler\"; CREATE SEQUENCE plain; CREATE SEQUENCE still";
    server.client("d").execute(create).unwrap();
    let mut snapshot = Snapshot::take(&server.options("d"), &SnapshotOptions::default()).unwrap();
    let seen = take_inventory(snapshot.client(), &Filters::default()).unwrap();
    let count = "SELECT nextval('plain'), nextval('plain'), nextval('\"S.\"\"x\".\"Zähler\"')";
    server.client("d").execute(count).unwrap();
    let arguments = ["-Fc", "--snapshot", snapshot.id()];
    let dump = server.program("pg_dump", "d").args(arguments).output().unwrap();
    snapshot.close().unwrap();
    assert!(dump.status.success());
    let mut walker = Walker::new(());
    walker.feed(&dump.stdout).unwrap();
    let (toc, ()) = walker.finish().unwrap();
    let expected = with_dumped_sequence_values(&seen, &toc);
    let changed = ["\"S.\"\"x\".\"Zähler\"", "public.plain"];
    assert_eq!(
        differences(&seen, &expected),
        changed.map(|name| format!("sequence value {name} has another definition"))
    );
    assert!(expected.items().contains(&sequence_value("public.plain", 2, true)));
    assert_eq!(differences(&expected, &inventory(&server, "d", &Filters::default())), Vec::<String>::new());
}

#[test]
fn large_objects_count_by_contents_whoever_reads_them() {
    let server = Server::start();
    server.create("d");
    let mut client = server.client("d");
    client.execute("CREATE ROLE reader LOGIN; CREATE ROLE other").unwrap();
    let empty = read_large_objects(&mut client).unwrap();
    assert_eq!((empty.count, empty.bytes, empty.contents, empty.privileges), (0, 0, 0, 0));
    let create = "SELECT lo_from_bytea(oid, decode(repeat(md5(oid::text), 1 + oid % 300), 'hex')) \
          FROM generate_series(20001, 20250) oid; \
        SELECT lo_create(30000); SELECT lo_put(20007, 100000, 'behind a gap'); \
        SELECT lo_put(20008, 65535, 'x'), lo_put(20009, 65536, 'x'); \
        DO $$ BEGIN FOR i IN 20001..20250 LOOP EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO reader', i); END LOOP; END $$; \
        GRANT SELECT ON LARGE OBJECT 30000 TO PUBLIC";
    client.execute(create).unwrap();
    let all = read_large_objects(&mut client).unwrap();
    assert_eq!(all.count, 251);
    let bytes = "SELECT sum(length(lo_get(oid))) FROM pg_largeobject_metadata";
    assert_eq!(client.query_one(bytes, &[]).unwrap().number::<u64>(0).unwrap(), all.bytes);
    // A superuser reads the table below, others one object after the other.
    let mut reader = server.client_as("d", "reader");
    apply_session_settings(&mut reader).unwrap();
    assert_eq!(read_large_objects(&mut reader).unwrap(), all);
    // A gap that was filled with zeros, as a restore does, is no difference.
    client.execute("SELECT lo_put(20007, 50000, decode(repeat('00', 5000), 'hex'))").unwrap();
    assert_eq!(read_large_objects(&mut client).unwrap(), all);
    for change in [
        "SELECT lo_put(20100, 3, 'y')",
        "SELECT lo_put(20007, 50000, 'y')",
        "SELECT lo_unlink(20001)",
        "SELECT lo_create(40000)",
        "ALTER LARGE OBJECT 30000 OWNER TO other",
        "REVOKE SELECT ON LARGE OBJECT 20002 FROM reader",
    ] {
        client.execute(&format!("BEGIN; {change}")).unwrap();
        assert_ne!(read_large_objects(&mut client).unwrap().item(), all.item(), "{change}");
        client.execute("ROLLBACK").unwrap();
    }
}
