//! What is found before a backup begins.

use chronavault_postgres::{
    Locale, LocaleProvider, Severity, apply_session_settings, extensions, preflight, refused_locale,
};
use model::Filters;

use crate::server::Server;

fn findings(server: &Server, role: &str, filters: &Filters) -> Vec<String> {
    let mut client = server.client_as("d", role);
    apply_session_settings(&mut client).unwrap();
    let findings = preflight(&mut client, filters).unwrap();
    assert!(findings.is_sorted_by_key(|finding| std::cmp::Reverse(finding.severity)));
    let word = |severity| match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let start = |text: &str| text.split([':', ';', '1']).next().unwrap_or_default().trim().to_owned();
    findings.iter().map(|f| format!("{} {}: {}", word(f.severity), f.object, start(&f.message))).collect()
}

const SETUP: &str = "CREATE ROLE reader LOGIN; CREATE SCHEMA closed; CREATE TABLE closed.t (i int); CREATE TABLE a (i serial); \
    CREATE TABLE b (i int); GRANT SELECT ON b, closed.t TO reader; ALTER TABLE b ENABLE ROW LEVEL SECURITY; \
    CREATE UNLOGGED TABLE c (i int); GRANT SELECT ON c TO reader; CREATE EXTENSION hstore; \
    CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE f (i int) SERVER s; \
    CREATE USER MAPPING FOR postgres SERVER s OPTIONS (password 'x'); \
    SELECT lo_create(5001), lo_create(5002), lo_create(5003); GRANT SELECT ON LARGE OBJECT 5001 TO reader; \
    CREATE SUBSCRIPTION sub CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false); \
    CREATE TABLE dup (i int); INSERT INTO dup VALUES (1), (1); GRANT SELECT ON dup TO reader";

#[test]
fn what_a_role_may_not_read_is_found_and_the_rest_is_told() {
    let server = Server::start();
    server.create("d");
    let mut client = server.client("d");
    client.execute(SETUP).unwrap();
    assert!(client.execute("CREATE UNIQUE INDEX CONCURRENTLY dup_i ON dup (i)").is_err());
    client.execute("BEGIN; LOCK TABLE b; PREPARE TRANSACTION 'forgotten'").unwrap();
    let expected = [
        "error schema closed: the role may not use this schema",
        "error table public.a: the role may not read it",
        "error sequence public.a_i_seq: the role may not read it",
        "error table public.b: row-level security would hide rows from the role",
        "error large object 5002: 2 large objects may not be read by the role, beginning with this one",
        "warning table public.b: a prepared transaction holds it, so it cannot be read",
        "warning index public.dup_i: it is invalid and is not part of a backup",
        "warning foreign table public.f: its rows are on another server and are not part of a backup",
        "warning subscription sub: only a superuser may read subscriptions",
        "warning user mapping on server s: the role may not see its options",
        "note table public.c: it is unlogged",
        "note extension hstore: version",
    ];
    assert_eq!(findings(&server, "reader", &Filters::default()), expected);
    let all = findings(&server, "postgres", &Filters::default());
    assert_eq!(all, [&expected[5..8], &expected[10..]].concat());
    let public = Filters { schemas: vec!["public".into()], ..Filters::default() };
    let filtered = findings(&server, "reader", &public);
    assert_eq!(filtered, [&expected[1..4], &expected[5..8], &expected[10..11]].concat());
    assert_eq!(extensions(&mut client).unwrap()[0].name, "hstore");
}

#[test]
fn too_many_tables_for_the_server_are_found_before_anything_is_locked() {
    let settings = [
        ("max_locks_per_transaction", "10"),
        ("max_connections", "10"),
        ("max_worker_processes", "1"),
        ("max_wal_senders", "0"),
    ];
    let server = Server::with(&settings);
    server.create("d");
    let create = "DO $$ BEGIN FOR i IN 1..240 LOOP EXECUTE format('CREATE TABLE t%s (i int)', i); \
         IF i % 40 = 0 THEN COMMIT; END IF; END LOOP; END $$";
    server.client("d").execute(create).unwrap();
    let findings = findings(&server, "postgres", &Filters::default());
    let expected =
        "error server: the backup locks 240 tables, sequences and views, but the server promises room for";
    assert_eq!(findings, [expected]);
}

#[test]
fn a_locale_is_tried_and_nothing_is_left_of_it() {
    let server = Server::start();
    let mut client = server.client("postgres");
    let libc = |name: &str| Locale {
        provider: LocaleProvider::Libc,
        collate: name.to_owned(),
        ctype: name.to_owned(),
        name: None,
    };
    assert_eq!(refused_locale(&mut client, &libc("C")).unwrap(), None);
    let refused = refused_locale(&mut client, &libc("xx_XX.UTF-8")).unwrap().unwrap();
    assert!(refused.contains("xx_XX.UTF-8"), "{refused}");
    let icu = Locale { provider: LocaleProvider::Icu, name: Some("en-US".to_owned()), ..libc("C") };
    assert_eq!(refused_locale(&mut client, &icu).unwrap(), None);
    let left = client.query("SELECT 1 FROM pg_collation WHERE collname = 'chronavault_probe'", &[]).unwrap();
    assert!(left.is_empty() && client.execute("CREATE TABLE goes_on ()").is_ok());
}
