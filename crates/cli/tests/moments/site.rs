//! A server that archives its WAL with the program, and servers on what is restored. Everything runs as the account of the server,
//! as it does in production.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};

use operations::postgres::{Client, ClientEnvironment, ConnectOptions, Tools};
use serde_json::Value;
use tempfile::TempDir;
use testkit::Cluster;

use crate::ledger;

const KEY: &str = "5ec2e7c0ffee5ec2e7c0ffee5ec2e7c0ffee5ec2e7c0ffee5ec2e7c0ffee5ec2";

/// A server, its repository, and room for restored clusters.
pub(crate) struct Site {
    pub(crate) cluster: Cluster,
    directory: TempDir,
    owner: Option<(u32, u32)>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let key = directory.path().join("key");
        fs::write(&key, KEY).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let program = env!("CARGO_BIN_EXE_chronavault");
        let archive = format!("{program} -q {} wal push %p", flags(directory.path()).join(" "));
        let cluster = Cluster::replicating(|options| {
            options.durable = true;
            options.settings.push(("archive_mode".to_owned(), "on".to_owned()));
            options.settings.push(("archive_command".to_owned(), archive));
            // So that the second backup takes over unread what did not change.
            if testkit::server_tools().major() >= 17 {
                options.settings.push(("summarize_wal".to_owned(), "on".to_owned()));
            }
        });
        let owner = cluster.owner();
        if let Some((user, group)) = owner {
            for path in [directory.path(), &key] {
                chown(path, Some(user), Some(group)).unwrap();
            }
        }
        let site = Self { cluster, directory, owner };
        site.succeeds(&["init"]);
        site.cluster.create_database("books");
        site.cluster.psql("books", ledger::TABLE);
        site
    }

    /// A site with the repository in `golden`, which opens with `secret`, and with the server programs of `major`. Its own server only
    /// says as whom servers run.
    pub(crate) fn holding(golden: &Path, secret: &str, major: u32) -> Self {
        let tools = Tools::find_same_server(major, std::env::var_os("PATH").as_deref()).unwrap();
        let cluster = Cluster::with_tools(&tools, |_| ());
        let directory = TempDir::new().unwrap();
        let key = directory.path().join("key");
        fs::write(&key, secret).unwrap();
        copy(golden, &directory.path().join("backups/isolated"));
        let owner = cluster.owner();
        protect(directory.path(), owner);
        Self { cluster, directory, owner }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The program, ready to run as the account of the server.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chronavault"));
        command
            .args(flags(self.directory.path()))
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("DATABASE_URL", self.cluster.url("postgres"))
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }

    #[track_caller]
    pub(crate) fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Takes a physical backup and returns its id.
    pub(crate) fn backup(&self) -> String {
        let said = self.succeeds(&["backup", "--kind", "physical", "--no-verify", "--json"]);
        let json: Value = serde_json::from_str(&said).unwrap();
        json["id"].as_str().unwrap().to_owned()
    }

    /// Has the server archive all WAL that there is, and waits for it.
    pub(crate) fn archive_everything(&self) {
        let mut client = self.cluster.client("postgres");
        let wanted = "SELECT pg_walfile_name(pg_switch_wal())";
        let wanted = client.query_one(wanted, &[]).unwrap().text(0).unwrap().to_owned();
        let archived = "SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver";
        while client.query_one(archived, &[]).unwrap().text(0).unwrap() < wanted.as_str() {
            std::thread::yield_now();
        }
    }

    /// Restores into a new directory and waits until a server on it has recovered.
    pub(crate) fn recover(&self, arguments: &[String]) -> Recovered {
        let data = self.path("recovered");
        if data.exists() {
            fs::remove_dir_all(&data).unwrap();
        }
        let data_dir = data.display().to_string();
        let mut words = vec!["restore"];
        words.extend(arguments.iter().map(String::as_str));
        words.extend(["--data-dir", &data_dir]);
        self.succeeds(&words);
        Recovered::start(self, data, "books")
    }

    /// Demands that no server starts on a directory.
    #[track_caller]
    pub(crate) fn does_not_start(&self, data: &Path) {
        let log = self.path("half.log");
        let programs = self.cluster.sandbox().tools().directory();
        let start = ["start", "-w", "-t", "120", "-l", log.to_str().unwrap(), "-o", "-c listen_addresses=''"];
        if pg_ctl(programs, data, self.owner, &start).success() {
            pg_ctl(programs, data, self.owner, &["stop", "-w", "-m", "immediate"]);
            panic!("a server started on {}", data.display());
        }
    }

    /// Demands that a restore is refused before it writes anything.
    pub(crate) fn refuses(&self, arguments: &[String]) {
        let data = self.path("refused");
        let data_dir = data.display().to_string();
        let mut words = vec!["restore"];
        words.extend(arguments.iter().map(String::as_str));
        words.extend(["--data-dir", &data_dir]);
        let output = self.run(&words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("error[recovery.unreachable]"), "{arguments:?}: {said}");
        assert!(!data.exists(), "{arguments:?} wrote something");
    }

    /// Deletes an archived segment between the first and the last.
    pub(crate) fn lose_middle_segment(&self) {
        let mut segments = Vec::new();
        collect(&self.path("backups/isolated/wal"), &mut segments);
        segments.retain(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.len() == "000000010000000000000001.wal".len()
        });
        segments.sort();
        fs::remove_file(&segments[segments.len() / 2]).unwrap();
    }
}

/// Copies a directory with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

/// Leaves everything below `path` to its owner only, as an isolated repository must be.
fn protect(path: &Path, owner: Option<(u32, u32)>) {
    let mode = if path.is_dir() { 0o700 } else { 0o600 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    if let Some((user, group)) = owner {
        chown(path, Some(user), Some(group)).unwrap();
    }
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            protect(&entry.unwrap().path(), owner);
        }
    }
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

fn flags(directory: &Path) -> [String; 4] {
    let path = |name: &str| directory.join(name).display().to_string();
    ["--directory".to_owned(), path("backups"), "--key-file".to_owned(), path("key")]
}

/// Runs `pg_ctl` on a data directory, as the account of the server.
fn pg_ctl(programs: &Path, data: &Path, owner: Option<(u32, u32)>, arguments: &[&str]) -> ExitStatus {
    let mut command = Command::new(programs.join("pg_ctl"));
    command.arg("-D").arg(data).args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
    command.current_dir("/").status().unwrap()
}

/// A server on a restored directory, after its recovery.
pub(crate) struct Recovered {
    data: PathBuf,
    programs: PathBuf,
    owner: Option<(u32, u32)>,
    options: ConnectOptions,
}

impl Recovered {
    /// Starts a server and waits until it has recovered; what it is asked, it is asked in `database`.
    pub(crate) fn start(site: &Site, data: PathBuf, database: &str) -> Self {
        let programs = site.cluster.sandbox().tools().directory().to_owned();
        let sockets = site.directory.path();
        let port = 54322;
        let text = format!("host={} port={port} user=postgres dbname={database}", sockets.display());
        let recovered = Self {
            data,
            programs,
            owner: site.owner,
            options: ConnectOptions::parse(&text, &ClientEnvironment::default()).unwrap(),
        };
        let settings =
            format!("-c port={port} -c unix_socket_directories='{}' -c archive_mode=off", sockets.display());
        let log = recovered.data.join("server.log");
        recovered.pg_ctl(&["start", "-w", "-t", "120", "-l", log.to_str().unwrap(), "-o", &settings]);
        let mut client = recovered.client();
        // pg_ctl waits until the server answers; it answers queries before it has promoted.
        while client.query_one("SELECT pg_is_in_recovery()", &[]).unwrap().is_true(0) {
            std::thread::yield_now();
        }
        recovered
    }

    fn pg_ctl(&self, arguments: &[&str]) {
        let status = pg_ctl(&self.programs, &self.data, self.owner, arguments);
        let log = fs::read_to_string(self.data.join("server.log")).unwrap_or_default();
        assert!(status.success(), "pg_ctl {arguments:?}: {log}");
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.options).unwrap()
    }

    /// Rows of the ledger, and the sum of their amounts. The total that each commit keeps must agree.
    pub(crate) fn ledger(&self) -> (u64, u64) {
        let sql = "SELECT count(*), coalesce(sum(amount), 0), (SELECT rows FROM totals) FROM ledger";
        let row = self.client().query_one(sql, &[]).unwrap();
        let (rows, sum, total): (u64, u64, u64) =
            (row.number(0).unwrap(), row.number(1).unwrap(), row.number(2).unwrap());
        assert_eq!(rows, total);
        (rows, sum)
    }

    /// After recovery nothing of it is left in the data directory.
    pub(crate) fn leaves_no_trace(&self) {
        let conf = fs::read_to_string(self.data.join("postgresql.auto.conf")).unwrap();
        assert!(!conf.contains("recovery") && !conf.contains("restore_command"), "{conf}");
        assert!(!self.data.join("recovery.signal").exists());
        assert!(!self.data.join("pg_wal/chronavault-spool").exists());
    }
}

impl Drop for Recovered {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = std::panic::catch_unwind(|| self.pg_ctl(&["stop", "-w", "-m", "immediate"]));
        } else {
            self.pg_ctl(&["stop", "-w", "-m", "immediate"]);
        }
    }
}
