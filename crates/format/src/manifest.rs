//! Manifests and proofs: what a backup is, and what was found when it was verified (docs/format.md, sections 9 and 11).

mod physical;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use model::{BackupId, Filters, Kind, Level, Outcome, QualifiedName, TableRecord};
use serde::{Deserialize, Serialize};

use crate::container::{CONTAINER_BYTES_MAX, ContainerKind, Finished, RecordType, open_single, seal_single};
use crate::{ChunkId, FormatError, Keyring, PackId, Place, Sha256};

pub use physical::{BadPage, FILES, FileRecord, PhysicalRecord, REGIONS, TablespaceRecord};

/// The version of manifests and proofs that this program writes.
pub const MANIFEST_VERSION: u32 = 1;

/// Describes one backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`].
    pub version: u32,
    /// The backup.
    pub id: BackupId,
    /// What it holds.
    pub kind: Kind,
    /// The name of the source.
    pub source: String,
    /// When the backup began.
    pub started_at: Timestamp,
    /// When everything was read.
    pub finished_at: Timestamp,
    /// When the snapshot was taken: the moment that the backup shows.
    pub snapshot_at: Timestamp,
    /// The version of the program that wrote it.
    pub tool_version: String,
    /// The backup whose chunks were looked at for reuse. It is not needed.
    pub parent: Option<BackupId>,
    /// Bytes of all streams.
    pub plain_bytes: u64,
    /// Bytes of packs that this backup added.
    pub stored_bytes: u64,
    /// Bytes of chunks that were there already.
    pub reused_bytes: u64,
    /// Every pack that the backup needs.
    pub packs: Vec<PackRecord>,
    /// The streams.
    pub streams: Vec<StreamRecord>,
    /// What only logical backups have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logical: Option<LogicalRecord>,
    /// What only physical backups have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub physical: Option<PhysicalRecord>,
}

/// One pack that a backup needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackRecord {
    /// Its name.
    pub sha256: PackId,
    /// Its size.
    pub bytes: u64,
}

/// What a stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamKind {
    /// Bytes.
    Archive,
    /// Rows of one table as COPY text.
    Rows,
    /// The files of a cluster, one after another, in regions of a fixed size.
    Regions,
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamRecord {
    /// Its name within the backup.
    pub name: String,
    /// What it holds.
    pub kind: StreamKind,
    /// The table of a row stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<QualifiedName>,
    /// Its length in bytes.
    pub plain_bytes: u64,
    /// Its number of chunks.
    pub entries: u64,
    /// The SHA-256 of all its bytes; only for archives, since rows have a row proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// Its list chunks in order.
    pub lists: Vec<ListPlace>,
}

/// Where a list chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPlace {
    /// The pack.
    pub pack: PackId,
    /// Offset of the record in the pack.
    pub offset: u32,
    /// Bytes after the record's header.
    pub sealed_bytes: u32,
    /// Bytes of the list.
    pub plain_bytes: u32,
    /// The id of the list chunk.
    pub id: ChunkId,
}

impl From<Place> for ListPlace {
    fn from(Place { pack, offset, sealed_bytes, plain_bytes, id }: Place) -> Self {
        Self { pack, offset, sealed_bytes, plain_bytes, id }
    }
}

impl From<ListPlace> for Place {
    fn from(ListPlace { pack, offset, sealed_bytes, plain_bytes, id }: ListPlace) -> Self {
        Self { pack, offset, sealed_bytes, plain_bytes, id }
    }
}

/// What a logical backup says about its database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogicalRecord {
    /// Name of the database.
    pub database: String,
    /// `server_version_num`.
    pub server_version: u32,
    /// Version of the `pg_dump` that wrote the archive.
    pub pg_dump_version: String,
    /// Encoding of the database, and of all row streams.
    pub encoding: String,
    /// Everything needed to create the database again; its type belongs to whoever speaks to PostgreSQL.
    pub properties: serde_json::Value,
    /// Attributes of the roles of the cluster, without passwords.
    pub roles: Vec<serde_json::Value>,
    /// What was left out on request.
    pub filters: Filters,
    /// Extensions and their versions.
    pub extensions: Vec<ExtensionRecord>,
    /// Every table whose rows are in the backup, or were left out on request.
    pub tables: Vec<TableRecord>,
    /// Number of objects of each class.
    pub counts: BTreeMap<String, u64>,
    /// Whether the role passwords could not be read.
    pub globals_without_passwords: bool,
    /// In which form the definitions in the inventory are hashed; its meaning belongs to whoever speaks to PostgreSQL.
    #[serde(default = "first_inventory")]
    pub inventory_version: u32,
}

/// Before there was a second form, manifests did not say which.
const fn first_inventory() -> u32 {
    1
}

/// One extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtensionRecord {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// The result of one verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// [`MANIFEST_VERSION`].
    pub version: u32,
    /// The backup.
    pub backup: BackupId,
    /// The SHA-256 of its manifest object.
    pub manifest_sha256: Sha256,
    /// The level that was reached.
    pub level: Level,
    /// What was found.
    pub outcome: Outcome,
    /// When the verification ended.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// How long the restore took, in milliseconds; 0 below `restore`.
    pub restore_ms: u64,
    /// Tables compared.
    pub tables: u64,
    /// Rows compared.
    pub rows: u64,
    /// `server_version_num` of the sandbox; 0 below `restore`.
    pub server_version: u32,
    /// The version of the program that verified.
    pub tool_version: String,
    /// What was wrong.
    pub problems: Vec<ProblemRecord>,
}

/// One thing that was wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemRecord {
    /// A stable word.
    pub code: String,
    /// What it is about.
    pub object: String,
    /// A sentence.
    pub message: String,
}

impl Manifest {
    /// Seals the manifest.
    pub fn seal(&self, keyring: &Keyring, salt: [u8; 32]) -> Result<Finished, FormatError> {
        self.check()?;
        let plaintext = serde_json::to_vec(self).map_err(FormatError::json("the manifest"))?;
        seal_single(ContainerKind::Manifest, RecordType::Manifest, &plaintext, keyring, salt)
    }

    /// Opens the manifest of backup `id`.
    pub fn open(bytes: &mut [u8], id: &BackupId, keyring: &Keyring) -> Result<Self, FormatError> {
        let plaintext = open_single(ContainerKind::Manifest, RecordType::Manifest, bytes, keyring)?;
        require_version(&plaintext, "the manifest")?;
        let manifest: Self = serde_json::from_slice(&plaintext).map_err(FormatError::json("the manifest"))?;
        if manifest.id != *id {
            return Err(FormatError::OtherBackup { what: "manifest" });
        }
        manifest.check()?;
        Ok(manifest)
    }

    /// Checks what can be checked without reading a list.
    fn check(&self) -> Result<(), FormatError> {
        let packs: BTreeSet<PackId> = self.packs.iter().map(|pack| pack.sha256).collect();
        if packs.len() != self.packs.len() {
            return Err(FormatError::malformed("the manifest names a pack twice"));
        }
        if self.packs.iter().any(|pack| pack.bytes > CONTAINER_BYTES_MAX as u64) {
            return Err(FormatError::malformed("the manifest names a pack that is larger than packs can be"));
        }
        let names: BTreeSet<&str> = self.streams.iter().map(|stream| stream.name.as_str()).collect();
        if names.len() != self.streams.len() {
            return Err(FormatError::malformed("the manifest has two streams of one name"));
        }
        let tables = self.streams.iter().filter_map(|stream| stream.table.as_ref());
        if tables.clone().collect::<BTreeSet<_>>().len() != tables.clone().count() {
            return Err(FormatError::malformed("the manifest has two streams of one table"));
        }
        let described = self.logical.iter().flat_map(|logical| &logical.tables);
        let described: BTreeSet<_> =
            described.filter(|table| table.proof.is_some()).map(|table| &table.name).collect();
        if !tables.into_iter().all(|table| described.contains(table)) {
            return Err(FormatError::malformed(
                "a stream holds the rows of a table that the manifest does not describe",
            ));
        }
        if self.kind == Kind::Logical && self.logical.is_none() {
            return Err(FormatError::malformed(
                "the manifest of a logical backup does not say of what database",
            ));
        }
        if let Some(physical) = &self.physical {
            physical.check(&self.streams)?;
        } else if self.kind == Kind::Physical {
            return Err(FormatError::malformed(
                "the manifest of a physical backup does not say of what cluster",
            ));
        }
        self.streams.iter().try_for_each(|stream| stream.check(&packs))
    }

    /// The stream of a name.
    pub fn stream(&self, name: &str) -> Option<&StreamRecord> {
        self.streams.iter().find(|stream| stream.name == name)
    }
}

impl StreamRecord {
    fn check(&self, packs: &BTreeSet<PackId>) -> Result<(), FormatError> {
        let as_its_kind = match self.kind {
            StreamKind::Archive => self.table.is_none() && self.sha256.is_some(),
            StreamKind::Rows => self.table.is_some() && self.sha256.is_none(),
            StreamKind::Regions => self.table.is_none() && self.sha256.is_none(),
        };
        if !as_its_kind {
            return Err(FormatError::malformed(
                "a stream of the manifest is not described as its kind demands",
            ));
        }
        if !self.lists.iter().all(|list| packs.contains(&list.pack)) {
            return Err(FormatError::malformed("the manifest does not name all packs that it needs"));
        }
        self.lists.iter().try_for_each(|list| Place::from(*list).check())
    }
}

impl Proof {
    /// Seals the proof.
    pub fn seal(&self, keyring: &Keyring, salt: [u8; 32]) -> Result<Finished, FormatError> {
        let plaintext = serde_json::to_vec(self).map_err(FormatError::json("the proof"))?;
        seal_single(ContainerKind::Proof, RecordType::Proof, &plaintext, keyring, salt)
    }

    /// Opens a proof of backup `id`.
    pub fn open(bytes: &mut [u8], id: &BackupId, keyring: &Keyring) -> Result<Self, FormatError> {
        let plaintext = open_single(ContainerKind::Proof, RecordType::Proof, bytes, keyring)?;
        require_version(&plaintext, "the proof")?;
        let proof: Self = serde_json::from_slice(&plaintext).map_err(FormatError::json("the proof"))?;
        if proof.backup == *id { Ok(proof) } else { Err(FormatError::OtherBackup { what: "proof" }) }
    }
}

fn require_version(plaintext: &[u8], what: &'static str) -> Result<(), FormatError> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version } = serde_json::from_slice(plaintext).map_err(FormatError::json(what))?;
    if version == MANIFEST_VERSION {
        Ok(())
    } else {
        Err(FormatError::Newer {
            field: "manifest version",
            found: version.into(),
            known: MANIFEST_VERSION.into(),
        })
    }
}

#[cfg(test)]
mod tests;
