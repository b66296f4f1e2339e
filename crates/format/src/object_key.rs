//! Where each object is (docs/format.md, section 2).

use std::fmt;

use model::BackupId;

use crate::{PackId, SlotId};

/// The key of one object of a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKey {
    /// `chronavault.json`
    Head,
    /// `keys/<slot-id>.slot`
    Slot(SlotId),
    /// `packs/<aa>/<sha256>.pack`
    Pack(PackId),
    /// `<backup-id>.manifest`
    Manifest(BackupId),
    /// `<backup-id>.sha256`
    Checksum(BackupId),
    /// `proofs/<backup-id>/<name>.proof`
    Proof(BackupId, String),
}

impl ObjectKey {
    /// The object at `key`; nothing when it is not part of a repository.
    pub fn parse(key: &str) -> Option<Self> {
        if key == "chronavault.json" {
            return Some(Self::Head);
        }
        if let Some(rest) = key.strip_prefix("keys/") {
            return rest.strip_suffix(".slot")?.parse().ok().map(Self::Slot);
        }
        if let Some(rest) = key.strip_prefix("packs/") {
            let (directory, name) = rest.split_once('/')?;
            let id: PackId = name.strip_suffix(".pack")?.parse().ok()?;
            return name.starts_with(directory).then_some(Self::Pack(id)).filter(|_| directory.len() == 2);
        }
        if let Some(rest) = key.strip_prefix("proofs/") {
            let (backup, name) = rest.split_once('/')?;
            let name = name.strip_suffix(".proof").filter(|name| is_proof_name(name))?;
            return Some(Self::Proof(backup.parse().ok()?, name.to_owned()));
        }
        let parse = |suffix| key.strip_suffix(suffix)?.parse().ok();
        parse(".manifest").map(Self::Manifest).or_else(|| parse(".sha256").map(Self::Checksum))
    }

    /// What kind of object it is, for messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Head => "repository head",
            Self::Slot(_) => "key slot",
            Self::Pack(_) => "pack",
            Self::Manifest(_) => "manifest",
            Self::Checksum(_) => "checksum file",
            Self::Proof(..) => "proof",
        }
    }
}

/// `YYYY-MM-DD-HHMMSS-xxxxxx`: a backup id without its first word.
fn is_proof_name(name: &str) -> bool {
    format!("backup-{name}").parse::<BackupId>().is_ok()
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("chronavault.json"),
            Self::Slot(id) => write!(f, "keys/{id}.slot"),
            Self::Pack(id) => {
                let name = id.to_string();
                write!(f, "packs/{}/{name}.pack", &name[..2])
            }
            Self::Manifest(id) => write!(f, "{id}.manifest"),
            Self::Checksum(id) => write!(f, "{id}.sha256"),
            Self::Proof(id, name) => write!(f, "proofs/{id}/{name}.proof"),
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
            ObjectKey::Pack(PackId([0xab; 32])),
            ObjectKey::Manifest(backup.clone()),
            ObjectKey::Checksum(backup.clone()),
            ObjectKey::Proof(backup, "2026-11-23-120000-abc123".to_owned()),
        ] {
            assert_eq!(ObjectKey::parse(&key.to_string()), Some(key));
        }
    }

    #[test]
    fn other_keys_are_not_ours() {
        let pack = "ab".repeat(32);
        for key in [
            String::new(),
            "keys/x.slot".to_owned(),
            format!("packs/cd/{pack}.pack"),
            format!("packs/{pack}.pack"),
            format!("packs/a/{pack}.pack"),
            format!("packs/aba/{pack}.pack"),
            format!("packs//{pack}.pack"),
            format!("packs/ab/ab/{pack}.pack"),
            format!("packs/ab/{pack}.pack.tmp"),
            "backup-2026-11-23-120000-abc123".to_owned(),
            "proofs/backup-2026-11-23-120000-abc123/x.proof".to_owned(),
            "lost+found".to_owned(),
        ] {
            assert_eq!(ObjectKey::parse(&key), None, "{key}");
        }
    }
}
