//! A program that gets the message on standard input.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::alerts::{Channel, ChannelError, Message};

/// How often is looked whether the program has ended.
const LOOK: Duration = Duration::from_millis(20);

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
        match wait(&mut child, until) {
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

/// Waits until the child ends, or kills it with its group; then there is no status.
fn wait(child: &mut Child, until: Instant) -> std::io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= until {
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
}
