//! A daemon that has something to say about everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use chronavault_service::observation::{
    BackupFacts, BackupState, JournalState, KeyState, Observation, ProofFacts, ReceiverState, RunEnding,
    RunRecord, StorageState, Trouble, WalState,
};
use chronavault_service::{ChannelState, Status};
use jiff::{SignedDuration, Timestamp};
use model::{Kind, Lsn, Operation, Outcome, RecoveryFacts, RunOutcome, Scenario};

/// A name that has to be escaped.
pub(crate) const AWKWARD: &str = "bücher \"neu\"\\\n{a=1}";

pub(crate) const HOUR: SignedDuration = SignedDuration::from_hours(1);

pub(crate) fn now() -> Timestamp {
    "2026-11-26T12:00:00Z".parse().unwrap()
}

/// Two sources, of which one is not scheduled; everything that can be known is known.
pub(crate) fn observation() -> Observation {
    Observation {
        at: now() - SignedDuration::from_secs(20),
        backups: vec![books(), awkward()],
        runs: runs().into(),
        storage: Some(storage()),
        keys: keys(),
        journal: Some(JournalState { sequence: 4711, problems: vec!["entry 7".into()] }),
        wal: vec![wal()],
        troubles: vec![trouble("clock.step"), trouble("clock.step"), trouble("sandbox.none")],
    }
}

pub(crate) fn status() -> Status {
    Status {
        version: "0.1.0".into(),
        started_at: now() - HOUR * 48,
        turned_at: now() - SignedDuration::from_millis(1_500),
        turn_limit: SignedDuration::from_secs(60),
        observation: Some(Arc::new(observation())),
        observation_took: SignedDuration::from_millis(340),
        looking_since: Some(now() - SignedDuration::from_mins(2)),
        channels: vec![ChannelState { name: "mail".into(), delivered: 12, failed: 3 }],
    }
}

/// Is backed up daily; the newest backup is 5 hours old, the newest proven one 29.
fn books() -> BackupState {
    let proof = |outcome, at, restore| Some(ProofFacts { at, outcome, restore });
    BackupState {
        source: "books".into(),
        kind: Kind::Logical,
        rpo: Some(HOUR * 30),
        next_run: Some(now() + HOUR * 19),
        backups: vec![
            backup(
                5,
                1_000_000,
                30_000,
                900_000,
                proof(Outcome::Sound, now() - HOUR * 4, SignedDuration::ZERO),
            ),
            backup(
                29,
                900_000,
                90_000,
                0,
                proof(Outcome::Proven, now() - HOUR * 3, SignedDuration::from_millis(7_250)),
            ),
            backup(
                53,
                800_000,
                80_000,
                0,
                proof(Outcome::Proven, now() - HOUR * 52, SignedDuration::from_secs(6)),
            ),
            backup(77, 800_000, 80_000, 0, None),
        ],
    }
}

fn awkward() -> BackupState {
    let backups = vec![backup(2, 0, 0, 0, None)];
    BackupState { source: AWKWARD.into(), kind: Kind::Physical, rpo: None, next_run: None, backups }
}

/// A backup that began so many hours ago and took 10 minutes.
pub(crate) fn backup(
    hours: i32,
    plain: u64,
    stored: u64,
    reused: u64,
    proof: Option<ProofFacts>,
) -> BackupFacts {
    let started_at = now() - HOUR * hours;
    let name = format!("{}-{:06x}", started_at.strftime("backup-%Y-%m-%d-%H%M%S"), hours);
    BackupFacts {
        id: name.parse().unwrap(),
        started_at,
        finished_at: started_at + SignedDuration::from_mins(10),
        plain_bytes: plain,
        stored_bytes: stored,
        reused_bytes: reused,
        proof,
    }
}

fn runs() -> Vec<RunRecord> {
    let books = |operation, hours: i32, outcome, seconds: i64, proven| {
        let end = RunEnding {
            at: now() - HOUR * hours,
            outcome,
            code: None,
            message: None,
            duration: SignedDuration::from_secs(seconds),
            plain_bytes: None,
            stored_bytes: None,
            proven,
            recovery: None,
        };
        RunRecord {
            operation,
            source: Some("books".into()),
            kind: Some(Kind::Logical),
            backup: None,
            started_at: end.at - end.duration,
            end: Some(end),
        }
    };
    let prune =
        RunRecord { source: None, kind: None, ..books(Operation::Prune, 9, RunOutcome::Done, 2, None) };
    let killed = RunRecord { end: None, ..books(Operation::Backup, 8, RunOutcome::Done, 2, None) };
    vec![
        books(Operation::Backup, 77, RunOutcome::Done, 600, Some(true)),
        books(Operation::Backup, 53, RunOutcome::Warnings, 61, Some(true)),
        books(Operation::Backup, 29, RunOutcome::Failed, 40, Some(false)),
        books(Operation::Backup, 5, RunOutcome::Cancelled, 3, None),
        books(Operation::Verify, 4, RunOutcome::Failed, 30, None),
        prune,
        killed,
        drill(books(Operation::Drill, 2, RunOutcome::Done, 700, None)),
    ]
}

fn drill(run: RunRecord) -> RunRecord {
    let recovery = RecoveryFacts {
        scenario: Scenario::Corruption,
        rto_ms: 700_000,
        rto_limit_ms: 14_400_000,
        rpo_ms: Some(7_200_000),
        rpo_limit_ms: 86_400_000,
    };
    let end = run.end.map(|end| RunEnding { recovery: Some(recovery), ..end });
    RunRecord { kind: None, end, ..run }
}

fn storage() -> StorageState {
    let day = |n: i32| now() - HOUR * (24 * n);
    StorageState {
        place: "/srv/backups/isolated".into(),
        used_bytes: BTreeMap::from([("packs", 900), ("wal", 90), ("trash", 9), ("others", 1)]),
        free_bytes: Some(864_000_000),
        prunable_bytes: Some(77),
        history: (0..10)
            .map(|n| (day(10 - n), 1_000_000_000 + 86_400_000 * u64::from(n.unsigned_abs())))
            .collect(),
    }
}

fn keys() -> Vec<KeyState> {
    let key = |slot: &str, label: Option<&str>, is_used| KeyState {
        slot: slot.into(),
        label: label.map(str::to_owned),
        created_at: Some(now() - HOUR * 240),
        is_used,
        checked_at: (!is_used).then(|| now() - HOUR * 24),
    };
    vec![key("0a", None, true), key("0b", Some("safe of the notary"), false)]
}

fn wal() -> WalState {
    WalState {
        source: Some("cluster".into()),
        system: Some("7301234567890123456".parse().unwrap()),
        window_from: Some(now() - HOUR * 100),
        archived_at: Some(now() - SignedDuration::from_secs(30)),
        archived_to: Some(Lsn(0x0020_0000_0000_0001)),
        stored_bytes: 4096,
        gaps: vec!["00000001000000000000000A".into()],
        receiver: Some(ReceiverState {
            is_running: true,
            restarts: 2,
            last_failure: None,
            lag_bytes: Some(16_777_216),
            slot_danger: None,
        }),
    }
}

pub(crate) fn trouble(code: &str) -> Trouble {
    Trouble { code: code.into(), object: "it".into(), message: "is wrong".into(), hint: "Look.".into() }
}
