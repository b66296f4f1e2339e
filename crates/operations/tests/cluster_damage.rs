//! A physical backup that is whole in the repository and wrong in what it holds is not called proven.
//!
//! The repository detects every changed byte, so that such a backup can only come from a source that gave something else than
//! the cluster. Here it is made from a good one, with one thing changed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use chronavault_operations as operations;
use jiff::Timestamp;
use model::{BackupId, Kind, Level, Outcome};
use operations::{ClusterBackupRequest, Method};
use repository::{CommitFacts, PhysicalRecord, WriteOptions};
use scene::{Scene, chain};
use testkit::Cluster;

const BOOKS: &str = "
    CREATE TABLE entry (id bigint PRIMARY KEY, account int NOT NULL, memo text);
    INSERT INTO entry SELECT g, 1 + g % 100, md5(g::text) FROM generate_series(1, 60000) g;";

type Files = BTreeMap<String, Vec<u8>>;

/// A scene with one good backup, during which the server went through several segments of WAL.
fn scene() -> (Scene, BackupId) {
    scene_after(|_| ())
}

/// The same, where something else is done before.
fn scene_after(prepare: impl FnOnce(&Scene)) -> (Scene, BackupId) {
    let scene = Scene::with(Cluster::replicating(|options| options.data_checksums = true));
    scene.database("books", BOOKS);
    prepare(&scene);
    let request = ClusterBackupRequest {
        source: scene.cluster.options("postgres"),
        source_name: "cluster".to_owned(),
        method: Method::BaseBackup,
        fast_checkpoint: true,
        jobs: 2,
        compression: Some(1),
        size_limit: None,
    };
    let done = AtomicBool::new(false);
    let id = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = scene.cluster.client("books");
            while !done.load(Ordering::SeqCst) {
                client.execute("UPDATE entry SET memo = memo WHERE id = 1; SELECT pg_switch_wal()").unwrap();
            }
        });
        let report = Scene::context(|context| {
            operations::backup_cluster(&scene.repository, &request, context)
                .unwrap_or_else(|error| panic!("{}", chain(&error)))
        });
        done.store(true, Ordering::SeqCst);
        report.manifest.id
    });
    (scene, id)
}

/// The same backup with one thing changed.
fn forge(scene: &Scene, id: &BackupId, change: impl FnOnce(&mut Files, &mut PhysicalRecord)) -> BackupId {
    let reader = scene.repository.read(id).unwrap();
    let (mut files, mut modes) = (Files::new(), BTreeMap::new());
    let mut regions = reader.regions().unwrap();
    let list = reader.files().unwrap();
    for file in &list {
        let mut bytes = Vec::new();
        for _ in 0..file.regions(reader.region_bytes()) {
            bytes.extend(reader.chunk(&regions.next().unwrap().unwrap()).unwrap());
        }
        if file.bytes.is_some() {
            files.insert(file.path.to_string(), bytes);
            modes.insert(file.path.to_string(), file.mode);
        }
    }
    let mut record = reader.manifest().physical.clone().unwrap();
    change(&mut files, &mut record);

    let new = BackupId::new(Timestamp::now() + std::time::Duration::from_secs(5), [1, 2, 3]);
    let writer =
        scene.repository.begin(new.clone(), "forged", Kind::Physical, WriteOptions::default()).unwrap();
    let cluster = writer.cluster().unwrap();
    for directory in list.iter().filter(|file| file.bytes.is_none()) {
        cluster.directory(&directory.path, directory.mode);
    }
    let mut worker = cluster.worker().unwrap();
    for (path, bytes) in &files {
        let mode = modes.get(path).copied().unwrap_or(0o600);
        let file = cluster.file(&path.parse().unwrap(), mode).unwrap();
        for (number, region) in (0..).zip(bytes.chunks(cluster.region_bytes() as usize)) {
            worker.store(file, number, &mut region.to_vec(), &mut |_| false).unwrap();
        }
        cluster.finish_file(file, bytes.len() as u64);
    }
    worker.finish().unwrap();
    cluster.finish().unwrap();
    let now = Timestamp::now();
    let tool_version = "0.1.0".to_owned();
    writer
        .commit(CommitFacts {
            started_at: now,
            finished_at: now,
            snapshot_at: now,
            tool_version,
            logical: None,
            physical: Some(record),
        })
        .unwrap();
    new
}

/// The path of the file with the rows of the largest table.
fn table(scene: &Scene) -> String {
    scene.cluster.psql("books", "SELECT pg_relation_filepath('entry')").trim().to_owned()
}

fn segments(files: &Files) -> Vec<String> {
    let names = files.keys().filter(|path| path.strip_prefix("pg_wal/").is_some_and(|name| name.len() == 24));
    names.cloned().collect()
}

#[track_caller]
fn fails(scene: &Scene, id: &BackupId, code: &str) {
    let report = scene.verify(id, Level::Restore);
    assert_eq!(report.outcome, Outcome::Failed);
    assert!(report.problems.iter().any(|problem| problem.code == code), "{:?}", report.problems);
    // The objects are all sound: only the restore shows it.
    assert_eq!(scene.verify(id, Level::Contents).outcome, Outcome::Sound);
}

#[test]
fn a_good_backup_is_proven() {
    let (scene, id) = scene();
    let report = scene.verify(&id, Level::Restore);
    assert_eq!((report.outcome, report.problems, report.unreached), (Outcome::Proven, vec![], None));
    assert!(report.rows >= 60_000, "{}", report.rows);
    let same = forge(&scene, &id, |_, _| ());
    assert_eq!(scene.verify(&same, Level::Restore).outcome, Outcome::Proven);
}

#[test]
fn a_missing_middle_segment_is_found() {
    let (scene, id) = scene();
    let forged = forge(&scene, &id, |files, _| {
        let segments = segments(files);
        assert!(segments.len() >= 3, "{segments:?}");
        files.remove(&segments[segments.len() / 2]);
    });
    fails(&scene, &forged, "recovery.failed");
}

#[test]
fn a_missing_backup_label_is_found() {
    let (scene, id) = scene();
    let forged = forge(&scene, &id, |files, _| {
        files.remove("backup_label").unwrap();
    });
    fails(&scene, &forged, "recovery.label");
}

#[test]
fn a_flipped_page_is_found() {
    let (scene, id) = scene();
    let path = table(&scene);
    let forged = forge(&scene, &id, |files, _| files.get_mut(&path).unwrap()[100 * 8192 + 4000] ^= 1);
    fails(&scene, &forged, "table.unreadable");
}

#[test]
fn a_missing_file_of_a_table_is_found() {
    let (scene, id) = scene();
    let path = table(&scene);
    let forged = forge(&scene, &id, |files, _| {
        files.remove(&path).unwrap();
    });
    fails(&scene, &forged, "file.missing");
}

#[test]
fn a_missing_file_in_a_tablespace_is_found() {
    let (scene, id) = scene_after(|scene| {
        let space = scene.directory.path().join("space");
        std::fs::create_dir(&space).unwrap();
        if let Some((user, group)) = scene.cluster.owner() {
            std::os::unix::fs::chown(&space, Some(user), Some(group)).unwrap();
        }
        scene.cluster.psql("postgres", &format!("CREATE TABLESPACE fast LOCATION '{}'", space.display()));
        scene.cluster.psql("books", "ALTER TABLE entry SET TABLESPACE fast");
    });
    let path = table(&scene);
    assert!(path.starts_with("pg_tblspc/"), "{path}");
    let same = forge(&scene, &id, |_, _| ());
    assert_eq!(scene.verify(&same, Level::Restore).outcome, Outcome::Proven);
    let forged = forge(&scene, &id, |files, _| {
        files.remove(&path).unwrap();
    });
    fails(&scene, &forged, "file.missing");
}

#[test]
fn wal_of_a_foreign_timeline_is_found() {
    let (scene, id) = scene();
    let forged = forge(&scene, &id, |files, _| {
        for segment in segments(files) {
            let bytes = files.remove(&segment).unwrap();
            files.insert(segment.replacen("pg_wal/00000001", "pg_wal/00000002", 1), bytes);
        }
    });
    fails(&scene, &forged, "recovery.failed");
}
