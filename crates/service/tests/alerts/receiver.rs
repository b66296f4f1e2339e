//! Other ends that are programs of their own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// A server that says what it got. Ends with this value.
pub(crate) struct Receiver {
    child: Child,
    said: BufReader<ChildStdout>,
    pub(crate) port: u16,
}

impl Receiver {
    /// Starts one of the Python programs beside this file.
    pub(crate) fn start(program: &str, arguments: &[&str]) -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/alerts");
        let finder = here.join("../../../../scripts/python.sh");
        let module = if program == "mail.py" { "aiosmtpd" } else { "json" };
        let python = Command::new(finder).arg(module).output().unwrap();
        assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
        let python = String::from_utf8(python.stdout).unwrap();
        let mut child = Command::new(python.trim())
            .arg(here.join(program))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        said.read_line(&mut port).unwrap();
        Self { child, said, port: port.trim().parse().unwrap() }
    }

    /// The next thing that it got.
    pub(crate) fn next(&mut self) -> Value {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
