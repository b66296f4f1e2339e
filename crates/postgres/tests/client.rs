//! The client against a real server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::convert::Infallible;

use chronavault_postgres::{Client, CopyError, ErrorKind, RowSink, TransactionStatus};
use testkit::Cluster;

/// Keeps everything, and how it came.
#[derive(Default)]
struct Collected {
    rows: Vec<Vec<u8>>,
    part: Vec<u8>,
    parts: usize,
}

impl RowSink for Collected {
    type Error = Infallible;

    fn row(&mut self, row: &[u8]) -> Result<(), Infallible> {
        assert!(self.part.is_empty(), "a row in the middle of another one");
        self.rows.push(row.to_vec());
        Ok(())
    }

    fn row_part(&mut self, part: &[u8], last: bool) -> Result<(), Infallible> {
        assert!(!part.is_empty());
        self.part.extend_from_slice(part);
        self.parts += 1;
        if last {
            self.rows.push(std::mem::take(&mut self.part));
        }
        Ok(())
    }
}

fn count(client: &mut Client, table: &str) -> u64 {
    client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).unwrap().number(0).unwrap()
}

#[test]
fn queries_in_both_protocols() {
    let cluster = Cluster::start();
    let mut client = cluster.client("postgres");
    assert!(client.server_major() >= 13);
    assert_eq!(client.parameter("server_encoding"), Some("UTF8"));
    assert!(client.backend_pid() > 0);

    client.execute("CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'one'), (2, NULL)").unwrap();
    let rows = client.query("SELECT a, b, b IS NULL FROM t ORDER BY a", &[]).unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (rows[0].number::<u32>(0).unwrap(), rows[0].get(1), rows[0].is_true(2)),
        (1, Some("one"), false)
    );
    assert_eq!((rows[1].text(0).unwrap(), rows[1].get(1), rows[1].is_true(2)), ("2", None, true));
    assert!(rows[1].text(1).is_err());
    assert!(rows[0].number::<u32>(1).is_err());

    let row = client
        .query_one("SELECT $1::text, $2::int + 1, $3::text IS NULL", &[Some("a'b\\ü\n"), Some("41"), None])
        .unwrap();
    assert_eq!((row.get(0), row.get(1), row.is_true(2), row.len()), (Some("a'b\\ü\n"), Some("42"), true, 3));
    assert!(client.query("SELECT 1 WHERE false", &[]).unwrap().is_empty());
    assert!(client.query_one("SELECT 1 WHERE false", &[]).is_err());
    assert!(client.query("", &[]).unwrap().is_empty());
}

#[test]
fn an_error_leaves_the_session_usable() {
    let cluster = Cluster::start();
    let mut client = cluster.client("postgres");
    let error = client.execute("SELECT 1; SELECT no_such_column; SELECT 2").unwrap_err();
    assert_eq!(error.code(), Some("42703"));
    assert_eq!(error.kind(), ErrorKind::Server);
    let error = client.query("SELECT $1::int", &[Some("many")]).unwrap_err();
    let server = error.server().unwrap();
    assert_eq!((server.severity.as_str(), server.code.as_str()), ("ERROR", "22P02"));
    assert_eq!(error.to_string(), "ERROR: invalid input syntax for type integer: \"many\" (22P02)");
    // Statements that cannot be sent never reach the server.
    assert_eq!(client.execute("SELECT 'a\0b'").unwrap_err().kind(), ErrorKind::Protocol);
    assert_eq!(client.query("SELECT 'a\0b'", &[]).unwrap_err().kind(), ErrorKind::Protocol);

    client.execute("BEGIN").unwrap();
    assert_eq!(client.transaction_status(), TransactionStatus::InTransaction);
    client.query("SELECT 1/0", &[]).unwrap_err();
    assert_eq!(client.transaction_status(), TransactionStatus::Failed);
    client.execute("ROLLBACK").unwrap();
    assert_eq!(client.transaction_status(), TransactionStatus::Idle);
}

#[test]
fn copy_in_and_out_bring_the_same_bytes() {
    let cluster = Cluster::start();
    let mut client = cluster.client("postgres");
    client.execute("CREATE TABLE t (a int, b text)").unwrap();
    let mut copy = client.copy_in("COPY t FROM STDIN").unwrap();
    let mut expected = Vec::new();
    for i in 0..50_000 {
        let row = format!("{i}\trow \\\\ {}\\n\n", "x".repeat(i % 100));
        // Pieces need not be whole rows.
        let (first, second) = row.as_bytes().split_at(i % row.len());
        copy.send(first).unwrap();
        copy.send(second).unwrap();
        expected.push(row.into_bytes());
    }
    assert_eq!(copy.finish().unwrap(), 50_000);
    let mut collected = Collected::default();
    assert_eq!(
        client.copy_out("COPY (SELECT * FROM t ORDER BY a) TO STDOUT", &mut collected).unwrap(),
        50_000
    );
    for (row, wanted) in collected.rows.iter().zip(&expected) {
        assert_eq!(String::from_utf8_lossy(row), String::from_utf8_lossy(wanted));
    }
    assert_eq!((collected.rows.len(), collected.parts), (expected.len(), 0));
    assert_eq!(client.copy_out("COPY (SELECT 1 WHERE false) TO STDOUT", &mut collected).unwrap(), 0);
    assert_eq!(count(&mut client, "t"), 50_000);
}

#[test]
fn a_row_larger_than_the_buffer_comes_in_parts() {
    const SIZE: usize = 100_000_000;
    let cluster = Cluster::start();
    let mut client = cluster.client("postgres");
    client.execute("CREATE TABLE t (a text)").unwrap();
    let mut row = vec![b'x'; SIZE];
    row[SIZE / 2] = b'y';
    row.push(b'\n');
    let mut copy = client.copy_in("COPY t FROM STDIN").unwrap();
    copy.send(b"small\n").unwrap();
    copy.send(&row).unwrap();
    copy.send(b"small\n").unwrap();
    assert_eq!(copy.finish().unwrap(), 3);
    let mut collected = Collected::default();
    assert_eq!(client.copy_out("COPY t TO STDOUT", &mut collected).unwrap(), 3);
    assert!(collected.parts > 90, "{} parts", collected.parts);
    assert!(collected.rows == [b"small\n".to_vec(), row, b"small\n".to_vec()], "rows differ");
    assert_eq!(count(&mut client, "t"), 3);
}

#[test]
fn copy_refuses_what_is_no_copy() {
    let cluster = Cluster::start();
    let mut client = cluster.client("postgres");
    client.execute("CREATE TABLE t (a int)").unwrap();
    let result = client.copy_out("COPY nothing TO STDOUT", &mut Collected::default());
    assert!(matches!(result, Err(CopyError::Postgres(error)) if error.code() == Some("42P01")));
    let error = client.copy_in("COPY nothing FROM STDIN").unwrap_err();
    assert_eq!(error.code(), Some("42P01"));
    assert_eq!(count(&mut client, "t"), 0);
    assert!(client.copy_out("SELECT 1", &mut Collected::default()).is_err());
    assert!(client.execute("SELECT 1").is_err(), "the session is in the middle of something");
}
