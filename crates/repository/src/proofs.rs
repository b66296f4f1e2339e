//! Proofs: what verifications of backups found.
//!
//! Invariant: a proof counts only for the very manifest that it names by hash. It is put after the verification that it records.

use std::collections::HashSet;

use format::{CONTAINER_BYTES_MAX, ObjectKey, PackId, ProblemRecord, Proof, Sha256};
use jiff::Timestamp;
use model::{BackupId, Level, Outcome};

use crate::catalog::ProofKeys;
use crate::check::MAX_PROBLEMS;
use crate::error::Problem;
use crate::records::{damaged, reading};
use crate::repository::storage_key;
use crate::{Error, Repository};

/// Keys of proofs start so.
pub(crate) const PROOFS: &str = "proofs/";
/// Problems that a cluster had before it was backed up, as far as a restore can tell.
const CLUSTER_CODES: [&str; 3] = ["page.bad", "index.damaged", "table.unreadable"];

/// One proof, or what is wrong with it.
#[derive(Debug, Clone, PartialEq)]
pub enum ProofEntry {
    /// A proof of the manifest that is there.
    Valid(Box<Proof>),
    /// A proof of another manifest: it proves nothing.
    OfAnotherManifest(Box<Proof>),
    /// A proof that cannot be used.
    Damaged(Problem),
}

impl Repository {
    /// Records the result of a verification. `manifest_sha256` and `backup` of `proof` must be those of the manifest that was
    /// verified; `random` tells proofs of one second apart.
    ///
    /// # Errors
    /// When the store fails.
    pub fn write_proof(&self, proof: &Proof, random: [u8; 3]) -> Result<(), Error> {
        let salt = crate::random::salt()?;
        let sealed = proof
            .seal(&self.inner.keyring, salt)
            .map_err(|source| Error::Seal { what: "the proof".to_owned(), source })?;
        let key = ObjectKey::Proof(proof.backup.clone(), dated_name(proof.at, random));
        self.inner.store.put(&storage_key(&key)?, &sealed.bytes)?;
        Ok(())
    }

    /// All proofs of a backup, newest first.
    ///
    /// # Errors
    /// When there is no such backup, or its manifest is damaged, or the store fails. Damaged proofs are part of the answer.
    pub fn proofs(&self, id: &BackupId) -> Result<Vec<ProofEntry>, Error> {
        let (_, sha256) = self.inner.manifest(id)?;
        let keys = self.proof_keys_below(&format!("{PROOFS}{id}/"))?.remove(id).unwrap_or_default();
        keys.iter().map(|key| self.proof(id, sha256, key)).collect()
    }

    pub(crate) fn proof_keys(&self) -> Result<ProofKeys, Error> {
        let keys = self.proof_keys_below(PROOFS)?;
        if let Some(known) = &self.known {
            known.keep_proofs(|key| match key {
                ObjectKey::Proof(id, _) => keys.get(id).is_some_and(|of_backup| of_backup.contains(key)),
                _ => false,
            });
        }
        Ok(keys)
    }

    fn proof_keys_below(&self, prefix: &str) -> Result<ProofKeys, Error> {
        let mut keys = ProofKeys::new();
        // Listings are sorted, and names of proofs sort by time.
        for object in self.inner.store.list(prefix)?.iter().rev() {
            if let Some(key @ ObjectKey::Proof(..)) = ObjectKey::parse(object.key.as_str())
                && let ObjectKey::Proof(id, _) = &key
            {
                keys.entry(id.clone()).or_default().push(key);
            }
        }
        Ok(keys)
    }

    /// The proof that counts, of those of the manifest with this hash; `keys` are the newest first.
    pub(crate) fn standing(
        &self,
        id: &BackupId,
        manifest: Sha256,
        keys: Vec<ObjectKey>,
    ) -> Result<Option<Proof>, Error> {
        let mut standing = Standing::default();
        for key in keys {
            if let ProofEntry::Valid(proof) = self.proof(id, manifest, &key)?
                && let Some(proof) = standing.add(*proof)
            {
                return Ok(Some(proof));
            }
        }
        Ok(standing.sound)
    }

    /// How good a backup is, as far as its proofs know. A proof that cannot be read says nothing: damage among proofs never
    /// stops a new backup.
    pub(crate) fn condition(&self, id: &BackupId, manifest: Sha256, keys: Vec<ObjectKey>) -> Condition {
        match self.standing(id, manifest, keys) {
            Ok(Some(proof)) if proof.outcome == Outcome::Failed => Condition::of_failed(&proof),
            _ => Condition::Good,
        }
    }

    /// Packs that are not what was written, as far as the proofs that count of all backups know. A proof may be of a manifest that
    /// was replaced since: what it found in the packs holds all the same.
    pub(crate) fn damaged_packs(&self, keys: &ProofKeys) -> HashSet<PackId> {
        let mut damaged = HashSet::new();
        for (id, keys) in keys {
            let Some((_, proof)) = self.counting_failure(id, keys) else { continue };
            damaged.extend(proof.problems.iter().filter_map(|problem| pack_of(&problem.object)));
            // There were more than a check names, so it may be any of them.
            if proof.problems.len() >= MAX_PROBLEMS
                && let Ok(manifest) = self.manifest(id)
            {
                damaged.extend(manifest.packs.iter().map(|pack| pack.sha256));
            }
        }
        damaged
    }

    /// The proof that counts of a backup, of whatever manifest, when it is a failure.
    fn counting_failure<'a>(&self, id: &BackupId, keys: &'a [ObjectKey]) -> Option<(&'a ObjectKey, Proof)> {
        let mut standing = Standing::default();
        let mut readable = keys.iter().filter_map(|key| Some((key, self.read_proof(id, key).ok()?)));
        let counting = readable.find_map(|(key, proof)| Some((key, standing.add(proof)?)));
        counting.filter(|(_, proof)| proof.outcome == Outcome::Failed)
    }

    /// The proof of a backup that says of a pack that it is damaged, when anybody needs that pack.
    pub(crate) fn warning<'a>(
        &self,
        id: &BackupId,
        keys: &'a [ObjectKey],
        is_needed: impl Fn(&PackId) -> bool,
    ) -> Option<&'a ObjectKey> {
        let (key, proof) = self.counting_failure(id, keys)?;
        let named = proof.problems.iter().filter_map(|problem| pack_of(&problem.object));
        named.into_iter().any(|pack| is_needed(&pack)).then_some(key)
    }

    /// What a proof says: as it is remembered, or else as it is stored.
    fn read_proof(&self, id: &BackupId, key: &ObjectKey) -> Result<Proof, Error> {
        let Some(known) = &self.known else { return self.stored_proof(id, key) };
        if let Some(proof) = known.proof(key) {
            return Ok(proof);
        }
        let proof = self.stored_proof(id, key)?;
        known.learn_proof(key, &proof);
        Ok(proof)
    }

    fn stored_proof(&self, id: &BackupId, key: &ObjectKey) -> Result<Proof, Error> {
        let read = self.inner.store.get(&storage_key(key)?, CONTAINER_BYTES_MAX as u64);
        let mut bytes = read.map_err(|error| reading(key, error))?;
        Proof::open(&mut bytes, id, &self.inner.keyring).map_err(|error| damaged(key, &error))
    }

    fn proof(&self, id: &BackupId, manifest: Sha256, key: &ObjectKey) -> Result<ProofEntry, Error> {
        match self.read_proof(id, key) {
            Ok(proof) if proof.manifest_sha256 == manifest => Ok(ProofEntry::Valid(Box::new(proof))),
            Ok(proof) => Ok(ProofEntry::OfAnotherManifest(Box::new(proof))),
            Err(Error::Damaged(problem)) => Ok(ProofEntry::Damaged(problem)),
            Err(error) => Err(error),
        }
    }
}

/// What is known of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Nothing bad.
    Good,
    /// It holds what the cluster had, and that was damaged. All its chunks are what was written: whoever restored it has read them.
    DamagedBefore,
    /// Anything else.
    Bad,
}

impl Condition {
    fn of_failed(proof: &Proof) -> Self {
        let is_of_cluster = |problem: &ProblemRecord| CLUSTER_CODES.contains(&problem.code.as_str());
        let was_restored = proof.level == Level::Restore;
        // Where there may be more problems than are named, nothing is known of the others.
        let all_are_named = (1..MAX_PROBLEMS).contains(&proof.problems.len());
        if was_restored && all_are_named && proof.problems.iter().all(is_of_cluster) {
            Self::DamagedBefore
        } else {
            Self::Bad
        }
    }
}

/// Which of the proofs of a backup counts (docs/format.md, section 11): they are added from the newest to the oldest, until one
/// does.
#[derive(Debug, Default)]
struct Standing {
    /// The newest that found nothing, but did not restore.
    sound: Option<Proof>,
    /// How far newer verifications went that found nothing.
    cleared: Option<Level>,
}

impl Standing {
    /// The proof itself when it counts: it proves, or it is a failure that no newer verification refutes, as one can that went
    /// as far.
    fn add(&mut self, proof: Proof) -> Option<Proof> {
        match proof.outcome {
            Outcome::Proven => return Some(proof),
            Outcome::Failed if self.cleared < Some(proof.level) => return Some(proof),
            Outcome::Failed => {}
            Outcome::Sound => {
                self.cleared = self.cleared.max(Some(proof.level));
                self.sound.get_or_insert(proof);
            }
        }
        None
    }
}

/// The pack that a problem is about.
pub(crate) fn pack_of(object: &str) -> Option<PackId> {
    match ObjectKey::parse(object) {
        Some(ObjectKey::Pack(pack)) => Some(pack),
        _ => None,
    }
}

/// The time in such a name.
pub(crate) fn time_of(name: &str) -> Option<Timestamp> {
    format!("backup-{name}").parse::<BackupId>().ok().map(|id| id.started_at())
}

/// The name of a proof or a prune: a backup id without its first word.
pub(crate) fn dated_name(at: Timestamp, random: [u8; 3]) -> String {
    let id = BackupId::new(at, random);
    id.as_str().strip_prefix("backup-").unwrap_or(id.as_str()).to_owned()
}

#[cfg(test)]
mod tests;
