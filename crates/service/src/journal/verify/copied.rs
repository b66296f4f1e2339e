//! The copies of a journal, and what they say about its files.

use repository::{Error, JournalChain, JournalCopy, JournalId, Repository, line_hash};

use super::local::Here;
use super::{Finding, FindingKind, Followed};
use crate::journal::JournalError;
use crate::journal::tail::lines;

/// Follows the copies of a journal, which are in the order of their entries.
pub(super) fn follow(
    journal: JournalId,
    copies: &[JournalCopy],
    repository: &Repository,
) -> Result<Followed, JournalError> {
    let mut followed = Followed::default();
    let mut chain = JournalChain::new(repository.journal_key(), repository.id(), journal);
    let mut before = 0;
    for copy in copies {
        let text = match repository.read_journal_copy(*copy) {
            Ok(text) => text,
            Err(Error::Damaged(problem)) => {
                let (object, message) = (problem.object, problem.message);
                followed.findings.push(Finding { kind: FindingKind::Copy, object, message });
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let mut is_first = true;
        for line in lines(&text).0 {
            let (entry, findings) = chain.follow(line);
            for finding in findings.iter().filter(|finding| !finding.found.is_remark()) {
                let object = format!("{}, line {}", copy.key(), finding.line.saturating_sub(before));
                let message = finding.found.to_string();
                followed.findings.push(Finding { kind: FindingKind::Copy, object, message });
            }
            let Some(entry) = entry else { continue };
            if std::mem::take(&mut is_first) && entry.sequence != copy.first {
                let message = format!("it begins with entry {}: it is the copy of others", entry.sequence);
                followed.findings.push(Finding { kind: FindingKind::Copy, object: copy.key(), message });
            }
            followed.add(&entry, line_hash(line));
        }
        before += lines(&text).0.len() as u64;
    }
    followed.head = chain.head();
    Ok(followed)
}

/// What the copies say about the files.
pub(super) fn compare(here: &Here, there: &Followed) -> Vec<Finding> {
    let mut findings = Vec::new();
    let end = here.followed.head.map_or(0, |head| head.sequence);
    let mut differing = there
        .hashes
        .iter()
        .filter(|(sequence, hash)| here.followed.hashes.get(sequence).is_some_and(|own| own != *hash));
    let object = || here.last_file.clone();
    if let Some((sequence, _)) = differing.next() {
        let message = match differing.count() {
            0 => format!("entry {sequence} is not the one that is in the repository"),
            more => {
                format!("entry {sequence} and {more} later ones are not those that are in the repository")
            }
        };
        findings.push(Finding { kind: FindingKind::Differs, object: object(), message });
    }
    let mut cut = there.hashes.range(end + 1..).map(|(sequence, _)| *sequence);
    if let Some(first) = cut.next() {
        let last = cut.next_back().unwrap_or(first);
        let message = format!(
            "the journal ends with entry {end}, but the repository has entries {first} to {last}: it was cut off"
        );
        findings.push(Finding { kind: FindingKind::Cut, object: object(), message });
    }
    findings
}
