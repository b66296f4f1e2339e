//! Several processes append to one chain, and some of them are killed.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chronavault_service::journal::{FindingKind, history};

use crate::machine::Machine;

const ROOT: &str = "CHRONAVAULT_TEST_JOURNAL";
const RUNS: &str = "CHRONAVAULT_TEST_RUNS";

/// What the other processes run: it does nothing when nobody says where.
#[test]
fn a_process_that_appends() {
    let Some(root) = std::env::var_os(ROOT).map(PathBuf::from) else { return };
    let runs: u64 = std::env::var(RUNS).unwrap().parse().unwrap();
    let machine = Machine::at(&root).with_files_of(20_000);
    for _ in 0..runs {
        machine.run();
    }
    machine.journal().copy().unwrap();
}

fn spawn(machine: &Machine, runs: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::a_process_that_appends", "--nocapture"])
        .env(ROOT, machine.root())
        .env(RUNS, runs.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn several_processes_append_to_one_chain() {
    const PROCESSES: usize = 4;
    const RUNS_EACH: u64 = 25;
    let machine = Machine::new();
    let children: Vec<_> = (0..PROCESSES).map(|_| spawn(&machine, RUNS_EACH)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(machine.findings(), []);
    let report = machine.directory.verify(&machine.repository, "db1").unwrap();
    let entries = 1 + 2 * RUNS_EACH * PROCESSES as u64;
    assert_eq!(report.journals.len(), 1, "they did not begin one each");
    assert_eq!(report.journals[0].entries, entries);
    assert_eq!(report.journals[0].copied_to, Some(entries));
    let runs = history(&machine.directory, Some(&machine.repository), false).unwrap().runs;
    assert_eq!(runs.len() as u64, RUNS_EACH * PROCESSES as u64);
    assert!(runs.iter().all(|run| run.run.end.is_some()));
    assert!(machine.files().len() > 1);
}

#[test]
fn killed_processes_leave_a_chain_that_goes_on() {
    let machine = Machine::new();
    machine.run();
    let mut killed = 0;
    for kill in 0..25_u64 {
        let mut children = [spawn(&machine, 10_000), spawn(&machine, 10_000)];
        // The delay is the point at which to kill; nothing waits for anything here.
        std::thread::sleep(Duration::from_millis(20 + 7 * (kill % 5)));
        for child in &mut children {
            child.kill().unwrap();
            killed += usize::from(!child.wait().unwrap().success());
        }
        let before = machine.start().sequence;
        assert_eq!(machine.run().sequence, before + 2);
        let findings = machine.findings();
        assert!(findings.iter().all(|finding| finding.kind == FindingKind::Torn), "{findings:?}");
    }
    assert_eq!(killed, 50);
    machine.journal().copy().unwrap();
    let runs = history(&machine.directory, Some(&machine.repository), false).unwrap().runs;
    let unfinished = runs.iter().filter(|run| run.run.end.is_none()).count();
    assert!(unfinished >= 25, "a run that was killed has no end: {unfinished} of {}", runs.len());
    assert!(runs.len() > 75, "the processes recorded something before they were killed: {}", runs.len());
}
