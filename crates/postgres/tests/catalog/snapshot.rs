//! Snapshots of databases in which others work.

use std::time::{Duration, Instant};

use chronavault_postgres::{Client, Snapshot, SnapshotError, SnapshotOptions};

use crate::server::{Server, copy_out};

/// How long a test waits for what must happen before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

fn patient() -> SnapshotOptions {
    SnapshotOptions { lock_timeout: PATIENCE, ..SnapshotOptions::default() }
}

/// Waits until `count` sessions wait for a lock on `table`.
fn await_waiters(observer: &mut Client, table: &str, count: u32) {
    let sql = "SELECT count(*) FROM pg_locks WHERE relation = $1::regclass AND NOT granted";
    let deadline = Instant::now() + PATIENCE;
    while observer.query_one(sql, &[Some(table)]).unwrap().number::<u32>(0).unwrap() < count {
        assert!(Instant::now() < deadline, "nobody waits for {table}");
    }
}

fn rows(snapshot: &Snapshot, server: &Server, table: &str) -> Vec<String> {
    let found = snapshot.tables().iter().find(|t| t.name.name == table).expect("the table is listed");
    let mut reader = snapshot.join(&server.options("d"), [found]).unwrap();
    copy_out(&mut reader, &found.copy_out_sql(None))
}

fn server_with(sql: &str) -> Server {
    let server = Server::start();
    server.create("d");
    server.client("d").execute(sql).unwrap();
    server
}

/// What replaces the storage of table `a`, so that a snapshot from before sees nothing in it.
const REWRITES: &[&str] = &[
    "TRUNCATE a; INSERT INTO a VALUES (2, 'new')",
    "ALTER TABLE a ALTER t TYPE varchar(20) USING t || '!'",
    "ALTER TABLE a SET UNLOGGED",
];

/// P10. The reason for locking first: `pg_dump`, which takes its snapshot first, leaves out the rows and says nothing.
#[test]
fn a_truncate_in_flight_does_not_empty_the_backup() {
    let server = server_with("");
    for rewrite in REWRITES {
        let (mut writer, mut observer) = (server.client("d"), server.client("d"));
        let create = "DROP TABLE IF EXISTS a; CREATE TABLE a (i int PRIMARY KEY, t text); INSERT INTO a VALUES (1, 'old')";
        writer.execute(create).unwrap();
        let in_flight = |writer: &mut Client| writer.execute(&format!("BEGIN; {rewrite}")).unwrap();

        in_flight(&mut writer);
        let dump = server
            .program("pg_dump", "d")
            .args(["-a", "-t", "a"])
            .stdout(std::process::Stdio::piped())
            .spawn();
        await_waiters(&mut observer, "a", 1);
        writer.execute("COMMIT").unwrap();
        let dump = dump.unwrap().wait_with_output().unwrap();
        let text = String::from_utf8(dump.stdout).unwrap();
        assert!(dump.status.success(), "pg_dump reports no problem with {rewrite}");
        assert!(text.contains("FROM stdin;\n\\.\n"), "pg_dump writes no row after {rewrite}: {text}");
        let kept = copy_out(&mut observer, "COPY a TO STDOUT");
        assert_eq!(kept.len(), 1);

        // All of these can be done a second time to the same effect.
        in_flight(&mut writer);
        std::thread::scope(|scope| {
            let taking = scope.spawn(|| Snapshot::take(&server.options("d"), &patient()).unwrap());
            await_waiters(&mut observer, "a", 1);
            writer.execute("COMMIT").unwrap();
            let snapshot = taking.join().unwrap();
            assert_eq!(rows(&snapshot, &server, "a").len(), 1, "after {rewrite}");
            assert_eq!(rows(&snapshot, &server, "a"), copy_out(&mut observer, "COPY a TO STDOUT"));
            snapshot.close().unwrap();
        });
    }
}

/// A command that cannot be in a transaction waits for a reader; our lock queues up behind it.
#[test]
fn vacuum_full_and_cluster_in_flight_lose_no_rows() {
    let server = server_with(
        "CREATE TABLE a (i int PRIMARY KEY); INSERT INTO a VALUES (1), (2); DELETE FROM a WHERE i = 1",
    );
    for command in ["VACUUM FULL a", "CLUSTER a USING a_pkey", "REINDEX TABLE a"] {
        let (mut reader, mut observer) = (server.client("d"), server.client("d"));
        reader.execute("BEGIN; LOCK TABLE a IN ROW EXCLUSIVE MODE").unwrap();
        std::thread::scope(|scope| {
            let rewriting = scope.spawn(|| server.client("d").execute(command).unwrap());
            await_waiters(&mut observer, "a", 1);
            let taking = scope.spawn(|| Snapshot::take(&server.options("d"), &patient()).unwrap());
            if command != "REINDEX TABLE a" {
                await_waiters(&mut observer, "a", 2);
            }
            reader.execute("COMMIT").unwrap();
            rewriting.join().unwrap();
            assert_eq!(rows(&taking.join().unwrap(), &server, "a"), ["2\n"]);
        });
    }
}

#[test]
fn tables_that_come_and_go_meanwhile_are_taken_as_they_are() {
    let server = server_with(
        "CREATE TABLE a (i int); CREATE TABLE gone (i int); CREATE TABLE old_name (i int); CREATE TABLE swapped (i int)",
    );
    let (mut writer, mut observer) = (server.client("d"), server.client("d"));
    let changes = "BEGIN; LOCK TABLE a; DROP TABLE gone; ALTER TABLE old_name RENAME TO new_name; \
         CREATE TABLE next (i int); INSERT INTO next VALUES (8); DROP TABLE swapped; ALTER TABLE next RENAME TO swapped";
    writer.execute(changes).unwrap();
    std::thread::scope(|scope| {
        let taking = scope.spawn(|| Snapshot::take(&server.options("d"), &patient()).unwrap());
        await_waiters(&mut observer, "a", 1);
        // The list of tables was made before; this one is not in it.
        observer.execute("CREATE TABLE born (i int); INSERT INTO born VALUES (7)").unwrap();
        writer.execute("COMMIT").unwrap();
        let snapshot = taking.join().unwrap();
        let names: Vec<_> = snapshot.tables().iter().map(|t| t.name.name.as_str()).collect();
        assert_eq!(names, ["a", "born", "new_name", "swapped"]);
        assert_eq!(rows(&snapshot, &server, "born"), ["7\n"]);
        assert_eq!(rows(&snapshot, &server, "swapped"), ["8\n"]);
        snapshot.close().unwrap();
    });
}

#[test]
fn a_table_that_cannot_be_locked_is_named_with_who_holds_it() {
    let server = server_with("CREATE TABLE a (i int); CREATE TABLE b (i int)");
    let mut holder = server.client("d");
    holder.execute("SET application_name = 'migration'; BEGIN; LOCK TABLE b").unwrap();
    let options =
        SnapshotOptions { lock_timeout: Duration::from_millis(1), attempts: 3, ..SnapshotOptions::default() };
    let error = Snapshot::take(&server.options("d"), &options).unwrap_err();
    let SnapshotError::Locked { blockers, attempts: 3 } = &error else { panic!("{error}") };
    assert_eq!(blockers[0].table.to_string(), "public.b");
    assert_eq!(blockers[0].pid, holder.backend_pid());
    let expected = format!(
        "could not lock all tables in 3 attempts: public.b is held by process {} of postgres (migration)",
        holder.backend_pid()
    );
    assert_eq!(error.to_string(), expected);
    holder.execute("ROLLBACK; BEGIN; DROP TABLE b; PREPARE TRANSACTION 'p'").unwrap();
    let error = Snapshot::take(&server.options("d"), &options).unwrap_err();
    assert!(error.to_string().ends_with("public.b is held by a prepared transaction"), "{error}");
}

#[test]
fn a_joined_session_that_queues_behind_a_waiter_gives_up() {
    let server = server_with("CREATE TABLE a (i int)");
    let options = SnapshotOptions { lock_timeout: Duration::from_millis(50), ..SnapshotOptions::default() };
    let snapshot = Snapshot::take(&server.options("d"), &options).unwrap();
    let early = snapshot.join(&server.options("d"), snapshot.tables());
    let mut observer = server.client("d");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| server.client("d").execute("ALTER TABLE a ADD j int").unwrap());
        await_waiters(&mut observer, "a", 1);
        let error = snapshot.join(&server.options("d"), snapshot.tables()).unwrap_err();
        assert!(matches!(&error, SnapshotError::Locked { blockers, .. } if !blockers[0].granted), "{error}");
        // Who has locked it before reads on.
        assert_eq!(copy_out(&mut early.unwrap(), &snapshot.tables()[0].copy_out_sql(None)).len(), 0);
        snapshot.close().unwrap();
        waiting.join().unwrap();
    });
}

#[test]
fn all_sessions_see_the_same_and_the_loss_of_the_first_is_noticed() {
    let server = server_with("CREATE TABLE a (i int); INSERT INTO a VALUES (1)");
    let mut snapshot = Snapshot::take(&server.options("d"), &SnapshotOptions::default()).unwrap();
    let mut writer = server.client("d");
    writer.execute("INSERT INTO a VALUES (2)").unwrap();
    assert_eq!(rows(&snapshot, &server, "a"), ["1\n"]);
    let table = snapshot.tables()[0].clone();
    let mut reader = snapshot.join(&server.options("d"), [&table]).unwrap();
    snapshot.check().unwrap();
    let pid = snapshot.client().backend_pid();
    writer.query("SELECT pg_terminate_backend($1::int)", &[Some(&pid.to_string())]).unwrap();
    // Whether it has gone by now or only knows that it must: it does not answer any more.
    // Nothing tells the reader, which only has a lock of its own.
    assert_eq!(copy_out(&mut reader, &table.copy_out_sql(None)), ["1\n"]);
    assert!(snapshot.close().is_err());
}

#[test]
fn what_cannot_be_read_is_named_before_anything_is_locked() {
    let server = server_with(
        "CREATE ROLE reader LOGIN; CREATE TABLE a (i int); CREATE TABLE b (i int); CREATE TABLE c (i int); \
         GRANT SELECT ON a, c TO reader; ALTER TABLE c ENABLE ROW LEVEL SECURITY",
    );
    let reader = server.options_as("d", "reader");
    let error = Snapshot::take(&reader, &SnapshotOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "the role may not read public.b");
    server.client("d").execute("GRANT SELECT ON b TO reader").unwrap();
    let error = Snapshot::take(&reader, &SnapshotOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "row-level security would hide rows of public.c");
    server.client("d").execute("ALTER ROLE reader BYPASSRLS").unwrap();
    let snapshot = Snapshot::take(&reader, &SnapshotOptions::default()).unwrap();
    assert_eq!(snapshot.tables().len(), 3);
}

#[test]
fn a_server_without_room_for_the_locks_names_the_setting() {
    let settings = [
        ("max_locks_per_transaction", "10"),
        ("max_connections", "10"),
        ("max_worker_processes", "1"),
        ("max_wal_senders", "0"),
    ];
    let server = Server::with(&settings);
    server.create("d");
    let create =
        "DO $$ BEGIN FOR i IN 1..100 LOOP EXECUTE format('CREATE TABLE t%s (i int)', i); END LOOP; END $$";
    server.client("d").execute(create).unwrap();
    // Locks of an application's own take the same room.
    let mut greedy = server.client("d");
    let fill = "DO $$ BEGIN FOR i IN 1..100000 LOOP PERFORM pg_advisory_lock(i); END LOOP; \
         EXCEPTION WHEN out_of_memory THEN NULL; END $$";
    greedy.execute(fill).unwrap();
    greedy.execute("SELECT pg_advisory_unlock(i) FROM generate_series(1, 50) i").unwrap();
    let error = Snapshot::take(&server.options("d"), &SnapshotOptions::default()).unwrap_err();
    let SnapshotError::LockCapacity { tables: 100, setting, .. } = error else { panic!("{error}") };
    assert!((20..1000).contains(&setting), "{setting}");
}
