//! Where each object is (docs/format.md, section 2).

use std::fmt;

use model::{BackupId, SystemId, WalName, WalSegmentName};

use crate::{JournalId, PackId, SiteDocumentKind, SiteId, SlotId};

/// The key of one object of a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKey {
    /// `chronavault.json`
    Head,
    /// `keys/<slot-id>.slot`
    Slot(SlotId),
    /// `keys/<slot-id>.json`
    SlotNote(SlotId),
    /// `keys/<slot-id>.<name>.checked`
    KeyCheck(SlotId, String),
    /// `packs/<aa>/<sha256>.pack`
    Pack(PackId),
    /// `<backup-id>.manifest`
    Manifest(BackupId),
    /// `<backup-id>.sha256`
    Checksum(BackupId),
    /// `proofs/<backup-id>/<name>.proof`
    Proof(BackupId, String),
    /// `wal/<system-id>/<timeline>/<name>.wal`
    Wal(SystemId, WalName),
    /// `wal/<system-id>/<timeline>/<segment>.<offset>.piece`
    WalPiece(SystemId, WalSegmentName, u32),
    /// `journal/<sequence>-<journal-id>.jsonl`
    Journal(u64, JournalId),
    /// `intents/<backup-id>.json`
    Intent(BackupId),
    /// `intents/prune-<name>.json`
    PruneIntent(String),
    /// `intents/rotate-<epoch>.json`
    RotationClaim(u32),
    /// `holds/<backup-id>/<name>.json`
    Hold(BackupId, String),
    /// `leases/<right>/<generation>.json`
    Lease(String, u64),
    /// `site/<site-id>/<name>.<kind>`
    SiteDocument(SiteId, String, SiteDocumentKind),
}

/// Digits of the number of an entry in a name, so that names sort as numbers.
const SEQUENCE_DIGITS: usize = 16;

impl ObjectKey {
    /// The object at `key`; nothing when it is not part of a repository.
    pub fn parse(key: &str) -> Option<Self> {
        if key == "chronavault.json" {
            return Some(Self::Head);
        }
        if let Some(rest) = key.strip_prefix("keys/") {
            return parse_of_key(rest);
        }
        if let Some(rest) = key.strip_prefix("packs/") {
            let (directory, name) = rest.split_once('/')?;
            let id: PackId = name.strip_suffix(".pack")?.parse().ok()?;
            return name.starts_with(directory).then_some(Self::Pack(id)).filter(|_| directory.len() == 2);
        }
        if let Some(rest) = key.strip_prefix("proofs/") {
            let (backup, name) = rest.split_once('/')?;
            let name = name.strip_suffix(".proof").filter(|name| is_dated_name(name))?;
            return Some(Self::Proof(backup.parse().ok()?, name.to_owned()));
        }
        if let Some(rest) = key.strip_prefix("wal/") {
            return parse_wal(rest).filter(|parsed| parsed.to_string() == key);
        }
        if let Some(rest) = key.strip_prefix("journal/") {
            return parse_journal(rest);
        }
        if let Some(rest) = key.strip_prefix("intents/") {
            let name = rest.strip_suffix(".json")?;
            return parse_intent(name).filter(|parsed| parsed.to_string() == key);
        }
        if let Some(rest) = key.strip_prefix("holds/") {
            let (backup, name) = rest.split_once('/')?;
            let name = name.strip_suffix(".json").filter(|name| is_dated_name(name))?;
            return Some(Self::Hold(backup.parse().ok()?, name.to_owned()));
        }
        if let Some(rest) = key.strip_prefix("leases/") {
            let (right, generation) = rest.split_once('/')?;
            let generation = generation.strip_suffix(".json")?.parse().ok()?;
            return Some(Self::Lease(right.to_owned(), generation))
                .filter(|parsed| parsed.to_string() == key);
        }
        if let Some(rest) = key.strip_prefix("site/") {
            return parse_site_document(rest);
        }
        let parse = |suffix| key.strip_suffix(suffix)?.parse().ok();
        parse(".manifest").map(Self::Manifest).or_else(|| parse(".sha256").map(Self::Checksum))
    }

    /// What kind of object it is, for messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Head => "repository head",
            Self::Slot(_) => "key slot",
            Self::SlotNote(_) => "note of a key slot",
            Self::KeyCheck(..) => "check of a key",
            Self::Pack(_) => "pack",
            Self::Manifest(_) => "manifest",
            Self::Checksum(_) => "checksum file",
            Self::Proof(..) => "proof",
            Self::Wal(..) => "WAL object",
            Self::WalPiece(..) => "piece of a WAL segment",
            Self::Journal(..) => "copy of a journal",
            Self::Intent(_) | Self::PruneIntent(_) | Self::RotationClaim(_) => "intent",
            Self::Hold(..) => "hold",
            Self::Lease(..) => "lease",
            Self::SiteDocument(..) => "site document",
        }
    }
}

/// The object at `rest` below `keys/`.
fn parse_of_key(rest: &str) -> Option<ObjectKey> {
    if let Some(id) = rest.strip_suffix(".slot") {
        return id.parse().ok().map(ObjectKey::Slot);
    }
    if let Some(id) = rest.strip_suffix(".json") {
        return id.parse().ok().map(ObjectKey::SlotNote);
    }
    let (id, name) = rest.strip_suffix(".checked")?.split_once('.')?;
    let id = id.parse().ok()?;
    is_dated_name(name).then(|| ObjectKey::KeyCheck(id, name.to_owned()))
}

/// The document at `rest` below `site/`.
fn parse_site_document(rest: &str) -> Option<ObjectKey> {
    let (site, file) = rest.split_once('/')?;
    let (name, kind) = file.split_once('.').filter(|(name, _)| is_dated_name(name))?;
    Some(ObjectKey::SiteDocument(site.parse().ok()?, name.to_owned(), kind.parse().ok()?))
}

/// The intent of this name, which may be spelled differently than its key is.
fn parse_intent(name: &str) -> Option<ObjectKey> {
    if let Some(name) = name.strip_prefix("prune-") {
        return is_dated_name(name).then(|| ObjectKey::PruneIntent(name.to_owned()));
    }
    if let Some(epoch) = name.strip_prefix("rotate-") {
        return epoch.parse().ok().map(ObjectKey::RotationClaim);
    }
    name.parse().ok().map(ObjectKey::Intent)
}

/// The name of a file or an object with the entries of a journal from the one with the number `sequence` on.
pub fn journal_file_name(sequence: u64, journal: JournalId) -> String {
    format!("{sequence:0SEQUENCE_DIGITS$}-{journal}.jsonl")
}

/// What [`journal_file_name`] was made of; nothing for other names.
pub fn parse_journal_file_name(name: &str) -> Option<(u64, JournalId)> {
    let (sequence, journal) = name.strip_suffix(".jsonl")?.split_once('-')?;
    let parsed = (sequence.parse().ok()?, journal.parse().ok()?);
    (journal_file_name(parsed.0, parsed.1) == name).then_some(parsed)
}

fn parse_journal(name: &str) -> Option<ObjectKey> {
    parse_journal_file_name(name).map(|(sequence, journal)| ObjectKey::Journal(sequence, journal))
}

/// The object at `rest` below `wal/`, which may be spelled differently than its key is.
fn parse_wal(rest: &str) -> Option<ObjectKey> {
    let (system, rest) = rest.split_once('/')?;
    let (_timeline, file) = rest.split_once('/')?;
    let system = system.parse().ok()?;
    if let Some(name) = file.strip_suffix(".wal") {
        return Some(ObjectKey::Wal(system, name.parse().ok()?));
    }
    let (segment, offset) = file.strip_suffix(".piece")?.split_once('.')?;
    let offset = u32::from_str_radix(offset, 16).ok()?;
    Some(ObjectKey::WalPiece(system, segment.parse().ok()?, offset))
}

/// `YYYY-MM-DD-HHMMSS-xxxxxx`: a backup id without its first word.
fn is_dated_name(name: &str) -> bool {
    format!("backup-{name}").parse::<BackupId>().is_ok()
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("chronavault.json"),
            Self::Slot(id) => write!(f, "keys/{id}.slot"),
            Self::SlotNote(id) => write!(f, "keys/{id}.json"),
            Self::KeyCheck(id, name) => write!(f, "keys/{id}.{name}.checked"),
            Self::Pack(id) => {
                let name = id.to_string();
                write!(f, "packs/{}/{name}.pack", &name[..2])
            }
            Self::Manifest(id) => write!(f, "{id}.manifest"),
            Self::Checksum(id) => write!(f, "{id}.sha256"),
            Self::Proof(id, name) => write!(f, "proofs/{id}/{name}.proof"),
            Self::Wal(system, name) => {
                write!(f, "wal/{system}/{:08X}/{name}.wal", name.timeline().get())
            }
            Self::WalPiece(system, segment, offset) => {
                write!(f, "wal/{system}/{:08X}/{segment}.{offset:08X}.piece", segment.timeline.get())
            }
            Self::Journal(sequence, journal) => {
                write!(f, "journal/{}", journal_file_name(*sequence, *journal))
            }
            Self::Intent(id) => write!(f, "intents/{id}.json"),
            Self::PruneIntent(name) => write!(f, "intents/prune-{name}.json"),
            Self::RotationClaim(epoch) => write!(f, "intents/rotate-{epoch}.json"),
            Self::Hold(id, name) => write!(f, "holds/{id}/{name}.json"),
            Self::Lease(right, generation) => write!(f, "leases/{right}/{generation:020}.json"),
            Self::SiteDocument(site, name, kind) => write!(f, "site/{site}/{name}.{kind}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_text() {
        let backup: BackupId = "backup-2026-11-23-120000-abc123".parse().unwrap();
        for key in [
            ObjectKey::Head,
            ObjectKey::Slot(SlotId([1; 16])),
            ObjectKey::SlotNote(SlotId([1; 16])),
            ObjectKey::KeyCheck(SlotId([1; 16]), "2026-11-23-120000-abc123".to_owned()),
            ObjectKey::RotationClaim(12),
            ObjectKey::Pack(PackId([0xab; 32])),
            ObjectKey::Manifest(backup.clone()),
            ObjectKey::Checksum(backup.clone()),
            ObjectKey::Proof(backup.clone(), "2026-11-23-120000-abc123".to_owned()),
            ObjectKey::Intent(backup.clone()),
            ObjectKey::Hold(backup, "2026-11-23-120000-abc123".to_owned()),
            ObjectKey::Lease("0123456789abcdef".to_owned(), 17),
            ObjectKey::PruneIntent("2026-11-23-120000-abc123".to_owned()),
            ObjectKey::Wal(SystemId(7), "000000010000000A000000FF".parse().unwrap()),
            ObjectKey::Wal(SystemId(7), "000000010000000A000000FF.partial".parse().unwrap()),
            ObjectKey::Wal(SystemId(7), "000000010000000A000000FF.00000028.backup".parse().unwrap()),
            ObjectKey::Wal(SystemId(u64::MAX), "0000000A.history".parse().unwrap()),
            ObjectKey::WalPiece(SystemId(7), "000000010000000A000000FF".parse().unwrap(), 0x00ab_cdef),
            ObjectKey::Journal(1, JournalId([0xcd; 8])),
            ObjectKey::SiteDocument(
                SiteId([0xef; 8]),
                "2026-11-23-120000-abc123".to_owned(),
                SiteDocumentKind::Configuration,
            ),
            ObjectKey::SiteDocument(
                SiteId([0; 8]),
                "2026-11-23-120000-abc123".to_owned(),
                SiteDocumentKind::Runbook,
            ),
            ObjectKey::Journal(u64::MAX, JournalId([0; 8])),
        ] {
            assert_eq!(ObjectKey::parse(&key.to_string()), Some(key));
        }
    }

    #[test]
    fn wal_is_found_by_cluster_and_timeline() {
        let segment = "0000000B0000000A000000FF".parse().unwrap();
        let key = ObjectKey::Wal(SystemId(7), WalName::Segment(segment)).to_string();
        assert_eq!(key, "wal/7/0000000B/0000000B0000000A000000FF.wal");
        let key = ObjectKey::WalPiece(SystemId(7), segment, 0x1_0000).to_string();
        assert_eq!(key, "wal/7/0000000B/0000000B0000000A000000FF.00010000.piece");
        let key = ObjectKey::Wal(SystemId(7), "0000000B.history".parse().unwrap()).to_string();
        assert_eq!(key, "wal/7/0000000B/0000000B.history.wal");
    }

    #[test]
    fn other_keys_are_not_ours() {
        let pack = "ab".repeat(32);
        for key in [
            String::new(),
            "keys/x.slot".to_owned(),
            "keys/x.json".to_owned(),
            format!("keys/{}.checked", "ab".repeat(16)),
            format!("keys/{}.today.checked", "ab".repeat(16)),
            "intents/rotate-02.json".to_owned(),
            "intents/rotate-+2.json".to_owned(),
            "intents/rotate-.json".to_owned(),
            format!("packs/cd/{pack}.pack"),
            format!("packs/{pack}.pack"),
            format!("packs/a/{pack}.pack"),
            format!("packs/aba/{pack}.pack"),
            format!("packs//{pack}.pack"),
            format!("packs/ab/ab/{pack}.pack"),
            format!("packs/ab/{pack}.pack.tmp"),
            "backup-2026-11-23-120000-abc123".to_owned(),
            "proofs/backup-2026-11-23-120000-abc123/x.proof".to_owned(),
            "wal/7/00000001/000000020000000A000000FF.wal".to_owned(),
            "wal/07/00000001/000000010000000A000000FF.wal".to_owned(),
            "wal/7/1/000000010000000A000000FF.wal".to_owned(),
            "wal/7/000000010000000A000000FF.wal".to_owned(),
            "wal/7/00000001/000000010000000A000000FF".to_owned(),
            "wal/7/00000001/000000010000000A000000FF.100.piece".to_owned(),
            "wal/7/00000001/000000010000000A000000FF.+0000100.piece".to_owned(),
            "wal/7/00000001/000000010000000A000000FF.0000abcd.piece".to_owned(),
            "journal/1-cdcdcdcdcdcdcdcd.jsonl".to_owned(),
            "journal/0000000000000001-CDCDCDCDCDCDCDCD.jsonl".to_owned(),
            "journal/0000000000000001.jsonl".to_owned(),
            "journal/+000000000000001-cdcdcdcdcdcdcdcd.jsonl".to_owned(),
            "intents/backup-2026-11-23-120000.json".to_owned(),
            "intents/prune-backup-2026-11-23-120000-abc123.json".to_owned(),
            "intents/prune-.json".to_owned(),
            format!("trash/2026-11-23-120000/packs/ab/{pack}.pack"),
            format!("site/{}/2026-11-23-120000-abc123.notes", "ab".repeat(8)),
            format!("site/{}/2026-11-23-120000-abc123.runbook.tmp", "ab".repeat(8)),
            format!("site/{}/x.runbook", "ab".repeat(8)),
            format!("site/{}/2026-11-23-120000-abc123.runbook", "AB".repeat(8)),
            "site/2026-11-23-120000-abc123.runbook".to_owned(),
            "lost+found".to_owned(),
        ] {
            assert_eq!(ObjectKey::parse(&key), None, "{key}");
        }
    }
}
