//! What was read of manifests, proofs and key slots, kept between one look at a repository and the next.
//!
//! Invariant: kept is only what was authenticated, and it counts only while a listing shows its object, a manifest with the size that
//! it had. Manifests and proofs are written once, so nothing else can have taken their place honestly; an object that rots or is
//! tampered with is found by a verification, and by whoever begins with an empty memory now and then. What could not be read is not
//! kept.
//!
//! Nothing that deletes relies on it: a prune reads every manifest again before packs go.
//!
//! Memory: some hundred bytes for each backup and each proof, 60 for each pack, and 4 for each pack that a backup needs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use format::{Manifest, ObjectKey, PackId, PackRecord, Proof, Sha256};
use jiff::Timestamp;
use model::{BackupId, Filters, StoredCluster};
use storage::Listed;

use crate::{BackupSummary, KeySummary};

/// What listings, plans and windows need of a manifest.
#[derive(Debug)]
pub(crate) struct ManifestFacts {
    /// What a listing shows, without the proof.
    pub(crate) summary: BackupSummary,
    /// The hash of the manifest.
    pub(crate) sha256: Sha256,
    /// Its cluster, if it is of one.
    pub(crate) cluster: Option<StoredCluster>,
    /// The numbers of the packs that it needs.
    packs: Vec<u32>,
}

/// A physical backup, as far as WAL is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterBackup {
    /// The backup.
    pub id: BackupId,
    /// When everything was read.
    pub finished_at: Timestamp,
    /// The cluster, and where the backup is in its WAL.
    pub cluster: StoredCluster,
}

/// The memory.
#[derive(Debug, Default)]
pub(crate) struct Known {
    manifests: Mutex<BTreeMap<BackupId, (u64, Arc<ManifestFacts>)>>,
    proofs: Mutex<BTreeMap<ObjectKey, Proof>>,
    /// The number of each pack that any manifest named.
    packs: Mutex<HashMap<PackId, u32>>,
    keys: Mutex<Option<(Vec<Listed>, Vec<KeySummary>)>>,
}

impl Known {
    /// What a manifest said that has `bytes`.
    pub(crate) fn manifest(&self, id: &BackupId, bytes: u64) -> Option<Arc<ManifestFacts>> {
        let known = lock(&self.manifests);
        known.get(id).filter(|(then, _)| *then == bytes).map(|(_, facts)| Arc::clone(facts))
    }

    /// Keeps what a manifest says that has `bytes`.
    pub(crate) fn learn(&self, manifest: Manifest, sha256: Sha256, bytes: u64) -> Arc<ManifestFacts> {
        let facts = Arc::new(ManifestFacts {
            cluster: cluster(&manifest),
            packs: self.numbers(&manifest.packs),
            sha256,
            summary: summary(manifest),
        });
        lock(&self.manifests).insert(facts.summary.id.clone(), (bytes, Arc::clone(&facts)));
        facts
    }

    /// Forgets the manifests that are not there any more.
    pub(crate) fn keep_manifests(&self, listed: &[(BackupId, u64)]) {
        let listed: HashSet<&BackupId> = listed.iter().map(|(id, _)| id).collect();
        lock(&self.manifests).retain(|id, _| listed.contains(id));
    }

    pub(crate) fn proof(&self, key: &ObjectKey) -> Option<Proof> {
        lock(&self.proofs).get(key).cloned()
    }

    pub(crate) fn learn_proof(&self, key: &ObjectKey, proof: &Proof) {
        lock(&self.proofs).insert(key.clone(), proof.clone());
    }

    /// Forgets the proofs that are not there any more.
    pub(crate) fn keep_proofs(&self, is_listed: impl Fn(&ObjectKey) -> bool) {
        lock(&self.proofs).retain(|key, _| is_listed(key));
    }

    /// The keys that these objects gave.
    pub(crate) fn keys(&self, listed: &[Listed]) -> Option<Vec<KeySummary>> {
        lock(&self.keys).as_ref().filter(|(then, _)| then == listed).map(|(_, keys)| keys.clone())
    }

    pub(crate) fn learn_keys(&self, listed: Vec<Listed>, keys: &[KeySummary]) {
        *lock(&self.keys) = Some((listed, keys.to_vec()));
    }

    /// The packs that those manifests need which `stay`, of `backups`.
    pub(crate) fn packs_of<'a>(&self, backups: impl Iterator<Item = &'a ManifestFacts>) -> HashSet<PackId> {
        let needed: HashSet<u32> = backups.flat_map(|facts| facts.packs.iter().copied()).collect();
        let packs = lock(&self.packs);
        packs.iter().filter(|(_, number)| needed.contains(number)).map(|(pack, _)| *pack).collect()
    }

    fn numbers(&self, packs: &[PackRecord]) -> Vec<u32> {
        let mut numbers = lock(&self.packs);
        let number = |pack: &PackRecord| {
            // There is room for the packs of 2^32 * 16 MiB.
            let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            *numbers.entry(pack.sha256).or_insert(next)
        };
        packs.iter().map(number).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn summary(manifest: Manifest) -> BackupSummary {
    let (tables, filters) = match manifest.logical {
        Some(logical) => (logical.tables.len() as u64, logical.filters),
        None => (0, Filters::default()),
    };
    BackupSummary {
        id: manifest.id,
        kind: manifest.kind,
        source: manifest.source,
        started_at: manifest.started_at,
        finished_at: manifest.finished_at,
        snapshot_at: manifest.snapshot_at,
        plain_bytes: manifest.plain_bytes,
        stored_bytes: manifest.stored_bytes,
        reused_bytes: manifest.reused_bytes,
        tables,
        filters,
        proof: None,
    }
}

fn cluster(manifest: &Manifest) -> Option<StoredCluster> {
    let physical = manifest.physical.as_ref()?;
    Some(StoredCluster {
        system: physical.system_identifier,
        segment_size: physical.wal_segment_bytes,
        timeline: physical.timeline,
        start: physical.start_lsn,
        stop: physical.stop_lsn,
        // docs/format.md, section 9: every physical backup holds the WAL that makes it consistent.
        holds_wal: true,
    })
}
