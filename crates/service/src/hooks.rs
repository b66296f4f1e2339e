//! Hooks: programs of the user's that run before and after an operation.
//!
//! Invariant: a hook gets a clear environment: what is named here and nothing else, so no key and no password. One that takes too long is
//! ended with everything that it started.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};

use crate::child;

/// Bytes of what a hook says that are kept.
const SAID_BYTES: u64 = 4096;

/// A program, and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// How long it may take.
    pub limit: Duration,
}

/// A hook that did not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// It could not be started.
    #[error("{command:?} cannot be started")]
    Start {
        /// The program.
        command: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It said that it failed.
    #[error("{command:?} ended with {status}{}", last_line(.said))]
    Failed {
        /// The program.
        command: String,
        /// How.
        status: String,
        /// What it said last.
        said: String,
    },
    /// It took too long.
    #[error("{command:?} took more than {limit:?} and was ended")]
    TooLong {
        /// The program.
        command: String,
        /// How long it may take.
        limit: Duration,
    },
}

fn last_line(words: &str) -> String {
    let last = words.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    if last.is_empty() { String::new() } else { format!(": {}", last.trim()) }
}

impl Hook {
    /// Runs it to its end. `variables` are its environment; standard output and error are read and not shown.
    ///
    /// # Errors
    /// When it does not end with status 0 in time.
    pub fn run(&self, variables: &BTreeMap<&str, String>) -> Result<Duration, HookError> {
        let command = self.command.first().cloned().unwrap_or_default();
        let began = Instant::now();
        let start = |source| HookError::Start { command: command.clone(), source };
        let mut child = Command::new(&command)
            .args(self.command.iter().skip(1))
            .env_clear()
            .envs(variables)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(start)?;
        let stderr = child.stderr.take();
        let (sender, words) = bounded(1);
        let reader = std::thread::spawn(move || {
            let mut said = Vec::new();
            if let Some(mut stderr) = stderr {
                let _ = (&mut stderr).take(SAID_BYTES).read_to_end(&mut said);
                let _ = io::copy(&mut stderr, &mut io::sink());
            }
            let _ = sender.send(String::from_utf8_lossy(&said).into_owned());
        });
        let too_long = || HookError::TooLong { command: command.clone(), limit: self.limit };
        let words = match words.recv_timeout(self.limit) {
            Ok(words) => words,
            Err(RecvTimeoutError::Timeout) => {
                child::end(&mut child);
                return Err(too_long());
            }
            Err(RecvTimeoutError::Disconnected) => String::new(),
        };
        let _ = reader.join();
        // Standard error is closed; a program that closed it and goes on has what is left of its time.
        let status = child::wait(&mut child, began + self.limit).map_err(start)?.ok_or_else(too_long)?;
        if status.success() {
            return Ok(began.elapsed());
        }
        Err(HookError::Failed { command, status: status.to_string(), said: words })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(script: &str, millis: u64) -> Hook {
        let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        Hook { command, limit: Duration::from_millis(millis) }
    }

    #[test]
    fn a_hook_gets_what_it_is_given_and_nothing_else() {
        let variables = [("CHRONAVAULT_EVENT", "before-backup".to_owned())].into();
        let script =
            "test \"$CHRONAVAULT_EVENT\" = before-backup && test -z \"$HOME$CARGO$BACKUP_ENCRYPTION_KEY\"";
        hook(script, 60_000).run(&variables).unwrap();
    }

    #[test]
    fn what_a_hook_says_last_is_why_it_failed() {
        let error = hook("echo first >&2; echo the disk is full >&2; exit 7", 60_000)
            .run(&BTreeMap::new())
            .unwrap_err();
        assert_eq!(error.to_string(), "\"/bin/sh\" ended with exit status: 7: the disk is full");
        let missing = Hook { command: vec!["/nowhere/hook".into()], limit: Duration::from_secs(1) };
        assert!(matches!(missing.run(&BTreeMap::new()), Err(HookError::Start { .. })));
    }

    #[test]
    fn a_hook_that_takes_too_long_is_ended_with_its_children() {
        for script in ["sleep 1000", "sleep 1000 & wait", "exec 2>&-; sleep 1000"] {
            let began = Instant::now();
            let error = hook(script, 100).run(&BTreeMap::new()).unwrap_err();
            assert!(matches!(error, HookError::TooLong { .. }), "{script}: {error}");
            assert!(began.elapsed() < Duration::from_mins(1), "{script}");
        }
    }
}
