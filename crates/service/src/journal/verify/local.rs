//! The files of a journal.

use repository::{
    ChainFinding, JournalChain, JournalEntry, JournalEvent, JournalHead, JournalId, Repository, line_hash,
};

use super::Followed;
use crate::journal::JournalError;
use crate::journal::directory::JournalFile;
use crate::journal::tail::lines;

/// A journal that is here.
#[derive(Debug)]
pub(super) struct Here {
    pub(super) followed: Followed,
    /// The last file, where what is cut off is missing.
    pub(super) last_file: String,
    /// Which journals it follows, as it says itself.
    pub(super) follows: Vec<JournalHead>,
    /// Whether it is one of another repository, as far as its entries say.
    pub(super) is_foreign: bool,
}

/// Follows the files of a journal, which are in the order of their entries.
pub(super) fn follow(
    journal: JournalId,
    files: &[JournalFile],
    repository: &Repository,
) -> Result<Here, JournalError> {
    let mut chain = JournalChain::new(repository.journal_key(), repository.id(), journal);
    let mut here = Here {
        followed: Followed::default(),
        last_file: files.last().map(shown).unwrap_or_default(),
        follows: Vec::new(),
        is_foreign: false,
    };
    // The number of lines before each file.
    let (mut before, mut seen) = (Vec::new(), 0);
    let (mut claims, mut ends) = (0_u64, true);
    let mut findings = Vec::new();
    for file in files {
        before.push(seen);
        let text = file.read()?;
        let (lines, ends_with_newline) = lines(&text);
        ends = ends_with_newline;
        for line in lines {
            seen += 1;
            let (entry, found) = chain.follow(line);
            findings.extend(found);
            if let Some(entry) = entry {
                if let JournalEvent::Begun { follows, .. } = &entry.event {
                    here.follows.extend(follows);
                }
                here.followed.add(&entry, line_hash(line));
            } else {
                let other = JournalEntry::read(line).is_ok_and(|entry| entry.repository != repository.id());
                claims += u64::from(other);
            }
        }
    }
    findings.extend(chain.finish(ends));
    findings.sort_by_key(|finding: &ChainFinding| finding.line);
    for finding in findings {
        let number = before.iter().rposition(|before| *before < finding.line).unwrap_or(0);
        let line = finding.line - before.get(number).copied().unwrap_or(0);
        let file = files.get(number).map(shown).unwrap_or_default();
        here.followed.found(&finding.found, format!("{file}, line {line}"));
    }
    if !ends && here.followed.findings.iter().all(|finding| !finding.kind.is_problem()) {
        let object = format!("{}, line {}", here.last_file, seen - before.last().copied().unwrap_or(0));
        here.followed.found(&repository::ChainBreak::Unfinished, object);
    }
    here.is_foreign = here.followed.hashes.is_empty() && claims > 0;
    here.followed.head = chain.head();
    Ok(here)
}

fn shown(file: &JournalFile) -> String {
    file.path.display().to_string()
}
