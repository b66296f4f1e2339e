//! A throwaway PostgreSQL cluster on a unix socket.
//!
//! Invariants: everything is below one directory with mode 0700, nobody can reach the server over the network unless that was
//! asked for, and nothing is left when the value is dropped. PostgreSQL refuses to run as root, so root hands the directory and the
//! processes to an unprivileged account.
//!
//! When this process is killed, a watchdog (a small shell, started first) sees the end of its input, ends the server and removes
//! the directory. Only if the watchdog is killed as well does a server stay behind.

mod confinement;
mod error;
mod options;
mod owner;
mod restored;
mod server;
mod watchdog;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use error::SandboxError;
pub use options::{Locale, LocaleProvider, SandboxOptions, TlsServer};
pub use restored::{RecoveryRequest, RestoredCluster, RestoredDirectory, RestoredError, WalSupply};

use crate::conninfo::ConnectOptions;
use crate::process::Process;
use crate::tools::Tools;
use owner::Owner;
use server::{Launch, Server};
use watchdog::Watchdog;

/// It names the socket; nothing listens on it unless TCP was asked for.
const SOCKET_PORT: u16 = 54321;
/// Bytes of the longest path of a unix socket (`sun_path` of Linux without its NUL).
const SOCKET_PATH_LIMIT: usize = 107;
/// Where a socket goes when the directory of the sandbox has too long a name.
const SHORT_PARENT: &str = "/tmp";
/// How often another port is tried when someone else took the one that was free a moment ago.
const PORT_ATTEMPTS: u32 = 5;

/// A running throwaway cluster. Dropping it ends the server and removes every file.
#[derive(Debug)]
pub struct Sandbox {
    // Fields are dropped in this order: the server ends before its files go.
    server: Server,
    files: Files,
    tools: Tools,
    port: u16,
    superuser: String,
}

/// The directories of a sandbox; dropping removes them and dismisses the watchdog.
#[derive(Debug)]
struct Files {
    base: PathBuf,
    sockets: PathBuf,
    watchdog: Watchdog,
}

impl Files {
    fn data(&self) -> PathBuf {
        self.base.join("data")
    }

    fn create(parent: &Path, owner: &Owner) -> Result<Self, SandboxError> {
        let base = owner.create_directory(parent, "sandbox-")?;
        let name = format!(".s.PGSQL.{SOCKET_PORT}");
        let is_short = base.as_os_str().as_bytes().len() + 1 + name.len() <= SOCKET_PATH_LIMIT;
        let sockets = if is_short {
            base.clone()
        } else {
            owner.create_directory(Path::new(SHORT_PARENT), "sandbox-")?
        };
        let watchdog = Watchdog::start(&base, &sockets)?;
        Ok(Self { base, sockets, watchdog })
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let removed = fs::remove_dir_all(&self.base);
        if self.sockets != self.base {
            let _ = fs::remove_dir_all(&self.sockets);
        }
        if removed.is_ok() {
            self.watchdog.dismiss();
        }
        // Otherwise the end of its input makes the watchdog try once more.
    }
}

impl Sandbox {
    /// Makes a cluster with the server programs of `tools` and starts it. It accepts connections when this returns.
    pub fn start(tools: &Tools, options: &SandboxOptions) -> Result<Self, SandboxError> {
        let owner = Owner::choose()?;
        let files = Files::create(&options.parent, &owner)?;
        match &options.template {
            Some(template) => copy(template, &files.data())?,
            None => initialise(tools, options, &files, &owner)?,
        }
        let mut attempt = 1;
        let mut port = port(options)?;
        let server = loop {
            options::write_configuration(options, &files.base, &files.sockets, port, &owner)?;
            let ready = Self::local_options(&files.sockets, port, &options.superuser, "postgres")?;
            match Server::start(tools, &files.base, &owner, Launch::new(ready)) {
                Ok(server) => break server,
                Err(error) if options.tcp && error.is_port_taken() && attempt < PORT_ATTEMPTS => {
                    attempt += 1;
                    port = self::port(options)?;
                }
                Err(error) => return Err(error),
            }
        };
        Ok(Self { server, files, tools: tools.clone(), port, superuser: options.superuser.clone() })
    }

    /// Makes a data directory to be the `template` of later sandboxes. `directory` appears complete or not at all; if it is there
    /// already, it stays as it is.
    pub fn initialise_template(
        tools: &Tools,
        options: &SandboxOptions,
        directory: &Path,
    ) -> Result<(), SandboxError> {
        let owner = Owner::choose()?;
        let files = Files::create(&options.parent, &owner)?;
        initialise(tools, options, &files, &owner)?;
        let failed = |source| SandboxError::io("making", directory, source);
        // The template may be on another file system, and renaming must not leave half of it.
        let parent = directory.parent().unwrap_or(Path::new("."));
        let nearby = tempfile::Builder::new().prefix("template-").tempdir_in(parent).map_err(failed)?;
        let whole = nearby.path().join("data");
        copy(&files.data(), &whole)?;
        match fs::rename(&whole, directory) {
            Err(_) if directory.exists() => Ok(()),
            other => other.map_err(failed),
        }
    }

    /// How to connect to `database` as the superuser, through the socket.
    pub fn options(&self, database: &str) -> ConnectOptions {
        self.server.options().with_database(database)
    }

    /// How to connect to `database` as `user` through the socket.
    pub fn options_as(&self, user: &str, database: &str) -> Result<ConnectOptions, SandboxError> {
        Self::local_options(&self.files.sockets, self.port, user, database)
    }

    fn local_options(
        sockets: &Path,
        port: u16,
        user: &str,
        database: &str,
    ) -> Result<ConnectOptions, SandboxError> {
        Ok(ConnectOptions::local(sockets, port, user, database)?)
    }

    /// The same as a connection URI, for programs and for settings that are text.
    pub fn url(&self, database: &str) -> String {
        let encode = |text: &str| {
            let byte = |byte: u8| {
                let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
                if plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
            };
            text.bytes().map(byte).collect::<String>()
        };
        let sockets = self.files.sockets.to_string_lossy();
        let user = encode(&self.superuser);
        format!("postgresql://{user}@{}:{}/{}", encode(&sockets), self.port, encode(database))
    }

    /// The directory of the unix socket.
    pub fn socket_directory(&self) -> &Path {
        &self.files.sockets
    }

    /// The port: of TCP if that was asked for, and in the name of the socket.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The data directory.
    pub fn data_directory(&self) -> PathBuf {
        self.files.data()
    }

    /// The programs that it runs.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// The process id of the postmaster; `None` while it is stopped.
    pub fn postmaster_pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// The last lines of the server's log.
    pub fn log_tail(&self) -> String {
        self.server.log_tail()
    }

    /// Ends the server in an orderly way (as `pg_ctl stop -m fast`) and keeps its files.
    pub fn stop(&mut self) -> Result<(), SandboxError> {
        self.server.stop()
    }

    /// Kills the server as a power failure would (SIGKILL) and keeps its files.
    pub fn kill(&mut self) -> Result<(), SandboxError> {
        self.server.kill()
    }

    /// Starts the server again after [`Sandbox::stop`] or [`Sandbox::kill`].
    pub fn start_again(&mut self) -> Result<(), SandboxError> {
        self.server.start_again()
    }
}

/// The port for the next attempt: a free one if TCP is asked for. Someone may take it before the server does.
fn port(options: &SandboxOptions) -> Result<u16, SandboxError> {
    if !options.tcp {
        return Ok(SOCKET_PORT);
    }
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    Ok(listener.map_err(|source| SandboxError::Port { source })?.port())
}

fn initialise(
    tools: &Tools,
    options: &SandboxOptions,
    files: &Files,
    owner: &Owner,
) -> Result<(), SandboxError> {
    let mut command = tools.command("initdb", None);
    command.arg("--pgdata").arg(files.data()).args(options::initdb_arguments(options, tools.major())?);
    owner.run_as(&mut command, &files.base);
    finish(command)
}

/// Copies a template. `cp` keeps owners when it runs as root, and clones blocks where the file system can.
fn copy(template: &Path, data: &Path) -> Result<(), SandboxError> {
    let mut command = Command::new("cp");
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .args(["-a", "--reflink=auto", "--"])
        .arg(template)
        .arg(data);
    finish(command)
}

fn finish(command: Command) -> Result<(), SandboxError> {
    Process::spawn(command, false).and_then(Process::finish).map(drop).map_err(SandboxError::Initialise)
}
