//! Entries of a journal (docs/format.md, section 18).
//!
//! Invariant: an entry is one line of text, and what a reader with the key believes of it is authenticated by a MAC over that very
//! text. The hash of the line before is in the text, so entries can be neither edited, removed nor reordered by somebody who does
//! not have the key.

use aws_lc_rs::digest;
use jiff::Timestamp;
use model::{Actor, RunEnd, RunEvent, RunStart};
use serde::{Deserialize, Serialize};

use crate::container::{open_single, seal_single};
use crate::{
    ContainerKind, Finished, FormatError, JournalId, JournalKey, Keyring, RecordType, RepositoryId, Sha256,
};

/// The only version of entries that there is.
pub const JOURNAL_VERSION: u32 = 1;
/// An entry has at most so many bytes, its newline included.
pub const JOURNAL_LINE_BYTES_MAX: usize = 64 << 10;

/// What comes between an entry and its MAC.
const MAC_MEMBER: &[u8] = b",\"mac\":\"";
/// What ends a line.
const LINE_END: &[u8] = b"\"}";
/// Digits of a MAC.
const MAC_DIGITS: usize = 64;

/// One entry of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    version: u32,
    /// The repository.
    pub repository: RepositoryId,
    /// The journal.
    pub journal: JournalId,
    /// Its number, from 1.
    pub sequence: u64,
    /// When it was written.
    pub at: Timestamp,
    /// The hash of the line before it; of zeros for the first.
    pub previous: Sha256,
    /// What happened.
    #[serde(flatten)]
    pub event: JournalEvent,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[expect(clippy::large_enum_variant, reason = "entries are read and written one by one")]
pub enum JournalEvent {
    /// The journal began.
    Begun {
        /// Who began it.
        actor: Actor,
        /// Where the journals of this machine ended that were known from their copies, but were not there.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        follows: Vec<JournalHead>,
    },
    /// Bytes that are no entry stood behind the entry before this one.
    Mended {
        /// Who found them.
        actor: Actor,
        /// Each line of them.
        fragments: Vec<Fragment>,
    },
    /// A run started.
    Started(RunStart),
    /// A run ended.
    Ended {
        /// The number of the entry with which it started.
        run: u64,
        /// How.
        #[serde(flatten)]
        end: RunEnd,
    },
    /// Something happened that has no duration.
    Noted(RunStart),
}

/// Where a journal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalHead {
    /// The journal.
    pub journal: JournalId,
    /// The number of its last entry.
    pub sequence: u64,
    /// The hash of that line.
    pub hash: Sha256,
}

/// A line that is no entry: what a crash left of one, as a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fragment {
    /// Its length, without a newline.
    pub bytes: u64,
    /// Its hash, without a newline.
    pub sha256: Sha256,
    /// Whether it ends as a whole entry does. Then no crash explains it.
    pub is_whole: bool,
}

impl Fragment {
    /// The fragment `line`, without its newline.
    pub fn of(line: &[u8]) -> Self {
        let is_whole = split_mac(line).is_some();
        Self { bytes: line.len() as u64, sha256: sha256(&[line]), is_whole }
    }
}

impl JournalEntry {
    /// The entry that follows `head`, or the first of `journal`.
    pub fn next(
        repository: RepositoryId,
        journal: JournalId,
        head: Option<JournalHead>,
        at: Timestamp,
        event: JournalEvent,
    ) -> Self {
        let (sequence, previous) = head.map_or((0, Sha256([0; 32])), |head| (head.sequence, head.hash));
        // To the millisecond: finer, clocks of several processes say nothing.
        let at = Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at);
        Self {
            version: JOURNAL_VERSION,
            repository,
            journal,
            sequence: sequence.saturating_add(1),
            at,
            previous,
            event,
        }
    }

    /// The line, with its MAC and its newline.
    ///
    /// # Errors
    /// [`FormatError::Limit`] when it is too long.
    pub fn seal(&self, key: &JournalKey) -> Result<Vec<u8>, FormatError> {
        let mut line = serde_json::to_vec(self).map_err(FormatError::json(WHAT))?;
        // The closing brace comes after the MAC.
        line.pop();
        let mac = hex::encode(key.mac(&line));
        line.extend_from_slice(MAC_MEMBER);
        line.extend_from_slice(mac.as_bytes());
        line.extend_from_slice(LINE_END);
        line.push(b'\n');
        if line.len() > JOURNAL_LINE_BYTES_MAX {
            let (value, limit) = (line.len() as u64, JOURNAL_LINE_BYTES_MAX as u64);
            return Err(FormatError::Limit { what: WHAT, value, limit });
        }
        Ok(line)
    }

    /// Reads a line without its newline, once its MAC was checked.
    ///
    /// # Errors
    /// [`FormatError::Authentication`] when it was not written under this key; otherwise as [`JournalEntry::read`].
    pub fn open(line: &[u8], key: &JournalKey) -> Result<Self, FormatError> {
        let (text, mac) = split_mac(line).ok_or(NO_ENTRY)?;
        if !key.authenticates(text, &mac) {
            return Err(FormatError::Authentication { what: WHAT });
        }
        Self::read(line)
    }

    /// Reads a line without its newline. Nothing says that it is authentic.
    ///
    /// # Errors
    /// When it is no entry, or one of a later version.
    pub fn read(line: &[u8]) -> Result<Self, FormatError> {
        if line.len() >= JOURNAL_LINE_BYTES_MAX || split_mac(line).is_none() {
            return Err(NO_ENTRY);
        }
        let Version { version } = serde_json::from_slice(line).map_err(FormatError::json(WHAT))?;
        if version != JOURNAL_VERSION {
            let (found, known) = (version.into(), JOURNAL_VERSION.into());
            return Err(FormatError::Newer { field: "version of journal entries", found, known });
        }
        serde_json::from_slice(line).map_err(FormatError::json(WHAT))
    }

    /// Who was there, where the entry says.
    pub fn actor(&self) -> Option<&Actor> {
        match &self.event {
            JournalEvent::Begun { actor, .. } | JournalEvent::Mended { actor, .. } => Some(actor),
            JournalEvent::Started(start) | JournalEvent::Noted(start) => Some(&start.actor),
            JournalEvent::Ended { .. } => None,
        }
    }

    /// The entry as part of a run.
    pub fn run_event(&self) -> Option<RunEvent> {
        let (sequence, at) = (self.sequence, self.at);
        match &self.event {
            JournalEvent::Started(start) => Some(RunEvent::Started { sequence, at, start: start.clone() }),
            JournalEvent::Ended { run, end } => Some(RunEvent::Ended { run: *run, at, end: end.clone() }),
            JournalEvent::Begun { .. } | JournalEvent::Mended { .. } | JournalEvent::Noted(_) => None,
        }
    }
}

/// The hash of `line`, which has no newline, with its newline: what the entry after it names as `previous`.
pub fn line_hash(line: &[u8]) -> Sha256 {
    sha256(&[line, b"\n"])
}

/// Seals whole lines of a journal as they are.
///
/// # Errors
/// When they are too many.
pub fn seal_journal_copy(lines: &[u8], keyring: &Keyring, salt: [u8; 32]) -> Result<Finished, FormatError> {
    seal_single(ContainerKind::Journal, RecordType::Journal, lines, keyring, salt)
}

/// The lines that were sealed.
///
/// # Errors
/// When it is not what was written, or does not end with a line.
pub fn open_journal_copy(bytes: &mut [u8], keyring: &Keyring) -> Result<Vec<u8>, FormatError> {
    let lines = open_single(ContainerKind::Journal, RecordType::Journal, bytes, keyring)?;
    if lines.last() != Some(&b'\n') {
        return Err(FormatError::malformed("a copy of a journal does not end with a line"));
    }
    Ok(lines)
}

const WHAT: &str = "the entry";
const NO_ENTRY: FormatError = FormatError::malformed("it is no entry of a journal");

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// What is authenticated of a line, and its MAC.
fn split_mac(line: &[u8]) -> Option<(&[u8], [u8; 32])> {
    let (rest, digits) = line.strip_suffix(LINE_END)?.split_last_chunk::<MAC_DIGITS>()?;
    let text = rest.strip_suffix(MAC_MEMBER)?;
    let mac: Sha256 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((text, mac.0))
}

fn sha256(parts: &[&[u8]]) -> Sha256 {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut sha256 = Sha256([0; 32]);
    sha256.0.copy_from_slice(context.finish().as_ref());
    sha256
}
