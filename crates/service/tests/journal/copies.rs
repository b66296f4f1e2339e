//! Copies in the repository: put once, and what happens to them.

use std::fs;
use std::path::PathBuf;

use chronavault_service::journal::{COPY_ENTRIES, FindingKind, history};

use crate::machine::Machine;

fn copies(machine: &Machine) -> Vec<PathBuf> {
    let listed = fs::read_dir(machine.root().join("isolated/journal")).unwrap();
    let mut copies: Vec<_> = listed.map(|entry| entry.unwrap().path()).collect();
    copies.sort();
    copies
}

#[test]
fn each_copy_holds_what_came_since_the_one_before() {
    let machine = Machine::new().with_files_of(2000);
    let mut total = 0;
    let mut before = Vec::new();
    for runs in 1..5 {
        machine.runs(runs);
        total += machine.journal().copy().unwrap();
        assert_eq!(machine.journal().copy().unwrap(), 0, "everything is copied");
        let now: Vec<_> = copies(&machine).iter().map(|path| fs::read(path).unwrap()).collect();
        assert_eq!(now[..before.len()], before, "no copy is ever written again");
        assert_eq!(now.len(), before.len() + 1);
        before = now;
    }
    assert_eq!(total, 1 + 2 * (1 + 2 + 3 + 4));
    assert_eq!(machine.findings(), []);
    let report = machine.directory.verify(&machine.repository, "db1").unwrap();
    assert_eq!((report.journals[0].entries, report.journals[0].copied_to), (21, Some(21)));
    assert_eq!(report.journals[0].unfinished_runs, 0);
}

#[test]
fn copying_is_due_now_and_then() {
    let machine = Machine::new();
    assert!(machine.start().copy_is_due, "a journal that begins is made known");
    let due: Vec<_> =
        (0..2 * COPY_ENTRIES).map(|_| machine.start()).filter(|recorded| recorded.copy_is_due).collect();
    let numbers: Vec<_> = due.iter().map(|recorded| recorded.sequence).collect();
    assert_eq!(numbers, [COPY_ENTRIES, 2 * COPY_ENTRIES]);
}

#[test]
fn damaged_missing_and_exchanged_copies_are_found() {
    let machine = Machine::new();
    for _ in 0..3 {
        machine.run();
        machine.journal().copy().unwrap();
    }
    let copies = copies(&machine);
    let sound: Vec<_> = copies.iter().map(|path| fs::read(path).unwrap()).collect();
    for (path, bytes) in copies.iter().zip(&sound) {
        let mut changed = bytes.clone();
        changed[bytes.len() / 2] ^= 1;
        fs::write(path, changed).unwrap();
        let findings = machine.findings();
        assert_eq!(findings[0].kind, FindingKind::Copy, "{findings:?}");
        assert!(path.display().to_string().ends_with(&findings[0].object), "{findings:?}");
        fs::write(path, bytes).unwrap();
    }
    // One copy in the place of another.
    fs::write(&copies[1], &sound[0]).unwrap();
    assert!(machine.kinds().contains(&FindingKind::Copy));
    fs::write(&copies[1], &sound[1]).unwrap();
    // One in the middle is gone.
    let aside = machine.root().join("aside");
    fs::rename(&copies[1], &aside).unwrap();
    assert_eq!(machine.kinds(), [FindingKind::Copy], "{:?}", machine.findings());
    fs::rename(&aside, &copies[1]).unwrap();
    assert_eq!(machine.findings(), []);
}

#[test]
fn machines_that_share_a_repository_have_a_journal_each() {
    let one = Machine::new();
    let two = one.other("db2");
    for _ in 0..3 {
        one.run();
        two.run();
        one.journal().copy().unwrap();
        two.journal().copy().unwrap();
    }
    assert_eq!((one.findings(), two.findings()), (vec![], vec![]));
    let report = one.directory.verify(&one.repository, "db1").unwrap();
    let seen: Vec<_> =
        report.journals.iter().map(|journal| (journal.is_here, journal.host.as_deref().unwrap())).collect();
    assert_eq!(seen, [(true, "db1"), (false, "db2")]);

    let of = |copies| history(&one.directory, Some(&one.repository), copies).unwrap();
    assert_eq!((of(false).runs.len(), of(true).runs.len()), (3, 6));
    let open = history(&one.directory, None, false).unwrap();
    assert_eq!(open, of(false), "it can be read without a key");
    assert_eq!(open.runs[0].run.facts().unwrap().rows, Some(24));
}
