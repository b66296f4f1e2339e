use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use model::{BackupId, Kind, Operation, Outcome, RecoveryFacts, RunOutcome, Scenario, SystemId};

use super::*;
use crate::alerts::Severity;
use crate::observation::{
    BackupFacts, BackupState, JournalState, KeyState, ProofFacts, ReceiverState, RunEnding, RunRecord,
    StorageState, Trouble, WalState,
};

const GB: u64 = 1_000_000_000;

fn now() -> Timestamp {
    "2026-11-26T12:00:00Z".parse().unwrap()
}

fn ago(hours: i64) -> Timestamp {
    now() - SignedDuration::from_hours(hours)
}

fn nothing() -> Observation {
    Observation::nothing(now())
}

fn id(hours: i64) -> BackupId {
    format!("backup-{}-abc123", ago(hours).strftime("%Y-%m-%d-%H%M%S")).parse().unwrap()
}

fn backup(hours: i64, outcome: Option<Outcome>) -> BackupFacts {
    let proof = outcome.map(|outcome| ProofFacts { at: ago(hours), outcome, restore: SignedDuration::ZERO });
    BackupFacts {
        id: id(hours),
        started_at: ago(hours),
        finished_at: ago(hours),
        plain_bytes: GB,
        stored_bytes: GB,
        reused_bytes: 0,
        proof,
    }
}

fn state(rpo_hours: i64, backups: Vec<BackupFacts>) -> BackupState {
    BackupState {
        source: "books".into(),
        kind: Kind::Logical,
        rpo: Some(SignedDuration::from_hours(rpo_hours)),
        next_run: Some(now() + SignedDuration::from_hours(1)),
        backups,
    }
}

fn run(hours: i64, outcome: RunOutcome) -> RunRecord {
    let failed = outcome == RunOutcome::Failed;
    RunRecord {
        operation: Operation::Backup,
        source: Some("books".into()),
        kind: (!failed).then_some(Kind::Logical),
        backup: (!failed).then(|| id(hours)),
        started_at: ago(hours),
        end: Some(RunEnding {
            at: ago(hours),
            outcome,
            code: failed.then(|| "server.unreachable".into()),
            message: failed.then(|| "cannot connect to postgres://u:hunter2@db/books".into()),
            duration: SignedDuration::from_mins(12),
            plain_bytes: (!failed).then_some(10 * GB),
            stored_bytes: (!failed).then_some(GB),
            proven: (!failed).then_some(true),
            recovery: None,
        }),
    }
}

fn done(hours: i64) -> RunRecord {
    run(hours, RunOutcome::Done)
}

fn failure(hours: i64) -> RunRecord {
    run(hours, RunOutcome::Failed)
}

fn found(observation: &Observation) -> Vec<Finding> {
    evaluate(observation, &AlertPolicy::default())
}

/// Code and severity of each finding.
fn words(observation: &Observation) -> Vec<String> {
    found(observation).iter().map(|finding| format!("{} {}", finding.code, finding.severity)).collect()
}

fn with_runs(runs: Vec<RunRecord>) -> Observation {
    Observation { runs: runs.into(), ..nothing() }
}

#[test]
fn nothing_is_wrong_where_nothing_is() {
    assert_eq!(found(&nothing()), []);
}

#[test]
fn a_failed_backup_is_said_with_its_error_and_command() {
    let observation = with_runs(vec![done(48), failure(24)]);
    let [finding] = &found(&observation)[..] else { panic!("not one") };
    assert_eq!((finding.code, finding.severity), (AlertCode::BackupFailed, Severity::Warning));
    assert_eq!((finding.source.as_deref(), finding.kind), (Some("books"), Some(Kind::Logical)));
    assert_eq!(
        finding.message,
        "the last backup of \"books\" (logical) failed: cannot connect to postgres://u:…@db/books (server.unreachable)"
    );
    assert!(finding.hint.starts_with("Run `chronavault backup --source books --kind logical` and"));
    assert_eq!(finding.at, ago(24));
}

#[test]
fn three_failures_in_a_row_are_critical_and_the_same_alert() {
    let two = with_runs(vec![done(96), failure(72), failure(48)]);
    let three = with_runs(vec![done(96), failure(72), failure(48), failure(24)]);
    assert_eq!(words(&two), ["alert.backup_failed warning"]);
    assert_eq!(words(&three), ["alert.backup_failed critical"]);
    assert_eq!(found(&two)[0].key(), found(&three)[0].key());
    assert!(found(&three)[0].message.starts_with("the last 3 backups of"), "{:?}", found(&three));
    assert_eq!(words(&with_runs(vec![failure(72), failure(48), failure(24), done(1)])), [""; 0]);
}

#[test]
fn a_run_without_an_end_was_killed_once_the_next_has_begun() {
    let open = |hours| RunRecord { end: None, ..done(hours) };
    assert_eq!(words(&with_runs(vec![done(48), open(24)])), [""; 0], "it may go on");
    assert_eq!(words(&with_runs(vec![open(48), open(24), open(12)])), ["alert.backup_failed warning"]);
    assert_eq!(
        words(&with_runs(vec![open(48), open(36), open(24), open(12)])),
        ["alert.backup_failed critical"]
    );
    let stopped = run(1, RunOutcome::Cancelled);
    assert_eq!(words(&with_runs(vec![failure(24), stopped.clone()])), ["alert.backup_failed warning"]);
    assert_eq!(words(&with_runs(vec![done(24), stopped])), [""; 0], "somebody stopped it");
}

#[test]
fn a_failure_of_unknown_kind_is_over_with_the_next_backup_of_its_source() {
    let physical = |hours| RunRecord { kind: Some(Kind::Physical), ..done(hours) };
    let both = vec![done(72), physical(71), failure(24)];
    let [finding] = &found(&with_runs(both.clone()))[..] else { panic!("not one") };
    assert_eq!(finding.kind, None);
    assert_eq!(words(&with_runs([both, vec![physical(2)]].concat())), [""; 0]);
}

#[test]
fn sources_do_not_mix() {
    let other = |run: RunRecord| RunRecord { source: Some("other".into()), ..run };
    let observation = with_runs(vec![failure(3), other(done(2)), failure(2), other(failure(1))]);
    let mut messages: Vec<_> = found(&observation).into_iter().map(|finding| finding.message).collect();
    messages.sort();
    assert!(messages[0].starts_with("the last 2 backups of \"books\""), "{messages:?}");
    assert!(messages[1].starts_with("the last backup of \"other\""), "{messages:?}");
}

#[test]
fn a_backup_that_did_not_verify_is_critical_until_a_newer_one_is_proven() {
    let failed = backup(24, Some(Outcome::Failed));
    let of = |backups| Observation { backups: vec![state(48, backups)], ..nothing() };
    let before = backup(30, Some(Outcome::Proven));
    let observation = of(vec![failed.clone(), before.clone()]);
    assert_eq!(words(&observation), ["alert.verification_failed critical"]);
    assert_eq!(found(&observation)[0].backup, Some(id(24)));
    let after = of(vec![backup(1, Some(Outcome::Proven)), failed, before]);
    assert_eq!(words(&after), ["alert.verification_failed warning"]);
    assert!(found(&after)[0].hint.contains("prune --failed"));
}

#[test]
fn a_failed_verification_of_the_journal_is_not_a_failed_backup() {
    let mut failed = failure(2);
    failed.end.as_mut().unwrap().code = Some("verify.failed".into());
    failed.backup = Some(id(2));
    assert_eq!(words(&with_runs(vec![done(24), failed.clone()])), ["alert.verification_failed critical"]);
    // The list of backups says more, and says it once.
    let listed = vec![backup(2, Some(Outcome::Failed)), backup(3, Some(Outcome::Proven))];
    let observation =
        Observation { backups: vec![state(48, listed)], ..with_runs(vec![done(24), failed.clone()]) };
    assert_eq!(words(&observation), ["alert.verification_failed critical"]);
    let three = with_runs(vec![failed.clone(), failed.clone(), failed]);
    assert_eq!(words(&three), ["alert.backup_failed critical", "alert.verification_failed critical"]);
}

#[test]
fn the_newest_proven_backup_must_be_within_the_rpo() {
    let of = |backups, runs: Vec<_>| Observation { backups: vec![state(24, backups)], ..with_runs(runs) };
    let proven = |hours| backup(hours, Some(Outcome::Proven));
    assert_eq!(words(&of(vec![proven(24)], vec![])), [""; 0]);
    let late = of(vec![backup(1, None), proven(25)], vec![]);
    let [finding] = &found(&late)[..] else { panic!("not one") };
    assert_eq!((finding.code, finding.severity), (AlertCode::NoProvenBackup, Severity::Critical));
    assert_eq!(
        finding.message,
        "the newest proven backup of \"books\" (logical) is 25 h old, and may be 24 h old at most"
    );
    assert_eq!(finding.hint, format!("Run `chronavault verify {}` to prove the newest backup.", id(1)));
    assert_eq!(finding.at, ago(1), "since then");
    assert_eq!(
        words(&of(vec![backup(1, Some(Outcome::Sound))], vec![])),
        ["alert.no_proven_backup critical"]
    );
    assert_eq!(words(&of(vec![], vec![])), ["alert.no_proven_backup warning"], "the first is planned");
    let tried = of(vec![], vec![failure(1)]);
    assert_eq!(words(&tried), ["alert.no_proven_backup critical", "alert.backup_failed warning"]);
    let unscheduled = BackupState { rpo: None, ..state(1, vec![proven(999)]) };
    assert_eq!(words(&Observation { backups: vec![unscheduled], ..nothing() }), [""; 0]);
}

#[test]
fn a_backup_that_takes_much_longer_is_said_with_how_much() {
    let mut runs: Vec<_> = (1..9).rev().map(|day| done(day * 24)).collect();
    let mut slow = done(1);
    slow.end.as_mut().unwrap().duration = SignedDuration::from_mins(41);
    runs.push(slow.clone());
    let [finding] = &found(&with_runs(runs.clone()))[..] else { panic!("not one") };
    assert_eq!(finding.code, AlertCode::DurationUnusual);
    assert_eq!(
        finding.message,
        "the last backup of \"books\" (logical) took 41 min, 3.4 times the median of 12 min (8 backups)"
    );
    assert_eq!(words(&with_runs(runs[4..].to_vec())), [""; 0], "four say nothing");
    runs.push(done(0));
    assert_eq!(words(&with_runs(runs)), [""; 0], "it is over");
}

#[test]
fn a_backup_that_reads_much_less_or_stores_much_more_is_said() {
    let with = |change: fn(&mut RunEnding)| {
        let mut runs: Vec<_> = (0..9).rev().map(|day| done(day * 24)).collect();
        change(runs.last_mut().unwrap().end.as_mut().unwrap());
        found(&with_runs(runs)).into_iter().map(|finding| finding.message).collect::<Vec<_>>()
    };
    assert_eq!(
        with(|end| end.plain_bytes = Some(GB)),
        ["the last backup of \"books\" (logical) read 1.00 GB, 10 % of the median of 10.0 GB (8 backups)"]
    );
    assert_eq!(
        with(|end| end.stored_bytes = Some(9 * GB)),
        [
            "the last backup of \"books\" (logical) stored 9.00 GB, 9.0 times the median of 1.00 GB (8 backups)"
        ]
    );
    assert_eq!(with(|end| end.stored_bytes = Some(0)).len(), 1);
    assert_eq!(
        with(|end| end.plain_bytes = Some(100 * GB)).len(),
        0,
        "a larger database shows in what is stored"
    );
}

#[test]
fn other_operations_that_failed_are_said_until_they_do_not() {
    let prune =
        |hours, outcome| RunRecord { operation: Operation::Prune, source: None, ..run(hours, outcome) };
    let restore = RunRecord { operation: Operation::Restore, ..failure(1) };
    let observation = with_runs(vec![prune(2, RunOutcome::Failed), restore]);
    assert_eq!(words(&observation), ["alert.operation_failed warning"]);
    assert!(found(&observation)[0].hint.contains("prune --dry-run"));
    assert_eq!(
        words(&with_runs(vec![prune(3, RunOutcome::Failed), prune(1, RunOutcome::Warnings)])),
        [""; 0]
    );
}

/// A drill that took so many minutes of four hours, and lost one hour of 24.
fn drill(hours: i64, minutes: u64) -> RunRecord {
    let recovery = RecoveryFacts {
        scenario: Scenario::Corruption,
        rto_ms: minutes * 60_000,
        rto_limit_ms: 4 * 3_600_000,
        rpo_ms: Some(3_600_000),
        rpo_limit_ms: 24 * 3_600_000,
    };
    let end = RunEnding { recovery: Some(recovery), ..done(hours).end.unwrap() };
    RunRecord { operation: Operation::Drill, end: Some(end), ..done(hours) }
}

#[test]
fn a_drill_that_was_too_slow_is_said_until_one_is_not() {
    let [finding] = &found(&with_runs(vec![drill(48, 30), drill(2, 241)]))[..] else { panic!("not one") };
    assert_eq!((finding.code, finding.severity), (AlertCode::DrillMissed, Severity::Critical));
    assert_eq!(
        finding.message,
        "the last drill of corruption of \"books\" took 4 h 1 min (at most 4 h), and 1 h of changes were lost (at most 24 h)"
    );
    assert_eq!(words(&with_runs(vec![drill(48, 241), drill(2, 239)])), [""; 0]);
    let lost = |hours: u64| {
        let mut drill = drill(2, 10);
        drill.end.as_mut().unwrap().recovery.as_mut().unwrap().rpo_ms = Some(hours * 3_600_000);
        words(&with_runs(vec![drill]))
    };
    assert_eq!((lost(24), lost(25)), (vec![], vec!["alert.drill_missed critical".to_owned()]));
}

#[test]
fn drills_that_become_slower_are_said_before_they_are_too_slow() {
    let months = |minutes: [u64; 4]| {
        let drills = minutes.iter().zip([90, 60, 30, 0]).map(|(minutes, days)| drill(24 * days, *minutes));
        words(&with_runs(drills.collect()))
    };
    // 20 minutes more a month, and 60 are left.
    assert_eq!(months([120, 140, 160, 180]), ["alert.drill_trend warning"]);
    assert_eq!(months([120, 121, 122, 123]), [""; 0]);
    assert_eq!(months([180, 160, 140, 120]), [""; 0]);
    assert_eq!(months([180, 200, 220, 241]), ["alert.drill_missed critical"]);
}

fn storage(used: u64, free: Option<u64>) -> StorageState {
    StorageState {
        place: "/srv/backups".into(),
        used_bytes: BTreeMap::from([("packs", used - used / 10), ("wal", used / 10), ("trash", 0)]),
        free_bytes: free,
        prunable_bytes: Some(3 * GB),
        history: vec![],
    }
}

#[test]
fn storage_is_said_from_80_percent_on_with_what_fills_it() {
    let of = |used, free| Observation { storage: Some(storage(used, free)), ..nothing() };
    assert_eq!(words(&of(799 * GB, Some(201 * GB))), [""; 0]);
    let [finding] = &found(&of(800 * GB, Some(200 * GB)))[..] else { panic!("not one") };
    assert_eq!(
        finding.message,
        "the repository uses 800 GB of 1.00 TB (80 %) at /srv/backups: packs 720 GB, wal 80.0 GB; a prune would free 3.00 GB now"
    );
    assert_eq!(finding.severity, Severity::Warning);
    assert_eq!(words(&of(95 * GB, Some(5 * GB))), ["alert.storage_full critical"]);
    assert_eq!(words(&of(95 * GB, None)), [""; 0]);
    assert_eq!(words(&of(0, Some(0))), [""; 0]);
}

#[test]
fn storage_that_will_be_full_soon_is_said_with_the_day() {
    let of = |free| {
        let history = (0..20).map(|day| (ago(24 * (19 - day)), 50 * GB + day.unsigned_abs() * GB)).collect();
        let storage = StorageState { history, ..storage(10 * GB, Some(free)) };
        Observation { storage: Some(storage), ..nothing() }
    };
    let soon = of(10 * GB + GB / 2);
    let forecast: Vec<_> =
        found(&soon).into_iter().filter(|finding| finding.code == AlertCode::StorageForecast).collect();
    assert!(
        forecast[0].message.starts_with(
            "the storage at /srv/backups will be full in 10 days, on 2026-12-07: the repository grows by 1.00 GB a day, and 10.5 GB are free"
        ),
        "{forecast:?}"
    );
    assert_eq!(words(&of(15 * GB)), [""; 0]);
    assert_eq!(
        words(&of(2 * GB + GB / 2)),
        ["alert.storage_forecast critical", "alert.storage_full warning"]
    );
}

fn wal() -> WalState {
    WalState {
        source: Some("books".into()),
        system: Some(SystemId(7_300_000_000_000_000_001)),
        archived_at: Some(ago(2)),
        archived_to: None,
        stored_bytes: GB,
        gaps: vec![],
        window_from: None,
        receiver: Some(ReceiverState {
            is_running: true,
            restarts: 0,
            last_failure: None,
            lag_bytes: Some(0),
            slot_danger: None,
        }),
    }
}

#[test]
fn each_trouble_with_wal_is_said() {
    let of = |change: fn(&mut WalState, &mut ReceiverState)| {
        let (mut wal, mut receiver) = (wal(), wal().receiver.unwrap());
        change(&mut wal, &mut receiver);
        wal.receiver = Some(receiver);
        Observation { wal: vec![wal], ..nothing() }
    };
    assert_eq!(words(&of(|_, _| ())), [""; 0]);
    let gaps = of(|wal, _| wal.gaps = (1..6).map(|n| format!("gap {n}")).collect());
    assert_eq!(words(&gaps), ["alert.wal_gap critical"]);
    assert_eq!(found(&gaps)[0].message, "WAL of \"books\" is missing: gap 1; gap 2; gap 3; and 2 more");
    assert_eq!(words(&of(|_, receiver| receiver.lag_bytes = Some(256_000_000))), [""; 0]);
    assert_eq!(words(&of(|_, receiver| receiver.lag_bytes = Some(256_000_001))), ["alert.wal_lag warning"]);
    assert_eq!(
        words(&of(|_, receiver| receiver.slot_danger = Some("unreserved".into()))),
        ["alert.wal_slot critical"]
    );
    assert_eq!(words(&of(|_, receiver| receiver.is_running = false)), ["alert.wal_receiver critical"]);
    let policy = AlertPolicy { wal_age: Some(SignedDuration::from_hours(1)), ..AlertPolicy::default() };
    assert_eq!(evaluate(&of(|_, _| ()), &policy)[0].code, AlertCode::WalLag);
}

#[test]
fn keys_are_to_be_young_and_in_two_places() {
    let key = |days: i64| KeyState {
        slot: format!("slot{days}"),
        label: Some("vault".into()),
        created_at: Some(ago(24 * days)),
        is_used: true,
        checked_at: Some(ago(1)),
    };
    let of = |keys| Observation { keys, ..nothing() };
    assert_eq!(words(&of(vec![key(89)])), [""; 0]);
    assert_eq!(words(&of(vec![key(90), key(91)])), ["alert.key_old warning"; 2]);
    let alone = KeyState { checked_at: None, ..key(1) };
    assert_eq!(words(&of(vec![alone.clone()])), ["alert.key_single warning"]);
    assert_eq!(words(&of(vec![alone.clone(), KeyState { slot: "other".into(), ..alone }])), [""; 0]);
}

#[test]
fn what_is_from_the_future_shows_a_clock_that_jumped() {
    let soon = now() + SignedDuration::from_mins(4);
    let later = now() + SignedDuration::from_mins(6);
    let at = |at| Observation {
        backups: vec![state(24, vec![BackupFacts { finished_at: at, ..backup(1, Some(Outcome::Proven)) }])],
        ..nothing()
    };
    assert_eq!(words(&at(soon)), [""; 0]);
    assert_eq!(words(&at(later)), ["alert.clock critical"]);
    let run = RunRecord { started_at: later, ..done(0) };
    assert_eq!(words(&with_runs(vec![run])), ["alert.clock critical"]);
}

#[test]
fn troubles_and_problems_of_the_journal_are_findings() {
    let trouble = |code: &str| Trouble {
        code: code.into(),
        object: "/srv".into(),
        message: "it is so.".into(),
        hint: "Run `x`.".into(),
    };
    let codes = ["storage.loose", "clock.jumped", "journal.unreadable", "repository.missing", "strange"];
    let observation = Observation { troubles: codes.map(trouble).into(), ..nothing() };
    let mut found = words(&observation);
    found.sort();
    assert_eq!(
        found,
        [
            "alert.clock critical",
            "alert.journal critical",
            "alert.permissions critical",
            "alert.trouble critical",
            "alert.trouble warning",
        ]
    );
    let one = Observation { troubles: vec![trouble("strange")], ..nothing() };
    assert_eq!(evaluate(&one, &AlertPolicy::default())[0].message, "it is so (strange)");
    let journal = JournalState { sequence: 9, problems: vec!["cut".into(), "torn".into()] };
    let observation = Observation { journal: Some(journal), ..nothing() };
    assert_eq!(words(&observation), ["alert.journal critical"]);
    assert!(evaluate(&observation, &AlertPolicy::default())[0].message.ends_with("cut; and 1 more"));
}

#[test]
fn what_could_not_be_looked_at_is_not_over() {
    let trouble = Trouble {
        code: "repository.missing".into(),
        object: "/srv".into(),
        message: "gone".into(),
        hint: String::new(),
    };
    let full = Observation {
        storage: Some(storage(90 * GB, Some(10 * GB))),
        backups: vec![state(24, vec![])],
        runs: [failure(1)].into(),
        wal: vec![WalState { gaps: vec!["gap".into()], ..wal() }],
        ..nothing()
    };
    let findings = found(&full);
    assert_eq!(findings.len(), 4);
    let blind = Observation { troubles: vec![trouble.clone()], ..nothing() };
    assert!(findings.iter().all(|finding| is_unknown(&blind, finding)));
    assert!(
        !findings.iter().any(|finding| is_unknown(&nothing(), finding)),
        "nobody says that it could not look"
    );
    let seeing = Observation { troubles: vec![trouble], ..full };
    assert!(!findings.iter().any(|finding| is_unknown(&seeing, finding)));
}

#[test]
fn no_finding_holds_a_secret() {
    // P9.
    let secret = "postgres://u:hunter2@h/d and password=hunter2";
    let mut observation = with_runs(vec![failure(1)]);
    observation.troubles = vec![Trouble {
        code: "x".into(),
        object: "o".into(),
        message: secret.into(),
        hint: format!("Run `psql {secret}`."),
    }];
    let mut state = wal();
    state.gaps = vec![secret.into()];
    state.receiver.as_mut().unwrap().is_running = false;
    state.receiver.as_mut().unwrap().last_failure = Some(secret.into());
    observation.wal = vec![state];
    let findings = found(&observation);
    assert_eq!(findings.len(), 4);
    let text = serde_json::to_string(&findings).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
}
