//! Tables of a cluster as they were at a moment.

use ::model::{BackupId, RecoveryTarget, TargetTimeline};
use chronavault_operations as operations;
use operations::{ApplyMode, ClusterBackupRequest, Method, PushRequest, StartFrom, TableOrigin};
use testkit::Cluster;

use crate::asking::{contents, counts, request, try_recover};
use crate::scene::{Scene, chain};

fn backup(scene: &Scene) -> BackupId {
    let request = ClusterBackupRequest {
        source: scene.cluster.options("postgres"),
        source_name: "cluster".to_owned(),
        method: Method::Auto,
        fast_checkpoint: true,
        jobs: 2,
        compression: Some(1),
        size_limit: None,
    };
    Scene::context(|context| operations::backup_cluster(&scene.repository, &request, context))
        .unwrap_or_else(|error| panic!("{}", chain(&error)))
        .manifest
        .id
}

/// Archives all segments that are complete.
fn archive(scene: &Scene) {
    scene.cluster.psql("postgres", "SELECT pg_switch_wal()");
    let done = scene.cluster.psql(
        "postgres",
        "SELECT name FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$' AND name < pg_walfile_name(pg_current_wal_lsn()) ORDER BY 1",
    );
    let directory = scene.cluster.sandbox().data_directory().join("pg_wal");
    for name in done.lines() {
        let request =
            PushRequest { path: directory.join(name), system: None, ahead: 0, threads: 1, level: Some(1) };
        Scene::context(|context| operations::push_wal(&scene.repository, &request, context))
            .unwrap_or_else(|error| panic!("{name}: {}", chain(&error)));
    }
}

fn at(
    scene: &Scene,
    moment: &str,
    database: &str,
    tables: &[&str],
    mode: Option<ApplyMode>,
) -> operations::TableRecoveryRequest {
    let target = RecoveryTarget::Time(::model::parse_moment(moment.trim()).unwrap());
    let (from, timeline) = (StartFrom::Newest { source: None }, TargetTimeline::Latest);
    let origin = TableOrigin::Physical { from, target, timeline, database: database.to_owned() };
    request(scene, origin, "shop", tables, mode)
}

const NOW: &str = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";

#[test]
fn the_moment_before_a_bad_update_comes_back() {
    let scene = Scene::with(Cluster::replicating(|_| ()));
    scene.database(
        "shop",
        "CREATE TABLE t (id serial PRIMARY KEY, a text); INSERT INTO t (a) SELECT md5(g::text) FROM generate_series(1, 5000) g;
         CREATE TABLE u (id int PRIMARY KEY, t int REFERENCES t); INSERT INTO u SELECT id, id FROM t WHERE id % 10 = 0;",
    );
    let id = backup(&scene);
    scene.cluster.psql("shop", "INSERT INTO t (a) SELECT 'later' FROM generate_series(1, 300)");
    scene.cluster.psql("shop", "SELECT pg_switch_wal(); UPDATE t SET a = 'last' WHERE id = 5300");
    let before = contents(&scene, "shop", "t");
    let moment = scene.cluster.psql("postgres", NOW);
    scene.cluster.psql("shop", "UPDATE t SET a = 'oops'; DELETE FROM u WHERE id < 100");
    scene.cluster.psql("shop", "SELECT pg_switch_wal(); INSERT INTO t (a) VALUES ('after')");
    archive(&scene);

    let compared = try_recover(&scene, &at(&scene, &moment, "shop", &["t", "u"], None));
    let compared = compared.unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(compared.backup, id);
    assert_eq!(counts(&compared.tables[0]), (0, 1, 5300, 0));
    assert_eq!(counts(&compared.tables[1]), (9, 0, 0, 491));
    let replaced = try_recover(&scene, &at(&scene, &moment, "shop", &["t", "u"], Some(ApplyMode::Replace)));
    replaced.unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(contents(&scene, "shop", "t"), before);

    // A table that is gone: its definition comes from the cluster at that moment.
    scene.cluster.psql("shop", "DROP TABLE t CASCADE");
    let report = try_recover(&scene, &at(&scene, &moment, "shop", &["t"], Some(ApplyMode::InsertMissing)));
    let report = report.unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(report.left_out, []);
    assert_eq!(contents(&scene, "shop", "t"), before);
    let key =
        "SELECT confrelid::regclass FROM pg_constraint WHERE conrelid = 'u'::regclass AND contype = 'f'";
    assert_eq!(scene.cluster.psql("shop", key).trim(), "t");
    // What the target does not reach, and a database that was not there.
    let error = try_recover(&scene, &at(&scene, "2100-01-01T00:00:00Z", "shop", &["t"], None)).unwrap_err();
    assert!(error.to_string().starts_with("no backup can be recovered to"), "{error}");
    let error = try_recover(&scene, &at(&scene, &moment, "books", &["t"], None)).unwrap_err();
    assert_eq!(error.to_string(), "the cluster in the backup has no database books; it has postgres, shop");
    // Without a moment: the backup as it is.
    let origin = TableOrigin::Physical {
        from: StartFrom::Backup(id),
        target: RecoveryTarget::Immediate,
        timeline: TargetTimeline::Latest,
        database: "shop".to_owned(),
    };
    let report = try_recover(&scene, &request(&scene, origin, "shop", &["t"], None)).unwrap();
    assert_eq!(counts(&report.tables[0]), (0, 300, 0, 5000));
    // WAL that is damaged is an error, and not the end of what there is.
    damage_wal(&scene.directory.path().join("isolated/wal"));
    let error = try_recover(&scene, &at(&scene, &moment, "shop", &["t"], None)).unwrap_err();
    assert!(chain(&error).contains("could not be brought to the restored cluster"), "{}", chain(&error));
}

/// Changes one byte of every archived segment.
fn damage_wal(directory: &std::path::Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            damage_wal(&path);
        } else {
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
}
