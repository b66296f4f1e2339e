//! Running PostgreSQL's own programs as children.
//!
//! Invariant: both ends of every pipe are ours, and a child counts as successful only when it was waited for and
//! its exit status is 0. What it says on standard error is kept, up to a limit, and never printed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};

/// Bytes of a child's standard error that are kept; the rest is read and dropped.
const STDERR_LIMIT: usize = 64 * 1024;

/// A program of PostgreSQL failed.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started or waited for.
    #[error("{program} could not be run")]
    Run {
        /// The program, by name.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ended with a status other than 0.
    #[error("{program} failed ({status}): {message}")]
    Failed {
        /// The program, by name.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines that it wrote to standard error, in one line.
        message: String,
    },
}

/// Where a child reads its standard input from.
#[derive(Debug)]
pub enum Input {
    /// There is none.
    Empty,
    /// What the caller writes: see [`Process::take_stdin`].
    Piped,
    /// A file, from where it stands.
    File(File),
}

/// A running child with its standard error collected in the background. Dropping it kills the child.
#[derive(Debug)]
pub struct Process {
    program: String,
    child: Child,
    stderr: Option<JoinHandle<Vec<u8>>>,
    reaped: bool,
}

impl Process {
    /// Starts `command`. Standard output is piped; standard input is piped when `with_input`, else empty.
    pub fn spawn(command: Command, with_input: bool) -> Result<Self, ProcessError> {
        let input = if with_input { Input::Piped } else { Input::Empty };
        Self::spawn_with(command, input, |_| true)
    }

    /// Starts `command` with `input`, and keeps of its standard error only the lines that are `telling`. Standard output is piped.
    pub fn spawn_with(
        mut command: Command,
        input: Input,
        telling: impl FnMut(&str) -> bool + Send + 'static,
    ) -> Result<Self, ProcessError> {
        let program = program_name(&command);
        let input = match input {
            Input::Empty => Stdio::null(),
            Input::Piped => Stdio::piped(),
            Input::File(file) => file.into(),
        };
        let mut child = command
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| ProcessError::Run { program: program.clone(), source })?;
        let stderr = child.stderr.take().map(|pipe| thread::spawn(move || read_bounded(pipe, telling)));
        Ok(Self { program, child, stderr, reaped: false })
    }

    /// The child's standard output; `None` when it was taken before.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// The child's standard input; `None` when it was taken before or not asked for.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Waits for the end and returns what the child wrote to standard error.
    ///
    /// Standard output that was not taken is read and dropped, so that the child cannot block on it.
    pub fn finish(self) -> Result<String, ProcessError> {
        let program = self.program.clone();
        let (status, text) = self.wait()?;
        if status.success() {
            return Ok(text);
        }
        Err(ProcessError::Failed { program, status, message: last_lines(&text) })
    }

    /// Waits for the end and returns how the child ended and what it wrote to standard error. It is for the caller to say whether that
    /// is success.
    ///
    /// Standard output that was not taken is read and dropped, so that the child cannot block on it.
    pub fn wait(mut self) -> Result<(ExitStatus, String), ProcessError> {
        drop(self.child.stdin.take());
        if let Some(mut stdout) = self.child.stdout.take() {
            io::copy(&mut stdout, &mut io::sink()).map_err(|source| self.run_error(source))?;
        }
        let status = self.child.wait().map_err(|source| self.run_error(source))?;
        self.reaped = true;
        let collected = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        Ok((status, String::from_utf8_lossy(&collected).into_owned()))
    }

    fn run_error(&self, source: io::Error) -> ProcessError {
        ProcessError::Run { program: self.program.clone(), source }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.reaped {
            // The child may be gone already; either way there must be no zombie.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn program_name(command: &Command) -> String {
    let path = std::path::Path::new(command.get_program());
    path.file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned()
}

fn read_bounded(pipe: impl Read, mut telling: impl FnMut(&str) -> bool) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    // A line without an end is taken in pieces.
    while let Ok(1..) = pipe.by_ref().take(STDERR_LIMIT as u64).read_until(b'\n', &mut line) {
        if telling(&String::from_utf8_lossy(&line)) {
            let room = STDERR_LIMIT.saturating_sub(kept.len());
            kept.extend_from_slice(&line[..line.len().min(room)]);
        }
        line.clear();
    }
    kept
}

/// The beginning of a line without the spaces around it: a query in it may name a thousand tables.
fn clip(line: &str) -> &str {
    const LINE_BYTES: usize = 300;
    let line = line.trim();
    &line[..line.floor_char_boundary(LINE_BYTES)]
}

/// The lines that say what went wrong: the first error lines, and the queries they are about, if there are any, else the last
/// lines.
fn last_lines(text: &str) -> String {
    const LINES: usize = 4;
    let is_telling = |line: &&str| {
        ["error:", "ERROR:", "FATAL:", "DETAIL:", "Query was:"].iter().any(|word| line.contains(word))
    };
    let mut chosen: Vec<&str> = text.lines().filter(is_telling).take(LINES).map(clip).collect();
    if chosen.is_empty() {
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        chosen = lines[lines.len().saturating_sub(LINES)..].to_vec();
    }
    if chosen.is_empty() { "it said nothing".to_owned() } else { chosen.join("; ") }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        command
    }

    #[test]
    fn a_status_other_than_zero_is_an_error_that_quotes_the_child() {
        let process =
            Process::spawn(shell("echo noise >&2; echo 'x: error: no such thing' >&2; exit 3"), false)
                .unwrap();
        let error = process.finish().unwrap_err();
        assert_eq!(error.to_string(), "sh failed (exit status: 3): x: error: no such thing");
    }

    #[test]
    fn a_query_that_failed_is_quoted_in_part() {
        let script = "echo 'x: error: query failed: ERROR:  canceling statement' >&2; \
            echo \"x: detail: Query was: LOCK TABLE $(seq -s é 1000)\" >&2; exit 1";
        let error = Process::spawn(shell(script), false).unwrap().finish().unwrap_err().to_string();
        let (_, query) = error.split_once("ERROR:  canceling statement; x: detail: Query was: ").unwrap();
        assert!(query.starts_with("LOCK TABLE 1é2") && query.len() < 300, "{query}");
    }

    #[test]
    fn death_by_a_signal_is_an_error() {
        let process = Process::spawn(shell("kill -KILL $$"), false).unwrap();
        assert!(process.finish().unwrap_err().to_string().contains("signal: 9"));
    }

    #[test]
    fn much_output_on_both_pipes_does_not_block() {
        let script = "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2";
        let said = Process::spawn(shell(script), false).unwrap().finish().unwrap();
        assert_eq!(said.len(), STDERR_LIMIT);
    }

    #[test]
    fn a_file_is_read_from_where_it_stands() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        file.seek(io::SeekFrom::Start(1)).unwrap();
        let process = Process::spawn_with(shell("cat >&2"), Input::File(file), |_| true).unwrap();
        let (status, said) = process.wait().unwrap();
        assert!(status.success());
        assert_eq!(said, "bc");
    }

    #[test]
    fn lines_that_tell_nothing_are_not_kept_and_take_no_room() {
        let script =
            "i=0; while [ $i -lt 20000 ]; do echo working; i=$((i+1)); done >&2; echo failed >&2; exit 1";
        let process = Process::spawn_with(shell(script), Input::Empty, |line| line != "working\n").unwrap();
        let (status, said) = process.wait().unwrap();
        assert_eq!((status.code(), said.as_str()), (Some(1), "failed\n"));
    }

    #[test]
    fn dropping_kills() {
        let mut process = Process::spawn(shell("echo $$; exec sleep 1000"), false).unwrap();
        let mut pid = String::new();
        let mut stdout = process.take_stdout().unwrap();
        let mut byte = [0];
        while stdout.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            pid.push(char::from(byte[0]));
        }
        drop(process);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
}
