//! A prune in words.

use std::fmt::Write;

use model::{ByteSize, Fate, Kept, RetentionPolicy};
use repository::{PlannedBackup, PlannedWal, PrunePlan, PruneReport};

use super::reasons::{Manner, reason, wal_words};
use super::totals::Totals;
use crate::commands::describe;
use crate::wording::{self, Column};

const GOING: [Column; 5] = [
    Column::Text("ID"),
    Column::Text("KIND"),
    Column::Text("SOURCE"),
    Column::Text("FINISHED"),
    Column::Text("WHY"),
];

pub(super) fn words(
    plan: &PrunePlan,
    report: Option<&PruneReport>,
    policy: RetentionPolicy,
    manner: Manner,
) -> String {
    let mut text = String::new();
    let going: Vec<_> = plan.going().collect();
    if report.is_none() && !going.is_empty() {
        text.push_str(&wording::table(&GOING, going.iter().map(|backup| row(backup, manner))));
        text.push('\n');
    }
    let (would, go) = if report.is_some() { ("", "went") } else { ("would ", "go") };
    let staying = plan.backups.len() - going.len();
    let _ = writeln!(
        text,
        "{} {would}{go}, {} stay{}{}.",
        wording::count(going.len() as u64, "backup"),
        wording::grouped(staying as u64),
        if staying == 1 { "s" } else { "" },
        if manner == Manner::Prune { policy_words(policy) } else { String::new() },
    );
    old_but_kept(plan, manner, &mut text);
    for wal in plan
        .wal
        .iter()
        .filter(|wal| manner == Manner::Prune && (wal.objects.number() > 0 || wal.kept_bytes > 0))
    {
        wal_line(wal, would, go, &mut text);
    }
    let totals = Totals::of(plan, report);
    let _ = writeln!(
        text,
        "{} {would}{go}: {}.",
        wording::count(totals.packs, "pack"),
        ByteSize(totals.pack_bytes)
    );
    trash_line(plan, &totals, report.is_some(), &mut text);
    for id in &plan.abandoned {
        let _ = writeln!(text, "The writer of {id} was killed long ago; it holds up nothing any more.");
    }
    text
}

/// How long things are kept, for sources without a policy of their own.
fn policy_words(policy: RetentionPolicy) -> String {
    let days = |number: u32| wording::count(number.into(), "day");
    let kept = [
        (policy.keep_last, "last"),
        (policy.keep_daily, "daily"),
        (policy.keep_weekly, "weekly"),
        (policy.keep_monthly, "monthly"),
        (policy.keep_yearly, "yearly"),
    ];
    let kept: Vec<_> = kept
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number} {unit}"))
        .collect();
    let and =
        if kept.is_empty() { String::new() } else { format!(", and of older ones {}", kept.join(", ")) };
    format!(" (backups are kept for {}{and}; WAL for {})", days(policy.days), days(policy.wal_days))
}

fn row(backup: &PlannedBackup, manner: Manner) -> Vec<String> {
    let summary = &backup.summary;
    vec![
        summary.id.to_string(),
        describe::kind_words(summary.kind, &summary.filters),
        summary.source.clone(),
        wording::time(summary.finished_at),
        reason(backup.fate, manner).1.to_owned(),
    ]
}

/// Backups that are older than the policy says and stay all the same.
fn old_but_kept(plan: &PrunePlan, manner: Manner, text: &mut String) {
    for backup in &plan.backups {
        if !matches!(backup.fate, Fate::Goes | Fate::Stays(Kept::Young | Kept::Halted | Kept::NotAsked)) {
            let _ = writeln!(text, "  {} stays: {}.", backup.summary.id, reason(backup.fate, manner).1);
        }
    }
}

fn wal_line(wal: &PlannedWal, would: &str, go: &str, text: &mut String) {
    let (system, timeline) = (wal.system, wal.timeline);
    let _ = write!(text, "WAL of cluster {system}, timeline {timeline}: ");
    if let Some(range) = wal.segments {
        let number = wording::count(range.number, "segment");
        let bytes = ByteSize(wal.objects.bytes());
        let _ = write!(text, "{number} {would}{go}, {} to {} ({bytes}); ", range.first, range.last);
    }
    let _ = writeln!(text, "{} stay: {}.", ByteSize(wal.kept_bytes), wal_words(wal));
}

fn trash_line(plan: &PrunePlan, totals: &Totals, is_done: bool, text: &mut String) {
    let hours = plan.trash_kept.as_hours();
    if totals.pruned_bytes > 0 && hours > 0 {
        let verb = if is_done { "lie" } else { "would lie" };
        let pruned = ByteSize(totals.pruned_bytes);
        let _ =
            writeln!(text, "{pruned} {verb} in trash/ for {hours} hours; --empty-trash frees them at once.");
    }
    let verb = if is_done { "were" } else { "would be" };
    let _ = writeln!(text, "{} {verb} freed.", ByteSize(totals.emptied_bytes));
}
