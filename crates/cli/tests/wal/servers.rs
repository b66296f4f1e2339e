//! A server that archives its WAL with the real binary, and servers that recover from that archive.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use repository::{HolderKey, Repository, WalArchive};
use storage::{Isolation, LocalStore};
use tempfile::TempDir;
use testkit::Cluster;

use crate::harness::{KEY, Said};

const PROGRAM: &str = env!("CARGO_BIN_EXE_chronavault");

/// A server with an archive of its own.
pub(crate) struct Archived {
    pub(crate) cluster: Cluster,
    /// Belongs to the account of the server.
    directory: TempDir,
}

impl Archived {
    /// Starts a server whose `archive_command` is ours. It keeps its WAL, so that one can compare.
    pub(crate) fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let command = format!("{} wal push %p", words(directory.path()));
        Self::with(directory, &[("archive_mode", "on"), ("archive_command", &command)])
    }

    /// Starts a server that archives nothing by itself.
    pub(crate) fn without_command(settings: &[(&str, &str)]) -> Self {
        Self::with(TempDir::new().unwrap(), settings)
    }

    fn with(directory: TempDir, settings: &[(&str, &str)]) -> Self {
        let cluster = Cluster::replicating(|options| {
            let usual = [("wal_keep_size", "2GB"), ("max_wal_size", "1GB")];
            for (name, value) in usual.iter().chain(settings) {
                options.settings.push(((*name).to_owned(), (*value).to_owned()));
            }
        });
        let archived = Self { cluster, directory };
        fs::write(archived.path("key"), KEY).unwrap();
        fs::set_permissions(archived.path("key"), fs::Permissions::from_mode(0o600)).unwrap();
        if let Some((user, group)) = archived.cluster.owner() {
            for path in [archived.directory.path(), &archived.path("key")] {
                chown(path, Some(user), Some(group)).unwrap();
            }
        }
        archived.run(&["init"]).succeeds();
        archived
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs the binary as the account of the server, in its directory.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        Said::from(self.program(arguments).output().unwrap())
    }

    /// The binary, ready to run.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(PROGRAM);
        command.args(words(self.directory.path()).split(' ').skip(1)).args(arguments).env_clear();
        command.current_dir(self.cluster.sandbox().data_directory());
        command
    }

    /// A program that runs as the account of the server.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some((user, group)) = self.cluster.owner() {
            command.uid(user).gid(group);
        }
        command.current_dir(self.directory.path());
        command
    }

    /// A program of PostgreSQL, to its end.
    fn postgres(&self, program: &str, arguments: &[&str]) -> Output {
        let tools = self.cluster.client_tools();
        self.command(tools.directory().join(program)).args(arguments).output().unwrap()
    }

    /// Ends the segment that is being written, and returns when it and all before it are archived.
    pub(crate) fn archive_everything(&self) {
        let last = self
            .cluster
            .psql("postgres", "SELECT pg_walfile_name(pg_current_wal_lsn()); SELECT FROM pg_switch_wal();");
        let last = last.trim().to_owned();
        let mut client = self.cluster.client("postgres");
        let archived =
            format!("SELECT coalesce(max(last_archived_wal) >= '{last}', false) FROM pg_stat_archiver");
        while !client.query_one(&archived, &[]).unwrap().is_true(0) {
            std::thread::yield_now();
        }
    }

    /// Copies the data directory with `pg_basebackup`, without any WAL.
    pub(crate) fn base_backup(&self, name: &str) {
        let (socket, port) = self.socket();
        let path = self.path(name).display().to_string();
        let arguments =
            ["-h", &socket, "-p", &port, "-U", "postgres", "-D", &path, "-X", "none", "-c", "fast"];
        let output = self.postgres("pg_basebackup", &[&arguments[..], &["--no-manifest"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Copies a data directory.
    pub(crate) fn copy(&self, from: &str, to: &str) {
        let status = self.command("cp").arg("-a").arg(self.path(from)).arg(self.path(to)).status().unwrap();
        assert!(status.success());
    }

    /// The `archive_command` of the server.
    pub(crate) fn archive_command(&self) -> String {
        format!("{} wal push %p", words(self.directory.path()))
    }

    fn socket(&self) -> (String, String) {
        let sandbox = self.cluster.sandbox();
        (sandbox.socket_directory().display().to_string(), sandbox.port().to_string())
    }

    /// The archive without the program in between. What is written through it gets the right owner with [`Self::hand_over`].
    pub(crate) fn opened(&self) -> WalArchive {
        let system = self.cluster.psql("postgres", "SELECT system_identifier FROM pg_control_system()");
        let store = LocalStore::new(self.path("isolated"), Isolation::Off).unwrap();
        let holder = HolderKey::parse(KEY).unwrap();
        Repository::open(Arc::new(store), &holder).unwrap().wal(system.trim().parse().unwrap())
    }

    /// Gives everything in the repository to the account of the server.
    pub(crate) fn hand_over(&self) {
        fn give(path: &Path, (user, group): (u32, u32)) {
            chown(path, Some(user), Some(group)).unwrap();
            if path.is_dir() {
                for entry in fs::read_dir(path).unwrap() {
                    give(&entry.unwrap().path(), (user, group));
                }
            }
        }
        if let Some(owner) = self.cluster.owner() {
            give(&self.path("isolated"), owner);
        }
    }

    /// Starts a server on a base backup, which recovers from the archive. `more` are further settings.
    pub(crate) fn recover(&self, name: &str, more: &[&str]) -> Recovering<'_> {
        let data = self.path(name);
        let settings = [
            "archive_mode = off".to_owned(),
            "hot_standby = on".to_owned(),
            "listen_addresses = ''".to_owned(),
            format!("unix_socket_directories = '{}'", data.display()),
            format!("restore_command = '{} wal fetch %f %p'", words(self.directory.path())),
        ];
        let lines = settings.iter().map(String::as_str).chain(more.iter().copied());
        let conf = data.join("postgresql.conf");
        let text = fs::read_to_string(&conf).unwrap() + "\n" + &lines.collect::<Vec<_>>().join("\n") + "\n";
        fs::write(&conf, text).unwrap();
        fs::write(data.join("recovery.signal"), b"").unwrap();
        let log = self.path(&format!("{name}.log"));
        let arguments =
            ["-D", &data.display().to_string(), "-l", &log.display().to_string(), "-w", "-t", "120", "start"];
        let tools = self.cluster.client_tools();
        // Not to be waited for with its output, which the server would keep open.
        let started =
            self.command(tools.directory().join("pg_ctl")).args(arguments).status().unwrap().success();
        Recovering { archived: self, data, log, started }
    }
}

/// How the program is called so that it needs no environment.
fn words(directory: &Path) -> String {
    let directory = directory.display();
    format!("{PROGRAM} --repository file://{directory}/isolated --key-file {directory}/key")
}

/// A server that was started on a base backup.
pub(crate) struct Recovering<'a> {
    archived: &'a Archived,
    data: PathBuf,
    log: PathBuf,
    /// Whether it accepts connections.
    pub(crate) started: bool,
}

impl Recovering<'_> {
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// What `sql` returns, once the server is out of recovery.
    pub(crate) fn ask(&self, sql: &str) -> String {
        assert!(self.started, "{}", self.log());
        let port = self.archived.socket().1;
        let query = |sql: &str| {
            let host = self.data.display().to_string();
            let arguments =
                ["-h", &host, "-p", &port, "-U", "postgres", "-d", "postgres", "-X", "-A", "-t", "-c", sql];
            let output = self.archived.postgres("psql", &arguments);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        while query("SELECT pg_is_in_recovery()") == "t" {
            std::thread::yield_now();
        }
        query(sql)
    }

    /// What the control file says that the cluster is doing.
    pub(crate) fn state(&self) -> String {
        let output = self.archived.postgres("pg_controldata", &[&self.data.display().to_string()]);
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().find(|line| line.starts_with("Database cluster state")).unwrap().to_owned();
        line.split_once(':').unwrap().1.trim().to_owned()
    }
}

impl Drop for Recovering<'_> {
    fn drop(&mut self) {
        let data = self.data.display().to_string();
        self.archived.postgres("pg_ctl", &["-D", &data, "-m", "immediate", "-w", "stop"]);
    }
}
