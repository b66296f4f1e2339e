//! The end of a journal: its last entry, and what stands behind it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use repository::{Fragment, JournalEntry, JournalHead, JournalId, Repository, line_hash};

use super::JournalError;
use super::directory::JournalFile;

/// A journal whose last so many lines are no entries of this repository is taken for one of another repository.
const STRANGE_LINES: usize = 256;

/// Where a journal ends.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) head: JournalHead,
    /// When its last entry was written.
    at: Timestamp,
    /// Lines behind the last entry, in their order.
    pub(super) strange: Vec<Fragment>,
    /// The last file, its size, and whether it ends with a newline.
    pub(super) file: JournalFile,
    pub(super) bytes: u64,
    pub(super) ends_with_newline: bool,
}

/// The files of each journal.
pub(super) fn by_journal(files: Vec<JournalFile>) -> BTreeMap<JournalId, Vec<JournalFile>> {
    let mut journals: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for file in files {
        journals.entry(file.journal).or_default().push(file);
    }
    journals
}

/// The lines of a text, without their newlines, and whether the last one has one.
pub(super) fn lines(text: &[u8]) -> (Vec<&[u8]>, bool) {
    if text.is_empty() {
        return (Vec::new(), true);
    }
    let (body, ends_with_newline) = text.strip_suffix(b"\n").map_or((text, false), |body| (body, true));
    (body.split(|byte| *byte == b'\n').collect(), ends_with_newline)
}

/// The end of the journal of `repository` that was written to last; nothing when there is none.
pub(super) fn newest(files: Vec<JournalFile>, repository: &Repository) -> Result<Option<Tail>, JournalError> {
    let mut newest: Option<Tail> = None;
    for files in by_journal(files).into_values() {
        if let Some(tail) = find(&files, repository)?
            && newest.as_ref().is_none_or(|newest| newest.at < tail.at)
        {
            newest = Some(tail);
        }
    }
    Ok(newest)
}

/// The end of one journal, whose files these are.
fn find(files: &[JournalFile], repository: &Repository) -> Result<Option<Tail>, JournalError> {
    let Some(last) = files.last() else { return Ok(None) };
    let (mut strange, mut size, mut ends) = (Vec::new(), 0, true);
    for file in files.iter().rev() {
        let text = file.read()?;
        let (lines, ends_with_newline) = lines(&text);
        if file == last {
            (size, ends) = (text.len() as u64, ends_with_newline);
        }
        for line in lines.iter().rev() {
            if let Ok(entry) = JournalEntry::open(line, repository.journal_key())
                && entry.journal == file.journal
            {
                strange.reverse();
                let JournalEntry { journal, sequence, at, .. } = entry;
                let head = JournalHead { journal, sequence, hash: line_hash(line) };
                let file = last.clone();
                return Ok(Some(Tail { head, at, strange, file, bytes: size, ends_with_newline: ends }));
            }
            strange.push(Fragment::of(line));
            if strange.len() >= STRANGE_LINES {
                return Ok(None);
            }
        }
    }
    Ok(None)
}
