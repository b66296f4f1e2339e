//! Servers on restored data directories: what they are shielded from, and what damage they notice.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use chronavault_postgres::{Client, RecoveryRequest, RestoredCluster, RestoredDirectory, RestoredError};
use model::{Lsn, RecoveryTarget};
use testkit::Cluster;
use testkit::cluster::server_tools;

use crate::server::{self, REGION_BYTES, contents, directory_for, fill, one, scratch, source};
use crate::sink::{self, Copy};

pub(crate) const LIMIT: Duration = Duration::from_mins(2);

pub(crate) fn read(cluster: &Cluster, root: &Path) -> Copy {
    let mut source = source(cluster.client("postgres"), 2);
    sink::read(&mut source, root, REGION_BYTES, Box::new(|_, _, _| ())).unwrap()
}

/// What a restore leaves behind.
pub(crate) fn restore(copy: &Copy, parent: &Path) -> RestoredDirectory {
    restore_with(copy, parent, "-a")
}

/// The same with links to the files, for what nobody writes to.
fn link(copy: &Copy, parent: &Path) -> RestoredDirectory {
    restore_with(copy, parent, "-al")
}

fn restore_with(copy: &Copy, parent: &Path, how: &str) -> RestoredDirectory {
    let directory = RestoredDirectory::create(parent).unwrap();
    let status = Command::new("cp")
        .args([how, "--"])
        .arg(format!("{}/.", copy.root.display()))
        .arg(directory.data())
        .status()
        .unwrap();
    assert!(status.success());
    directory
}

/// To the end of the backup.
pub(crate) fn request(copy: &Copy) -> RecoveryRequest {
    RecoveryRequest {
        from: copy.start.start_lsn,
        target: RecoveryTarget::Immediate,
        exclusive: false,
        timeline: Some(copy.stop.timeline),
        reach: copy.stop.stop_lsn,
        restore_command: None,
        writable: Vec::new(),
        limit: LIMIT,
        settings: Vec::new(),
    }
}

pub(crate) fn client(cluster: &RestoredCluster, database: &str) -> Client {
    Client::connect(&cluster.options(database)).unwrap()
}

#[test]
fn a_restored_cluster_recovers_pauses_and_is_promoted() {
    let scratch = scratch();
    let cluster = server::cluster(|options| options.superuser = "the boss".to_owned());
    let place = directory_for(&cluster, scratch.path(), "space");
    let mut original = cluster.client("postgres");
    fill(&mut original, "t", 5000);
    original.execute(&format!("CREATE TABLESPACE s LOCATION '{}'", place.display())).unwrap();
    original
        .execute("CREATE TABLE in_space (a text) TABLESPACE s; INSERT INTO in_space VALUES ('here')")
        .unwrap();
    original.execute("CREATE UNLOGGED TABLE u AS SELECT 1 a").unwrap();
    let expected = contents(&mut original, "t");
    let copy = read(&cluster, &scratch.path().join("copy"));
    let directory = restore(&copy, scratch.path());
    let data = directory.data();
    let mut restored = directory.start(&server_tools(), &request(&copy)).unwrap();
    assert!(restored.replayed() >= copy.stop.stop_lsn);
    assert_eq!(restored.options("postgres").user(), "the boss");
    assert!(restored.left_out_libraries().is_empty());
    let mut reading = client(&restored, "postgres");
    assert_eq!(one(&mut reading, "SELECT pg_is_in_recovery()"), "t");
    assert_eq!(contents(&mut reading, "t"), expected);
    assert_eq!(one(&mut reading, "SELECT a FROM in_space"), "here");
    let moved =
        one(&mut reading, "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 's'");
    assert!(moved.starts_with(data.parent().unwrap().to_str().unwrap()), "{moved}");
    restored.promote(LIMIT).unwrap();
    restored.promote(LIMIT).unwrap();
    let mut writing = client(&restored, "postgres");
    writing.execute("INSERT INTO in_space VALUES ('too')").unwrap();
    assert_eq!(one(&mut writing, "SELECT count(*) FROM u"), "0");
    // The original did not notice.
    assert_eq!(one(&mut original, "SELECT count(*) FROM in_space"), "1");
    drop(restored);
    assert!(!data.exists());
}

/// What the cluster had in its own configuration has no effect.
#[test]
fn nothing_of_its_own_configuration_counts() {
    let scratch = scratch();
    let witness = directory_for(&server::cluster(|_| ()), scratch.path(), "witness");
    let cluster = server::cluster(|_| ());
    let mut original = cluster.client("postgres");
    // Open already: the next session of this role cannot be opened.
    let mut source = source(cluster.client("postgres"), 2);
    original.execute("ALTER ROLE postgres SET session_preload_libraries = 'nothing'").unwrap();
    original.execute("ALTER DATABASE template1 SET local_preload_libraries = 'nothing'").unwrap();
    let touch = |name: &str| format!("touch {}", witness.join(name).display());
    for (setting, value) in [
        ("archive_command", touch("archived")),
        ("archive_cleanup_command", touch("cleaned")),
        ("recovery_end_command", touch("ended")),
        ("restore_command", touch("fetched")),
        ("primary_conninfo", "host=/nowhere".to_owned()),
        ("listen_addresses", "*".to_owned()),
    ] {
        original.execute(&format!("ALTER SYSTEM SET {setting} = '{value}'")).unwrap();
    }
    original.execute("ALTER SYSTEM SET archive_mode = 'always'").unwrap();
    original.execute("ALTER SYSTEM SET shared_preload_libraries = 'not_here', 'pg_cron'").unwrap();
    let root = scratch.path().join("copy");
    let copy = sink::read(&mut source, &root, REGION_BYTES, Box::new(|_, _, _| ())).unwrap();
    let directory = restore(&copy, scratch.path());
    fs::write(directory.data().join("pg_hba.conf"), "local all all reject\n").unwrap();
    fs::write(directory.data().join("standby.signal"), "").unwrap();
    let mut restored = directory.start(&server_tools(), &request(&copy)).unwrap();
    restored.promote(LIMIT).unwrap();
    let mut client = client(&restored, "template1");
    client.execute("CREATE TABLE t (a int); SELECT pg_switch_wal()").unwrap();
    client.execute("CHECKPOINT").unwrap();
    for (setting, value) in [
        ("archive_mode", "off"),
        ("primary_conninfo", ""),
        ("listen_addresses", ""),
        ("shared_preload_libraries", ""),
        ("session_preload_libraries", ""),
        ("local_preload_libraries", ""),
    ] {
        assert_eq!(one(&mut client, &format!("SHOW {setting}")), value, "{setting}");
    }
    let mut left_out = restored.left_out_libraries().to_vec();
    left_out.sort();
    assert_eq!(left_out, ["not_here", "pg_cron"]);
    drop(restored);
    assert_eq!(fs::read_dir(&witness).unwrap().count(), 0);
}

/// A standby, and a cluster that is restored like one, refuses settings that are smaller than those of its primary.
#[test]
fn settings_that_replay_needs_are_those_of_the_cluster() {
    let scratch = scratch();
    let cluster = server::cluster(|options| {
        for (setting, value) in [
            ("max_connections", "300"),
            ("max_worker_processes", "17"),
            ("max_prepared_transactions", "9"),
            ("max_locks_per_transaction", "2000"),
        ] {
            options.settings.push((setting.to_owned(), value.to_owned()));
        }
    });
    let copy = read(&cluster, &scratch.path().join("copy"));
    let restored = restore(&copy, scratch.path()).start(&server_tools(), &request(&copy)).unwrap();
    assert_eq!(one(&mut client(&restored, "postgres"), "SHOW max_connections"), "300");
}

#[test]
fn recovery_goes_on_with_what_the_archive_has() {
    let scratch = scratch();
    let archive = directory_for(&server::cluster(|_| ()), scratch.path(), "archive");
    let cluster = server::cluster(|options| {
        options.settings.push(("archive_mode".to_owned(), "on".to_owned()));
        options.settings.push(("archive_command".to_owned(), format!("cp %p {}/%f", archive.display())));
    });
    let mut original = cluster.client("postgres");
    fill(&mut original, "before", 10);
    let copy = read(&cluster, &scratch.path().join("copy"));
    fill(&mut original, "between", 10);
    let target: Lsn = one(&mut original, "SELECT pg_current_wal_insert_lsn()").parse().unwrap();
    fill(&mut original, "after", 10);
    let segment = one(&mut original, "SELECT pg_walfile_name(pg_current_wal_insert_lsn())");
    original.execute("SELECT pg_switch_wal()").unwrap();
    while !archive.join(&segment).exists() {
        std::thread::yield_now();
    }
    let to_target = RecoveryRequest {
        target: RecoveryTarget::Lsn(target),
        exclusive: true,
        timeline: None,
        reach: target,
        restore_command: Some(format!("cp {}/%f %p", archive.display())),
        ..request(&copy)
    };
    let mut restored = restore(&copy, scratch.path()).start(&server_tools(), &to_target).unwrap();
    let tables = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class \
                  WHERE relname IN ('before', 'between', 'after')";
    assert_eq!(one(&mut client(&restored, "postgres"), tables), "before between");
    restored.promote(LIMIT).unwrap();
    assert_eq!(one(&mut client(&restored, "postgres"), tables), "before between");
    drop(restored);
    let to_end = RecoveryRequest { target: RecoveryTarget::Latest, ..to_target.clone() };
    let restored = restore(&copy, scratch.path()).start(&server_tools(), &to_end).unwrap();
    assert_eq!(one(&mut client(&restored, "postgres"), tables), "after before between");
    // What the archive does not have cannot be reached.
    let too_far = RecoveryRequest { target: RecoveryTarget::Lsn(target.plus(1 << 30)), ..to_target.clone() };
    let error = restore(&copy, scratch.path()).start(&server_tools(), &too_far).unwrap_err();
    assert!(
        matches!(&error, RestoredError::Ended { log } if log.contains("before configured recovery target")),
        "{error}"
    );
    let too_late = RecoveryRequest { reach: target.plus(1 << 30), ..to_end };
    let error = restore(&copy, scratch.path()).start(&server_tools(), &too_late).unwrap_err();
    assert!(matches!(&error, RestoredError::NotReached { replayed, .. } if *replayed > target), "{error}");
}

/// A cluster that was read while several segments of WAL were written.
fn read_with_wal(cluster: &Cluster, root: &Path) -> Copy {
    let client = std::sync::Mutex::new(cluster.client("postgres"));
    let write = |path: &model::ClusterPath, _, _: &mut [u8]| {
        if path.as_str() == "global/pg_control" {
            for _ in 0..3 {
                let sql = "CREATE TABLE IF NOT EXISTS s (a int); SELECT pg_switch_wal()";
                client.lock().unwrap().execute(sql).unwrap();
                client.lock().unwrap().execute("INSERT INTO s VALUES (1)").unwrap();
            }
        }
    };
    let mut source = source(cluster.client("postgres"), 2);
    sink::read(&mut source, root, REGION_BYTES, Box::new(write)).unwrap()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn wal_that_is_missing_or_damaged_ends_recovery() {
    let scratch = scratch();
    let cluster = server::cluster(|_| ());
    let copy = read_with_wal(&cluster, &scratch.path().join("copy"));
    let segments: Vec<&str> = copy.names_in("pg_wal").into_iter().filter(|name| name.len() == 24).collect();
    assert!(segments.len() >= 4, "{segments:?}");
    let start_with = |damage: &dyn Fn(&Path)| {
        let directory = restore(&copy, scratch.path());
        damage(&directory.data().join("pg_wal"));
        directory.start(&server_tools(), &request(&copy))
    };
    assert!(start_with(&|_| ()).is_ok());
    // A segment in the middle is missing, or the last one.
    for segment in [segments[1], segments[segments.len() - 1]] {
        let error = start_with(&|wal| fs::remove_file(wal.join(segment)).unwrap()).unwrap_err();
        assert!(
            matches!(&error, RestoredError::Ended { log } if log.contains("FATAL:  recovery ended before configured")),
            "{segment}: {error}"
        );
    }
    // A record in the first segment is damaged.
    let at = usize::try_from(copy.start.start_lsn.0 % u64::from(copy.start.segment_size.bytes())).unwrap();
    let error = start_with(&|wal| flip(&wal.join(segments[0]), at + 40)).unwrap_err();
    assert!(matches!(&error, RestoredError::Ended { log } if log.contains("FATAL")), "{error}");
}

#[test]
fn what_cannot_be_recovered_is_not_started() {
    let scratch = scratch();
    let cluster = server::cluster(|_| ());
    let copy = read(&cluster, &scratch.path().join("copy"));
    let refusal = |damage: &dyn Fn(&Path)| {
        let directory = link(&copy, scratch.path());
        damage(&directory.data());
        directory.start(&server_tools(), &request(&copy)).unwrap_err()
    };
    // Another file in the place of this one, which others are linked to.
    let replace = |path: &Path, bytes: &[u8]| {
        fs::remove_file(path).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let error = refusal(&|data| fs::remove_file(data.join("backup_label")).unwrap());
    assert!(matches!(error, RestoredError::NoLabel), "{error}");
    let error = refusal(&|data| {
        let text = fs::read_to_string(data.join("backup_label")).unwrap();
        let other = text.replace("START WAL LOCATION: 0/", "START WAL LOCATION: 1/");
        replace(&data.join("backup_label"), other.as_bytes());
    });
    assert!(matches!(error, RestoredError::Label { .. }), "{error}");
    let error = refusal(&|data| {
        let mut bytes = fs::read(data.join("global/pg_control")).unwrap();
        bytes[40] ^= 1;
        replace(&data.join("global/pg_control"), &bytes);
    });
    assert!(matches!(error, RestoredError::Control(_)), "{error}");
    let error = refusal(&|data| fs::remove_file(data.join("global/pg_filenode.map")).unwrap());
    assert!(matches!(error, RestoredError::Read { .. }), "{error}");
    let error = refusal(&|data| replace(&data.join("global/pg_filenode.map"), &[0; 512]));
    assert!(matches!(error, RestoredError::Roles { .. }), "{error}");
    let error = refusal(&|data| replace(&data.join("PG_VERSION"), b"12\n"));
    assert!(error.to_string().ends_with("install the package postgresql-12"), "{error}");
    let error = refusal(&|data| std::os::unix::fs::symlink("/tmp", data.join("pg_tblspc/16999")).unwrap());
    assert!(matches!(error, RestoredError::Tablespace { .. }), "{error}");
}

#[test]
fn superusers_who_may_log_in_are_found() {
    let scratch = scratch();
    let cluster = server::cluster(|_| ());
    let mut original = cluster.client("postgres");
    // The row of the first superuser has older versions, and the role may not log in any more.
    original.execute("CREATE ROLE \"Größe\" SUPERUSER LOGIN; CREATE ROLE nobody_special LOGIN").unwrap();
    for password in 0..3 {
        original.execute(&format!("ALTER ROLE postgres PASSWORD 'p{password}'")).unwrap();
    }
    let mut source = source(cluster.client("postgres"), 2);
    original.execute("ALTER ROLE postgres NOLOGIN").unwrap();
    let root = scratch.path().join("copy");
    let copy = sink::read(&mut source, &root, REGION_BYTES, Box::new(|_, _, _| ())).unwrap();
    let restored = restore(&copy, scratch.path()).start(&server_tools(), &request(&copy)).unwrap();
    assert_eq!(restored.options("postgres").user(), "Größe");
}

/// The tablespace is made while the backup is taken, so that replay makes it again: where the original cluster has its files.
#[test]
fn replay_does_not_reach_the_tablespaces_of_the_original() {
    let scratch = scratch();
    let cluster = server::cluster(|_| ());
    let place = directory_for(&cluster, scratch.path(), "live");
    let client = std::sync::Mutex::new(cluster.client("postgres"));
    let create = |path: &model::ClusterPath, _, _: &mut [u8]| {
        if path.as_str() == "global/pg_control" {
            let mut client = client.lock().unwrap();
            client.execute(&format!("CREATE TABLESPACE live LOCATION '{}'", place.display())).unwrap();
            client
                .execute("CREATE TABLE in_live (a int) TABLESPACE live; INSERT INTO in_live VALUES (1)")
                .unwrap();
            client.execute("CHECKPOINT").unwrap();
        }
    };
    let mut source = source(cluster.client("postgres"), 2);
    let root = scratch.path().join("copy");
    let copy = sink::read(&mut source, &root, REGION_BYTES, Box::new(create)).unwrap();
    let client = &mut client.lock().unwrap();
    client.execute("INSERT INTO in_live SELECT n FROM generate_series(2, 10000) n").unwrap();
    client.execute("CHECKPOINT").unwrap();
    let file = one(client, "SELECT pg_relation_filepath('in_live')");
    let file = cluster.sandbox().data_directory().join(file);
    let before = fs::read(&file).unwrap();
    let started = restore(&copy, scratch.path()).start(&server_tools(), &request(&copy));
    assert!(fs::read(&file).unwrap() == before);
    let error = started.unwrap_err();
    assert!(matches!(&error, RestoredError::NewTablespace { .. }), "{error}");
    assert_eq!(one(client, "SELECT count(*) FROM in_live"), "10000");
}
