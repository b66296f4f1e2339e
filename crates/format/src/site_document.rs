//! Documents of a site: its configuration and its runbook (docs/format.md, section 21).
//!
//! Invariant: a document is only ever read from the place for which it was sealed. Deliberately absent: secrets. Whoever makes a
//! document leaves them out, since the key of a repository opens backups and should open nothing else.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::container::{open_single, seal_single};
use crate::{ContainerKind, Finished, FormatError, Keyring, ObjectKey, RecordType, Sha256, SiteId};

/// The version of documents that this program writes.
pub const SITE_DOCUMENT_VERSION: u32 = 1;

const WHAT: &str = "the site document";

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SiteDocumentKind {
    /// The settings file, and what a host needs to know that takes the place of a lost one.
    Configuration,
    /// What to do when something is wrong, for people.
    Runbook,
}

impl SiteDocumentKind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Configuration, Self::Runbook];

    /// The kind as it ends the key of a document.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Runbook => "runbook",
        }
    }
}

impl fmt::Display for SiteDocumentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for SiteDocumentKind {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or(FormatError::malformed("there is no such kind of site document"))
    }
}

/// A document of a site: one host with one settings file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteDocument {
    version: u32,
    /// What it is.
    pub kind: SiteDocumentKind,
    /// When it was made, to the second.
    pub written_at: Timestamp,
    /// The host on which it was made.
    pub host: String,
    /// The settings file on that host, when there is one.
    pub path: Option<String>,
    /// The version of the program that made it.
    pub tool_version: String,
    /// What else is known of the host, by name.
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
    /// The document itself.
    pub text: String,
}

impl SiteDocument {
    /// A document of `kind`, made at `written_at` on `host` from the settings file at `path`.
    pub fn new(
        kind: SiteDocumentKind,
        written_at: Timestamp,
        (host, path): (&str, Option<&str>),
        tool_version: &str,
        facts: BTreeMap<String, String>,
        text: String,
    ) -> Self {
        Self {
            version: SITE_DOCUMENT_VERSION,
            kind,
            // The time in its key has no finer one.
            written_at: Timestamp::from_second(written_at.as_second()).unwrap_or(written_at),
            host: host.to_owned(),
            path: path.map(str::to_owned),
            tool_version: tool_version.to_owned(),
            facts,
            text,
        }
    }

    /// Whose document it is.
    pub fn site(&self) -> SiteId {
        site_id(&self.host, self.path.as_deref())
    }

    /// Whether both say the same, whenever they were made.
    pub fn says_the_same(&self, other: &Self) -> bool {
        Self { written_at: self.written_at, ..other.clone() } == *self
    }

    /// Seals the document for the place with this `name`, which has the time of the document.
    ///
    /// # Errors
    /// When it is too long.
    pub fn seal(&self, name: &str, keyring: &Keyring, salt: [u8; 32]) -> Result<Finished, FormatError> {
        let sealed = Sealed { name: name.to_owned(), document: self.clone() };
        let plaintext = serde_json::to_vec(&sealed).map_err(FormatError::json(WHAT))?;
        seal_single(ContainerKind::Site, RecordType::Site, &plaintext, keyring, salt)
    }

    /// Opens the document at `key`.
    ///
    /// # Errors
    /// When it is not what was written there, or of a later version.
    pub fn open(bytes: &mut [u8], key: &ObjectKey, keyring: &Keyring) -> Result<Self, FormatError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let plaintext = open_single(ContainerKind::Site, RecordType::Site, bytes, keyring)?;
        let Version { version } = serde_json::from_slice(&plaintext).map_err(FormatError::json(WHAT))?;
        if version != SITE_DOCUMENT_VERSION {
            let (found, known) = (version.into(), SITE_DOCUMENT_VERSION.into());
            return Err(FormatError::Newer { field: "version of site documents", found, known });
        }
        let Sealed { name, document } =
            serde_json::from_slice(&plaintext).map_err(FormatError::json(WHAT))?;
        if ObjectKey::SiteDocument(document.site(), name, document.kind) == *key {
            Ok(document)
        } else {
            Err(FormatError::OtherPlace { what: "site document" })
        }
    }
}

/// A document with the name in its key.
#[derive(Serialize, Deserialize)]
struct Sealed {
    name: String,
    #[serde(flatten)]
    document: SiteDocument,
}

/// The SHA-256 of the text of a document.
pub fn text_hash(text: &str) -> Sha256 {
    let mut hash = Sha256([0; Sha256::BYTES]);
    hash.0.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    hash
}

/// The id of the site that is this host with the settings file at this path.
pub fn site_id(host: &str, path: Option<&str>) -> SiteId {
    let words = format!("{host}\n{}", path.unwrap_or_default());
    let digest = digest::digest(&digest::SHA256, words.as_bytes());
    let mut id = SiteId([0; SiteId::BYTES]);
    id.0.copy_from_slice(&digest.as_ref()[..SiteId::BYTES]);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_survive_text() {
        for kind in SiteDocumentKind::ALL {
            assert_eq!(kind.to_string().parse::<SiteDocumentKind>().unwrap(), kind);
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert!("notes".parse::<SiteDocumentKind>().is_err());
    }

    #[test]
    fn a_site_is_a_host_with_a_settings_file() {
        let ids = [("db1", Some("/etc/a")), ("db1", Some("/etc/b")), ("db1", None), ("db2", None)];
        let mut ids: Vec<_> = ids.iter().map(|(host, path)| site_id(host, *path)).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 4);
        // printf 'db1\n/etc/a' | sha256sum
        assert_eq!(site_id("db1", Some("/etc/a")).to_string(), "79451705d655b0bc");
    }
}
