//! Backups and WAL of made-up days, and what must be so of any repository.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;

use chronavault_repository::{
    CommitFacts, Committed, Error, Listed, PhysicalRecord, PruneReport, Repository, TRASH_KEPT, WriteOptions,
};
use jiff::{SignedDuration, Timestamp};
use model::{
    BackupId, Kind, Lsn, Outcome, RetentionPolicies, RetentionPolicy, SegmentSize, TimelineId, WalSegmentName,
};
use storage::{Effect, Fault, Faulty, Key, MemoryStore, Operation, Store};

use crate::ledger::{self, holder, noise, options, proof_of};
use crate::segments::{SYSTEM, segment_of, timeline, wal};

/// The size of WAL segments here.
pub(super) const SIZE: SegmentSize = match SegmentSize::new(1 << 20) {
    Ok(size) => size,
    Err(_) => SegmentSize::DEFAULT,
};

/// Noon of a day.
pub(crate) fn noon(day: u32) -> Timestamp {
    ledger::now() + SignedDuration::from_hours(24 * i64::from(day))
}

/// The logical backup of a day, or another one of it.
pub(crate) fn id(day: u32, number: u8) -> BackupId {
    BackupId::new(noon(day), [number, 0, 0])
}

pub(super) fn policy(days: u32, wal_days: u32) -> RetentionPolicies {
    RetentionPolicy { days, wal_days, ..RetentionPolicy::default() }.into()
}

/// Stored as it is, in packs of a few rows, by one thread.
pub(super) fn small() -> WriteOptions {
    WriteOptions { level: None, pack_bytes: 64 << 10, seal_threads: 1, ..options() }
}

/// Rows of a table of which a few change every day.
pub(super) fn rows(day: u32, number: u64) -> Vec<Vec<u8>> {
    let row = |n: u64| {
        let last_change = u64::from(day).saturating_sub((u64::from(day) + 7 * n) % 19);
        noise(1000 * n + last_change, 9_000).iter().map(|byte| b'a' + byte % 64).collect()
    };
    (0..number).map(row).collect()
}

fn facts(id: &BackupId, facts: CommitFacts) -> CommitFacts {
    let at = id.started_at();
    CommitFacts { started_at: at, finished_at: at, snapshot_at: at, ..facts }
}

/// A logical backup of `source`, or why there is none.
pub(super) fn try_logical(
    repository: &Repository,
    id: &BackupId,
    source: &str,
    day: u32,
) -> Result<Committed, Error> {
    let rows = rows(day, 12);
    let writer = repository.begin(id.clone(), source, Kind::Logical, small())?;
    let stream = writer.rows("rows/1", &ledger::table())?;
    let mut part = stream.part(0)?;
    for chunk in ledger::cut(repository, &rows) {
        part.push(chunk)?;
    }
    part.finish();
    let mut archive = writer.archive("archive")?;
    let written = archive.write_all(&noise(u64::from(day), 70_000));
    if written.is_ok() {
        archive.finish()?;
    }
    writer.commit(facts(id, ledger::facts(vec![ledger::record(repository, &rows)])))
}

pub(crate) fn logical(repository: &Repository, day: u32) -> Committed {
    try_logical(repository, &id(day, 1), "books", day).unwrap()
}

/// A backup whose writer was killed before its manifest: its packs are there, and its intent.
pub(super) fn killed(memory: &MemoryStore, id: &BackupId, day: u32) {
    let fault = Fault::new(Operation::Put, 0, Effect::FailBefore).on(".manifest").forever();
    let failing = Repository::open(Arc::new(Faulty::new(memory.clone(), [fault])), &holder()).unwrap();
    assert!(try_logical(&failing, id, "books", day).is_err());
    memory.put(&Key::new(format!("intents/{id}.json")).unwrap(), b"{}\n").unwrap();
}

/// A physical backup of a day, on a timeline, from the middle of one segment to the middle of the next.
pub(crate) fn physical(repository: &Repository, day: u32, on: TimelineId, segment: u64) -> Committed {
    let (id, bytes) = (id(day, 2), u64::from(SIZE.bytes()));
    let writer = repository.begin(id.clone(), "books", Kind::Physical, small()).unwrap();
    let cluster = writer.cluster().unwrap();
    for (name, seed) in
        [("PG_VERSION", 1), ("base/5/1259", u64::from(day)), ("global/pg_control", u64::from(day))]
    {
        let content = noise(seed, 40_000);
        let file = cluster.file(&name.parse().unwrap(), 0o600).unwrap();
        let mut worker = cluster.worker().unwrap();
        worker.store(file, 0, &mut content.clone(), &mut |_| false).unwrap();
        worker.finish().unwrap();
        cluster.finish_file(file, content.len() as u64);
    }
    cluster.finish().unwrap();
    let physical = PhysicalRecord {
        system_identifier: SYSTEM,
        server_version: 150_018,
        timeline: on,
        start_lsn: Lsn(segment * bytes + bytes / 2),
        stop_lsn: Lsn((segment + 1) * bytes + bytes / 2),
        wal_segment_bytes: SIZE,
        block_bytes: 8192,
        data_checksums: true,
        from_standby: false,
        method: "test".into(),
        tablespaces: vec![],
        files: 3,
        bad_pages: vec![],
        bad_page_count: 0,
    };
    let all = CommitFacts { logical: None, physical: Some(physical), ..ledger::facts(vec![]) };
    writer.commit(facts(&id, all)).unwrap()
}

/// Records a verification of a backup at the time of that.
pub(crate) fn verified(repository: &Repository, committed: &Committed, outcome: Outcome) {
    let mut proof = proof_of(committed);
    proof.at = committed.manifest.finished_at;
    proof.outcome = outcome;
    repository.write_proof(&proof, [1, 2, 3]).unwrap();
}

pub(super) fn segment(on: u32, number: u64) -> WalSegmentName {
    segment_of(on, Lsn(number * u64::from(SIZE.bytes())), SIZE)
}

/// Archives a segment.
pub(super) fn archive(repository: &Repository, on: u32, number: u64, now: Timestamp) {
    let bytes = wal(on, number, SIZE, 0);
    repository.wal(SYSTEM).put_segment(segment(on, number), SIZE, &bytes, now).unwrap();
}

/// The segments of a timeline that are archived, by number.
pub(super) fn archived(repository: &Repository, on: u32) -> Vec<u64> {
    let catalogue = repository.wal(SYSTEM).catalogue().unwrap();
    let Some(found) = catalogue.timelines.get(&timeline(on)) else { return vec![] };
    found.segments.keys().map(|name| name.start(SIZE).0 / u64::from(SIZE.bytes())).collect()
}

/// Plans and prunes at `now`.
pub(super) fn prune(repository: &Repository, policy: &RetentionPolicies, now: Timestamp) -> PruneReport {
    try_prune(repository, policy, now).unwrap()
}

pub(super) fn try_prune(
    repository: &Repository,
    policy: &RetentionPolicies,
    now: Timestamp,
) -> Result<PruneReport, Error> {
    let plan = repository.plan_prune(policy, TRASH_KEPT, now)?;
    repository.prune(&plan, [7, 7, 7], &|_| ControlFlow::Continue(()))
}

/// Demands that every backup that is listed is whole: that all packs are there which its manifest names. Returns the ids.
#[track_caller]
pub(crate) fn all_are_whole(store: &MemoryStore, repository: &Repository) -> Vec<BackupId> {
    let sizes: BTreeMap<String, u64> = store
        .list("packs/")
        .unwrap()
        .into_iter()
        .map(|object| (object.key.to_string(), object.size))
        .collect();
    let mut ids = Vec::new();
    for listed in repository.backups().unwrap() {
        let Listed::Backup(summary) = listed else { continue };
        for pack in repository.manifest(&summary.id).unwrap().packs {
            let key = format!("packs/{}/{}.pack", &pack.sha256.to_string()[..2], pack.sha256);
            assert_eq!(sizes.get(&key), Some(&pack.bytes), "{} lacks {key}", summary.id);
        }
        ids.push(summary.id);
    }
    ids
}

/// The packs that no manifest names.
pub(super) fn unnamed(store: &MemoryStore, repository: &Repository) -> usize {
    let mut named = std::collections::BTreeSet::new();
    for id in repository.ids().unwrap() {
        named.extend(repository.manifest(&id).unwrap().packs.into_iter().map(|pack| pack.sha256.to_string()));
    }
    let packs = store.list("packs/").unwrap();
    packs.iter().filter(|pack| !named.iter().any(|name| pack.key.as_str().contains(name))).count()
}

/// The keys of a store that start so.
pub(crate) fn keys(store: &MemoryStore, prefix: &str) -> Vec<String> {
    store.list(prefix).unwrap().into_iter().map(|object| object.key.to_string()).collect()
}
