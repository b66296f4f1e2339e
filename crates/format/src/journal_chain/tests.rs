use std::collections::BTreeMap;

use jiff::Timestamp;
use model::{Actor, Operation, RunEnd, RunFacts, RunOutcome, RunStart};

use super::*;

const REPOSITORY: RepositoryId = RepositoryId([1; 16]);
const JOURNAL: JournalId = JournalId([2; 8]);

fn key() -> JournalKey {
    JournalKey::new([3; 32])
}

fn actor() -> Actor {
    let (user, host, program) = ("postgres".into(), "db1".into(), "chronavault 0.1.0".into());
    Actor { user, uid: 101, host, pid: 7, token: None, program }
}

fn event(number: u64) -> JournalEvent {
    let parameters = BTreeMap::from([("jobs".to_owned(), number.to_string())]);
    let facts = RunFacts { source: Some("books".into()), rows: Some(number), ..RunFacts::default() };
    match number {
        1 => JournalEvent::Begun { actor: actor(), follows: Vec::new() },
        odd if odd % 2 == 1 => JournalEvent::Ended {
            run: odd - 1,
            end: RunEnd {
                outcome: RunOutcome::Done,
                code: None,
                message: None,
                duration_ms: odd,
                warnings: Vec::new(),
                facts,
            },
        },
        _ => JournalEvent::Started(RunStart {
            operation: Operation::Backup,
            actor: actor(),
            source: Some("books".into()),
            parameters,
        }),
    }
}

/// A journal that grows.
struct Growing {
    lines: Vec<Vec<u8>>,
    head: Option<JournalHead>,
}

impl Growing {
    /// A journal of so many entries.
    fn of(entries: u64) -> Self {
        let mut growing = Self { lines: Vec::new(), head: None };
        (1..=entries).for_each(|number| growing.push(event(number)));
        growing
    }

    fn push(&mut self, event: JournalEvent) {
        let entry = JournalEntry::next(REPOSITORY, JOURNAL, self.head, Timestamp::UNIX_EPOCH, event);
        let mut line = entry.seal(&key()).unwrap();
        assert_eq!(line.pop(), Some(b'\n'));
        self.head = Some(JournalHead { journal: JOURNAL, sequence: entry.sequence, hash: line_hash(&line) });
        self.lines.push(line);
    }
}

/// What following these lines finds.
fn check<'a>(lines: impl IntoIterator<Item = &'a [u8]>, ends_with_newline: bool) -> Vec<ChainFinding> {
    let key = key();
    let mut chain = JournalChain::new(&key, REPOSITORY, JOURNAL);
    let mut findings: Vec<_> = lines.into_iter().flat_map(|line| chain.follow(line).1).collect();
    findings.extend(chain.finish(ends_with_newline));
    findings
}

fn check_lines(lines: &[Vec<u8>]) -> Vec<ChainFinding> {
    check(lines.iter().map(Vec::as_slice), true)
}

/// What reading this text as a journal finds.
fn check_text(text: &[u8]) -> Vec<ChainFinding> {
    let (body, ends) = text.strip_suffix(b"\n").map_or((text, false), |body| (body, true));
    check(body.split(|byte| *byte == b'\n'), ends)
}

#[test]
fn an_untouched_journal_is_sound() {
    let lines = Growing::of(9).lines;
    assert_eq!(check_lines(&lines), []);
    for (line, number) in lines.iter().zip(1..) {
        assert_eq!(JournalEntry::open(line, &key()).unwrap().event, event(number));
    }
}

#[test]
fn every_changed_byte_is_found_where_it_is() {
    let lines = Growing::of(4).lines;
    let text: Vec<u8> = lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
    for at in 0..text.len() {
        let line = text[..at].split(|byte| *byte == b'\n').count() as u64;
        for change in [1, 0x20, 0x80] {
            let mut changed = text.clone();
            changed[at] ^= change;
            let findings = check_text(&changed);
            assert!(findings.iter().any(|finding| !finding.found.is_remark()), "byte {at}: {findings:?}");
            assert_eq!(findings[0].line, line, "byte {at} ^ {change:#x}: {findings:?}");
        }
    }
}

#[test]
fn a_removed_line_is_found_but_for_the_last() {
    let lines = Growing::of(6).lines;
    for removed in 0..lines.len() - 1 {
        let mut fewer = lines.clone();
        fewer.remove(removed);
        let number = removed as u64 + 1;
        let found = ChainBreak::Missing { from: number, to: number };
        assert_eq!(check_lines(&fewer), [ChainFinding { line: number, found }]);
    }
    // Nothing in the lines themselves tells that there were more; the copies in the repository do.
    assert_eq!(check_lines(&lines[..5]), []);
}

#[test]
fn lines_in_another_order_and_doubled_lines_are_found() {
    let lines = Growing::of(6).lines;
    for one in 0..lines.len() {
        let mut doubled = lines.clone();
        doubled.insert(one, lines[one].clone());
        let number = one as u64 + 1;
        let found = ChainBreak::Order { sequence: number, after: number };
        assert_eq!(check_lines(&doubled), [ChainFinding { line: number + 1, found }]);
        for other in one + 1..lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(one, other);
            assert_eq!(check_lines(&swapped)[0].line, number, "{one} and {other}");
        }
    }
}

#[test]
fn a_journal_of_somebody_without_the_key_is_found() {
    let forger = JournalKey::new([4; 32]);
    let entry = JournalEntry::next(REPOSITORY, JOURNAL, None, Timestamp::UNIX_EPOCH, event(1));
    let line = entry.seal(&forger).unwrap();
    let findings = check_text(&line);
    let found = ChainBreak::Changed(FormatError::Authentication { what: "the entry" });
    assert_eq!(findings, [ChainFinding { line: 1, found }]);
}

#[test]
fn an_entry_of_another_journal_or_history_is_found() {
    let mut lines = Growing::of(3).lines;
    let mut other = Growing { lines: Vec::new(), head: None };
    other.push(event(1));
    other.push(event(4));
    other.push(event(3));
    lines[2] = other.lines.remove(2);
    assert_eq!(check_lines(&lines), [ChainFinding { line: 3, found: ChainBreak::Link { sequence: 3 } }]);

    let foreign = JournalEntry::next(REPOSITORY, JournalId([9; 8]), None, Timestamp::UNIX_EPOCH, event(1));
    let foreign = foreign.seal(&key()).unwrap();
    assert_eq!(check_text(&foreign), [ChainFinding { line: 1, found: ChainBreak::Foreign }]);
}

#[test]
fn what_a_crash_left_is_a_remark_once_the_journal_says_so() {
    let whole = Growing::of(3);
    let torn_line = &whole.lines[2];
    for kept in 1..torn_line.len() {
        let mut journal = Growing::of(2);
        let torn = torn_line[..kept].to_vec();
        journal.lines.push(torn.clone());
        let lines = journal.lines.iter().map(Vec::as_slice);
        let unfinished = ChainFinding { line: 3, found: ChainBreak::Unfinished };
        assert_eq!(check(lines, false), [unfinished], "{kept} bytes");

        journal.push(JournalEvent::Mended { actor: actor(), fragments: vec![Fragment::of(&torn)] });
        journal.push(event(4));
        let found = ChainBreak::Torn { bytes: kept as u64 };
        assert_eq!(check_lines(&journal.lines), [ChainFinding { line: 3, found }], "{kept} bytes");

        // Another fragment than the one that was found.
        journal.lines[2][0] ^= 1;
        assert!(matches!(check_lines(&journal.lines)[0].found, ChainBreak::Changed(_)), "{kept} bytes");
    }
}

#[test]
fn a_whole_line_is_not_explained_by_a_crash() {
    let mut journal = Growing::of(2);
    let mut changed = Growing::of(3).lines.remove(2);
    changed[5] ^= 1;
    journal.lines.push(changed.clone());
    journal.push(JournalEvent::Mended { actor: actor(), fragments: vec![Fragment::of(&changed)] });
    let findings = check_lines(&journal.lines);
    assert!(
        matches!(findings[..], [ChainFinding { line: 3, found: ChainBreak::Changed(_) }]),
        "{findings:?}"
    );
}

#[test]
fn entries_are_bounded_and_versioned() {
    let long = JournalEvent::Noted(RunStart {
        operation: Operation::Alert,
        actor: actor(),
        source: Some("x".repeat(70_000)),
        parameters: BTreeMap::new(),
    });
    let entry = JournalEntry::next(REPOSITORY, JOURNAL, None, Timestamp::UNIX_EPOCH, long);
    assert!(matches!(entry.seal(&key()), Err(FormatError::Limit { .. })));

    let line = Growing::of(1).lines.remove(0);
    let text = String::from_utf8(line).unwrap();
    let newer = text.replace("\"version\":1", "\"version\":2");
    assert!(matches!(JournalEntry::read(newer.as_bytes()), Err(FormatError::Newer { found: 2, .. })));
    // Members of a later program are no obstacle.
    let more = text.replace("\"version\":1", "\"version\":1,\"colour\":\"blue\"");
    assert_eq!(JournalEntry::read(more.as_bytes()), JournalEntry::read(text.as_bytes()));
}
