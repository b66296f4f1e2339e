//! Copies of the journal in the repository.
//!
//! A copy holds the entries since the copy before it, so every entry is in one copy and no object is ever written again.

use std::collections::BTreeMap;

use repository::{JournalCopy, JournalEntry, JournalHead, JournalId, Repository, line_hash};

use super::tail::{self, lines};
use super::{Journal, JournalError};

/// A copy has at most about so many bytes.
const COPY_BYTES: usize = 4 << 20;
/// How often it is tried again when another process was faster, or there was more than one copy takes.
const ATTEMPTS: usize = 64;

/// A copy to make.
struct NextCopy {
    copy: JournalCopy,
    /// Its lines.
    text: Vec<u8>,
    /// How many entries they are.
    entries: u64,
    /// Whether nothing is left to copy after it.
    is_last: bool,
}

impl Journal<'_> {
    /// Copies the entries into the repository that are not there yet. Returns how many.
    ///
    /// Store calls, as a rule: 1 list, 1 get, 1 put.
    ///
    /// # Errors
    /// [`JournalError::Differs`] when the journal does not go on where its copies end: somebody changed it.
    pub fn copy(&self) -> Result<u64, JournalError> {
        let mut copied = 0;
        for _ in 0..ATTEMPTS {
            let Some(next) = self.next_copy()? else { return Ok(copied) };
            if self.repository.write_journal_copy(next.copy, &next.text)? {
                copied += next.entries;
                if next.is_last {
                    return Ok(copied);
                }
            }
        }
        Err(JournalError::Raced)
    }

    /// The next copy to make; nothing when all is copied.
    fn next_copy(&self) -> Result<Option<NextCopy>, JournalError> {
        let lock = self.directory.lock_to_read()?;
        let files = self.directory.files()?;
        let Some(tail) = tail::newest(files.clone(), self.repository)? else { return Ok(None) };
        let journal = tail.head.journal;
        let mut files: Vec<_> = files.into_iter().filter(|file| file.journal == journal).collect();
        let copied = last_of(self.repository, journal)?;
        if let Some(copied) = copied {
            // Only files from the one with the last entry that was copied.
            let keep = files.iter().rposition(|file| file.first <= copied.sequence).unwrap_or(0);
            files.drain(..keep);
        }
        let mut text = Vec::new();
        for file in &files {
            text.extend(file.read()?);
            if text.last().is_some_and(|byte| *byte != b'\n') {
                text.push(b'\n');
            }
        }
        drop(lock);
        self.after(&text, journal, copied)
    }

    /// What of `text` comes after the last entry that was copied, up to the last entry.
    fn after(
        &self,
        text: &[u8],
        journal: JournalId,
        copied: Option<JournalHead>,
    ) -> Result<Option<NextCopy>, JournalError> {
        let mut is_behind = copied.is_none();
        let (mut first, mut entries, mut is_last) = (None, 0, true);
        let (mut taken, mut pending): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
        for line in lines(text).0 {
            let entry = JournalEntry::open(line, self.repository.journal_key()).ok();
            let entry = entry.filter(|entry| entry.journal == journal);
            if !is_behind {
                is_behind = copied.is_some_and(|copied| {
                    entry.is_some_and(|entry| entry.sequence == copied.sequence)
                        && line_hash(line) == copied.hash
                });
                continue;
            }
            pending.extend_from_slice(line);
            pending.push(b'\n');
            if let Some(entry) = entry {
                first.get_or_insert(entry.sequence);
                entries += 1;
                taken.append(&mut pending);
            }
            if taken.len() >= COPY_BYTES {
                is_last = false;
                break;
            }
        }
        match (is_behind, copied, first) {
            (false, Some(JournalHead { sequence, .. }), _) => {
                Err(JournalError::Differs { journal, sequence })
            }
            (_, _, Some(first)) => {
                Ok(Some(NextCopy { copy: JournalCopy { journal, first }, text: taken, entries, is_last }))
            }
            _ => Ok(None),
        }
    }
}

/// The copies of each journal, in the order of their entries.
pub(super) fn by_journal(
    repository: &Repository,
) -> Result<BTreeMap<JournalId, Vec<JournalCopy>>, JournalError> {
    let mut journals: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for copy in repository.journal_copies()? {
        journals.entry(copy.journal).or_default().push(copy);
    }
    Ok(journals)
}

/// The last entry of a copy; nothing when it holds none.
pub(super) fn last_entry(
    repository: &Repository,
    copy: JournalCopy,
) -> Result<Option<JournalHead>, JournalError> {
    let text = repository.read_journal_copy(copy)?;
    let (lines, _) = lines(&text);
    Ok(lines.iter().rev().find_map(|line| {
        let entry = JournalEntry::open(line, repository.journal_key()).ok()?;
        Some(JournalHead { journal: entry.journal, sequence: entry.sequence, hash: line_hash(line) })
    }))
}

/// The last entry of a journal that is in the repository.
fn last_of(repository: &Repository, journal: JournalId) -> Result<Option<JournalHead>, JournalError> {
    match by_journal(repository)?.remove(&journal).and_then(|copies| copies.last().copied()) {
        Some(last) => last_entry(repository, last),
        None => Ok(None),
    }
}
