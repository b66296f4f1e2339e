//! The unit, its account and its directories, judged by systemd's own programs where they are installed.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use crate::{assert_understood, said, text_of, workspace};

const UNIT: &str = "contrib/systemd/chronavault.service";
/// Times ten: the exposure that `systemd-analyze security` may find at most. It begins to complain at 50.
const EXPOSURE: &str = "20";

/// All values of a setting in the unit.
fn values(name: &str) -> Vec<String> {
    let unit = text_of(UNIT);
    unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned).collect()
}

/// Runs one of systemd's programs; nothing, and a word about it, where it is not installed.
fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            #[expect(
                clippy::print_stdout,
                reason = "whoever runs the tests has to know what was not checked"
            )]
            {
                println!("{program} is not here: {UNIT} was not judged by it");
            }
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

#[test]
fn the_unit_runs_a_command_that_is_there_and_is_told_when_it_is_ready() {
    let [start] = &values("ExecStart")[..] else { panic!("one ExecStart") };
    let mut words = start.split(' ').map(str::to_owned);
    assert_eq!(words.next().as_deref(), Some("/usr/bin/chronavault"));
    assert_understood(&words.collect::<Vec<_>>(), UNIT);
    assert_eq!(values("Type"), ["notify"]);
    assert_eq!(values("WatchdogSec").len(), 1);
    // Every secret that a variable names is loaded, and the variables are ours or libpq's.
    let known = text_of("docs/command-line.md");
    for variable in values("Environment") {
        let (name, value) = variable.split_once('=').unwrap();
        assert!(known.contains(name), "{name}");
        let credential = value.strip_prefix("%d/").unwrap();
        assert!(
            values("LoadCredential").iter().any(|loaded| loaded.starts_with(&format!("{credential}:"))),
            "{credential}"
        );
    }
}

#[test]
fn the_unit_sees_which_processes_there_are() {
    assert!(values("ProtectProc").is_empty() && values("ProcSubset").is_empty());
}

#[test]
fn the_unit_is_exposed_to_little() {
    let unit = workspace().join(UNIT);
    let arguments =
        ["security", "--offline=true", "--no-pager", "--threshold", EXPOSURE, unit.to_str().unwrap()];
    if let Some(output) = run("systemd-analyze", &arguments) {
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains("Overall exposure level"), "{}", said(&output));
    }
}

#[test]
fn the_unit_is_understood() {
    // As it will be installed, but for the programs, which are not there.
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("chronavault.service");
    let unit = text_of(UNIT).replace("/usr/bin/chronavault", env!("CARGO_BIN_EXE_chronavault"));
    std::fs::write(&path, unit.replace("Documentation=man:chronavault(1)\n", "")).unwrap();
    if let Some(output) =
        run("systemd-analyze", &["verify", "--man=no", "--recursive-errors=no", path.to_str().unwrap()])
    {
        let said = said(&output);
        let ours: Vec<_> = said.lines().filter(|line| line.contains("chronavault")).collect();
        assert!(output.status.success() && ours.is_empty(), "{said}");
    }
}

#[test]
fn account_and_directories_are_made() {
    let root = tempfile::TempDir::new().unwrap();
    let place = root.path().to_str().unwrap();
    for (file, installed) in [("sysusers", "usr/lib/sysusers.d"), ("tmpfiles", "usr/lib/tmpfiles.d")] {
        std::fs::create_dir_all(root.path().join(installed)).unwrap();
        let text = text_of(&format!("contrib/systemd/chronavault.{file}"));
        std::fs::write(root.path().join(installed).join("chronavault.conf"), text).unwrap();
    }
    std::fs::create_dir_all(root.path().join("etc/chronavault")).unwrap();
    std::fs::write(root.path().join("etc/chronavault/key"), "").unwrap();
    if let Some(output) = run("systemd-sysusers", &["--root", place, "chronavault.conf"]) {
        assert!(output.status.success(), "{}", said(&output));
        let accounts = std::fs::read_to_string(root.path().join("etc/passwd")).unwrap();
        assert!(
            accounts.starts_with("chronavault:") && accounts.ends_with(":/usr/sbin/nologin\n"),
            "{accounts}"
        );
    }
    // Only root can give files away.
    if rustix::process::geteuid().is_root()
        && let Some(output) = run("systemd-tmpfiles", &["--root", place, "--create", "chronavault.conf"])
    {
        assert!(output.status.success(), "{}", said(&output));
        for (path, mode) in
            [("etc/chronavault", 0o750), ("etc/chronavault/key", 0o640), ("var/lib/chronavault", 0o700)]
        {
            let found = std::fs::metadata(root.path().join(path)).unwrap().permissions().mode();
            assert_eq!(found & 0o7777, mode, "{path}");
        }
    }
}
