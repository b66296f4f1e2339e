//! Everything that would stop a restore is found before anything is written, and all of it at once. Each finding is provoked once.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use std::path::Path;

use chronavault_operations as operations;
use model::{BackupId, RecoveryTarget, TargetTimeline};
use operations::postgres::{ConnectOptions, Severity, Tools};
use operations::{
    ClusterBackupRequest, ClusterRestoreRequest, Method, PreflightFinding, RecoveryCommands, RestoreRequest,
    StartFrom, TargetAction, preflight_restore, preflight_restore_cluster,
};
use scene::Scene;
use testkit::cluster::server_tools;
use testkit::{Cluster, Installation};

const BOOKS: &str = "
    CREATE ROLE keeper; CREATE TABLE entry (id int PRIMARY KEY, memo text);
    ALTER TABLE entry OWNER TO keeper; INSERT INTO entry SELECT n, 'memo' FROM generate_series(1, 100) n;
    CREATE FUNCTION quiet() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
    CREATE EVENT TRIGGER quiet ON ddl_command_end EXECUTE FUNCTION quiet();
    SET allow_in_place_tablespaces = on;";

fn request(target: ConnectOptions) -> RestoreRequest {
    RestoreRequest {
        target,
        create: true,
        clean: false,
        create_roles: false,
        tables: Vec::new(),
        jobs: 2,
        checks: None,
        suffix: None,
    }
}

fn look(scene: &Scene, id: &BackupId, request: &RestoreRequest) -> Vec<PreflightFinding> {
    Scene::context(|context| preflight_restore(&scene.repository, id, request, context)).unwrap()
}

/// What is worse than a note: `ERROR roles.missing roles`.
fn findings(found: &[PreflightFinding]) -> Vec<String> {
    let line = |finding: &PreflightFinding| {
        assert!(!finding.remedy.is_empty(), "{finding:?} says nothing about what to do");
        let severity = if finding.severity == Severity::Error { "ERROR" } else { "warning" };
        format!("{severity} {} {}", finding.code, finding.object)
    };
    found.iter().filter(|finding| finding.severity > Severity::Note).map(line).collect()
}

fn message<'a>(found: &'a [PreflightFinding], code: &str) -> &'a str {
    &found
        .iter()
        .find(|finding| finding.code == code)
        .unwrap_or_else(|| panic!("no {code}: {found:?}"))
        .message
}

/// A source of its own, with the installation that it needs as long as it runs, so that roles and tablespaces of the target are not those of the source.
fn source(sql: &str) -> (Scene, BackupId, Installation) {
    let installation =
        Installation::with_extension_files(server_tools().directory(), &sample::extension::FILES).unwrap();
    let tools = Tools::at(installation.bin()).unwrap();
    let scene = Scene::with(Cluster::with_tools(&tools, |_| ()));
    scene.database("books", sql);
    let id = scene.backup("books").manifest.id;
    (scene, id, installation)
}

#[test]
fn nothing_stands_in_the_way_of_a_restore_that_works() {
    let (scene, id, _installation) = source(BOOKS);
    let request = request(scene.cluster.options("again"));
    let found = look(&scene, &id, &request);
    assert_eq!(findings(&found), [""; 0], "{found:?}");
    assert!(message(&found, "tools.found").contains("/bin"), "{found:?}");
    assert!(message(&found, "disk.space").contains("are free there"), "{found:?}");
    // What it finds in order can be done.
    scene.restore(&id, "again");
}

#[test]
fn everything_that_a_server_lacks_is_said_at_once() {
    let (source, id, _installation) = source(&format!(
        "{BOOKS} CREATE EXTENSION ledger_tax; CREATE TABLESPACE fast LOCATION ''; CREATE INDEX memos ON entry (memo) TABLESPACE fast"
    ));
    let target = Cluster::start();
    target.psql(
        "postgres",
        "CREATE ROLE clerk LOGIN; UPDATE pg_database SET datcollversion = '0.9' WHERE datname = 'template0'",
    );
    let superuser = RestoreRequest { jobs: 500, ..request(target.options("books")) };
    let found = look(&source, &id, &superuser);
    assert_eq!(
        findings(&found),
        [
            "ERROR server.connections server",
            "ERROR roles.missing roles",
            "ERROR extension.missing extension ledger_tax",
            "warning collation.version database template0",
            "warning tablespace.missing tablespace fast",
        ],
        "{found:?}"
    );
    assert_eq!(message(&found, "roles.missing"), "the target server has no role \"keeper\"");
    assert!(message(&found, "collation.version").contains("version 0.9"), "{found:?}");

    // Who may do little gets to know all of it, too.
    let clerk = target.sandbox().options_as("clerk", "books").unwrap();
    let found = look(&source, &id, &RestoreRequest { create_roles: true, ..request(clerk.clone()) });
    let privileges: Vec<_> =
        found.iter().filter(|it| it.code == "server.privileges").map(|it| it.message.as_str()).collect();
    assert_eq!(privileges.len(), 4, "{found:?}");
    for (message, says) in privileges.iter().zip([
        "it may not make databases",
        "it may not make roles",
        "it may not give objects to \"postgres\"",
        "it is no superuser, and the backup has what only one can make: EVENT TRIGGER",
    ]) {
        assert!(message.contains(says), "{says}: {message}");
    }
    assert!(message(&found, "disk.unknown").contains("cannot be seen"), "{found:?}");
    // What it says would fail does.
    let failed = source.try_restore(&id, "x", |wanted| wanted.target = clerk);
    assert!(failed.is_err());
    let roles =
        look(&source, &id, &RestoreRequest { create_roles: true, ..request(target.options("books")) });
    assert!(message(&roles, "roles.made").contains("keeper"), "{roles:?}");
}

#[test]
fn the_place_of_the_database_is_looked_at() {
    let scene = Scene::with(Cluster::with(|options| {
        for (name, value) in [
            ("wal_level", "logical"),
            ("max_prepared_transactions", "2"),
            ("max_replication_slots", "2"),
            ("max_wal_senders", "2"),
        ] {
            options.settings.push((name.into(), value.into()));
        }
    }));
    scene.database("books", "CREATE TABLE entry (id int PRIMARY KEY)");
    let id = scene.backup("books").manifest.id;
    let of = |database: &str, change: fn(&mut RestoreRequest)| {
        let mut wanted = request(scene.cluster.options(database));
        change(&mut wanted);
        look(&scene, &id, &wanted)
    };
    assert_eq!(findings(&of("books", |_| ())), ["ERROR target.exists database books"]);
    let fill = |wanted: &mut RestoreRequest| wanted.create = false;
    assert_eq!(findings(&of("nowhere", fill)), ["ERROR target.missing database nowhere"]);
    let found = of("books", fill);
    assert_eq!(findings(&found), ["ERROR target.not_empty database books"]);
    assert!(message(&found, "target.not_empty").contains("table public.entry"), "{found:?}");
    scene.cluster.psql("postgres", "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1'");
    assert_eq!(findings(&of("latin", fill)), ["warning target.encoding database latin"]);
    assert_eq!(
        findings(&of("books", |wanted| (wanted.create, wanted.tables) = (false, vec!["entry".to_owned()]))),
        ["ERROR table.exists entry"]
    );
    assert_eq!(
        findings(&of("new", |wanted| wanted.tables = vec!["nothing".to_owned()])),
        ["ERROR table.missing nothing"]
    );

    // What would keep it from being replaced.
    // The slot first: making it waits for every transaction that goes on.
    scene.cluster.psql("books", "SELECT pg_create_logical_replication_slot('feed', 'pgoutput')");
    scene.cluster.psql("books", "BEGIN; INSERT INTO entry VALUES (1); PREPARE TRANSACTION 'half done'");
    let till = scene.cluster.options("books").with_application_name("till");
    let _till = operations::postgres::Client::connect(&till).unwrap();
    let clean = |wanted: &mut RestoreRequest| (wanted.create, wanted.clean) = (false, true);
    let found = of("books", clean);
    assert_eq!(
        findings(&found),
        [
            "ERROR target.prepared database books",
            "warning target.in_use database books",
            "warning target.slots database books",
        ]
    );
    let in_use = message(&found, "target.in_use");
    assert_eq!(in_use, "it is in use by 1 sessions, which will be ended: 1 of \"till\" as \"postgres\"");
    assert!(message(&found, "target.prepared").contains("half done"));
    assert!(
        message(&found, "server.wal").starts_with("WAL is archived or kept"),
        "a slot keeps it: {found:?}"
    );
}

#[test]
fn a_standby_takes_no_restore() {
    let scene = Scene::with(Cluster::replicating(|_| ()));
    scene.database("books", "CREATE TABLE entry (id int)");
    let id = scene.backup("books").manifest.id;
    let directory = tempfile::tempdir().unwrap();
    let standby = scene.cluster.standby(directory.path(), |_| ());
    let found = look(&scene, &id, &request(standby.options("again")));
    assert_eq!(findings(&found), ["ERROR server.standby server"], "{found:?}");
}

fn cluster_request(data_dir: &Path) -> ClusterRestoreRequest {
    ClusterRestoreRequest {
        from: StartFrom::Newest { source: None },
        data_dir: data_dir.to_owned(),
        target: RecoveryTarget::Latest,
        exclusive: false,
        timeline: TargetTimeline::Latest,
        action: TargetAction::Promote,
        delta: false,
        tablespaces: Vec::new(),
        jobs: 2,
        commands: RecoveryCommands { fetch: "exit 1".to_owned(), end: "true".to_owned() },
    }
}

#[test]
fn the_place_of_a_data_directory_is_looked_at() {
    let scene = Scene::with(Cluster::replicating(|_| ()));
    let backup = ClusterBackupRequest {
        source: scene.cluster.options("postgres"),
        source_name: "cluster".to_owned(),
        method: Method::BaseBackup,
        fast_checkpoint: true,
        jobs: 2,
        compression: Some(1),
        size_limit: None,
    };
    Scene::context(|context| operations::backup_cluster(&scene.repository, &backup, context)).unwrap();
    let look = |request: &ClusterRestoreRequest| {
        Scene::context(|context| preflight_restore_cluster(&scene.repository, request, context)).unwrap()
    };
    let place = scene.directory.path().join("clusters");
    std::fs::create_dir(&place).unwrap();
    let fresh = place.join("fresh");
    let found = look(&cluster_request(&fresh));
    // The tests may run as any user; only root's files are of no use to a server.
    let is_root = rustix::process::geteuid().is_root();
    let owner = format!("warning directory.owner {}", fresh.display());
    assert_eq!(findings(&found), if is_root { vec![owner] } else { vec![] }, "{found:?}");
    assert!(message(&found, "disk.space").contains("the backup has"), "{found:?}");
    assert!(!fresh.exists(), "nothing is made");
    if let Some((user, group)) = scene.cluster.owner() {
        std::os::unix::fs::chown(&place, Some(user), Some(group)).unwrap();
    }
    assert_eq!(findings(&look(&cluster_request(&fresh))), [""; 0]);

    let used = place.join("used");
    std::fs::create_dir(&used).unwrap();
    std::fs::write(used.join("notes.txt"), "somebody's").unwrap();
    let mut request = cluster_request(&used);
    request.target = RecoveryTarget::Lsn("FFFF/0".parse().unwrap());
    request.from = StartFrom::Backup(scene.repository.ids().unwrap().remove(0));
    let found = look(&request);
    let errors: Vec<_> = found.iter().filter(|it| it.severity == Severity::Error).map(|it| it.code).collect();
    assert_eq!(errors, ["recovery.unreachable", "directory.not_empty"], "{found:?}");

    std::fs::write(used.join("postmaster.pid"), format!("{}\n", std::process::id())).unwrap();
    assert!(message(&look(&cluster_request(&used)), "directory.in_use").contains("a server runs on"));
    let mut request = cluster_request(&fresh);
    request.tablespaces = vec![("/no/such".to_owned(), place.join("x"))];
    assert!(message(&look(&request), "directory.tablespace").contains("/no/such"));
}
