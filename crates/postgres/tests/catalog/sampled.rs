//! Statements of somebody else's: one at a time, and only the beginning of what they return.

use chronavault_postgres::{Sample, SampleLimits};

use crate::server::Server;

const LIMITS: SampleLimits = SampleLimits { rows: 3, value_bytes: 8 };

fn row(values: &[Option<&str>]) -> Vec<Option<String>> {
    values.iter().map(|value| value.map(str::to_owned)).collect()
}

#[test]
fn only_the_beginning_is_read_and_kept() {
    let server = Server::start();
    let mut client = server.client("postgres");
    let sample = client.query_sample("SELECT 1 AS one, NULL AS \"n o\"", LIMITS).unwrap().unwrap();
    let columns = vec!["one".to_owned(), "n o".to_owned()];
    assert_eq!(sample, Sample { columns, rows: vec![row(&[Some("1"), None])], more: false });
    assert_eq!(client.query_sample("SELECT WHERE false", LIMITS).unwrap().unwrap(), Sample::default());

    let rows = |count: u32| format!("SELECT generate_series(1, {count})");
    client.execute("BEGIN READ ONLY").unwrap();
    let three = client.query_sample(&rows(3), LIMITS).unwrap().unwrap();
    assert_eq!((three.rows.len(), three.more), (3, false));
    // Rows that nobody reads are not made either: all of these would take minutes.
    let many = client.query_sample(&rows(2_000_000_000), LIMITS).unwrap().unwrap();
    assert_eq!((many.rows.len(), many.more), (3, true));
    client.execute("ROLLBACK").unwrap();

    let long =
        client.query_sample("SELECT repeat('ü', 1000), 'shortest', E'1234567ü'", LIMITS).unwrap().unwrap();
    assert_eq!(long.rows, [row(&[Some("üüüü…"), Some("shortest"), Some("1234567…")])]);
    let error = client.query_sample("SELECT repeat('x', 70000000)", LIMITS).unwrap_err().to_string();
    assert!(error.contains("impossible length"), "{error}");
    assert!(client.execute("SELECT 1").is_err(), "what is left of the row is never taken for an answer");
}

#[test]
fn what_is_no_single_query_is_not_run() {
    let server = Server::start();
    let mut client = server.client("postgres");
    client.execute("CREATE TABLE t (id int)").unwrap();
    client.execute("BEGIN READ ONLY").unwrap();
    for sql in [
        "COMMIT",
        "DELETE FROM t",
        "DO 'begin end'",
        "SET search_path = x",
        "COPY t TO STDOUT",
        "",
        "-- nothing",
    ] {
        assert_eq!(client.query_sample(sql, LIMITS).unwrap(), None, "{sql}");
    }
    let error = client.query_sample("SELECT 1; SELECT 2", LIMITS).unwrap_err();
    assert!(error.to_string().contains("multiple commands"), "{error}");
    client.execute("ROLLBACK; BEGIN READ ONLY").unwrap();
    let error = client.query_sample("INSERT INTO t VALUES (1) RETURNING id", LIMITS).unwrap_err();
    assert_eq!(error.code(), Some("25006"), "{error}");
    // The session goes on.
    client.execute("ROLLBACK").unwrap();
    assert_eq!(client.query_sample("SHOW search_path", LIMITS).unwrap().unwrap().rows.len(), 1);
}
