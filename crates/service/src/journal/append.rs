//! Appending an entry.

use std::io::Write;

use repository::{
    JournalEntry, JournalEvent, JournalHead, JournalId, Repository, journal_file_name, line_hash,
};

use super::directory::failed;
use super::tail::{self, Tail};
use super::{COPY_ENTRIES, Journal, JournalError, Recorded};

/// Lines that are to be written, and where.
struct Lines<'a> {
    journal: &'a Journal<'a>,
    id: JournalId,
    head: Option<JournalHead>,
    text: Vec<u8>,
}

impl Lines<'_> {
    fn push(&mut self, event: JournalEvent) -> Result<u64, JournalError> {
        let Journal { repository, clock, .. } = self.journal;
        let entry = JournalEntry::next(repository.id(), self.id, self.head, clock(), event);
        let line = entry.seal(repository.journal_key()).map_err(JournalError::Entry)?;
        let hash = line_hash(line.strip_suffix(b"\n").unwrap_or(&line));
        self.head = Some(JournalHead { journal: self.id, sequence: entry.sequence, hash });
        self.text.extend(line);
        Ok(entry.sequence)
    }
}

impl Journal<'_> {
    /// Appends an entry; it is durable when this returns.
    pub(super) fn append(&self, event: JournalEvent) -> Result<Recorded, JournalError> {
        self.directory.create()?;
        let _lock = self.directory.lock_to_write()?;
        let files = self.directory.files()?;
        let here: Vec<_> = files.iter().map(|file| file.journal).collect();
        match tail::newest(files, self.repository)? {
            Some(tail) => self.append_behind(&tail, event),
            None => self.begin(&here, event),
        }
    }

    /// The first entries of a new journal.
    fn begin(&self, here: &[JournalId], event: JournalEvent) -> Result<Recorded, JournalError> {
        let mut id = JournalId([0; JournalId::BYTES]);
        (self.random)(&mut id.0);
        let follows = self.ended_elsewhere(here)?;
        let mut lines = Lines { journal: self, id, head: None, text: Vec::new() };
        let first = lines.push(JournalEvent::Begun { actor: self.actor.clone(), follows })?;
        let sequence = lines.push(event)?;
        self.write(&self.directory.path().join(journal_file_name(first, id)), &lines.text, true)?;
        Ok(Recorded { sequence, copy_is_due: true, is_damaged: false })
    }

    fn append_behind(&self, tail: &Tail, event: JournalEvent) -> Result<Recorded, JournalError> {
        let head = tail.head;
        let mut lines = Lines { journal: self, id: head.journal, head: Some(head), text: Vec::new() };
        if !tail.ends_with_newline {
            lines.text.push(b'\n');
        }
        if !tail.strange.is_empty() {
            let fragments = tail.strange.clone();
            lines.push(JournalEvent::Mended { actor: self.actor.clone(), fragments })?;
        }
        // What mends a file stands in it.
        let is_new = lines.text.is_empty() && tail.bytes >= self.file_bytes;
        let sequence = lines.push(event)?;
        let path = if is_new {
            self.directory.path().join(journal_file_name(sequence, head.journal))
        } else {
            tail.file.path.clone()
        };
        self.write(&path, &lines.text, is_new)?;
        let copy_is_due = is_new || head.sequence / COPY_ENTRIES != sequence / COPY_ENTRIES;
        let is_damaged = tail.strange.iter().any(|fragment| fragment.is_whole);
        Ok(Recorded { sequence, copy_is_due, is_damaged })
    }

    fn write(&self, path: &std::path::Path, text: &[u8], is_new: bool) -> Result<(), JournalError> {
        let mut file = self.directory.open_to_append(path)?;
        // In one call, so that a process that is killed leaves all of it or nothing, as a rule.
        file.write_all(text).map_err(|source| failed("append to", path, source))?;
        file.sync_all().map_err(|source| failed("sync", path, source))?;
        if is_new { self.directory.sync() } else { Ok(()) }
    }

    /// Where the journals of this machine ended that are known from their copies but are not `here`.
    fn ended_elsewhere(&self, here: &[JournalId]) -> Result<Vec<JournalHead>, JournalError> {
        let mut follows = Vec::new();
        for (journal, copies) in super::copies::by_journal(self.repository)? {
            if here.contains(&journal) {
                continue;
            }
            let (Some(first), Some(last)) = (copies.first(), copies.last()) else { continue };
            let host = host_of(self.repository, *first);
            // What cannot be read says nothing of its machine; `verify` tells about it.
            if host.as_deref() == Some(self.actor.host.as_str())
                && let Ok(Some(head)) = super::copies::last_entry(self.repository, *last)
            {
                follows.push(head);
            }
        }
        Ok(follows)
    }
}

/// The machine of a journal, from the first copy of it.
fn host_of(repository: &Repository, first: repository::JournalCopy) -> Option<String> {
    let text = repository.read_journal_copy(first).ok()?;
    let (lines, _) = tail::lines(&text);
    let mut entries = lines.iter().filter_map(|line| JournalEntry::open(line, repository.journal_key()).ok());
    entries.find_map(|entry| entry.actor().map(|actor| actor.host.clone()))
}
