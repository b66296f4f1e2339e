//! A prune in JSON.

use model::{BackupId, Fate, Kind, Lsn, RetentionPolicy, SystemId, TimelineId, WalFate};
use repository::{PlannedBackup, PlannedWal, PrunePlan, PruneReport};
use serde::Serialize;

use super::reasons::{Manner, reason, wal_reason};
use super::totals::Totals;
use super::warnings::{halted, left_words};
use crate::commands::hold::HoldBody;
use crate::screen::Notice;
use crate::wording;

#[derive(Serialize)]
pub(super) struct Body {
    dry_run: bool,
    retention_days: u32,
    wal_days: u32,
    keep: KeepBody,
    /// Why nothing goes at all.
    halted: Option<Notice>,
    backups: Vec<BackupBody>,
    wal: Vec<WalBody>,
    packs: PacksBody,
    /// Bytes that were moved to the trash, or would be.
    pruned_bytes: u64,
    /// Bytes that left the trash for good, or would.
    emptied_bytes: u64,
    /// Writers that were killed long ago.
    abandoned: Vec<BackupId>,
    warnings: Vec<Notice>,
}

/// What the calendar keeps of sources without a policy of their own.
#[derive(Serialize)]
struct KeepBody {
    last: u32,
    daily: u32,
    weekly: u32,
    monthly: u32,
    yearly: u32,
}

#[derive(Serialize)]
struct BackupBody {
    id: BackupId,
    kind: Kind,
    source: String,
    finished_at: String,
    goes: bool,
    reason: &'static str,
    holds: Vec<HoldBody>,
}

#[derive(Serialize)]
struct WalBody {
    system_id: SystemId,
    timeline: TimelineId,
    reason: &'static str,
    /// From where on WAL stays.
    kept_from_lsn: Option<Lsn>,
    needed_by: Option<BackupId>,
    first_segment: Option<String>,
    last_segment: Option<String>,
    segments: u64,
    objects: u64,
    stored_bytes: u64,
    kept_bytes: u64,
}

#[derive(Serialize)]
struct PacksBody {
    packs: u64,
    stored_bytes: u64,
    /// Why packs that no backup names are left.
    left: Option<String>,
}

pub(super) fn body(
    plan: &PrunePlan,
    report: Option<&PruneReport>,
    policy: RetentionPolicy,
    manner: Manner,
    warnings: Vec<Notice>,
) -> Body {
    let totals = Totals::of(plan, report);
    let left = report.map_or(plan.packs.left.as_ref(), |report| report.packs_left.as_ref());
    Body {
        dry_run: report.is_none(),
        retention_days: policy.days,
        wal_days: policy.wal_days,
        keep: KeepBody {
            last: policy.keep_last,
            daily: policy.keep_daily,
            weekly: policy.keep_weekly,
            monthly: policy.keep_monthly,
            yearly: policy.keep_yearly,
        },
        halted: plan.halt.as_ref().map(halted),
        backups: plan.backups.iter().map(|backup| BackupBody::new(backup, manner)).collect(),
        wal: plan.wal.iter().map(WalBody::from).collect(),
        packs: PacksBody { packs: totals.packs, stored_bytes: totals.pack_bytes, left: left.map(left_words) },
        pruned_bytes: totals.pruned_bytes,
        emptied_bytes: totals.emptied_bytes,
        abandoned: plan.abandoned.clone(),
        warnings,
    }
}

impl BackupBody {
    fn new(backup: &PlannedBackup, manner: Manner) -> Self {
        let summary = &backup.summary;
        Self {
            id: summary.id.clone(),
            kind: summary.kind,
            source: summary.source.clone(),
            finished_at: wording::time(summary.finished_at),
            goes: backup.fate == Fate::Goes,
            reason: reason(backup.fate, manner).0,
            holds: backup.holds.iter().map(HoldBody::from).collect(),
        }
    }
}

impl From<&PlannedWal> for WalBody {
    fn from(wal: &PlannedWal) -> Self {
        let cut = match &wal.fate {
            WalFate::Cut(cut) => Some(cut),
            WalFate::Stays(_) => None,
        };
        Self {
            system_id: wal.system,
            timeline: wal.timeline,
            reason: wal_reason(wal),
            kept_from_lsn: cut.map(|cut| cut.before),
            needed_by: cut.map(|cut| cut.needed_by.clone()),
            first_segment: wal.segments.map(|range| range.first.to_string()),
            last_segment: wal.segments.map(|range| range.last.to_string()),
            segments: wal.segments.map_or(0, |range| range.number),
            objects: wal.objects.number(),
            stored_bytes: wal.objects.bytes(),
            kept_bytes: wal.kept_bytes,
        }
    }
}
