//! A program that gets the message on standard input.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::alerts::{Channel, ChannelError, Message};
use crate::child;

/// Which program, and how long it may take.
#[derive(Debug, Clone)]
pub struct CommandSettings {
    /// The program, as an absolute path.
    pub program: PathBuf,
    /// Its arguments. They are no place for secrets: everyone on the machine can read them.
    pub arguments: Vec<String>,
    /// How long it may take. Then it is killed, with what it started.
    pub limit: Duration,
}

/// Runs a program for each message: the JSON on standard input, nothing in the environment but `PATH`, the root as directory. What it writes to
/// standard error goes where this process writes it.
#[derive(Debug)]
pub struct CommandChannel(CommandSettings);

impl CommandChannel {
    /// A channel that runs a program.
    pub fn new(settings: CommandSettings) -> Self {
        Self(settings)
    }

    fn start(&self) -> std::io::Result<Child> {
        let mut command = Command::new(&self.0.program);
        command.args(&self.0.arguments).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null());
        // A group of its own, so that what it starts can be ended with it.
        command.process_group(0).spawn()
    }

    fn failed(&self, how: impl Into<String>) -> ChannelError {
        ChannelError::Program { program: self.place(), how: how.into() }
    }
}

impl Channel for CommandChannel {
    fn send(&self, message: &Message, _now: Timestamp) -> Result<(), ChannelError> {
        let until = Instant::now() + self.0.limit;
        let mut child = self.start().map_err(|error| self.failed(format!("cannot be started: {error}")))?;
        if let Some(mut input) = child.stdin.take() {
            // A message is smaller than what a pipe holds, so this waits for nobody; and a program need not read it.
            let _ = input.write_all(format!("{}\n", message.to_json()).as_bytes());
        }
        match child::wait(&mut child, until) {
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(status)) => Err(self.failed(format!("ended with {status}"))),
            Ok(None) => Err(ChannelError::Late { place: self.place(), limit: self.0.limit }),
            Err(error) => Err(self.failed(format!("cannot be waited for: {error}"))),
        }
    }

    fn limit(&self) -> Duration {
        self.0.limit
    }

    fn place(&self) -> String {
        self.0.program.display().to_string()
    }
}
