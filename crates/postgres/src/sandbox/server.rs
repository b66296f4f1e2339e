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

/// How long a server may take to accept connections, crash recovery included.
const READY_LIMIT: Duration = Duration::from_mins(2);
/// Time between two attempts to connect.
const READY_INTERVAL: Duration = Duration::from_millis(10);
/// Bytes of the end of the log that errors quote from.
const LOG_TAIL_BYTES: i64 = 8 * 1024;
/// Lines of it.
const LOG_TAIL_LINES: usize = 8;

/// A postmaster, running or not.
#[derive(Debug)]
pub(super) struct Server {
    tools: Tools,
    base: PathBuf,
    owner: Owner,
    options: ConnectOptions,
    child: Option<Child>,
}

impl Server {
    /// Starts the server of the data directory below `base` and waits until `options` connect.
    pub(super) fn start(
        tools: &Tools,
        base: &Path,
        owner: &Owner,
        options: &ConnectOptions,
    ) -> Result<Self, SandboxError> {
        let mut server = Self {
            tools: tools.clone(),
            base: base.to_owned(),
            owner: owner.clone(),
            options: options.clone(),
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
        command.arg("-D").arg(self.base.join("data"));
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
            let Err(error) = Client::connect(&self.options).and_then(Client::close) else { return Ok(()) };
            if let Some(status) = self.exit_status()? {
                self.child = None;
                return Err(SandboxError::Exited { status, log: self.log_tail() });
            }
            let waited = started.elapsed();
            if waited > READY_LIMIT || !may_pass(&error) {
                return Err(SandboxError::NotReady { waited, log: self.log_tail(), source: Box::new(error) });
            }
            thread::sleep(READY_INTERVAL);
        }
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

    pub(super) fn log_tail(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut file = File::open(self.log_path())?;
            let length = i64::try_from(file.metadata()?.len()).unwrap_or(i64::MAX);
            file.seek(SeekFrom::End(-length.min(LOG_TAIL_BYTES)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let text = read().unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("; ")
    }
}

/// The server may still be starting.
fn may_pass(error: &client::Error) -> bool {
    use client::ErrorKind::{Authentication, NoSuchDatabase, Protocol};
    !matches!(error.kind(), Authentication | NoSuchDatabase | Protocol)
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() {
            // SIGQUIT is PostgreSQL's immediate shutdown: no checkpoint, as the files go next.
            let _ = self.end(Signal::QUIT);
        }
    }
}
