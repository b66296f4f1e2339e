//! What was done: the runs of all journals in a directory.

use std::collections::BTreeMap;

use model::{Run, runs};
use repository::{JournalEntry, JournalId, Repository};

use super::tail::{self, lines};
use super::{JournalDirectory, JournalError, copies};

/// A run and the journal that tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRun {
    /// The journal.
    pub journal: JournalId,
    /// The run.
    pub run: Run,
}

/// All runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// In the order in which they started.
    pub runs: Vec<HistoryRun>,
    /// Lines that are no entries.
    pub unreadable_lines: u64,
}

/// The runs of the journals in `directory`. With the repository, only entries that are authentic and about it; without, whatever the
/// files say. With `copies`, also those of journals that are not here, from their copies.
///
/// # Errors
/// When files or copies cannot be read.
pub fn history(
    directory: &JournalDirectory,
    repository: Option<&Repository>,
    copies: bool,
) -> Result<History, JournalError> {
    let mut history = History::default();
    let lock = directory.lock_to_read()?;
    let mut texts: BTreeMap<JournalId, Vec<u8>> = BTreeMap::new();
    for (journal, files) in tail::by_journal(directory.files()?) {
        let text = texts.entry(journal).or_default();
        for file in files {
            text.extend(file.read()?);
        }
    }
    drop(lock);
    if let Some(repository) = repository.filter(|_| copies) {
        for (journal, copies) in copies::by_journal(repository)? {
            if texts.contains_key(&journal) {
                continue;
            }
            let text = texts.entry(journal).or_default();
            for copy in copies {
                text.extend(repository.read_journal_copy(copy)?);
            }
        }
    }
    for (journal, text) in texts {
        history.add(journal, &text, repository);
    }
    history.runs.sort_by_key(|run| run.run.started_at);
    Ok(history)
}

impl History {
    fn add(&mut self, journal: JournalId, text: &[u8], repository: Option<&Repository>) {
        let mut events = Vec::new();
        for line in lines(text).0 {
            let entry = match repository {
                Some(repository) => JournalEntry::open(line, repository.journal_key()),
                None => JournalEntry::read(line),
            };
            match entry {
                Ok(entry) => events.extend(entry.run_event()),
                Err(_) if is_of_another(line, repository) => {}
                Err(_) => self.unreadable_lines += 1,
            }
        }
        self.runs.extend(runs(events).into_iter().map(|run| HistoryRun { journal, run }));
    }
}

fn is_of_another(line: &[u8], repository: Option<&Repository>) -> bool {
    let entry = JournalEntry::read(line);
    repository.is_some_and(|repository| entry.is_ok_and(|entry| entry.repository != repository.id()))
}
