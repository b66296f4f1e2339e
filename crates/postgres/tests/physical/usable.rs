//! When a data directory may be read: only when it is that of the server, and for whom.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use chronavault_postgres::{Client, ClientEnvironment, ConnectOptions, DataDirectory, Unusable};
use testkit::Cluster;

use crate::server::{self, one, options, scratch};

fn usable(cluster: &Cluster) -> Result<DataDirectory, Unusable> {
    DataDirectory::usable(cluster.client("postgres"), options(1))
}

/// Moves the data directory of a running server away, and back when it is dropped. The server does not notice, since
/// it is its working directory.
struct Away {
    data: PathBuf,
    moved: PathBuf,
}

impl Away {
    fn new(cluster: &Cluster) -> Self {
        let data = cluster.sandbox().data_directory();
        let moved = data.with_extension("moved");
        fs::rename(&data, &moved).unwrap();
        Self { data, moved }
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.data);
        fs::rename(&self.moved, &self.data).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

#[test]
fn another_directory_in_its_place_is_noticed() {
    let cluster = server::cluster(|_| ());
    assert!(usable(&cluster).is_ok());
    let away = Away::new(&cluster);
    assert!(matches!(usable(&cluster), Err(Unusable::Absent { .. })));
    // The same cluster, as it was a moment ago.
    copy(&away.moved, &away.data);
    let error = usable(&cluster).unwrap_err();
    assert!(matches!(error, Unusable::Copy { .. }), "{error}");
    drop(away);
    assert!(usable(&cluster).is_ok());
    assert_eq!(one(&mut cluster.client("postgres"), "SELECT count(*) FROM pg_replication_slots"), "0");
}

#[test]
fn a_role_needs_these_rights_and_no_others() {
    let scratch = scratch();
    let cluster = server::cluster(|_| ());
    let mut client = cluster.client("postgres");
    client.execute("CREATE ROLE reader LOGIN").unwrap();
    let as_reader = || Client::connect(&cluster.sandbox().options_as("reader", "postgres").unwrap()).unwrap();
    let usable = || DataDirectory::usable(as_reader(), options(1));
    assert!(matches!(usable(), Err(Unusable::NotTold)));
    client.execute("GRANT pg_read_all_settings TO reader").unwrap();
    let error = usable().unwrap_err();
    assert!(matches!(&error, Unusable::Slot(error) if error.code() == Some("42501")), "{error:?}");
    client.execute("ALTER ROLE reader REPLICATION").unwrap();
    let mut source = usable().unwrap();
    let root = scratch.path().join("copy");
    let read = |source: &mut DataDirectory| crate::sink::read(source, &root, 1 << 20, Box::new(|_, _, _| ()));
    let error = read(&mut source).unwrap_err();
    assert!(error.to_string().contains("permission denied for function pg_"), "{error}");
    let functions = if client.server_major() >= 15 {
        "pg_backup_start(text, boolean), pg_backup_stop(boolean)"
    } else {
        "pg_start_backup(text, boolean, boolean), pg_stop_backup(boolean, boolean)"
    };
    client.execute(&format!("GRANT EXECUTE ON FUNCTION {functions} TO reader")).unwrap();
    let copy = read(&mut usable().unwrap()).unwrap();
    drop(server::start(&cluster, &copy));
}

#[test]
fn no_slot_is_left_or_the_error_says_so() {
    let cluster = server::cluster(|options| {
        options.settings.push(("max_replication_slots".to_owned(), "1".to_owned()));
    });
    let mut client = cluster.client("postgres");
    client.execute("SELECT pg_create_physical_replication_slot('another')").unwrap();
    let error = usable(&cluster).unwrap_err();
    assert!(matches!(&error, Unusable::Slot(error) if error.code() == Some("53400")), "{error:?}");
}

/// Set in the process that has no rights: how to connect.
const WITHOUT_RIGHTS: &str = "CHRONAVAULT_TEST_WITHOUT_RIGHTS";
/// An account that owns nothing (`nobody`).
const NOBODY: u32 = 65534;

#[test]
fn a_directory_of_another_account_is_refused() {
    if let Some(url) = std::env::var_os(WITHOUT_RIGHTS) {
        let options = ConnectOptions::parse(url.to_str().unwrap(), &ClientEnvironment::empty()).unwrap();
        let error =
            DataDirectory::usable(Client::connect(&options).unwrap(), server::options(1)).unwrap_err();
        assert!(matches!(error, Unusable::Unreadable { .. }), "{error:?}");
        return;
    }
    if !rustix::process::geteuid().is_root() {
        // Nobody else can become another account.
        return;
    }
    let scratch = scratch();
    let cluster = server::cluster(|options| {
        options.tcp = true;
        options.access.push("host all all 127.0.0.1/32 trust".to_owned());
    });
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "usable::a_directory_of_another_account_is_refused"])
        .env(WITHOUT_RIGHTS, format!("postgresql://postgres@127.0.0.1:{}/postgres", cluster.sandbox().port()))
        .current_dir(scratch.path())
        .uid(NOBODY)
        .gid(NOBODY)
        .status()
        .unwrap();
    assert!(status.success());
}
