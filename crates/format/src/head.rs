//! `chronavault.json`: what one must know to open a repository (docs/format.md, section 3).

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Commitment, FormatError, RepositoryId, RootKey, Sha256};

/// The only format version there is.
pub const FORMAT_VERSION: u32 = 1;
/// The only suite of primitives there is.
pub const SUITE: u32 = 1;

/// The clear head of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    format: String,
    version: u32,
    suite: u32,
    /// The repository.
    pub repository_id: RepositoryId,
    /// When it was created, to the second.
    pub created_at: Timestamp,
    /// How streams are cut.
    pub chunking: Chunking,
    /// What each epoch's root key is checked against; the last is current.
    pub epochs: Vec<EpochRecord>,
    #[serde(rename = "head_mac")]
    mac: Sha256,
}

/// How streams are cut into chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chunking {
    /// Row streams.
    pub rows: CutSizes,
    /// Archive streams.
    pub archive: CutSizes,
    /// Regions of relation files.
    pub region_bytes: u32,
}

/// Sizes of content-defined chunks, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutSizes {
    /// No cut before this size.
    pub min_bytes: u32,
    /// From there on, one cut in so many bytes on average; a power of two.
    pub spread_bytes: u32,
    /// A cut at the latest at this size.
    pub max_bytes: u32,
}

/// One epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRecord {
    /// Its number, from 1.
    pub epoch: u32,
    /// What its root key is checked against.
    pub commitment: Commitment,
}

impl Default for Chunking {
    fn default() -> Self {
        let sizes = CutSizes { min_bytes: 256 << 10, spread_bytes: 256 << 10, max_bytes: 1 << 20 };
        Self { rows: sizes, archive: sizes, region_bytes: 512 << 10 }
    }
}

impl CutSizes {
    fn is_valid(self) -> bool {
        let Self { min_bytes, spread_bytes, max_bytes } = self;
        (1..=max_bytes).contains(&min_bytes) && spread_bytes.is_power_of_two() && max_bytes <= 16 << 20
    }
}

impl Head {
    /// The head of a new repository with one epoch.
    pub fn new(
        repository_id: RepositoryId,
        created_at: Timestamp,
        chunking: Chunking,
        root_key: &RootKey,
    ) -> Self {
        let epochs = vec![EpochRecord { epoch: 1, commitment: root_key.commitment(repository_id, 1) }];
        let created_at = Timestamp::from_second(created_at.as_second()).unwrap_or(created_at);
        let (format, mac) = ("chronavault".to_owned(), Sha256([0; 32]));
        let mut head = Self {
            format,
            version: FORMAT_VERSION,
            suite: SUITE,
            repository_id,
            created_at,
            chunking,
            epochs,
            mac,
        };
        head.mac = head.compute_mac(root_key);
        head
    }

    /// The head of the same repository with one more epoch, whose root key is `root_key`.
    #[must_use]
    pub fn with_epoch(&self, root_key: &RootKey) -> Self {
        let epoch = self.current_epoch().saturating_add(1);
        let mut head = self.clone();
        head.epochs.push(EpochRecord { epoch, commitment: root_key.commitment(self.repository_id, epoch) });
        head.mac = head.compute_mac(root_key);
        head
    }

    /// Reads and checks everything that can be checked without a key.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let preamble: Preamble =
            serde_json::from_slice(bytes).map_err(FormatError::json("chronavault.json"))?;
        if preamble.format != "chronavault" {
            return Err(FormatError::Magic { expected: "chronavault repository" });
        }
        for (field, found, known) in
            [("format version", preamble.version, FORMAT_VERSION), ("suite", preamble.suite, SUITE)]
        {
            if found != known {
                return Err(FormatError::Newer { field, found: found.into(), known: known.into() });
            }
        }
        let head: Self = serde_json::from_slice(bytes).map_err(FormatError::json("chronavault.json"))?;
        // The MAC is over the text, so there is one text for each time.
        if head.created_at.to_string() != preamble.created_at {
            return Err(FormatError::malformed(
                "the time of creation is not written as YYYY-MM-DDTHH:MM:SSZ",
            ));
        }
        let Chunking { rows, archive, region_bytes } = head.chunking;
        if !rows.is_valid() || !archive.is_valid() || region_bytes == 0 {
            return Err(FormatError::malformed("the chunk sizes make no sense"));
        }
        if head.epochs.is_empty() || !head.epochs.iter().zip(1..).all(|(record, epoch)| record.epoch == epoch)
        {
            return Err(FormatError::malformed("the key epochs are not numbered from 1"));
        }
        Ok(head)
    }

    /// The head as JSON text.
    pub fn to_json(&self) -> Result<Vec<u8>, FormatError> {
        let mut text = serde_json::to_vec_pretty(self).map_err(FormatError::json("chronavault.json"))?;
        text.push(b'\n');
        Ok(text)
    }

    /// Number of the current epoch.
    pub fn current_epoch(&self) -> u32 {
        self.epochs.last().map_or(1, |record| record.epoch)
    }

    /// Whether `root_key` is the root key of `epoch`.
    pub fn recognises(&self, epoch: u32, root_key: &RootKey) -> bool {
        let commitment = root_key.commitment(self.repository_id, epoch);
        self.epochs.iter().any(|record| record.epoch == epoch && record.commitment == commitment)
    }

    /// Checks that nobody without the current root key has changed the head.
    pub fn authenticate(&self, current_root_key: &RootKey) -> Result<(), FormatError> {
        if self.compute_mac(current_root_key) == self.mac {
            Ok(())
        } else {
            Err(FormatError::Authentication { what: "chronavault.json" })
        }
    }

    fn compute_mac(&self, root_key: &RootKey) -> Sha256 {
        Sha256(root_key.head_mac(self.repository_id, self.mac_message().as_bytes()))
    }

    fn mac_message(&self) -> String {
        let Self { version, suite, repository_id, created_at, chunking, .. } = self;
        let sizes =
            |sizes: CutSizes| format!("{},{},{}", sizes.min_bytes, sizes.spread_bytes, sizes.max_bytes);
        let mut text = format!(
            "chronavault\nversion={version}\nsuite={suite}\nrepository_id={repository_id}\ncreated_at={created_at}\n\
             rows={}\narchive={}\nregion={}\n",
            sizes(chunking.rows),
            sizes(chunking.archive),
            chunking.region_bytes
        );
        for EpochRecord { epoch, commitment } in &self.epochs {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "epoch={epoch},{commitment}");
        }
        text
    }
}

/// What every version of the head has.
#[derive(Deserialize)]
struct Preamble {
    format: String,
    version: u32,
    suite: u32,
    #[serde(default)]
    created_at: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> (Head, RootKey) {
        let root = RootKey::new([7; 32]);
        let now = "2026-11-23T12:00:00.5Z".parse().unwrap();
        (Head::new(RepositoryId([1; 16]), now, Chunking::default(), &root), root)
    }

    #[test]
    fn a_head_survives_json_and_authenticates() {
        let (head, root) = head();
        let parsed = Head::parse(&head.to_json().unwrap()).unwrap();
        assert_eq!(parsed, head);
        parsed.authenticate(&root).unwrap();
        assert!(parsed.recognises(1, &root));
        assert!(parsed.authenticate(&RootKey::new([8; 32])).is_err());
    }

    #[test]
    fn a_new_epoch_is_vouched_for_by_its_own_root_key() {
        let (head, root) = head();
        let next = RootKey::new([9; 32]);
        let rotated = Head::parse(&head.with_epoch(&next).to_json().unwrap()).unwrap();
        assert_eq!(rotated.current_epoch(), 2);
        rotated.authenticate(&next).unwrap();
        assert!(rotated.authenticate(&root).is_err(), "the old root key vouches for nothing any more");
        assert!(
            rotated.recognises(1, &root) && rotated.recognises(2, &next) && !rotated.recognises(2, &root)
        );
        assert_eq!((rotated.created_at, rotated.chunking), (head.created_at, head.chunking));
    }

    #[test]
    fn every_change_is_noticed() {
        let (head, root) = head();
        let text = String::from_utf8(head.to_json().unwrap()).unwrap();
        for (old, new) in [
            ("262144", "262145"),
            ("2026-11-23", "2026-11-24"),
            ("\"version\": 1", "\"version\": 2"),
            ("\"suite\": 1", "\"suite\": 2"),
            ("\"epoch\": 1", "\"epoch\": 2"),
            ("\"region_bytes\"", "\"extra\": 1, \"region_bytes\""),
            ("0101", "0102"),
            ("12:00:00Z", "12:00:00+00:00"),
            ("12:00:00Z", "13:00:00+01:00"),
            ("12:00:00Z", "12:00:00.0Z"),
            ("\"rows\"", "\"rows\": 1, \"rows\""),
            ("\"min_bytes\": 262144", "\"min_bytes\": 0"),
            ("\"spread_bytes\": 262144", "\"spread_bytes\": 3"),
            ("\"max_bytes\": 1048576", "\"max_bytes\": 262143"),
        ] {
            let changed = text.replacen(old, new, 1);
            assert_ne!(changed, text);
            let noticed = Head::parse(changed.as_bytes()).and_then(|head| head.authenticate(&root));
            assert!(noticed.is_err(), "{old} -> {new}");
        }
    }
}
