//! Throwaway clusters: a server of its own for each test, on a unix socket.
//!
//! Everything here panics when it fails, as a test would.

#![expect(clippy::missing_panics_doc, reason = "failing is panicking here")]

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use postgres::{Client, ConnectOptions, Sandbox, SandboxOptions, Tools};

/// The variable that names the directory with the PostgreSQL programs to test with.
pub const BIN_VARIABLE: &str = "CHRONAVAULT_TEST_PG_BIN";
/// Without it, the oldest version from this one on that is installed.
const OLDEST_MAJOR: u32 = 13;

/// A running server with a superuser `postgres`, the C locale and UTF-8. Dropping it ends the server and removes its files.
#[derive(Debug)]
pub struct Cluster {
    sandbox: Sandbox,
}

impl Cluster {
    /// Starts a server with the usual settings.
    #[must_use]
    pub fn start() -> Self {
        Self::with(|_| ())
    }

    /// Starts a server with other settings: `configure` changes the usual ones.
    #[must_use]
    pub fn with(configure: impl FnOnce(&mut SandboxOptions)) -> Self {
        Self::with_tools(&server_tools(), configure)
    }

    /// Starts a server that takes replication connections on its socket and that a physical backup can be taken from.
    /// A commit is in the WAL when it returns.
    #[must_use]
    pub fn replicating(configure: impl FnOnce(&mut SandboxOptions)) -> Self {
        Self::with(|options| {
            options.access.push("local replication all trust".to_owned());
            for (name, value) in [
                ("wal_level", "replica"),
                ("max_wal_senders", "8"),
                ("full_page_writes", "on"),
                ("synchronous_commit", "on"),
            ] {
                options.settings.push((name.to_owned(), value.to_owned()));
            }
            configure(options);
        })
    }

    /// The account and group that own the server's files, if they are not ours.
    pub fn owner(&self) -> Option<(u32, u32)> {
        let metadata = std::fs::metadata(self.sandbox.data_directory()).expect("the data directory is there");
        let is_other = metadata.uid() != rustix::process::geteuid().as_raw();
        is_other.then(|| (metadata.uid(), metadata.gid()))
    }

    /// The same with the programs of another installation.
    #[must_use]
    pub fn with_tools(tools: &Tools, configure: impl FnOnce(&mut SandboxOptions)) -> Self {
        let usual = SandboxOptions::new(std::env::temp_dir());
        let mut options = usual.clone();
        configure(&mut options);
        let is_usual = options.superuser == usual.superuser
            && options.encoding == usual.encoding
            && options.locale == usual.locale
            && options.data_checksums == usual.data_checksums;
        if is_usual && options.template.is_none() {
            options.template = Some(template(tools, &usual));
        }
        let sandbox = Sandbox::start(tools, &options).unwrap_or_else(|error| panic!("{}", explain(&error)));
        Self { sandbox }
    }

    /// Client programs for this server: those beside it, else the ones that are installed.
    pub fn client_tools(&self) -> Tools {
        client_tools(self.sandbox.tools())
    }

    /// The connection URI of `database`, for the superuser and through the socket.
    pub fn url(&self, database: &str) -> String {
        self.sandbox.url(database)
    }

    /// The same as options.
    pub fn options(&self, database: &str) -> ConnectOptions {
        self.sandbox.options(database)
    }

    /// A new session in `database`.
    pub fn client(&self, database: &str) -> Client {
        Client::connect(&self.options(database)).unwrap_or_else(|error| panic!("{}", explain(&error)))
    }

    /// Runs `sql`, which may hold psql's own commands, with psql in `database`. Returns what it prints, unaligned and without headings;
    /// the first error panics.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let tools = client_tools(self.sandbox.tools());
        let mut child = tools
            .command("psql", Some(&self.options(database)))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql starts");
        let mut input = child.stdin.take().expect("it was piped");
        let text = sql.to_owned();
        // On its own thread, since psql may print much before it has read everything.
        let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
        let output = child.wait_with_output().expect("psql ends");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "psql failed: {errors}");
        writer.join().expect("the writer ends").expect("psql reads its input");
        String::from_utf8(output.stdout).expect("the output is UTF-8")
    }

    /// A session in `database` that keeps `table` from everybody else until it is dropped.
    pub fn hold_lock(&self, database: &str, table: &str) -> Client {
        let mut holder = self.client(database);
        let lock = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
        holder.execute(&lock).expect("the table can be locked");
        holder
    }

    /// Waits until somebody waits for the lock that `holder` has on `table`.
    pub fn await_waiter(&self, holder: &mut Client, table: &str) {
        let waiting =
            format!("SELECT count(*) > 0 FROM pg_locks WHERE relation = '{table}'::regclass AND NOT granted");
        while !holder.query_one(&waiting, &[]).expect("locks can be listed").is_true(0) {
            std::thread::yield_now();
        }
    }

    /// Makes the database `name`, empty.
    pub fn create_database(&self, name: &str) {
        let quoted = name.replace('"', "\"\"");
        self.client("postgres")
            .execute(&format!("CREATE DATABASE \"{quoted}\""))
            .expect("the database is made");
    }

    /// The sandbox below, to stop, kill and start the server.
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The same, to change its state.
    pub fn sandbox_mut(&mut self) -> &mut Sandbox {
        &mut self.sandbox
    }
}

/// The server programs to test with.
pub fn server_tools() -> Tools {
    let found = match std::env::var_os(BIN_VARIABLE) {
        Some(directory) => Tools::at(Path::new(&directory)),
        None => Tools::find_server(OLDEST_MAJOR, std::env::var_os("PATH").as_deref()),
    };
    found.unwrap_or_else(|error| panic!("{}", explain(&error)))
}

/// Client programs for a server of `server`: those beside it, else the ones that are installed.
pub fn client_tools(server: &Tools) -> Tools {
    if server.directory().join("psql").is_file() && server.directory().join("pg_dump").is_file() {
        return server.clone();
    }
    Tools::find(server.major(), std::env::var_os("PATH").as_deref())
        .unwrap_or_else(|error| panic!("{}", explain(&error)))
}

/// A data directory to copy, which is ten times faster than `initdb`. It is made once and stays in the build directory.
fn template(tools: &Tools, options: &SandboxOptions) -> PathBuf {
    let build = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let directory = build.join("testkit");
    std::fs::create_dir_all(&directory).expect("the build directory can be written");
    let user = rustix::process::geteuid().as_raw();
    let template = directory.join(format!("cluster-{}-{user}", tools.version()));
    if !template.exists() {
        Sandbox::initialise_template(tools, options, &template)
            .unwrap_or_else(|error| panic!("{}", explain(&error)));
    }
    template
}

/// An error with all its sources.
fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
