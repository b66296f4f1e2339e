//! Throwaway clusters: what they are, and that nothing is left of them, however they end.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chronavault_postgres::{Client, Locale, LocaleProvider, Sandbox, SandboxError, SandboxOptions};
use testkit::cluster::server_tools;

/// Set in the process that holds a sandbox until it is killed.
const HOLDER: &str = "CHRONAVAULT_TEST_HOLDS_SANDBOX";

/// A parent that the account of the server can reach, and that tells whether anything is left in it.
struct Parent(tempfile::TempDir);

impl Parent {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self(directory)
    }

    fn options(&self) -> SandboxOptions {
        SandboxOptions::new(self.0.path())
    }

    fn is_empty(&self) -> bool {
        fs::read_dir(self.0.path()).unwrap().next().is_none()
    }
}

fn runs(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn one(sandbox: &Sandbox, sql: &str) -> String {
    let mut client = Client::connect(&sandbox.options("postgres")).unwrap();
    client.query_one(sql, &[]).unwrap().text(0).unwrap().to_owned()
}

#[test]
fn it_is_private_and_leaves_nothing() {
    let parent = Parent::new();
    let mut options = parent.options();
    options.superuser = "the boss".to_owned();
    options.settings.push(("work_mem".to_owned(), "7MB".to_owned()));
    options.settings.push(("cluster_name".to_owned(), r"it's a \ name".to_owned()));
    let sandbox = Sandbox::start(&server_tools(), &options).unwrap();
    for (sql, value) in [
        ("SHOW listen_addresses", ""),
        ("SHOW fsync", "off"),
        ("SHOW work_mem", "7MB"),
        ("SHOW cluster_name", r"it's a \ name"),
        ("SHOW server_encoding", "UTF8"),
        ("SELECT datcollate FROM pg_database WHERE datname = 'template0'", "C"),
        ("SELECT current_user", "the boss"),
        ("SELECT count(*) FROM pg_hba_file_rules", "1"),
    ] {
        assert_eq!(one(&sandbox, sql), value, "{sql}");
    }
    for directory in [sandbox.socket_directory().to_owned(), sandbox.data_directory()] {
        assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o700, "{}", directory.display());
    }
    let pid = sandbox.postmaster_pid().unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(!status.lines().any(|line| line.starts_with("Uid:\t0\t")), "{status}");
    drop(sandbox);
    assert!(parent.is_empty());
    assert!(!runs(pid));
}

#[test]
fn sessions_that_are_open_do_not_keep_it() {
    let parent = Parent::new();
    let sandbox = Sandbox::start(&server_tools(), &parent.options()).unwrap();
    let mut client = Client::connect(&sandbox.options("postgres")).unwrap();
    client.execute("BEGIN; CREATE TABLE t (a int)").unwrap();
    drop(sandbox);
    assert!(parent.is_empty());
    assert!(client.execute("SELECT 1").is_err());
}

#[test]
fn a_long_path_gets_a_short_socket() {
    let parent = Parent::new();
    let long = parent.0.path().join("a".repeat(100));
    fs::create_dir(&long).unwrap();
    let sandbox = Sandbox::start(&server_tools(), &SandboxOptions::new(&long)).unwrap();
    assert!(sandbox.data_directory().starts_with(fs::canonicalize(&long).unwrap()));
    let sockets = sandbox.socket_directory().to_owned();
    assert!(sockets.as_os_str().len() < 50);
    assert_eq!(one(&sandbox, "SELECT 1"), "1");
    drop(sandbox);
    assert!(!sockets.exists());
    assert!(fs::read_dir(&long).unwrap().next().is_none());
}

#[test]
fn encodings_and_locales() {
    let parent = Parent::new();
    let tools = server_tools();
    let mut options = parent.options();
    options.encoding = "LATIN1".to_owned();
    let sandbox = Sandbox::start(&tools, &options).unwrap();
    assert_eq!(one(&sandbox, "SHOW server_encoding"), "LATIN1");

    let mut options = parent.options();
    options.locale =
        Locale { provider: LocaleProvider::Icu, name: Some("de".to_owned()), ..Locale::default() };
    let started = Sandbox::start(&tools, &options);
    if tools.major() < 15 {
        assert!(matches!(started, Err(SandboxError::Locale { .. })));
    } else {
        assert_eq!(
            one(&started.unwrap(), "SELECT datlocprovider FROM pg_database WHERE datname = 'postgres'"),
            "i"
        );
    }
}

#[test]
fn what_goes_wrong_is_told_and_cleaned_up() {
    let parent = Parent::new();
    let tools = server_tools();
    let mut options = parent.options();
    options.encoding = "KLINGON".to_owned();
    let error = Sandbox::start(&tools, &options).unwrap_err();
    let SandboxError::Initialise(source) = &error else { panic!("{error}") };
    assert!(source.to_string().contains("KLINGON"), "{source}");

    let mut options = parent.options();
    options.settings.push(("shared_buffers".to_owned(), "a lot".to_owned()));
    let error = Sandbox::start(&tools, &options).unwrap_err();
    assert!(matches!(&error, SandboxError::Exited { log, .. } if log.contains("\"a lot\"")), "{error}");

    let error = Sandbox::start(&tools, &SandboxOptions::new("/nonexistent")).unwrap_err();
    assert!(matches!(error, SandboxError::Io { .. }), "{error}");
    assert!(parent.is_empty());

    if rustix::process::geteuid().is_root() {
        let hidden = parent.0.path().join("hidden");
        fs::create_dir(&hidden).unwrap();
        fs::set_permissions(&hidden, fs::Permissions::from_mode(0o700)).unwrap();
        let error = Sandbox::start(&tools, &SandboxOptions::new(&hidden)).unwrap_err();
        assert!(matches!(&error, SandboxError::Hidden { path, .. } if path.ends_with("hidden")), "{error}");
    }
}

/// Not a test by itself: the process that the next test kills.
#[test]
fn holder() {
    if let Some(parent) = std::env::var_os(HOLDER) {
        let sandbox = Sandbox::start(&server_tools(), &SandboxOptions::new(PathBuf::from(parent))).unwrap();
        println!("\nholding {}", sandbox.postmaster_pid().unwrap());
        let mut line = String::new();
        let _ = std::io::stdin().read_line(&mut line);
    }
}

#[test]
fn nothing_is_left_when_its_owner_is_killed() {
    let parent = Parent::new();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holder", "--nocapture"])
        .env(HOLDER, parent.0.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(holder.stdout.take().unwrap());
    let line = output.lines().map(Result::unwrap).find(|line| line.starts_with("holding ")).unwrap();
    let pid: u32 = line.strip_prefix("holding ").unwrap().parse().unwrap();
    assert!(runs(pid) && !parent.is_empty());
    holder.kill().unwrap();
    holder.wait().unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while runs(pid) || !parent.is_empty() {
        assert!(Instant::now() < deadline, "the server {pid} or its files are still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}
