//! The server process of a sandbox.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::error::SandboxError;
use super::owner::Owner;
use crate::client::{self, Client};
use crate::conninfo::ConnectOptions;
use crate::tools::Tools;

/// How long a server of a new cluster may take to accept connections, crash recovery included.
const READY_LIMIT: Duration = Duration::from_mins(2);
/// Time between two attempts to connect.
const READY_INTERVAL: Duration = Duration::from_millis(10);
/// Bytes of the end of the log that errors quote from.
const LOG_TAIL_BYTES: i64 = 8 * 1024;
/// Lines of it.
const LOG_TAIL_LINES: usize = 8;

/// How a server is started, and how one sees that it runs.
#[derive(Debug, Clone)]
pub(super) struct Launch {
    /// Arguments behind the data directory.
    pub(super) arguments: Vec<String>,
    /// How to connect, best first. The next one is tried where the server does not know the user or the database, or does not let
    /// anyone into it.
    pub(super) candidates: Vec<ConnectOptions>,
    /// How long it may take to accept connections.
    pub(super) limit: Duration,
}

impl Launch {
    /// As for a new cluster.
    pub(super) fn new(options: ConnectOptions) -> Self {
        Self { arguments: Vec::new(), candidates: vec![options], limit: READY_LIMIT }
    }
}

/// A postmaster, running or not.
#[derive(Debug)]
pub(super) struct Server {
    tools: Tools,
    base: PathBuf,
    owner: Owner,
    launch: Launch,
    /// The first candidate that could connect.
    options: ConnectOptions,
    child: Option<Child>,
}

impl Server {
    /// Starts the server of the data directory below `base` and waits until it accepts a connection.
    pub(super) fn start(
        tools: &Tools,
        base: &Path,
        owner: &Owner,
        launch: Launch,
    ) -> Result<Self, SandboxError> {
        let Some(options) = launch.candidates.first().cloned() else {
            return Err(SandboxError::State("one that nobody can connect to"));
        };
        let mut server = Self {
            tools: tools.clone(),
            base: base.to_owned(),
            owner: owner.clone(),
            launch,
            options,
            child: None,
        };
        server.start_again()?;
        Ok(server)
    }

    pub(super) fn options(&self) -> &ConnectOptions {
        &self.options
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub(super) fn start_again(&mut self) -> Result<(), SandboxError> {
        if self.child.is_some() {
            return Err(SandboxError::State("running already"));
        }
        let log_path = self.log_path();
        let failed = |source| SandboxError::io("writing", &log_path, source);
        let log = OpenOptions::new().create(true).append(true).open(&log_path).map_err(failed)?;
        let errors = log.try_clone().map_err(failed)?;
        let mut command = self.tools.command("postgres", None);
        command.arg("-D").arg(self.base.join("data")).args(&self.launch.arguments);
        self.owner.run_as(&mut command, &self.base);
        let child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(|source| SandboxError::io("starting the server of", &self.base, source))?;
        self.child = Some(child);
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> Result<(), SandboxError> {
        let started = Instant::now();
        loop {
            let Err(error) = self.connect() else { return Ok(()) };
            self.check()?;
            let waited = started.elapsed();
            if waited > self.launch.limit || !may_pass(&error) {
                return Err(SandboxError::NotReady { waited, log: self.log_tail(), source: Box::new(error) });
            }
            thread::sleep(READY_INTERVAL);
        }
    }

    /// Connects as the first candidate who may. The error is that of the best one.
    fn connect(&mut self) -> Result<(), client::Error> {
        let mut first = None;
        for candidate in &self.launch.candidates {
            match Client::connect(candidate).and_then(Client::close) {
                Ok(()) => {
                    self.options = candidate.clone();
                    return Ok(());
                }
                Err(error) if may_pass(&error) => return Err(error),
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// An error if the server has ended by itself.
    pub(super) fn check(&mut self) -> Result<(), SandboxError> {
        let Some(status) = self.exit_status()? else { return Ok(()) };
        self.child = None;
        Err(SandboxError::Exited { status, log: self.log_tail() })
    }

    fn exit_status(&mut self) -> Result<Option<ExitStatus>, SandboxError> {
        let Some(child) = &mut self.child else { return Ok(None) };
        child.try_wait().map_err(|source| SandboxError::io("waiting for the server of", &self.base, source))
    }

    pub(super) fn stop(&mut self) -> Result<(), SandboxError> {
        self.end(Signal::INT)
    }

    pub(super) fn kill(&mut self) -> Result<(), SandboxError> {
        self.end(Signal::KILL)
    }

    /// Sends a signal to the postmaster and waits for its end.
    fn end(&mut self, signal: Signal) -> Result<(), SandboxError> {
        let Some(mut child) = self.child.take() else { return Err(SandboxError::State("not running")) };
        let failed = |source| SandboxError::io("ending the server of", &self.base, source);
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            // Not reaped yet, so the number is still its own.
            kill_process(pid, signal).map_err(|error| failed(error.into()))?;
        }
        child.wait().map(drop).map_err(failed)
    }

    fn log_path(&self) -> PathBuf {
        self.base.join("server.log")
    }

    /// The last lines of the log, in one.
    pub(super) fn log_tail(&self) -> String {
        let text = self.log_end();
        let lines: Vec<&str> = text.lines().filter(|line| !is_noise(line)).collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("; ")
    }

    /// The last lines of the log that say why a server ended or does not go on; without any, those that are there.
    pub(super) fn log_of_failure(&self) -> String {
        let text = self.log_end();
        let is_telling = |line: &&str| {
            !is_noise(line)
                && ["FATAL:", "PANIC:", "ERROR:", "WARNING:", "DETAIL:", "HINT:"]
                    .iter()
                    .any(|word| line.contains(word))
        };
        let lines: Vec<&str> = text.lines().filter(is_telling).map(str::trim).collect();
        let last = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("; ");
        if last.is_empty() { self.log_tail() } else { last }
    }

    fn log_end(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut file = File::open(self.log_path())?;
            let length = i64::try_from(file.metadata()?.len()).unwrap_or(i64::MAX);
            file.seek(SeekFrom::End(-length.min(LOG_TAIL_BYTES)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().unwrap_or_default()
    }
}

/// What the server says to those who ask whether it is ready.
fn is_noise(line: &str) -> bool {
    [
        "the database system is starting up",
        "the database system is not yet accepting",
        "Consistent recovery state",
    ]
    .iter()
    .any(|text| line.contains(text))
}

/// The server may still be starting.
fn may_pass(error: &client::Error) -> bool {
    use client::ErrorKind::{Authentication, NoSuchDatabase, Protocol, Server};
    !matches!(error.kind(), Authentication | NoSuchDatabase | Protocol | Server)
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() {
            // SIGQUIT is PostgreSQL's immediate shutdown: no checkpoint, as the files go next.
            let _ = self.end(Signal::QUIT);
        }
    }
}
