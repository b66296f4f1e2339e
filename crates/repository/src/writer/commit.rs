//! The end of a backup: the last lists, the manifest, the checksums.

use std::sync::{Arc, PoisonError};

use format::{
    LogicalRecord, MANIFEST_VERSION, Manifest, ObjectKey, PackRecord, PhysicalRecord, Sha256, StreamRecord,
};
use jiff::Timestamp;

use super::packs::Pack;
use super::stream::{Stream, Summary};
use super::{BackupWriter, lists, pack};
use crate::repository::storage_key;
use crate::{Error, Repository};

/// What only the caller of a commit knows.
#[derive(Debug, Clone)]
pub struct CommitFacts {
    /// When the backup began.
    pub started_at: Timestamp,
    /// When everything was read.
    pub finished_at: Timestamp,
    /// When the snapshot was taken.
    pub snapshot_at: Timestamp,
    /// The version of the program.
    pub tool_version: String,
    /// What a logical backup says about its database.
    pub logical: Option<LogicalRecord>,
    /// What a physical backup says about its cluster.
    pub physical: Option<PhysicalRecord>,
}

/// A backup that exists.
#[derive(Debug)]
pub struct Committed {
    /// Its manifest.
    pub manifest: Manifest,
    /// The SHA-256 of the manifest object, as proofs name it.
    pub manifest_sha256: Sha256,
    /// Why the checksum file could not be written. The backup is complete without it, and it can be written again
    /// ([`crate::Repository::write_checksums`]).
    pub checksums: Result<(), Error>,
}

impl BackupWriter {
    /// Completes the backup: everything that was pushed is durable, then the manifest makes the backup exist.
    ///
    /// # Errors
    /// When anything failed since the beginning, when a stream or part is unfinished, or when a pack that was to be used again
    /// or the intent of this backup went away, or when somebody else has taken over the source. No backup is listed then, unless it was putting the manifest itself that failed: in that case the backup may
    /// be listed, and if so it is complete.
    pub fn commit(mut self, facts: CommitFacts) -> Result<Committed, Error> {
        self.stop();
        if self.shared.has_failed() {
            return Err(self.shared.failure());
        }
        let streams = std::mem::take(&mut *self.streams.lock().unwrap_or_else(PoisonError::into_inner));
        let mut summaries = Vec::new();
        for stream in &streams {
            summaries.push((stream.as_ref(), self.finish_stream(stream)?));
        }
        if let Some(lists) = self.shared.take_short_lived() {
            self.shared.put_pack(lists)?;
        }
        let records = summaries.into_iter().map(|(stream, summary)| self.stream_record(stream, &summary));
        let records = records.collect::<Result<Vec<_>, _>>()?;
        let manifest = self.manifest(facts, records)?;
        self.put_manifest(manifest)
    }

    /// Stores the lists that are left of a stream.
    fn finish_stream(&self, stream: &Stream) -> Result<Summary, Error> {
        while let Some((number, entries)) = stream.take_list(true, |_| true) {
            stream.place_list(number, lists::write_list(&self.shared, &stream.name, &entries)?);
        }
        stream.summary().ok_or_else(|| Error::Unfinished { stream: stream.name.clone() })
    }

    fn stream_record(&self, stream: &Stream, summary: &Summary) -> Result<StreamRecord, Error> {
        let packs = self.shared.packs.lock();
        let lists: Option<Vec<_>> =
            summary.lists.iter().map(|spot| packs.named(spot).map(Into::into)).collect();
        Ok(StreamRecord {
            name: stream.name.clone(),
            kind: stream.kind,
            table: stream.table.clone(),
            plain_bytes: summary.totals.plain_bytes,
            entries: summary.totals.entries,
            sha256: summary.sha256,
            lists: lists.ok_or_else(|| Error::Unfinished { stream: stream.name.clone() })?,
        })
    }

    fn manifest(&self, facts: CommitFacts, streams: Vec<StreamRecord>) -> Result<Manifest, Error> {
        let packs = self.shared.packs.lock();
        let mut records = Vec::with_capacity(packs.packs().len());
        let mut stored_bytes = 0;
        for Pack { name, bytes, is_new } in packs.packs().iter().copied() {
            let sha256 = name.ok_or_else(|| Error::Unfinished { stream: "packs".to_owned() })?;
            if is_new {
                stored_bytes += bytes;
            } else {
                self.require_pack(&ObjectKey::Pack(sha256), bytes)?;
            }
            records.push(PackRecord { sha256, bytes });
        }
        Ok(Manifest {
            version: MANIFEST_VERSION,
            id: self.id.clone(),
            kind: self.kind,
            source: self.source.clone(),
            started_at: facts.started_at,
            finished_at: facts.finished_at,
            snapshot_at: facts.snapshot_at,
            tool_version: facts.tool_version,
            parent: self.parent.clone(),
            plain_bytes: streams.iter().map(|stream| stream.plain_bytes).sum(),
            stored_bytes,
            reused_bytes: self.shared.reused_bytes(),
            packs: records,
            streams,
            logical: facts.logical,
            physical: facts.physical,
        })
    }

    /// Checks that a pack of an earlier backup is still as it was when this backup chose to rely on it.
    fn require_pack(&self, key: &ObjectKey, bytes: u64) -> Result<(), Error> {
        match self.shared.repository.store.size(&storage_key(key)?)? {
            Some(size) if size == bytes => Ok(()),
            _ => Err(Error::PackVanished { key: key.to_string() }),
        }
    }

    fn put_manifest(&self, manifest: Manifest) -> Result<Committed, Error> {
        let repository = &self.shared.repository;
        let salt = crate::random::salt()?;
        let sealed = manifest.seal(&repository.keyring, salt).map_err(pack::seal("the manifest"))?;
        let manifest_sha256 = Sha256(sealed.id.0);
        let place = storage_key(&ObjectKey::Manifest(self.id.clone()))?;
        if let Some(token) = &self.lease {
            Repository { inner: Arc::clone(repository), known: None }.require_lease(token)?;
        }
        self.intent.require()?;
        repository.store.put(&place, &sealed.bytes)?;
        if let Err(error) = self.intent.require() {
            // Whoever took it away may not have seen the manifest, and be collecting the packs.
            repository.store.delete(&place)?;
            return Err(error);
        }
        let checksums = repository.write_checksums(&manifest, manifest_sha256);
        Ok(Committed { manifest, manifest_sha256, checksums })
    }
}
