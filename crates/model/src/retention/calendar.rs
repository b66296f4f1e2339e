//! Backups that stay because of their number or their place in the calendar.
//!
//! Invariant: a backup that failed stands for nothing, and where a day (week, month, year) has a proven backup, a proven one stands
//! for it. What was chosen stays chosen when everything else has gone.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::{Kept, RetentionPolicies, RetentionPolicy, Standing, StoredBackup};
use crate::{BackupId, Kind};

/// The backups of one source and kind; complete and filtered ones apart.
type Group<'a> = (&'a str, Kind, bool);

/// In which day, week, month or year a date lies.
type UnitOf = fn(Date) -> (i16, i8, i8);

/// Every backup that stays for such a reason, with the first of its reasons.
pub(super) fn chosen<'a>(
    policies: &RetentionPolicies,
    backups: &'a [StoredBackup],
) -> BTreeMap<&'a BackupId, Kept> {
    let mut groups: BTreeMap<Group<'a>, Vec<&'a StoredBackup>> = BTreeMap::new();
    for backup in backups.iter().filter(|backup| backup.standing != Standing::Failed) {
        groups.entry((&backup.source, backup.kind, backup.is_filtered)).or_default().push(backup);
    }
    let mut chosen = BTreeMap::new();
    for ((source, ..), mut group) in groups {
        group.sort_by_key(|backup| std::cmp::Reverse((backup.finished_at, &backup.id)));
        choose(policies.of(source), &group, &mut chosen);
    }
    chosen
}

/// Chooses of a group, the newest of which comes first.
fn choose<'a>(
    policy: RetentionPolicy,
    group: &[&'a StoredBackup],
    chosen: &mut BTreeMap<&'a BackupId, Kept>,
) {
    let last = usize::try_from(policy.keep_last).unwrap_or(usize::MAX);
    chosen.extend(group.iter().take(last).map(|backup| (&backup.id, Kept::Last)));
    let units: [(u32, Kept, UnitOf); 4] = [
        (policy.keep_daily, Kept::Daily, |date| (date.year(), date.month(), date.day())),
        (policy.keep_weekly, Kept::Weekly, |date| {
            let week = date.iso_week_date();
            (week.year(), week.week(), 0)
        }),
        (policy.keep_monthly, Kept::Monthly, |date| (date.year(), date.month(), 0)),
        (policy.keep_yearly, Kept::Yearly, |date| (date.year(), 0, 0)),
    ];
    for (number, kept, unit) in units {
        for backup in standing_for(number, group, unit) {
            chosen.entry(&backup.id).or_insert(kept);
        }
    }
}

/// Of each of the last `number` units that have backups the newest proven one, or the newest.
fn standing_for<'a>(number: u32, group: &[&'a StoredBackup], unit: UnitOf) -> Vec<&'a StoredBackup> {
    let unit_of = |backup: &StoredBackup| unit(TimeZone::UTC.to_datetime(backup.finished_at).date());
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    let units: BTreeSet<_> = group.iter().map(|backup| unit_of(backup)).collect();
    let stands = |unit: (i16, i8, i8)| {
        let mut of_unit = group.iter().copied().filter(|backup| unit_of(backup) == unit);
        let newest = of_unit.clone().next();
        of_unit.find(|backup| backup.standing == Standing::Proven).or(newest)
    };
    units.into_iter().rev().take(number).filter_map(stands).collect()
}
