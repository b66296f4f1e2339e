//! The chain of a journal: does each line follow the one before it?
//!
//! Invariant: every line that is changed, missing, doubled or in another place than it was written at is a finding; and what a crash
//! leaves is none of these, as long as the journal itself says that it is there.

use crate::{
    FormatError, Fragment, JournalEntry, JournalEvent, JournalHead, JournalId, JournalKey, RepositoryId,
    line_hash,
};

/// Follows the lines of one journal from the first to the last.
#[derive(Debug)]
pub struct JournalChain<'a> {
    key: &'a JournalKey,
    repository: RepositoryId,
    journal: JournalId,
    head: Option<JournalHead>,
    /// Lines since the head that are no entries.
    strange: Vec<(u64, Fragment, FormatError)>,
    lines: u64,
}

/// What is wrong at a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainFinding {
    /// The line, counted from 1 over all that were followed.
    pub line: u64,
    /// What it is.
    pub found: ChainBreak,
}

/// In which way a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainBreak {
    /// The line is no entry that was written under the key.
    #[error("the line was changed, or was not written by this program")]
    Changed(#[source] FormatError),
    /// What a crash left of an entry, as the journal itself says. Nothing is wrong with it.
    #[error("an entry of which {bytes} bytes are left was cut off by a crash")]
    Torn {
        /// Bytes that are left.
        bytes: u64,
    },
    /// What a crash left of an entry, which nothing was written behind yet.
    #[error("the last entry is cut off")]
    Unfinished,
    /// Entries are missing.
    #[error("entries {from} to {to} are missing")]
    Missing {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// The entry stands where a later one should.
    #[error("entry {sequence} stands behind entry {after}")]
    Order {
        /// Its number.
        sequence: u64,
        /// The number of the entry before it.
        after: u64,
    },
    /// The entry was written behind another one than stands before it.
    #[error("entry {sequence} was not written behind the entry that stands before it")]
    Link {
        /// Its number.
        sequence: u64,
    },
    /// The entry is of another journal or repository.
    #[error("the entry is of another journal")]
    Foreign,
}

impl ChainBreak {
    /// Whether it only says what happened, and nothing is wrong.
    pub const fn is_remark(&self) -> bool {
        matches!(self, Self::Torn { .. })
    }
}

impl<'a> JournalChain<'a> {
    /// The chain of a journal, before its first entry.
    pub fn new(key: &'a JournalKey, repository: RepositoryId, journal: JournalId) -> Self {
        Self { key, repository, journal, head: None, strange: Vec::new(), lines: 0 }
    }

    /// The last entry so far.
    pub fn head(&self) -> Option<JournalHead> {
        self.head
    }

    /// Follows one more line, given without its newline: the entry, if it is one of this journal, and what is wrong.
    pub fn follow(&mut self, line: &[u8]) -> (Option<JournalEntry>, Vec<ChainFinding>) {
        self.lines += 1;
        let entry = match JournalEntry::open(line, self.key) {
            Ok(entry) => entry,
            Err(error) => {
                self.strange.push((self.lines, Fragment::of(line), error));
                return (None, Vec::new());
            }
        };
        if entry.repository != self.repository || entry.journal != self.journal {
            return (None, vec![self.finding(ChainBreak::Foreign)]);
        }
        let mut findings = Vec::new();
        let follows = self.is_next(&entry);
        let strange = std::mem::take(&mut self.strange);
        let are_named = follows
            && matches!(&entry.event, JournalEvent::Mended { fragments, .. }
            if fragments.iter().eq(strange.iter().map(|(_, fragment, _)| fragment)));
        let could_stand_between = if are_named { 0 } else { strange.len() as u64 };
        for (line, fragment, error) in strange {
            let found = if are_named && !fragment.is_whole {
                ChainBreak::Torn { bytes: fragment.bytes }
            } else {
                ChainBreak::Changed(error)
            };
            findings.push(ChainFinding { line, found });
        }
        if !follows {
            findings.extend(self.misplaced(&entry, could_stand_between));
        }
        self.head =
            Some(JournalHead { journal: self.journal, sequence: entry.sequence, hash: line_hash(line) });
        (Some(entry), findings)
    }

    /// What is left to say after the last line. `ends_with_newline` is whether that line ended with one.
    pub fn finish(&mut self, ends_with_newline: bool) -> Vec<ChainFinding> {
        let strange = std::mem::take(&mut self.strange);
        let last = self.lines;
        let found = |(line, fragment, error): (u64, Fragment, FormatError)| {
            let is_unfinished = line == last && !ends_with_newline && !fragment.is_whole;
            let found = if is_unfinished { ChainBreak::Unfinished } else { ChainBreak::Changed(error) };
            ChainFinding { line, found }
        };
        strange.into_iter().map(found).collect()
    }

    fn is_next(&self, entry: &JournalEntry) -> bool {
        match self.head {
            None => entry.sequence == 1 && entry.previous.0 == [0; 32],
            Some(head) => entry.sequence == head.sequence + 1 && entry.previous == head.hash,
        }
    }

    /// What is wrong with an entry that does not follow the one before it. `between` lines before it are no entries; each may have
    /// been one.
    fn misplaced(&self, entry: &JournalEntry, between: u64) -> Option<ChainFinding> {
        let after = self.head.map_or(0, |head| head.sequence);
        let sequence = entry.sequence;
        let found = if sequence <= after {
            ChainBreak::Order { sequence, after }
        } else if sequence > after + 1 + between {
            ChainBreak::Missing { from: after + 1, to: sequence - 1 }
        } else if between > 0 {
            // What is wrong is said of the lines between.
            return None;
        } else {
            ChainBreak::Link { sequence }
        };
        Some(self.finding(found))
    }

    fn finding(&self, found: ChainBreak) -> ChainFinding {
        ChainFinding { line: self.lines, found }
    }
}

#[cfg(test)]
mod tests;
