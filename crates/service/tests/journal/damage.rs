//! Damage as a matrix: what is done to the files of a journal, and what is found.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use chronavault_service::journal::{FindingKind, JournalError};

use crate::machine::Machine;

/// Lines of a file, each with its newline.
fn lines(path: &Path) -> Vec<Vec<u8>> {
    fs::read(path).unwrap().split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// A machine with six runs, of which all or none are copied.
fn recorded(copied: bool) -> Machine {
    let machine = Machine::new();
    machine.runs(6);
    if copied {
        assert_eq!(machine.journal().copy().unwrap(), 13);
    }
    assert_eq!(machine.findings(), []);
    machine
}

#[test]
fn every_changed_byte_is_found_at_its_line_without_any_copy() {
    let machine = Machine::new();
    machine.run();
    let path = machine.file();
    let text = fs::read(&path).unwrap();
    for at in 0..text.len() {
        let mut changed = text.clone();
        changed[at] ^= 1;
        fs::write(&path, &changed).unwrap();
        let findings = machine.findings();
        let line = text[..at].split(|byte| *byte == b'\n').count();
        let object = format!("{}, line {line}", path.display());
        let first = findings.first().unwrap_or_else(|| panic!("byte {at} was changed unnoticed"));
        assert!(first.kind.is_problem() && first.object == object, "byte {at}: {findings:?}");
    }
}

#[test]
fn removed_and_moved_lines_are_found_where_they_were() {
    for copied in [false, true] {
        let machine = recorded(copied);
        let path = machine.file();
        let original = lines(&path);
        for at in 0..original.len() - 1 {
            let mut fewer = original.clone();
            fewer.remove(at);
            fs::write(&path, fewer.concat()).unwrap();
            let findings = machine.findings();
            assert_eq!(findings.len(), 1, "{findings:?}");
            assert_eq!(findings[0].kind, FindingKind::Missing);
            assert!(findings[0].object.ends_with(&format!(", line {}", at + 1)), "{findings:?}");

            let mut moved = original.clone();
            moved.swap(at, at + 1);
            fs::write(&path, moved.concat()).unwrap();
            let findings = machine.findings();
            assert!(findings[0].object.ends_with(&format!(", line {}", at + 1)), "{findings:?}");
            assert!(findings.iter().any(|finding| finding.kind == FindingKind::Order), "{findings:?}");
        }
    }
}

#[test]
fn a_tail_that_is_cut_off_is_found_by_the_copies() {
    let machine = recorded(true);
    let path = machine.file();
    let original = lines(&path);
    for kept in 0..original.len() {
        fs::write(&path, original[..kept].concat()).unwrap();
        let findings = machine.findings();
        assert_eq!(findings.len(), 1, "{kept}: {findings:?}");
        assert_eq!(findings[0].kind, FindingKind::Cut);
        let missing = format!("entries {} to 13", kept + 1);
        assert!(findings[0].message.contains(&missing), "{findings:?}");
    }
    // Within a line, too.
    let text = original.concat();
    for kept in 1..200 {
        fs::write(&path, &text[..text.len() - kept]).unwrap();
        assert!(machine.kinds().contains(&FindingKind::Cut), "{kept} bytes");
    }
    // Going on behind the cut does not hide it.
    fs::write(&path, original[..9].concat()).unwrap();
    machine.runs(4);
    assert!(matches!(machine.journal().copy(), Err(JournalError::Differs { sequence: 13, .. })));
    let findings = machine.findings();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].kind, FindingKind::Differs);
    assert!(findings[0].message.contains("entry 10 and 3 later ones"), "{findings:?}");
}

#[test]
fn a_journal_that_was_removed_or_replaced_is_found() {
    let machine = recorded(true);
    let path = machine.file();
    let original = fs::read(&path).unwrap();

    // By a chain that is sound, but of somebody who has not the key.
    let forger = recorded(true);
    fs::copy(forger.file(), &path).unwrap();
    assert!(machine.kinds().contains(&FindingKind::Cut), "{:?}", machine.findings());
    fs::remove_file(&path).unwrap();
    let as_it_was_there = machine.directory.path().join(forger.file().file_name().unwrap());
    fs::copy(forger.file(), &as_it_was_there).unwrap();
    assert_eq!(machine.kinds(), [FindingKind::Replaced], "{:?}", machine.findings());

    // By nothing at all.
    fs::remove_file(&as_it_was_there).unwrap();
    assert_eq!(machine.kinds(), [FindingKind::Replaced]);
    fs::remove_dir_all(machine.directory.path()).unwrap();
    assert_eq!(machine.kinds(), [FindingKind::Replaced]);

    // By another one, which this program began when the first was gone: it says so itself.
    machine.run();
    let findings = machine.findings();
    assert_eq!(findings.iter().map(|found| found.kind).collect::<Vec<_>>(), [FindingKind::Followed]);
    assert!(findings[0].message.contains("up to 13"), "{findings:?}");

    // All is well once the old file is back.
    fs::write(&path, original).unwrap();
    assert_eq!(machine.findings(), []);
}

#[test]
fn a_torn_entry_is_named_by_the_next_one() {
    let machine = recorded(false);
    let path = machine.file();
    let original = lines(&path);
    let last = original.last().unwrap();
    for kept in (1..last.len()).step_by(7).chain([last.len() - 1]) {
        let whole = original[..original.len() - 1].concat();
        let torn = [&whole[..], &last[..kept]].concat();
        fs::write(&path, &torn).unwrap();
        assert_eq!(machine.kinds(), [FindingKind::Cut], "{kept}");
        let recorded = machine.start();
        assert!(!recorded.is_damaged);
        let now = fs::read(&path).unwrap();
        assert!(now.starts_with(&torn), "{kept}: nothing of what was there was changed");
        let kinds = machine.kinds();
        // All but the newline was there: then it is an entry.
        let expected = if kept == last.len() - 1 { vec![] } else { vec![FindingKind::Torn] };
        assert_eq!(kinds, expected, "{kept}");
        assert!(lines(&path).iter().all(|line| line.ends_with(b"\n")));
    }
}

#[test]
fn a_changed_last_entry_stays_a_problem_after_the_next_one() {
    let machine = recorded(false);
    let path = machine.file();
    let mut text = fs::read(&path).unwrap();
    let within = text.len() - 100;
    text[within] ^= 1;
    fs::write(&path, text).unwrap();
    assert!(machine.start().is_damaged);
    machine.run();
    let findings = machine.findings();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].kind, FindingKind::Changed);
    assert!(findings[0].object.ends_with(", line 13"), "{findings:?}");
}

#[test]
fn files_are_closed_at_their_limit_and_the_chain_goes_on() {
    let machine = Machine::new().with_files_of(2000);
    machine.runs(10);
    let files = machine.files();
    assert!(files.len() > 3, "{files:?}");
    for file in &files {
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert!(fs::metadata(file).unwrap().len() < 3500);
    }
    assert_eq!(fs::metadata(machine.directory.path()).unwrap().permissions().mode() & 0o7777, 0o700);
    assert_eq!(machine.findings(), []);
    machine.journal().copy().unwrap();

    // A file in the middle, and the last one.
    let text = fs::read(&files[1]).unwrap();
    fs::remove_file(&files[1]).unwrap();
    let findings = machine.findings();
    assert_eq!(machine.kinds(), [FindingKind::Missing]);
    assert!(findings[0].object.ends_with(", line 1"), "{findings:?}");
    assert!(findings[0].object.starts_with(&files[2].display().to_string()), "{findings:?}");
    fs::write(&files[1], text).unwrap();
    fs::remove_file(files.last().unwrap()).unwrap();
    assert_eq!(machine.kinds(), [FindingKind::Cut]);
}

#[test]
fn files_that_others_can_reach_are_refused() {
    let machine = recorded(false);
    let path = machine.file();
    for (path, mode) in [(path.as_path(), 0o640), (machine.directory.path(), 0o750)] {
        let before = fs::metadata(path).unwrap().permissions();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(matches!(machine.journal().copy(), Ok(13 | 0)), "reading it is no harm");
        assert!(matches!(machine.try_start(), Err(JournalError::Loose { .. })), "{}", path.display());
        fs::set_permissions(path, before).unwrap();
    }
    let target = machine.root().join("elsewhere");
    fs::rename(&path, &target).unwrap();
    std::os::unix::fs::symlink(&target, &path).unwrap();
    assert!(matches!(machine.journal().copy(), Err(JournalError::Io { .. })), "no link is followed");
}
