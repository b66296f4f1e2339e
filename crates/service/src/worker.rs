//! Runs of this program as children: a run that fails, hangs or eats memory takes nothing with it but itself.
//!
//! Invariant: what a child says is read to its end, so that it never waits with a full pipe. What it answers is in the journal.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

/// Bytes of one line that a child says.
const LINE_BYTES: usize = 4096;

/// How this program is called.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its file.
    pub path: PathBuf,
    /// What every call begins with.
    pub arguments: Vec<OsString>,
}

/// What a child does or did.
#[derive(Debug)]
pub enum Report {
    /// It said something.
    Said {
        /// The run.
        run: String,
        /// A line.
        line: String,
    },
    /// It ended.
    Ended(Finished),
}

/// A child that ended.
#[derive(Debug)]
pub struct Finished {
    /// The run.
    pub run: String,
    /// Its exit status; nothing when a signal ended it or it could not be waited for.
    pub status: Option<i32>,
    /// The last line that it said.
    pub last_line: Option<String>,
    /// How long it ran.
    pub duration: Duration,
}

/// A child that runs.
#[derive(Debug)]
pub struct Running {
    pid: rustix::process::Pid,
}

impl Running {
    /// Its number.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Asks it to stop.
    pub fn stop(&self) {
        // One that is gone needs no signal.
        let _ = rustix::process::kill_process(self.pid, rustix::process::Signal::TERM);
    }

    /// Ends it.
    pub fn kill(&self) {
        let _ = rustix::process::kill_process(self.pid, rustix::process::Signal::KILL);
    }
}

/// Starts a run, of which `reports` hears.
///
/// # Errors
/// When the program cannot be started.
pub fn start(
    program: &Program,
    run: &str,
    arguments: &[OsString],
    reports: &Sender<Report>,
) -> io::Result<Running> {
    let mut child = Command::new(&program.path)
        .args(&program.arguments)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let pid = rustix::process::Pid::from_child(&child);
    let err = child.stderr.take();
    let (run, reports) = (run.to_owned(), reports.clone());
    std::thread::Builder::new().name(format!("run {run}")).spawn(move || {
        let finished = attend(run, child, err, &reports);
        let _ = reports.send(Report::Ended(finished));
    })?;
    Ok(Running { pid })
}

fn attend(run: String, mut child: Child, err: Option<ChildStderr>, reports: &Sender<Report>) -> Finished {
    let began = Instant::now();
    let last_line = err.and_then(|err| pass_lines(err, &run, reports));
    let status: io::Result<ExitStatus> = child.wait();
    Finished {
        status: status.ok().and_then(|status| status.code()),
        last_line,
        duration: began.elapsed(),
        run,
    }
}

/// Passes on every line, and returns the last one.
fn pass_lines(err: ChildStderr, run: &str, reports: &Sender<Report>) -> Option<String> {
    let mut last = None;
    let mut reader = BufReader::new(err);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LINE_BYTES as u64).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return last,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                if !text.is_empty() {
                    let _ = reports.send(Report::Said { run: run.to_owned(), line: text.clone() });
                    last = Some(text);
                }
            }
        }
    }
}
