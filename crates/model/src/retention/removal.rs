//! Removing backups by hand: exactly those that somebody names, and nothing that is needed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    BackupVerdict, Fate, Kept, RetentionPlan, RetentionPolicies, Standing, StoredBackup, StoredWal, WalFate,
    WalKept, WalVerdict, newest_by_group, wal,
};
use crate::{BackupId, Kind};

/// Decides whether the backups `asked` for can go at `now`. One that is held stays, and so does the newest proven one of its source
/// and kind (P7). One from which moments of the recovery window are reached stays unless `shortens_window`. No WAL goes.
pub fn plan_removal(
    policies: &RetentionPolicies,
    now: Timestamp,
    backups: &[StoredBackup],
    archived: &[StoredWal],
    asked: &BTreeSet<BackupId>,
    shortens_window: bool,
) -> RetentionPlan {
    let proven = newest_by_group(backups, |backup| backup.standing == Standing::Proven);
    let systems = wal::systems(backups, archived, &|sources| policies.window_start(sources, now));
    let anchors: BTreeSet<&BackupId> = systems.iter().flat_map(wal::System::anchors).collect();
    let fate = |backup: &StoredBackup| {
        if !asked.contains(&backup.id) {
            Fate::Stays(Kept::NotAsked)
        } else if backup.is_held(now) {
            Fate::Stays(Kept::Held)
        } else if proven.contains(&backup.id) {
            Fate::Stays(Kept::LastProven)
        } else if anchors.contains(&backup.id) && !shortens_window {
            Fate::Stays(Kept::RecoveryWindow)
        } else {
            Fate::Goes
        }
    };
    let verdicts =
        backups.iter().map(|backup| BackupVerdict { id: backup.id.clone(), fate: fate(backup) }).collect();
    let timelines = archived.iter().flat_map(|wal| {
        wal.timelines.iter().map(|timeline| WalVerdict {
            system: wal.system,
            timeline: timeline.archived.timeline,
            fate: WalFate::Stays(WalKept::NotAsked),
        })
    });
    let mut wal: Vec<_> = timelines.collect();
    wal.sort_by_key(|verdict| (verdict.system, verdict.timeline));
    RetentionPlan { halt: None, is_unusual: false, backups: verdicts, wal }
}

/// The backups whose verification failed and that are older than a proven one of their source and kind.
pub fn superseded_failures(backups: &[StoredBackup]) -> BTreeSet<BackupId> {
    let group = |backup: &StoredBackup| (backup.source.clone(), backup.kind, backup.is_filtered);
    let mut proven: BTreeMap<(String, Kind, bool), &BackupId> = BTreeMap::new();
    for backup in backups.iter().filter(|backup| backup.standing == Standing::Proven) {
        let newest = proven.entry(group(backup)).or_insert(&backup.id);
        *newest = (*newest).max(&backup.id);
    }
    let failed = backups.iter().filter(|backup| backup.standing == Standing::Failed);
    let superseded = failed.filter(|backup| proven.get(&group(backup)).is_some_and(|it| **it > backup.id));
    superseded.map(|backup| backup.id.clone()).collect()
}
