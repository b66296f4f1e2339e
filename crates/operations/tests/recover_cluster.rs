//! P8: the tool can be lost. A real physical backup goes through `tools/recover.py`, and a stock server starts on what comes out:
//! as at the end of the backup, and with archived WAL at later moments.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use std::os::unix::fs::{chown, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use chronavault_operations as operations;
use jiff::Timestamp;
use model::{BackupId, WalSegmentName};
use operations::{ClusterBackupRequest, Method};
use repository::Manifest;
use scene::lost::{recover, succeeded};
use scene::{KEY, Scene, chain};
use testkit::Cluster;

const BOOKS: &str = "
    CREATE TABLE entry (id bigint PRIMARY KEY, amount numeric, memo text);
    INSERT INTO entry SELECT g, g / 7.0, md5(g::text) FROM generate_series(1, 30000) g;
    CREATE TABLE in_space TABLESPACE fast AS SELECT g AS id FROM generate_series(1, 5000) g;
    CREATE TABLE empty (id int);";
const SUM: &str = "SELECT count(*), sum(hashtext(e::text)), (SELECT sum(id) FROM in_space) FROM entry e";

/// A cluster with a database `books` and a tablespace, whose WAL stays in `pg_wal`.
fn scene() -> Scene {
    let scene = Scene::with(Cluster::replicating(|options| {
        options.data_checksums = true;
        for (name, value) in [("wal_keep_size", "512MB"), ("synchronous_commit", "on")] {
            options.settings.push((name.to_owned(), value.to_owned()));
        }
    }));
    let space = scene.directory.path().join("space");
    std::fs::create_dir(&space).unwrap();
    give(&space, &scene.cluster);
    open_to_all(scene.directory.path());
    scene.cluster.psql("postgres", &format!("CREATE TABLESPACE fast LOCATION '{}'", space.display()));
    scene.database("books", BOOKS);
    scene
}

/// Lets everybody pass a directory, as the account of a server must.
fn open_to_all(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o711)).unwrap();
}

/// `chown -R`, where servers run as somebody else.
fn give(path: &Path, cluster: &Cluster) {
    let Some((user, group)) = cluster.owner() else { return };
    if path.is_symlink() || !path.is_dir() {
        return lchown(path, Some(user), Some(group)).unwrap();
    }
    chown(path, Some(user), Some(group)).unwrap();
    for entry in std::fs::read_dir(path).unwrap() {
        give(&entry.unwrap().path(), cluster);
    }
}

fn backup(scene: &Scene, method: Method) -> Manifest {
    backup_of(scene, &scene.cluster, method)
}

fn backup_of(scene: &Scene, cluster: &Cluster, method: Method) -> Manifest {
    let request = ClusterBackupRequest {
        source: cluster.options("postgres"),
        source_name: "cluster".to_owned(),
        method,
        fast_checkpoint: true,
        jobs: 2,
        compression: Some(1),
        size_limit: None,
    };
    Scene::context(|context| operations::backup_cluster(&scene.repository, &request, context))
        .unwrap_or_else(|error| panic!("{}", chain(&error)))
        .manifest
}

/// Archives the WAL of the cluster up to now: the segment that is being written in two pieces.
fn archive(scene: &Scene, manifest: &Manifest) {
    let record = manifest.physical.as_ref().unwrap();
    let (wal, size) = (scene.repository.wal(record.system_identifier), record.wal_segment_bytes);
    let now = "SELECT pg_walfile_name(lsn), file_offset FROM pg_current_wal_flush_lsn() AS lsn, pg_walfile_name_offset(lsn)";
    let now = scene.cluster.psql("postgres", now);
    let (current, written) = now.trim().split_once('|').unwrap();
    let mut count = 0;
    for entry in std::fs::read_dir(scene.cluster.sandbox().data_directory().join("pg_wal")).unwrap() {
        let path = entry.unwrap().path();
        let Ok(name) = path.file_name().unwrap().to_str().unwrap().parse::<WalSegmentName>() else {
            continue;
        };
        let bytes = std::fs::read(&path).unwrap();
        if name.to_string().as_str() < current {
            wal.put_segment(name, size, &bytes, Timestamp::now()).unwrap();
            count += 1;
        } else if name.to_string() == current {
            let written = written.parse().unwrap();
            wal.put_piece(name, size, 0, &bytes[..10_000], Timestamp::now()).unwrap();
            wal.put_piece(name, size, 9_000, &bytes[9_000..written], Timestamp::now()).unwrap();
        }
    }
    assert!(count >= 2, "{count} segments were complete");
}

/// What `recover.py` made, with a server that runs on it. Dropping it ends the server.
struct Recovered<'a> {
    scene: &'a Scene,
    out: PathBuf,
    /// What `recover.py` said.
    said: String,
}

impl<'a> Recovered<'a> {
    fn new(scene: &'a Scene, id: &BackupId, name: &str) -> Self {
        let out = scene.directory.path().join(name);
        let output = recover(scene, id, &out, KEY);
        succeeded(&output, "recover.py");
        give(&out, &scene.cluster);
        Self { scene, out, said: String::from_utf8(output.stdout).unwrap() }
    }

    /// Runs a program as the account of the server, which knows nothing of ours.
    fn run(&self, program: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        if let Some((user, group)) = self.scene.cluster.owner() {
            command.uid(user).gid(group);
        }
        command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").current_dir("/").output().unwrap()
    }

    fn bin(&self) -> &Path {
        self.scene.cluster.sandbox().tools().directory()
    }

    fn start(&self, target: &[&str]) {
        let arguments = [&["--bin", self.bin().to_str().unwrap()], target].concat();
        succeeded(&self.run(&self.out.join("start.sh"), &arguments), "start.sh");
    }

    fn psql(&self, sql: &str) -> String {
        let tools = testkit::cluster::client_tools(self.scene.cluster.sandbox().tools());
        let socket = self.out.to_str().unwrap();
        let arguments = ["-X", "-A", "-t", "-h", socket, "-U", "postgres", "-d", "books", "-c", sql];
        let output = self.run(&tools.directory().join("psql"), &arguments);
        succeeded(&output, "psql");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Recovered<'_> {
    fn drop(&mut self) {
        let data = self.out.join("data");
        self.run(
            &self.bin().join("pg_ctl"),
            &["stop", "-w", "-m", "immediate", "-D", data.to_str().unwrap()],
        );
    }
}

#[test]
fn a_stock_server_starts_on_what_recover_py_makes_of_a_cluster() {
    let scene = scene();
    // Two backups, so that the second has regions that the first stored, and differences to them.
    let first = backup(&scene, Method::BaseBackup);
    scene.cluster.psql("books", "UPDATE entry SET memo = 'changed' WHERE id % 1000 = 7; CHECKPOINT");
    let expected = scene.cluster.psql("books", SUM);
    let second = backup(&scene, Method::DataDirectory);
    assert!(second.reused_bytes > 0 && second.stored_bytes < first.stored_bytes / 5);

    let out = scene.directory.path().join("wrong");
    let wrong = recover(&scene, &second.id, &out, [8; 32]);
    assert_eq!((wrong.status.code(), out.exists()), (Some(3), false));

    let recovered = Recovered::new(&scene, &second.id, "out");
    assert!(recovered.said.contains("no archived WAL"), "{}", recovered.said);
    recovered.start(&[]);
    assert_eq!(recovered.psql(SUM), expected);
    let space = "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'fast'";
    assert!(recovered.psql(space).starts_with(recovered.out.to_str().unwrap()));
    // Nothing is wrong with any page, and the server is a normal one that archives nothing.
    assert_eq!(recovered.psql("SELECT pg_is_in_recovery(), current_setting('archive_mode')"), "f|off\n");
    assert_eq!(recovered.psql("SELECT sum(checksum_failures) FROM pg_stat_database"), "0\n");
}

#[test]
fn archived_wal_is_replayed_up_to_any_moment() {
    let scene = scene();
    let manifest = backup(&scene, Method::DataDirectory);
    scene.cluster.psql("books", "INSERT INTO entry VALUES (-1); SELECT pg_switch_wal()");
    let at_some_moment = scene.cluster.psql("books", SUM);
    let moment = scene.cluster.psql("books", "SELECT pg_current_wal_lsn()");
    scene.cluster.psql(
        "books",
        "INSERT INTO entry VALUES (-2); SELECT pg_switch_wal(); INSERT INTO in_space VALUES (0)",
    );
    scene.cluster.psql("books", "INSERT INTO entry SELECT -g, g FROM generate_series(3, 1000) g");
    let at_the_end = scene.cluster.psql("books", SUM);
    archive(&scene, &manifest);

    let recovered = Recovered::new(&scene, &manifest.id, "moment");
    assert!(recovered.said.contains("start.sh can replay them"), "{}", recovered.said);
    assert!(!recovered.said.contains("WARNING"), "{}", recovered.said);
    recovered.start(&["--target-lsn", moment.trim()]);
    assert_eq!(recovered.psql(SUM), at_some_moment);
    assert_eq!(recovered.psql("SELECT timeline_id FROM pg_control_checkpoint()"), "2\n");
    drop(recovered);

    let recovered = Recovered::new(&scene, &manifest.id, "end");
    recovered.start(&["--latest"]);
    assert_eq!(recovered.psql(SUM), at_the_end);
}

#[test]
fn a_backup_of_a_standby_becomes_a_server_of_its_own() {
    let scene = Scene::with(Cluster::replicating(|_| ()));
    open_to_all(scene.directory.path());
    scene.database("books", "CREATE TABLE entry AS SELECT g AS id FROM generate_series(1, 1000) g");
    let id = backup(&scene, Method::BaseBackup).id;
    let copy = Recovered::new(&scene, &id, "copy");
    std::fs::write(copy.out.join("data/standby.signal"), "").unwrap();
    let primary = scene.cluster.sandbox();
    let connection =
        format!("host={} port={} user=postgres", primary.socket_directory().display(), primary.port());
    let standby = Cluster::replicating(|options| {
        options.template = Some(copy.out.join("data"));
        options.settings.push(("primary_conninfo".to_owned(), connection));
        options.settings.push(("hot_standby".to_owned(), "on".to_owned()));
    });
    scene.cluster.psql("books", "INSERT INTO entry SELECT generate_series(1001, 2000)");
    let written = scene.cluster.psql("books", "SELECT pg_current_wal_insert_lsn()");
    let caught_up = format!("SELECT pg_last_wal_replay_lsn() >= '{}'", written.trim());
    while standby.psql("books", &caught_up).trim() != "t" {}

    let manifest = backup_of(&scene, &standby, Method::BaseBackup);
    assert!(manifest.physical.as_ref().unwrap().from_standby);
    let recovered = Recovered::new(&scene, &manifest.id, "out");
    recovered.start(&[]);
    assert_eq!(recovered.psql("SELECT count(*), pg_is_in_recovery() FROM entry"), "2000|f\n");
}
