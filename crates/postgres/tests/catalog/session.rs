//! COPY text does not depend on settings of roles and databases.

use chronavault_postgres::{Client, RowSink, apply_session_settings, give_child_settings};

use crate::server::{Server, copy_out};

const VALUES: &str = "CREATE TABLE v (d date, ts timestamp, tz timestamptz, i interval, f4 float4, f8 float8, b bytea, \
     m money, r regclass, a int[], t timetz, n numeric); \
     INSERT INTO v VALUES ('2026-02-03', '2026-02-03 04:05:06.789', '2026-02-03 04:05:06+09', '1 year 2 days -3:04:05', \
     0.1::float4, 1e-7::float8 / 3, '\\x00ff61', 1234.5::numeric, 'v', '{1,NULL}', '04:05+02', 'NaN'), \
     ('infinity', '-infinity', '0001-01-01 00:00:00+00 BC', '-1 mon', 'NaN', '-Infinity', '', NULL, 'pg_class', \
     '{}', NULL, 1.10)";

/// What `ALTER ROLE … IN DATABASE` can do to whoever reads.
const HOSTILE: &[&str] = &[
    "DateStyle = 'SQL, DMY'",
    "IntervalStyle = 'iso_8601'",
    "TimeZone = 'Asia/Kolkata'",
    "extra_float_digits = -4",
    "bytea_output = 'escape'",
    "quote_all_identifiers = on",
    "search_path = public",
    "array_nulls = off",
    "row_security = on",
    "client_encoding = 'LATIN1'",
    "default_transaction_read_only = on",
    "default_transaction_isolation = 'serializable'",
    "standard_conforming_strings = off",
    "lock_timeout = 1",
    "idle_in_transaction_session_timeout = 1",
    "synchronize_seqscans = on",
    "statement_timeout = 1",
];

fn text(client: &mut Client) -> Vec<String> {
    copy_out(client, "COPY public.v TO STDOUT")
}

#[test]
fn copy_text_does_not_depend_on_who_reads() {
    let server = Server::start();
    server.create("hostile");
    server.client("hostile").execute(VALUES).unwrap();
    let mut client = server.client("hostile");
    let before = text(&mut client);
    apply_session_settings(&mut client).unwrap();
    let expected = text(&mut client);

    for setting in HOSTILE {
        server
            .client("postgres")
            .execute(&format!("ALTER ROLE postgres IN DATABASE hostile SET {setting}"))
            .unwrap();
    }
    let mut client = server.client("hostile");
    apply_session_settings(&mut client).unwrap();
    assert_eq!(text(&mut client), expected);
    assert_ne!(before, expected, "the fixed settings make a difference even here");
    assert!(
        expected[0].starts_with("2026-02-03\t2026-02-03 04:05:06.789\t2026-02-02 19:05:06+00\t"),
        "{expected:?}"
    );
    // pg_dump itself leaves some of these as they are.
    let mut dump = server.program("pg_dump", "hostile");
    give_child_settings(&mut dump, []);
    let dump = dump.output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    assert!(String::from_utf8(dump.stdout).unwrap().contains(&expected.concat()));
    let read_only = client.query_one("SELECT current_setting('transaction_read_only')", &[]).unwrap();
    assert_eq!(read_only.get(0), Some("off"));
}

#[test]
fn the_session_speaks_the_encoding_of_the_database() {
    let server = Server::start();
    for encoding in ["LATIN1", "SQL_ASCII", "UTF8"] {
        let create =
            format!("CREATE DATABASE e_{encoding} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
        server.client("postgres").execute(&create).unwrap();
        let mut client = server.client(&format!("e_{}", encoding.to_lowercase()));
        apply_session_settings(&mut client).unwrap();
        let row = client.query_one("SELECT current_setting('client_encoding')", &[]).unwrap();
        assert_eq!(row.get(0), Some(encoding));
    }
}

#[test]
fn rows_that_are_hidden_are_an_error() {
    let server = Server::start();
    server.create("d");
    let sql = "CREATE ROLE reader LOGIN; CREATE TABLE secret (i int); INSERT INTO secret VALUES (1); \
         GRANT SELECT ON secret TO reader; ALTER TABLE secret ENABLE ROW LEVEL SECURITY;";
    server.client("d").execute(sql).unwrap();
    let mut client = server.client_as("d", "reader");
    assert_eq!(copy_out(&mut client, "COPY public.secret TO STDOUT"), Vec::<String>::new());
    apply_session_settings(&mut client).unwrap();
    let error = client.copy_out("COPY public.secret TO STDOUT", &mut Nothing).unwrap_err();
    assert!(format!("{error:?}").contains("42501"), "{error:?}");
}

struct Nothing;

impl RowSink for Nothing {
    type Error = std::convert::Infallible;
    fn row(&mut self, _: &[u8]) -> Result<(), Self::Error> {
        Ok(())
    }
    fn row_part(&mut self, _: &[u8], _: bool) -> Result<(), Self::Error> {
        Ok(())
    }
}
