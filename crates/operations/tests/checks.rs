//! Checks against real databases: what holds passes, and what was broken is found, and nothing else is.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chronavault_operations as operations;
use model::{Check, CheckSeverity};
use operations::postgres::{Client, ConnectOptions};
use operations::{BUILT_IN_CHECKS, CheckReport, CheckRequest, Context, Error, Event, Observer, run_checks};
use sample::LedgerOptions;
use scene::Scene;
use testkit::Cluster;

fn check(name: &str, query: &str, expect: &str) -> Check {
    Check {
        name: name.to_owned(),
        query: query.to_owned(),
        expectation: expect.parse().unwrap(),
        severity: CheckSeverity::Critical,
        sources: Vec::new(),
        limit: Duration::from_mins(1),
    }
}

/// The rules of the ledger as somebody would write them into settings.
fn rules() -> Vec<Check> {
    let rule = |rule: &sample::Rule| Check {
        severity: rule.severity.parse().unwrap(),
        ..check(rule.name, rule.query, rule.expect)
    };
    sample::RULES.iter().map(rule).collect()
}

fn run(database: &ConnectOptions, request: CheckRequest<'_>) -> CheckReport {
    Scene::context(|context| run_checks(database, request, context)).unwrap()
}

fn failed(report: &CheckReport) -> Vec<&str> {
    report.results.iter().filter(|result| !result.passed).map(|result| result.name.as_str()).collect()
}

/// What breaks one thing in a ledger, behind the back of its triggers and keys, and which checks then must not hold.
const BREAKS: &[(&str, &[&str])] = &[
    (
        "UPDATE public.journal_lines SET credit = credit + 1 WHERE id = 2",
        &["debits equal credits", "the trial balance is zero"],
    ),
    (
        "DELETE FROM public.journal_lines WHERE entry_id = (SELECT min(id) FROM public.journal_entries WHERE status = 'posted')",
        &["posted entries have two lines or more"],
    ),
    (
        "ALTER TABLE public.journal_lines DROP CONSTRAINT one_side_only;
         UPDATE public.journal_lines SET debit = debit + 5, credit = credit + 5 WHERE id = 2",
        &["a line is on one side"],
    ),
    ("DELETE FROM public.journal_lines; DELETE FROM public.journal_entries", &["the books are in use"]),
    (
        "UPDATE public.fiscal_periods SET during = '[2022-01-01,2022-01-02)' WHERE id = 50",
        &["periods of a company are apart"],
    ),
    (
        "UPDATE public.accounts SET parent_id = 501 WHERE id = (SELECT parent_id FROM public.accounts WHERE id = 501)",
        &["accounts form no circle"],
    ),
    (
        "SELECT lo_unlink(scan) FROM public.documents WHERE scan IS NOT NULL ORDER BY id LIMIT 1",
        &["every scan is stored"],
    ),
    ("UPDATE public.documents SET content = NULL WHERE id = 1", &["documents have content"]),
    ("UPDATE public.users SET company_id = 999 WHERE id = 7", &["foreign keys"]),
    ("SELECT setval('public.users_id_seq', 399)", &["sequences"]),
    (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'public.drafts'::regclass",
        &["invalid indexes"],
    ),
];

#[test]
fn each_rule_of_the_ledger_holds_and_is_missed_when_it_is_broken() {
    let cluster =
        Cluster::with(|options| options.settings.push(("allow_system_table_mods".into(), "on".into())));
    cluster.create_database("ledger");
    sample::load(&mut cluster.client("ledger"), &LedgerOptions::small(1), &mut |_| ()).unwrap();
    let rules = rules();
    let report = run(&cluster.options("ledger"), CheckRequest::all(&rules));
    // The ledger has constraints that are not valid, on purpose.
    assert_eq!(failed(&report), ["constraints not valid"], "{report:?}");
    assert_eq!(report.results.len(), BUILT_IN_CHECKS.len() + rules.len());
    assert!(report.problems().is_empty());

    let mut broken = vec!["constraints not valid"];
    for (sql, names) in BREAKS {
        cluster.psql("postgres", "CREATE DATABASE broken TEMPLATE ledger");
        cluster.psql("broken", &format!("SET session_replication_role = replica; {sql}"));
        let report = run(&cluster.options("broken"), CheckRequest::all(&rules));
        let mut expected = names.to_vec();
        expected.push("constraints not valid");
        let mut found = failed(&report);
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "{sql}: {report:?}");
        for result in report.results.iter().filter(|result| !result.passed) {
            assert!(!result.rows.is_empty() && result.rows.len() <= 10, "{result:?}");
            assert!(result.rows.iter().all(|row| row.len() == result.columns.len()), "{result:?}");
        }
        broken.extend(*names);
        cluster.psql("postgres", "DROP DATABASE broken");
    }
    // Every check was broken once.
    let all = report.results.iter().map(|result| result.name.as_str());
    for name in all {
        assert!(broken.contains(&name), "{name} was never broken");
    }
}

#[test]
fn a_check_reads_as_the_database_would_and_writes_nothing() {
    let scene = Scene::new();
    scene.database(
        "books",
        "CREATE SCHEMA ours; CREATE TABLE ours.t AS SELECT n FROM generate_series(1, 30) n;
         ALTER DATABASE books SET search_path = ours; CREATE SEQUENCE ours.s;",
    );
    let checks = [
        check("by its search_path", "SELECT count(*) FROM t", "30"),
        check("many rows", "SELECT n, repeat('x', 1000) AS long FROM t ORDER BY n", "no rows"),
        check("writes", "INSERT INTO t VALUES (31) RETURNING n", "rows"),
        check(
            "writes after all",
            "WITH w AS (DELETE FROM t RETURNING n) SELECT set_config('transaction_read_only', 'off', true), n FROM w",
            "no rows",
        ),
        check("takes a value", "SELECT nextval('ours.s')", ">= 1"),
        check("two statements", "SELECT 1; DROP TABLE ours.t", "rows"),
        check("ends the transaction", "COMMIT", "no rows"),
        check("no query", "TRUNCATE t", "no rows"),
        check("misspelt", "SELEC 1", "rows"),
        check("ends its session", "SELECT pg_terminate_backend(pg_backend_pid())", "true"),
        check("changes the session", "SELECT set_config('search_path', 'nowhere', false)", "rows"),
        check("no names the second time", "SELECT count(*) > 0 FROM t", "true"),
        Check { limit: Duration::from_millis(200), ..check("for ever", "SELECT pg_sleep(3600)", "rows") },
    ];
    let database = scene.cluster.options("books");
    let request = CheckRequest { built_in: false, ..CheckRequest::all(&checks) };
    let report = run(&database, request);
    let said = |name: &str| &report.results.iter().find(|result| result.name == name).unwrap().message;
    let passed: Vec<_> = report.results.iter().filter(|it| it.passed).map(|it| it.name.as_str()).collect();
    assert_eq!(
        passed,
        ["by its search_path", "changes the session", "no names the second time"],
        "{report:?}"
    );
    assert_eq!(said("many rows"), "10 rows or more where none were expected");
    let many = &report.results[1];
    assert_eq!((many.rows.len(), many.more_rows, many.columns.join(",")), (10, true, "n,long".to_owned()));
    assert!(many.rows[0][1].as_ref().unwrap().len() < 210);
    assert!(said("writes").contains("read-only transaction (25006)"), "{}", said("writes"));
    assert!(said("takes a value").contains("read-only"), "{}", said("takes a value"));
    assert!(said("two statements").contains("multiple commands"), "{}", said("two statements"));
    assert_eq!(said("ends the transaction"), "the statement returns no rows, so it is no query");
    assert_eq!(said("no query"), "the statement returns no rows, so it is no query");
    assert!(said("misspelt").contains("syntax error") && said("misspelt").contains("42601"));
    assert!(said("for ever").starts_with("the query took longer than"));
    assert_eq!(
        scene.cluster.psql("books", "SELECT count(*), (SELECT is_called FROM s) FROM t").trim(),
        "30|f"
    );
}

#[test]
fn rows_that_are_hidden_from_the_role_do_not_count_as_absent() {
    let scene = Scene::new();
    scene.database(
        "books",
        "CREATE TABLE t (id int, owner text); INSERT INTO t VALUES (1, 'somebody');
         ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON t USING (owner = current_user);
         CREATE ROLE clerk LOGIN; GRANT SELECT ON t TO clerk;",
    );
    let checks = [check("nothing", "SELECT * FROM t", "no rows")];
    let database = scene.cluster.sandbox().options_as("clerk", "books").unwrap();
    let report = run(&database, CheckRequest { built_in: false, ..CheckRequest::all(&checks) });
    assert!(report.results[0].message.contains("row-level security"), "{report:?}");
    // Neither does a built-in check that cannot look.
    scene.cluster.psql("books", "CREATE TABLE hidden (id serial)");
    let report = run(&database, CheckRequest::all(&[]));
    assert!(failed(&report).contains(&"sequences"), "{report:?}");
    assert!(report.results[1].message.starts_with("it could not be run: permission denied"), "{report:?}");
}

/// Says stop as soon as the server runs the query that is waited for.
struct Stop<'a> {
    watcher: std::sync::Mutex<Client>,
    is_running: AtomicBool,
    query: &'a str,
}

impl Observer for Stop<'_> {
    fn event(&self, _: Event) {}

    fn cancelled(&self) -> bool {
        let sql = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query = $1";
        let seen = !self.watcher.lock().unwrap().query(sql, &[Some(self.query)]).unwrap().is_empty();
        self.is_running.fetch_or(seen, Ordering::Relaxed) || seen
    }
}

#[test]
fn a_query_that_runs_is_stopped_with_the_operation() {
    let scene = Scene::new();
    let query = "SELECT pg_sleep(3600)";
    let watcher = std::sync::Mutex::new(scene.cluster.client("postgres"));
    let stop = Stop { watcher, is_running: AtomicBool::new(false), query };
    let checks = [check("for ever", query, "rows")];
    let database = scene.cluster.options("postgres");
    let result = Scene::context(|context| {
        let context = Context {
            observer: &stop,
            tool_path: None,
            sandbox_parent: context.sandbox_parent.clone(),
            lease: None,
            ..*context
        };
        run_checks(&database, CheckRequest { built_in: false, ..CheckRequest::all(&checks) }, &context)
    });
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
}

#[test]
fn a_database_that_is_not_there_is_an_error() {
    let scene = Scene::new();
    let request = CheckRequest { built_in: false, ..CheckRequest::all(&[]) };
    let result = Scene::context(|context| run_checks(&scene.cluster.options("nowhere"), request, context));
    assert!(matches!(result, Err(Error::Server(_))), "{result:?}");
}
