//! A physical backup starts a server again, whichever way it was read.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use chronavault_operations as operations;
use model::{BackupId, Level, Outcome, RecoveryTarget, TargetTimeline};
use operations::{
    BackupReport, ClusterBackupRequest, ClusterRestoreReport, ClusterRestoreRequest, DirectoryError, Error,
    Method, RecoveryCommands, StartFrom, TargetAction,
};
use scene::{Scene, chain};
use testkit::Cluster;

const BOOKS: &str = "
    CREATE TABLE entry (id bigint PRIMARY KEY, account int NOT NULL, amount numeric, memo text);
    INSERT INTO entry SELECT g, 1 + g % 100, g / 7.0, md5(g::text) FROM generate_series(1, 60000) g;
    CREATE UNLOGGED TABLE scratch (id int); INSERT INTO scratch VALUES (1);
    CREATE INDEX ON entry (account);";
const SUM: &str = "SELECT count(*), sum(hashtext(e::text)) FROM entry e";

fn scene() -> Scene {
    Scene::with(Cluster::replicating(|options| options.data_checksums = true))
}

fn request(scene: &Scene, method: Method) -> ClusterBackupRequest {
    ClusterBackupRequest {
        source: scene.cluster.options("postgres"),
        source_name: "cluster".to_owned(),
        method,
        fast_checkpoint: true,
        jobs: 2,
        compression: Some(1),
        size_limit: None,
    }
}

fn backup(scene: &Scene, method: Method) -> BackupReport {
    Scene::context(|context| {
        operations::backup_cluster(&scene.repository, &request(scene, method), context)
            .unwrap_or_else(|error| panic!("{}", chain(&error)))
    })
}

/// A place for restored clusters that belongs to whom servers run as.
fn place(scene: &Scene) -> PathBuf {
    let place = scene.directory.path().join("clusters");
    if !place.exists() {
        std::fs::create_dir(&place).unwrap();
        if let Some((user, group)) = scene.cluster.owner() {
            chown(&place, Some(user), Some(group)).unwrap();
        }
    }
    place
}

fn restore_request(data_dir: &Path) -> ClusterRestoreRequest {
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
        // There is no archive: what the backup holds must do.
        commands: RecoveryCommands { fetch: "exit 1".to_owned(), end: "true".to_owned() },
    }
}

fn try_restore(
    scene: &Scene,
    id: &BackupId,
    request: &ClusterRestoreRequest,
) -> Result<ClusterRestoreReport, Error> {
    let request = ClusterRestoreRequest { from: StartFrom::Backup(id.clone()), ..request.clone() };
    Scene::context(|context| operations::restore_cluster(&scene.repository, &request, context))
}

fn restore(scene: &Scene, id: &BackupId, request: &ClusterRestoreRequest) -> ClusterRestoreReport {
    try_restore(scene, id, request).unwrap_or_else(|error| panic!("{}", chain(&error)))
}

/// Starts a server on a copy of the restored directory.
fn start(data_dir: &Path) -> Cluster {
    Cluster::replicating(|options| options.template = Some(data_dir.to_owned()))
}

#[test]
fn a_cluster_comes_back_whichever_way_it_was_read() {
    let scene = scene();
    scene.database("books", BOOKS);
    let expected = scene.cluster.psql("books", SUM);
    for (method, name) in [(Method::DataDirectory, "data_directory"), (Method::BaseBackup, "base_backup")] {
        let report = backup(&scene, method);
        let record = report.manifest.physical.clone().unwrap();
        assert_eq!(record.method, name);
        assert_eq!((record.data_checksums, record.bad_page_count), (true, 0));
        let data_dir = place(&scene).join(name);
        let restored = restore(&scene, &report.manifest.id, &restore_request(&data_dir));
        assert_eq!(restored.files, record.files);
        let server = start(&data_dir);
        assert_eq!(server.psql("books", SUM), expected);
        // Unlogged tables are empty, and the server has left recovery for good.
        // Queries are answered before recovery ends, but not those of unlogged tables.
        while server.psql("books", "SELECT pg_is_in_recovery()").trim() == "t" {
            std::thread::yield_now();
        }
        assert_eq!(server.psql("books", "SELECT count(*) FROM scratch").trim(), "0");
        assert_eq!(server.psql("books", "SELECT pg_is_in_recovery()").trim(), "f");
    }
}

#[test]
fn a_second_backup_stores_what_changed_and_a_first_one_needs_no_other() {
    let scene = scene();
    scene.database("books", BOOKS);
    let first = backup(&scene, Method::Auto).manifest;
    scene.cluster.psql("books", "UPDATE entry SET memo = 'x' WHERE id % 400 = 7; CHECKPOINT");
    let expected = scene.cluster.psql("books", SUM);
    let second = backup(&scene, Method::Auto).manifest;
    assert_eq!(second.parent.as_ref(), Some(&first.id));
    assert!(
        second.stored_bytes * 5 < first.stored_bytes,
        "{} of {}",
        second.stored_bytes,
        first.stored_bytes
    );
    // The other source finds the same regions.
    let third = backup(&scene, Method::BaseBackup).manifest;
    assert!(third.stored_bytes * 5 < first.stored_bytes, "{} of {}", third.stored_bytes, first.stored_bytes);
    let data_dir = place(&scene).join("second");
    restore(&scene, &second.id, &restore_request(&data_dir));
    assert_eq!(start(&data_dir).psql("books", SUM), expected);
}

#[test]
fn only_what_differs_is_written_when_files_are_there() {
    let scene = scene();
    scene.database("books", BOOKS);
    let id = backup(&scene, Method::Auto).manifest.id;
    let data_dir = place(&scene).join("delta");
    let mut request = restore_request(&data_dir);
    restore(&scene, &id, &request);
    let pages = largest_file(&data_dir);
    let inode = std::fs::metadata(&pages).unwrap().ino();
    let mut bytes = std::fs::read(&pages).unwrap();
    let original = bytes.clone();
    bytes[100_000] ^= 0xff;
    bytes.extend_from_slice(&[1; 8192]);
    std::fs::write(&pages, &bytes).unwrap();
    std::fs::write(data_dir.join("base/stranger"), "x").unwrap();
    std::fs::remove_file(data_dir.join("PG_VERSION")).unwrap();

    let refused = try_restore(&scene, &id, &request);
    assert!(matches!(refused, Err(Error::Directory(DirectoryError::NotEmpty { .. }))), "{refused:?}");
    request.delta = true;
    let refused = try_restore(&scene, &id, &request);
    assert!(matches!(refused, Err(Error::Directory(DirectoryError::NoDataDirectory { .. }))), "{refused:?}");
    std::fs::write(data_dir.join("PG_VERSION"), "").unwrap();
    restore(&scene, &id, &request);
    assert_eq!(std::fs::read(&pages).unwrap(), original);
    assert_eq!(std::fs::metadata(&pages).unwrap().ino(), inode);
    assert!(!data_dir.join("base/stranger").exists());
    assert!(start(&data_dir).psql("books", SUM).starts_with("60000|"));
}

/// The largest file of a relation.
fn largest_file(data_dir: &Path) -> PathBuf {
    let databases = std::fs::read_dir(data_dir.join("base")).unwrap().map(|entry| entry.unwrap().path());
    let files =
        databases.flat_map(|path| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
    files.max_by_key(|path| std::fs::metadata(path).unwrap().len()).unwrap()
}

#[test]
fn a_directory_in_use_is_left_alone() {
    let scene = scene();
    let id = backup(&scene, Method::Auto).manifest.id;
    let mut request = restore_request(&scene.cluster.sandbox().data_directory());
    request.delta = true;
    let refused = try_restore(&scene, &id, &request);
    assert!(matches!(refused, Err(Error::Directory(DirectoryError::ServerRuns { .. }))), "{refused:?}");
    assert_eq!(scene.cluster.psql("postgres", "SELECT 1").trim(), "1");
}

#[test]
fn tablespaces_go_where_they_are_told() {
    let scene = scene();
    let space = place(&scene).join("space");
    std::fs::create_dir(&space).unwrap();
    if let Some((user, group)) = scene.cluster.owner() {
        chown(&space, Some(user), Some(group)).unwrap();
    }
    scene.cluster.psql("postgres", &format!("CREATE TABLESPACE fast LOCATION '{}'", space.display()));
    scene.database("books", "CREATE TABLE t TABLESPACE fast AS SELECT generate_series(1, 5000) AS id");
    for method in [Method::DataDirectory, Method::BaseBackup] {
        let report = backup(&scene, method);
        let record = report.manifest.physical.unwrap();
        assert_eq!(record.tablespaces.len(), 1);
        let data_dir = place(&scene).join(&record.method);
        let mut request = restore_request(&data_dir);
        let refused = try_restore(&scene, &report.manifest.id, &request);
        assert!(matches!(refused, Err(Error::Directory(DirectoryError::NotEmpty { .. }))), "{refused:?}");
        assert!(!data_dir.exists());
        let elsewhere = place(&scene).join(format!("space of {}", record.method));
        request.tablespaces = vec![(space.display().to_string(), elsewhere.clone())];
        restore(&scene, &report.manifest.id, &request);
        let server = start(&data_dir);
        assert_eq!(server.psql("books", "SELECT count(*) FROM t").trim(), "5000");
        let location = "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'fast'";
        assert_eq!(server.psql("books", location).trim(), elsewhere.to_str().unwrap());
    }
}

#[test]
fn a_damaged_page_is_reported_and_the_backup_is_marked() {
    let scene = scene();
    scene.database("books", BOOKS);
    scene.cluster.psql("books", "CHECKPOINT");
    let path = scene.cluster.psql("books", "SELECT pg_relation_filepath('entry')");
    let file = scene.cluster.sandbox().data_directory().join(path.trim());
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[3 * 8192 + 5000] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    for method in [Method::DataDirectory, Method::BaseBackup] {
        let report = backup(&scene, method);
        let record = report.manifest.physical.unwrap();
        assert_eq!(record.bad_page_count, 1);
        assert_eq!((record.bad_pages[0].path.as_str(), record.bad_pages[0].block), (path.trim(), 3));
        assert!(report.warnings.iter().any(|warning| warning.code() == "bad_pages"), "{:?}", report.warnings);
    }
}

#[test]
fn a_damaged_page_does_not_make_every_backup_a_full_one() {
    let scene = scene();
    scene.database("books", BOOKS);
    scene.cluster.psql("books", "CHECKPOINT");
    let path = scene.cluster.psql("books", "SELECT pg_relation_filepath('entry')");
    let file = scene.cluster.sandbox().data_directory().join(path.trim());
    let whole = std::fs::read(&file).unwrap();
    let mut bytes = whole.clone();
    bytes[3 * 8192 + 5000] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let first = backup(&scene, Method::DataDirectory).manifest;
    assert_eq!(scene.verify(&first.id, Level::Restore).outcome, Outcome::Failed);
    for method in [Method::DataDirectory, Method::BaseBackup] {
        let manifest = backup(&scene, method).manifest;
        assert!(manifest.parent.is_some());
        assert!(manifest.stored_bytes < first.stored_bytes / 10, "{}", manifest.stored_bytes);
        assert_eq!(manifest.physical.unwrap().bad_page_count, 1, "it is said each time");
        assert_eq!(scene.verify(&manifest.id, Level::Restore).outcome, Outcome::Failed);
    }
    std::fs::write(&file, &whole).unwrap();
    let mended = backup(&scene, Method::DataDirectory).manifest;
    assert!(mended.stored_bytes < first.stored_bytes / 10, "{}", mended.stored_bytes);
    assert_eq!(scene.verify(&mended.id, Level::Restore).outcome, Outcome::Proven);
}
