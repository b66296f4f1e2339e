//! What backups there are.
//!
//! Invariant: a backup exists exactly when its manifest does, and what is said of it comes from a manifest that was authenticated.
//! A damaged manifest is shown as damaged: it is not hidden, and does not hide others.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::digest;
use format::{CONTAINER_BYTES_MAX, Manifest, ObjectKey, Proof, Sha256, render_checksums};
use jiff::Timestamp;
use model::{BackupId, Filters, Kind};

use storage::TRASH;

use crate::error::Problem;
use crate::known::{ClusterBackup, Known, ManifestFacts};
use crate::records::{damaged, reading};
use crate::repository::{Inner, storage_key};
use crate::{Error, Repository};

/// Keys of backups start so.
pub(crate) const BACKUPS: &str = "backup-";

/// One backup as a listing shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct BackupSummary {
    /// The backup.
    pub id: BackupId,
    /// What it holds.
    pub kind: Kind,
    /// The name of the source.
    pub source: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When everything was read.
    pub finished_at: Timestamp,
    /// The moment of which the data is: what was committed later is not in it.
    pub snapshot_at: Timestamp,
    /// Bytes of all streams.
    pub plain_bytes: u64,
    /// Bytes that it added to the repository.
    pub stored_bytes: u64,
    /// Bytes of chunks that were there already.
    pub reused_bytes: u64,
    /// Number of tables of a logical backup.
    pub tables: u64,
    /// What was left out on request.
    pub filters: Filters,
    /// The result of a verification that counts: the newest that proves the backup or refutes it, else the newest at all.
    pub proof: Option<Proof>,
}

/// A backup, or why nothing can be said about it.
#[derive(Debug, Clone, PartialEq)]
pub enum Listed {
    /// A backup whose manifest is sound.
    Backup(Box<BackupSummary>),
    /// A backup whose manifest cannot be used.
    Damaged {
        /// The backup, by its name.
        id: BackupId,
        /// What is wrong with its manifest.
        problem: Problem,
    },
}

impl Listed {
    /// The backup.
    pub fn id(&self) -> &BackupId {
        match self {
            Self::Backup(summary) => &summary.id,
            Self::Damaged { id, .. } => id,
        }
    }
}

impl Repository {
    /// The ids of all backups, newest first.
    ///
    /// # Errors
    /// When the store cannot list.
    pub fn ids(&self) -> Result<Vec<BackupId>, Error> {
        Ok(self.listed_manifests()?.into_iter().map(|(id, _)| id).collect())
    }

    /// The manifests that are there and their sizes in bytes, newest first.
    fn listed_manifests(&self) -> Result<Vec<(BackupId, u64)>, Error> {
        let listed = self.inner.store.list(BACKUPS)?;
        let manifests = listed.iter().filter_map(|object| match ObjectKey::parse(object.key.as_str()) {
            Some(ObjectKey::Manifest(id)) => Some((id, object.size)),
            _ => None,
        });
        let mut manifests: Vec<_> = manifests.collect();
        manifests.sort_unstable_by(|a, b| b.cmp(a));
        Ok(manifests)
    }

    /// All backups, newest first, each with its newest proof. Only manifests and proofs are read.
    ///
    /// Store calls: 2 lists; 1 get for each manifest, and for each proof up to the one that counts, unless it is remembered
    /// ([`Repository::remembering`]).
    ///
    /// # Errors
    /// When the store fails. Damage is part of the answer.
    pub fn backups(&self) -> Result<Vec<Listed>, Error> {
        let mut proofs = self.proof_keys()?;
        let mut backups = Vec::new();
        let damaged = self.each_manifest(&self.known(), |facts| {
            let keys = proofs.remove(&facts.summary.id).unwrap_or_default();
            backups.push(Listed::Backup(Box::new(self.describe(&facts, keys)?)));
            Ok(())
        })?;
        backups.extend(damaged.into_iter().map(|(id, problem)| Listed::Damaged { id, problem }));
        backups.sort_by(|a, b| b.id().cmp(a.id()));
        Ok(backups)
    }

    /// The physical backups, newest first, and what is wrong with manifests that cannot be read.
    ///
    /// Store calls: 1 list, and 1 get for each manifest that is not remembered.
    ///
    /// # Errors
    /// When the store fails.
    pub fn cluster_backups(&self) -> Result<(Vec<ClusterBackup>, Vec<Problem>), Error> {
        let mut backups = Vec::new();
        let damaged = self.each_manifest(&self.known(), |facts| {
            let ManifestFacts { summary, cluster, .. } = facts.as_ref();
            backups.extend(cluster.map(|cluster| ClusterBackup {
                id: summary.id.clone(),
                finished_at: summary.finished_at,
                cluster,
            }));
            Ok(())
        })?;
        Ok((backups, damaged.into_iter().map(|(_, problem)| problem).collect()))
    }

    /// Gives what each manifest says that can be read to `see`, the newest first; what is wrong with the others.
    ///
    /// Store calls: 1 list, and 1 get for each manifest that is not in `known`.
    pub(crate) fn each_manifest(
        &self,
        known: &Known,
        mut see: impl FnMut(Arc<ManifestFacts>) -> Result<(), Error>,
    ) -> Result<Vec<(BackupId, Problem)>, Error> {
        let mut damaged = Vec::new();
        let listed = self.listed_manifests()?;
        known.keep_manifests(&listed);
        for (id, bytes) in listed {
            let facts = match known.manifest(&id, bytes) {
                Some(facts) => Ok(facts),
                None => {
                    self.inner.manifest(&id).map(|(manifest, sha256)| known.learn(manifest, sha256, bytes))
                }
            };
            match facts {
                Ok(facts) => see(facts)?,
                Err(Error::Damaged(problem)) => damaged.push((id, problem)),
                // Pruned since it was listed.
                Err(Error::NoSuchBackup { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(damaged)
    }

    /// What a listing shows of a backup. `proofs` are the keys of its proofs, newest first.
    pub(crate) fn describe(
        &self,
        facts: &ManifestFacts,
        proofs: Vec<ObjectKey>,
    ) -> Result<BackupSummary, Error> {
        let proof = self.standing(&facts.summary.id, facts.sha256, proofs)?;
        Ok(BackupSummary { proof, ..facts.summary.clone() })
    }

    /// The manifest of a backup.
    ///
    /// # Errors
    /// [`Error::NoSuchBackup`]; [`Error::Damaged`] when it is not the one that was written.
    pub fn manifest(&self, id: &BackupId) -> Result<Manifest, Error> {
        Ok(self.inner.manifest(id)?.0)
    }

    /// Writes the checksum file of a backup that lacks it.
    ///
    /// # Errors
    /// When the manifest cannot be used, or when another checksum file is there.
    pub fn write_checksums(&self, id: &BackupId) -> Result<(), Error> {
        let (manifest, sha256) = self.inner.manifest(id)?;
        self.inner.write_checksums(&manifest, sha256)
    }

    /// Bytes of all objects in the repository.
    ///
    /// # Errors
    /// When the store cannot list.
    pub fn usage(&self) -> Result<Usage, Error> {
        let mut usage = Usage::default();
        for object in self.inner.store.list("")? {
            usage.bytes += object.size;
            usage.objects += 1;
            match ObjectKey::parse(object.key.as_str()) {
                Some(ObjectKey::Pack(_)) => {
                    usage.packs += 1;
                    usage.pack_bytes += object.size;
                }
                Some(ObjectKey::Wal(..) | ObjectKey::WalPiece(..)) => usage.wal_bytes += object.size,
                _ if object.key.as_str().starts_with(TRASH) => usage.trash_bytes += object.size,
                _ => {}
            }
        }
        Ok(usage)
    }
}

/// What a repository takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Objects of any kind.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packs among them.
    pub packs: u64,
    /// Bytes of the packs.
    pub pack_bytes: u64,
    /// Bytes of archived WAL.
    pub wal_bytes: u64,
    /// Bytes in the trash.
    pub trash_bytes: u64,
}

impl Inner {
    /// The manifest of a backup, and the hash of the object.
    pub(crate) fn manifest(&self, id: &BackupId) -> Result<(Manifest, Sha256), Error> {
        let key = ObjectKey::Manifest(id.clone());
        let mut bytes = match self.store.get(&storage_key(&key)?, CONTAINER_BYTES_MAX as u64) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Err(Error::NoSuchBackup { id: id.clone() }),
            Err(error) => return Err(reading(&key, error)),
        };
        let sha256 = sha256(&bytes);
        let manifest =
            Manifest::open(&mut bytes, id, &self.keyring).map_err(|error| damaged(&key, &error))?;
        Ok((manifest, sha256))
    }

    /// Writes the checksum file that belongs to a manifest.
    pub(crate) fn write_checksums(&self, manifest: &Manifest, manifest_sha256: Sha256) -> Result<(), Error> {
        let text = checksums(manifest, manifest_sha256);
        self.store.put(&storage_key(&ObjectKey::Checksum(manifest.id.clone()))?, text.as_bytes())?;
        Ok(())
    }
}

/// The content of the checksum file of a backup.
pub(crate) fn checksums(manifest: &Manifest, manifest_sha256: Sha256) -> String {
    let packs =
        manifest.packs.iter().map(|pack| (ObjectKey::Pack(pack.sha256).to_string(), Sha256(pack.sha256.0)));
    let objects: Vec<_> =
        packs.chain([(ObjectKey::Manifest(manifest.id.clone()).to_string(), manifest_sha256)]).collect();
    render_checksums(&objects)
}

/// The SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> Sha256 {
    finish_sha256(&digest::digest(&digest::SHA256, bytes))
}

/// A digest as the format has it.
pub(crate) fn finish_sha256(digest: &digest::Digest) -> Sha256 {
    let mut sha256 = Sha256([0; 32]);
    sha256.0.copy_from_slice(digest.as_ref());
    sha256
}

/// The keys of proofs by backup, newest first.
pub(crate) type ProofKeys = BTreeMap<BackupId, Vec<ObjectKey>>;
