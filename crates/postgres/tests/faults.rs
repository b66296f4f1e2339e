//! What the client says when a real server fails, ends or talks back in the middle of something.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::time::{Duration, Instant};

use chronavault_postgres::{Client, ClientEnvironment, ConnectOptions, CopyError, Error, ErrorKind, RowSink};
use testkit::Cluster;

/// Calls a function on every row.
struct Each<F>(F);

impl<E, F: FnMut(&[u8]) -> Result<(), E>> RowSink for Each<F> {
    type Error = E;

    fn row(&mut self, row: &[u8]) -> Result<(), E> {
        (self.0)(row)
    }

    fn row_part(&mut self, part: &[u8], _last: bool) -> Result<(), E> {
        (self.0)(part)
    }
}

fn connect(text: &str) -> Result<Client, Error> {
    Client::connect(&ConnectOptions::parse(text, &ClientEnvironment::empty()).unwrap())
}

/// The settings of `cluster` as a keyword string without host.
fn on(cluster: &Cluster) -> String {
    format!("user=postgres dbname=postgres port={} passfile=/nonexistent", cluster.sandbox().port())
}

fn sockets(cluster: &Cluster) -> String {
    cluster.sandbox().socket_directory().to_str().unwrap().to_owned()
}

fn count(client: &mut Client, table: &str) -> u64 {
    client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).unwrap().number(0).unwrap()
}

const MANY_ROWS: &str = "COPY (SELECT i, repeat('x', 100) FROM generate_series(1, 20000000) i) TO STDOUT";

#[test]
fn an_error_in_the_middle_of_copy_in_is_that_error() {
    let cluster = Cluster::start();
    let mut client = cluster.client("postgres");
    client.execute("CREATE TABLE t (a int CHECK (a <> 13))").unwrap();
    for (bad, code) in [("thirteen\n", "22P02"), ("13\n", "23514"), ("1\t2\n", "22P04")] {
        let mut copy = client.copy_in("COPY t FROM STDIN").unwrap();
        let mut result = copy.send(b"1\n2\n").and_then(|()| copy.send(bad.as_bytes()));
        // Much more than any buffer holds: the error shows while we send.
        let rows = b"4\n".repeat(100_000);
        for _ in 0..500 {
            result = result.and_then(|()| copy.send(&rows));
        }
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Server, Some(code)));
        assert!(error.server().unwrap().context.as_ref().unwrap().contains("COPY t, line 3"), "{error:?}");
        assert!(copy.send(b"5\n").is_err());
        assert!(copy.finish().is_err());
        assert_eq!(count(&mut client, "t"), 0);

        // With little behind it, it shows at the end.
        let mut copy = client.copy_in("COPY t FROM STDIN").unwrap();
        copy.send(bad.as_bytes()).unwrap();
        assert_eq!(copy.finish().unwrap_err().code(), Some(code));
        assert_eq!(count(&mut client, "t"), 0);
    }
}

#[test]
fn a_copy_in_that_is_given_up_leaves_no_rows() {
    let cluster = Cluster::start();
    let mut client = cluster.client("postgres");
    client.execute("CREATE TABLE t (a int)").unwrap();
    let mut copy = client.copy_in("COPY t FROM STDIN").unwrap();
    copy.send(&b"1\n".repeat(1_000_000)).unwrap();
    drop(copy);
    assert_eq!(count(&mut client, "t"), 0);
    let mut copy = client.copy_in("COPY t FROM STDIN").unwrap();
    copy.send(b"1\n").unwrap();
    copy.abort("no more rows").unwrap();
    assert_eq!(count(&mut client, "t"), 0);
    assert!(cluster.sandbox().log_tail().contains("no more rows"));
}

#[test]
fn a_server_that_talks_while_we_send_does_not_block_us() {
    let cluster = Cluster::start();
    let mut client = cluster.client("postgres");
    client
        .execute(
            "CREATE TABLE t (a int);
             CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE NOTICE '%', repeat('x', 10000); RETURN new; END $$;
             CREATE TRIGGER shout BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION shout();",
        )
        .unwrap();
    // 200 MB of notices: neither the sockets nor our buffer hold them.
    let mut copy = client.copy_in("COPY t FROM STDIN").unwrap();
    let rows = b"1\n".repeat(20_000);
    copy.send(&rows).unwrap();
    assert_eq!(copy.finish().unwrap(), 20_000);
    let notices = client.take_notices();
    assert_eq!(notices.len(), 100);
    assert!(notices.iter().all(|notice| notice.severity == "NOTICE" && notice.message.len() == 10_000));
}

#[test]
fn a_session_that_is_ended_in_the_middle_is_a_lost_connection() {
    let cluster = Cluster::start();
    let mut other = cluster.client("postgres");
    let mut terminate = |pid: i32| {
        let pid = pid.to_string();
        assert!(other.query_one("SELECT pg_terminate_backend($1)", &[Some(&pid)]).unwrap().is_true(0));
    };

    let mut client = cluster.client("postgres");
    let pid = client.backend_pid();
    let mut seen = 0_u64;
    let mut sink = Each(|_: &[u8]| {
        if seen == 0 {
            terminate(pid);
        }
        seen += 1;
        Ok::<(), std::fmt::Error>(())
    });
    let result = client.copy_out(MANY_ROWS, &mut sink);
    let Err(CopyError::Postgres(error)) = result else { panic!("{result:?}") };
    assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
    // A backend that is ended while it waits for us to read goes without a word (`ProcessClientWriteInterrupt`).
    assert!(matches!(error.code(), None | Some("57P01")), "{error}");
    assert!(seen < 20_000_000);
    assert!(client.execute("SELECT 1").is_err());

    let mut client = cluster.client("postgres");
    client.execute("CREATE TABLE t (a int)").unwrap();
    let pid = client.backend_pid();
    let mut copy = client.copy_in("COPY t FROM STDIN").unwrap();
    copy.send(b"1\n").unwrap();
    terminate(pid);
    let rows = b"1\n".repeat(1_000_000);
    let error = (0..1000).try_for_each(|_| copy.send(&rows)).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::ConnectionLost, Some("57P01")), "{error}");
    drop(copy);

    let mut client = cluster.client("postgres");
    terminate(client.backend_pid());
    let error = client.query("SELECT 1", &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
}

/// The processes of a server notice on their own that their postmaster is gone. Until the last one has ended, no other server starts.
fn await_the_end_of_all_in(directory: &std::path::Path) {
    let is_in = |process: std::fs::DirEntry| {
        std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == directory)
    };
    while std::fs::read_dir("/proc").unwrap().flatten().any(is_in) {
        std::thread::yield_now();
    }
}

#[test]
fn a_server_that_dies_is_a_lost_connection_and_comes_back() {
    let mut cluster = Cluster::start();
    let mut client = cluster.client("postgres");
    client.execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1); CHECKPOINT").unwrap();
    let pid = rustix::process::Pid::from_raw(client.backend_pid()).unwrap();
    let mut first = true;
    let mut sink = Each(|_: &[u8]| {
        if std::mem::take(&mut first) {
            // As when the machine runs out of memory: no message, just the end of the stream.
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
        Ok::<(), std::fmt::Error>(())
    });
    let Err(CopyError::Postgres(error)) = client.copy_out(MANY_ROWS, &mut sink) else { panic!() };
    assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
    // The postmaster ends after that (restart_after_crash is off), or is ended here.
    let _ = cluster.sandbox_mut().kill();
    let error = Client::connect(&cluster.options("postgres")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    await_the_end_of_all_in(&cluster.sandbox().data_directory());
    cluster.sandbox_mut().start_again().unwrap();
    let mut client = cluster.client("postgres");
    assert_eq!(count(&mut client, "t"), 1);
    drop(client);
    cluster.sandbox_mut().stop().unwrap();
    assert!(cluster.sandbox_mut().stop().is_err());
    cluster.sandbox_mut().start_again().unwrap();
    assert_eq!(count(&mut cluster.client("postgres"), "t"), 1);
}

#[test]
fn an_error_of_the_server_in_the_middle_of_copy_out_is_no_end() {
    let cluster = Cluster::start();
    let mut client = cluster.client("postgres");
    let mut rows = 0;
    let mut sink = Each(|_: &[u8]| {
        rows += 1;
        Ok::<(), std::fmt::Error>(())
    });
    let sql = "COPY (SELECT 1 / (5000 - i) FROM generate_series(1, 10000) i) TO STDOUT";
    let Err(CopyError::Postgres(error)) = client.copy_out(sql, &mut sink) else { panic!() };
    assert_eq!(error.code(), Some("22012"));
    assert_eq!(rows, 4999);
    client.execute("SELECT 1").unwrap();
}

#[test]
fn an_error_of_the_sink_ends_the_session() {
    let cluster = Cluster::start();
    let mut client = cluster.client("postgres");
    let result = client.copy_out(MANY_ROWS, &mut Each(|_: &[u8]| Err("the disk is full")));
    assert!(matches!(result, Err(CopyError::Sink("the disk is full"))));
    assert_eq!(client.execute("SELECT 1").unwrap_err().kind(), ErrorKind::Protocol);
}

#[test]
fn another_thread_can_cancel() {
    let cluster = Cluster::start();
    let mut client = cluster.client("postgres");
    let canceller = client.canceller();
    let pid = client.backend_pid().to_string();
    let waiting = std::thread::spawn(move || {
        let error = client.execute("SELECT pg_sleep(1000)").unwrap_err();
        client.execute("SELECT 1").unwrap();
        error
    });
    let mut other = cluster.client("postgres");
    let sleeps = "SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = $1::int AND wait_event = 'PgSleep'";
    let deadline = Instant::now() + Duration::from_mins(1);
    while !other.query_one(sleeps, &[Some(&pid)]).unwrap().is_true(0) {
        assert!(Instant::now() < deadline);
    }
    canceller.cancel().unwrap();
    let error = waiting.join().unwrap();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Cancelled, Some("57014")));
}

#[test]
fn what_keeps_one_from_connecting() {
    let cluster = Cluster::with(|options| {
        options.tcp = true;
        options.access = vec!["host all all 127.0.0.1/32 trust".to_owned()];
    });
    let on = on(&cluster);
    let kind = |text: &str| connect(text).unwrap_err().kind();
    let sockets = sockets(&cluster);
    assert_eq!(kind(&format!("{on} host={sockets} dbname=missing")), ErrorKind::NoSuchDatabase);
    assert_eq!(kind(&format!("{on} host=127.0.0.1 dbname=missing")), ErrorKind::NoSuchDatabase);
    assert_eq!(kind(&format!("{on} host=/nonexistent")), ErrorKind::Unreachable);
    assert_eq!(kind(&format!("{on} host=no-such-host.invalid")), ErrorKind::Unreachable);
    assert_eq!(kind(&format!("{on} host={sockets} user=nobody_there")), ErrorKind::Authentication);
    cluster.client("postgres").execute("CREATE ROLE few LOGIN CONNECTION LIMIT 0").unwrap();
    assert_eq!(kind(&format!("{on} host={sockets} user=few")), ErrorKind::TooManyConnections);

    // A port on which nobody listens, and one on which nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let started = Instant::now();
    let error = connect(&format!("{on} port={port} host=127.0.0.1 connect_timeout=2")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.to_string(), format!("127.0.0.1:{port} did not complete the connection within 2 s"));
    assert!(started.elapsed() >= Duration::from_secs(2));
    drop(silent);
    let error = connect(&format!("{on} port={port} host=127.0.0.1")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!(error.to_string(), format!("127.0.0.1:{port} cannot be reached"));
}

#[test]
fn hosts_are_tried_in_turn() {
    let cluster = Cluster::start();
    let on = on(&cluster);
    let sockets = sockets(&cluster);
    let client = connect(&format!("{on} host=/nonexistent,{sockets}")).unwrap();
    // Further sessions and children go to the one that answered.
    assert_eq!(client.options().describe(), cluster.options("postgres").describe());
    let error = connect(&format!("{on} host=/nonexistent,/also/nonexistent")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let text = error.to_string();
    assert!(text.starts_with("none of 2 hosts could be used: /nonexistent/.s.PGSQL."), "{text}");
    assert!(text.contains("; /also/nonexistent/.s.PGSQL."), "{text}");
    assert!(text.ends_with("cannot be reached (No such file or directory (os error 2))"), "{text}");
    // One that answers and refuses ends the search.
    let error = connect(&format!("{on} dbname=missing host={sockets},{sockets}")).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
}

#[test]
fn session_attributes() {
    let cluster = Cluster::start();
    let on = format!("{} host={}", on(&cluster), sockets(&cluster));
    for fits in ["any", "read-write", "primary", "prefer-standby"] {
        connect(&format!("{on} target_session_attrs={fits}")).unwrap();
    }
    for does_not in ["read-only", "standby"] {
        let error = connect(&format!("{on} target_session_attrs={does_not}")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotReady, "{error}");
    }
    let read_only = format!("{on} options='-c default_transaction_read_only=on'");
    connect(&format!("{read_only} target_session_attrs=read-only")).unwrap();
    assert!(connect(&format!("{read_only} target_session_attrs=read-write")).is_err());
}

#[test]
fn children_connect_as_we_do() {
    let cluster = Cluster::start();
    for name in ["a=b", "with space", "quo'te\\", "host=elsewhere"] {
        cluster.create_database(name);
        assert_eq!(cluster.psql(name, "SELECT current_database()"), format!("{name}\n"));
        let mut client = connect(&cluster.url(name)).unwrap();
        assert_eq!(client.query_one("SELECT current_database()", &[]).unwrap().get(0), Some(name));
    }
}
