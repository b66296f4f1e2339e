//! What is said outside the program about the program: the operator's page, alert rules, and files to install it with. None of them
//! may name a command, a flag or a setting that is not there.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod commands;
mod containers;
mod package;
mod systemd;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

pub(crate) fn text_of(path: &str) -> String {
    std::fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents in a file of YAML, as Python reads them.
pub(crate) fn yaml(path: &str) -> Vec<Value> {
    let python = Command::new(workspace().join("scripts/python.sh")).arg("yaml").output().unwrap();
    assert!(python.status.success(), "{}", said(&python));
    let code = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let output = Command::new(String::from_utf8(python.stdout).unwrap().trim())
        .args(["-c", code])
        .arg(workspace().join(path))
        .output()
        .unwrap();
    assert!(output.status.success(), "{path}: {}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Everything that a program said.
pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs the program without any settings.
pub(crate) fn chronavault(arguments: &[impl AsRef<str>]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chronavault"))
        .args(arguments.iter().map(AsRef::as_ref))
        .env_clear()
        .env("HOME", "/nonexistent")
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Demands that the program understands what is said behind its name. Asked for help, it does nothing, but refuses what it does not know.
pub(crate) fn assert_understood(arguments: &[String], place: &str) {
    let line = arguments.join(" ");
    let asked: Vec<String> = arguments.iter().cloned().chain(["--help".to_owned()]).collect();
    let output = chronavault(&asked);
    assert!(output.status.success(), "{place}: chronavault {line}: {}", said(&output));
}

/// Demands that the program accepts a file of settings.
pub(crate) fn assert_settings(text: &str, place: &str) {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("chronavault.toml");
    std::fs::write(&path, text).unwrap();
    let output = chronavault(&["config", "check", "--config", path.to_str().unwrap()]);
    assert!(output.status.success(), "{place}: {}", said(&output));
}
