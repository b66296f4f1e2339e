//! A shell that outlives us by the time it takes to clean up.
//!
//! Invariant: it holds the reading end of a pipe whose only writing end is ours. A line on it is a dismissal; its end without one means
//! that we are gone.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::error::SandboxError;

/// `$1` is the directory of the sandbox, `$2` that of its socket. The server is ended only if the process with its number has the data
/// directory as its working directory, since numbers are used again.
const SCRIPT: &str = r#"
read -r line && exit 0
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
runs() { [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$1/data" ]; }
if runs "$1"; then
    kill -QUIT "$pid"
    tries=100
    while runs "$1" && [ "$tries" -gt 0 ]; do sleep 0.1; tries=$((tries - 1)); done
    if runs "$1"; then kill -KILL "$pid"; fi
fi
rm -rf -- "$1" "$2"
"#;

/// The running watchdog.
#[derive(Debug)]
pub(super) struct Watchdog {
    child: Child,
}

impl Watchdog {
    pub(super) fn start(base: &Path, sockets: &Path) -> Result<Self, SandboxError> {
        let child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "sandbox-watchdog"])
            .args([base, sockets])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| SandboxError::io("starting the watchdog of", base, source))?;
        Ok(Self { child })
    }

    /// Tells it that there is nothing to clean up any more.
    pub(super) fn dismiss(&mut self) {
        if let Some(mut input) = self.child.stdin.take() {
            // If it is gone already, that is as good.
            let _ = input.write_all(b"done\n");
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
