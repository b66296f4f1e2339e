//! Secrets that settings refer to and do not hold: in a file, from a command, or from systemd.
//!
//! Invariant: a secret is read when it is needed and wiped when it is dropped; no message shows any part of it. A file that other users can
//! read is refused.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use service::alerts::Secret;
use service::child;
use zeroize::Zeroizing;

use crate::catalogue::Code;
use crate::environment::Environment;
use crate::failure::Failure;

/// Bytes of a secret; what is longer is something else.
const LIMIT: u64 = 16_384;
/// How long a command may take that prints a secret.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// Where a secret is: at most one of the three.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SecretPlace<'a> {
    /// What messages call it: `alerts.channels.ops.url in chronavault.toml`.
    pub(crate) origin: &'a str,
    /// A file, `…_file`.
    pub(crate) file: Option<&'a Path>,
    /// A program that prints it, and its arguments, `…_command`.
    pub(crate) command: Option<&'a [String]>,
    /// The name of a file in `$CREDENTIALS_DIRECTORY`, `…_credential` (systemd.exec(5), `LoadCredential=`).
    pub(crate) credential: Option<&'a str>,
}

impl SecretPlace<'_> {
    /// The secret without white space at its end; nothing when no place is named.
    pub(crate) fn read(&self, environment: &Environment) -> Result<Option<Secret>, Failure> {
        let bytes = match (self.file, self.command, self.credential) {
            (None, None, None) => return Ok(None),
            (Some(file), None, None) => self.in_file(file, true)?,
            (None, Some(command), None) => self.printed_by(command, environment)?,
            (None, None, Some(name)) => self.in_file(&self.credential_file(name, environment)?, false)?,
            _ => {
                let message = format!("{} is named in more than one way", self.origin);
                return Err(Failure::new(Code::SettingsConflict, message)
                    .with_hint("Set only one of …_file, …_command and …_credential."));
            }
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| self.unusable("is not valid UTF-8"))?.trim_end();
        match text {
            "" => Err(self.unusable("is empty")),
            text if text.contains(char::is_control) => Err(self.unusable("has more than one line")),
            text => Ok(Some(Secret::new(text.to_owned()))),
        }
    }

    fn unusable(&self, what: &str) -> Failure {
        Failure::new(Code::SettingsSecret, format!("the secret of {} {what}", self.origin))
    }

    fn credential_file(&self, name: &str, environment: &Environment) -> Result<PathBuf, Failure> {
        let Some(directory) = environment.path("CREDENTIALS_DIRECTORY") else {
            let hint = "Start it as a service of systemd with LoadCredential=, or use …_file.";
            return Err(self
                .unusable("is a credential, and CREDENTIALS_DIRECTORY is not set")
                .with_hint(hint));
        };
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Err(self.unusable("is a credential whose name is that of no file"));
        }
        Ok(directory.join(name))
    }

    /// What a file holds. systemd hands credentials over by means of its own, so that their permission bits say nothing.
    fn in_file(&self, path: &Path, is_ours: bool) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let unreadable =
            |error: &io::Error| self.unusable(&format!("cannot be read from {}: {error}", path.display()));
        let file = File::open(path).map_err(|error| unreadable(&error))?;
        let metadata = file.metadata().map_err(|error| unreadable(&error))?;
        if !metadata.is_file() {
            return Err(self.unusable(&format!("cannot be read: {} is not a file", path.display())));
        }
        let mode = metadata.mode() & 0o7777;
        if is_ours && mode & 0o077 != 0 {
            let message = format!(
                "other users can read the secret of {} in {} (mode {mode:04o})",
                self.origin,
                path.display()
            );
            let hint =
                format!("Run `chmod 600 {}`; if others may have read it, use a new one.", path.display());
            return Err(Failure::new(Code::SettingsSecretLoose, message).with_hint(hint));
        }
        self.all_of(file)
    }

    fn all_of(&self, source: impl Read) -> Result<Zeroizing<Vec<u8>>, Failure> {
        // The buffer never grows, so no copy is left behind by a reallocation.
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 * 16_384));
        source
            .take(LIMIT + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| self.unusable(&format!("cannot be read: {error}")))?;
        if bytes.len() as u64 > LIMIT {
            return Err(self.unusable("is too long"));
        }
        Ok(bytes)
    }

    /// What a program prints. It gets nothing of the environment but what it needs to run as this user.
    fn printed_by(
        &self,
        command: &[String],
        environment: &Environment,
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(self.unusable("is to come from a command, and none is named"));
        };
        let failed = |how: &str| self.unusable(&format!("did not come from {program}: {how}"));
        let mut child = Command::new(program);
        child.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        for name in ["PATH", "HOME"] {
            child.envs(environment.raw(name).map(|value| (name, value)));
        }
        let mut child = child.spawn().map_err(|error| failed(&error.to_string()))?;
        let output = child.stdout.take();
        // It is read elsewhere, for a program that hangs does not close it.
        let (report, reported) = std::sync::mpsc::channel();
        let limited = output.map(|output| output.take(LIMIT + 1));
        std::thread::spawn(move || {
            let mut bytes = Zeroizing::new(Vec::with_capacity(2 * 16_384));
            let read = limited.map_or(Ok(0), |mut output| output.read_to_end(&mut bytes));
            let _ = report.send(read.map(|_| bytes));
        });
        let until = Instant::now() + COMMAND_LIMIT;
        let bytes = reported.recv_timeout(COMMAND_LIMIT);
        if bytes.is_err() || matches!(&bytes, Ok(Ok(bytes)) if bytes.len() as u64 > LIMIT) {
            child::end(&mut child);
            return Err(failed(if bytes.is_err() { "it did not end within 10 s" } else { "it is too long" }));
        }
        let ended = child::wait(&mut child, until).map_err(|error| failed(&error.to_string()))?;
        let status = ended.ok_or_else(|| failed("it did not end within 10 s"))?;
        if !status.success() {
            return Err(failed(&format!("it ended with {status}")));
        }
        match bytes {
            Ok(Ok(bytes)) => Ok(bytes),
            _ => Err(failed("what it printed cannot be read")),
        }
    }
}

#[cfg(test)]
mod tests;
