//! The binary and what came out of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A key that no output may contain.
pub(crate) const KEY: &str = "5ec2e7c0ffee5ec2e7c0ffee5ec2e7c0ffee5ec2e7c0ffee5ec2e7c0ffee5ec2";

/// An empty directory to run in, and variables to run with.
pub(crate) struct Place {
    directory: TempDir,
    variables: Vec<(String, String)>,
}

/// What one run said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) exit: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    /// A place without a home, a server, a repository or a key.
    pub(crate) fn new() -> Self {
        let place = Self { directory: TempDir::new().unwrap(), variables: vec![] };
        let home = place.path("home").display().to_string();
        place.with("HOME", &home).with("PATH", &std::env::var("PATH").unwrap_or_default())
    }

    /// A variable for every run that follows.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    /// The command, ready to run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chronavault"));
        command
            .args(arguments)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs to the end. P9: no output of any run may hold the key or a password.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        Said::from(self.command(arguments).output().unwrap())
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let said = Self {
            exit: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        for secret in [KEY, &KEY[..16], "hunter2"] {
            assert!(!said.out.contains(secret) && !said.err.contains(secret), "a secret is shown: {said:?}");
        }
        assert!(!said.err.contains('\x1b'), "escape codes without a terminal: {said:?}");
        assert!(!said.err.contains("panicked"), "{said:?}");
        said
    }
}

impl Said {
    /// Demands a failure: one `error[code]` line with its sentence, and one hint.
    #[track_caller]
    pub(crate) fn fails(&self, exit: i32, code: &str, sentence: &str) -> &Self {
        assert_eq!(self.exit, exit, "{self:?}");
        let errors: Vec<_> = self.err.lines().filter(|line| line.starts_with("error[")).collect();
        let [error] = errors[..] else { panic!("not one error: {self:?}") };
        assert!(error.starts_with(&format!("error[{code}]: ")), "{self:?}");
        assert!(error.contains(sentence), "{self:?}");
        assert!(error.ends_with('.'), "{self:?}");
        let hints = self.err.lines().skip_while(|line| !line.starts_with("error[")).skip(1);
        assert_eq!(hints.filter(|line| line.starts_with("hint: ")).count(), 1, "{self:?}");
        self
    }

    /// Demands success.
    #[track_caller]
    pub(crate) fn succeeds(&self) -> &Self {
        assert_eq!(self.exit, 0, "{self:?}");
        assert!(!self.err.contains("error["), "{self:?}");
        self
    }

    /// Standard output as the one JSON object that it must be.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let value: Value =
            serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert_eq!(value["schema_version"], 1, "{self:?}");
        value
    }
}
