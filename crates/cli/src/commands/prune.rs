//! `prune`: what expired goes. `--dry-run` says what would go, and why the rest stays.

use std::fmt::Write;
use std::ops::ControlFlow;

use jiff::{SignedDuration, Timestamp};
use model::{BackupId, ByteSize, Fate, Halt, Kept, Kind, Lsn, SystemId, TimelineId, WalFate, WalKept};
use repository::{PacksLeft, PlannedBackup, PlannedWal, PrunePlan, PruneReport, TRASH_KEPT};
use serde::Serialize;

use crate::args::PruneArgs;
use crate::catalogue::Code;
use crate::failure::Failure;
use crate::opening;
use crate::screen::{Answer, Notice};
use crate::session::Session;
use crate::settings::RetentionSettings;
use crate::signals::Cancel;
use crate::surroundings::random;
use crate::wording::{self, Column};

const GOING: [Column; 5] = [
    Column::Text("ID"),
    Column::Text("KIND"),
    Column::Text("SOURCE"),
    Column::Text("FINISHED"),
    Column::Text("WHY"),
];

#[derive(Serialize)]
struct Body {
    dry_run: bool,
    retention_days: u32,
    wal_days: u32,
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

#[derive(Serialize)]
struct BackupBody {
    id: BackupId,
    kind: Kind,
    source: String,
    finished_at: String,
    goes: bool,
    reason: &'static str,
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

pub(super) fn run(args: &PruneArgs, session: Session) -> Result<Answer, Failure> {
    let screen = session.screen;
    let settings = session.settings()?;
    let retention = settings.retention(args)?;
    let repository = opening::repository(&settings)?;
    let kept = if args.empty_trash { SignedDuration::ZERO } else { TRASH_KEPT };
    let cancel = Cancel::install()?;
    let plan = repository.plan_prune(retention.policy(), kept, Timestamp::now())?;
    let report = if args.dry_run { None } else { Some(apply(&repository, &plan, &cancel)?) };
    let warnings = warnings(&plan, report.as_ref());
    for warning in &warnings {
        screen.warning(warning);
    }
    let needs_person = warnings.iter().any(|warning| warning.code != "prune.packs_left");
    let text = words(&plan, report.as_ref(), retention);
    let body = body(&plan, report.as_ref(), retention, warnings);
    Ok(Answer::new(text, &body)?.needing_person(needs_person))
}

fn apply(
    repository: &repository::Repository,
    plan: &PrunePlan,
    cancel: &Cancel,
) -> Result<PruneReport, Failure> {
    let mut name = [0; 3];
    random(&mut name);
    let go_on = || if cancel.is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    repository.prune(plan, name, &|_| go_on()).map_err(|error| match error {
        repository::Error::Cancelled => Failure::new(Code::Cancelled, "the prune was stopped")
            .with_hint("No backup is half gone; run the command again, and it goes on."),
        error => Failure::from(error),
    })
}

/// What needs to be said about a plan. Only packs that a running backup may need are nobody's business.
fn warnings(plan: &PrunePlan, report: Option<&PruneReport>) -> Vec<Notice> {
    let mut warnings = Vec::new();
    warnings.extend(plan.halt.as_ref().map(halted));
    warnings.extend(plan.damaged.iter().map(|(_, problem)| Notice::from(&Failure::from(problem.clone()))));
    let mut held: Vec<&str> =
        plan.backups.iter().filter(|it| is_held_up(it)).map(|it| it.summary.source.as_str()).collect();
    held.sort_unstable();
    held.dedup();
    warnings.extend(held.into_iter().map(|source| Notice {
        code: "prune.source_failed".to_owned(),
        message: format!("the newest backup of {source:?} failed its verification, so nothing of it goes"),
        hint: "Make a new backup of it; prune goes on when that has not failed.".to_owned(),
    }));
    let left = report.map_or(plan.packs.left.as_ref(), |report| report.packs_left.as_ref());
    warnings.extend(left.map(|left| {
        Notice {
            code: match left {
                PacksLeft::Damaged(_) => "prune.packs_held",
                PacksLeft::Running(_) => "prune.packs_left",
            }
            .to_owned(),
            message: format!("packs that no backup names were left: {}", left_words(left)),
            hint: match left {
                PacksLeft::Damaged(_) => {
                    "Bring the manifest back from a copy; or, if that backup is lost, delete its manifest."
                }
                PacksLeft::Running(_) => "Nothing needs to be done; the next prune collects them.",
            }
            .to_owned(),
        }
    }));
    let damaged = |wal: &&PlannedWal| {
        matches!(wal.fate, WalFate::Stays(WalKept::HistoryDamaged | WalKept::SegmentSizes))
    };
    warnings.extend(plan.wal.iter().filter(damaged).map(|wal| Notice {
        code: "prune.wal_held".to_owned(),
        message: format!(
            "WAL of cluster {}, timeline {}, stays: {}",
            wal.system,
            wal.timeline,
            wal_words(wal)
        ),
        hint: "Run `chronavault wal status`, and bring what is damaged back from a copy.".to_owned(),
    }));
    warnings
}

fn is_held_up(backup: &PlannedBackup) -> bool {
    backup.fate == Fate::Stays(Kept::SourceFailed)
}

fn halted(halt: &Halt) -> Notice {
    match halt {
        Halt::ClockBehind { backup, finished_at } => Notice {
            code: "prune.clock".to_owned(),
            message: format!(
                "nothing goes: {backup} was complete at {}, which is later than now",
                wording::time(*finished_at)
            ),
            hint: "Correct the clock of this machine, or of the one that made the backup.".to_owned(),
        },
        Halt::TooMany { source, going, of } => Notice {
            code: "prune.too_many".to_owned(),
            message: format!(
                "nothing goes: {going} of {of} backups of {source:?} would, more than ever should at once"
            ),
            hint:
                "Check the clock. If it is right, keep more days at first (--days) and go down step by step."
                    .to_owned(),
        },
    }
}

fn left_words(left: &PacksLeft) -> String {
    match left {
        PacksLeft::Damaged(id) => {
            format!("the manifest of {id} cannot be read, so nobody knows what it needs")
        }
        PacksLeft::Running(id) => format!("{id} is being written, or was killed less than three days ago"),
    }
}

/// The reason in JSON, and in words.
fn reason(fate: Fate) -> (&'static str, &'static str) {
    match fate {
        Fate::Goes => ("expired", "older than the days to keep"),
        Fate::Stays(Kept::Young) => ("young", "younger than the days to keep"),
        Fate::Stays(Kept::LastProven) => ("last_proven", "the newest proven one of its source and kind"),
        Fate::Stays(Kept::Newest) => ("newest", "the newest of its source and kind that has not failed"),
        Fate::Stays(Kept::RecoveryWindow) => {
            ("recovery_window", "moments of the recovery window are reached from it")
        }
        Fate::Stays(Kept::SourceFailed) => {
            ("source_failed", "the newest backup of its source failed its verification")
        }
        Fate::Stays(Kept::Halted) => ("halted", "nothing goes now"),
    }
}

fn wal_reason(wal: &PlannedWal) -> &'static str {
    match wal.fate {
        WalFate::Cut(_) => "cut",
        WalFate::Stays(WalKept::NoBackup) => "no_backup",
        WalFate::Stays(WalKept::NoBackupBefore) => "no_backup_before_window",
        WalFate::Stays(WalKept::SourceFailed) => "source_failed",
        WalFate::Stays(WalKept::HistoryDamaged) => "history_damaged",
        WalFate::Stays(WalKept::SegmentSizes) => "segment_sizes",
        WalFate::Stays(WalKept::Halted) => "halted",
    }
}

fn wal_words(wal: &PlannedWal) -> String {
    match &wal.fate {
        WalFate::Cut(cut) => format!("from {} on, needed by {}", cut.before, cut.needed_by),
        WalFate::Stays(WalKept::NoBackup) => "there is no physical backup of the cluster".to_owned(),
        WalFate::Stays(WalKept::NoBackupBefore) => {
            "no backup of before the recovery window was taken on it or on a timeline that came of it"
                .to_owned()
        }
        WalFate::Stays(WalKept::SourceFailed) => {
            "the newest backup of its source failed its verification".to_owned()
        }
        WalFate::Stays(WalKept::HistoryDamaged) => {
            "the history of a timeline of the cluster is damaged".to_owned()
        }
        WalFate::Stays(WalKept::SegmentSizes) => {
            "the backups of the cluster disagree about the size of segments".to_owned()
        }
        WalFate::Stays(WalKept::Halted) => "nothing goes now".to_owned(),
    }
}

fn words(plan: &PrunePlan, report: Option<&PruneReport>, retention: RetentionSettings) -> String {
    let mut text = String::new();
    let going: Vec<_> = plan.going().collect();
    if report.is_none() && !going.is_empty() {
        text.push_str(&wording::table(&GOING, going.iter().map(|backup| row(backup))));
        text.push('\n');
    }
    let (would, go) = if report.is_some() { ("", "went") } else { ("would ", "go") };
    let staying = plan.backups.len() - going.len();
    let _ = writeln!(
        text,
        "{} {would}{go}, {} stay{} (backups are kept for {}, WAL for {}).",
        wording::count(going.len() as u64, "backup"),
        wording::grouped(staying as u64),
        if staying == 1 { "s" } else { "" },
        wording::count(retention.days.into(), "day"),
        wording::count(retention.wal_days.into(), "day"),
    );
    old_but_kept(plan, &mut text);
    for wal in plan.wal.iter().filter(|wal| wal.objects.number() > 0 || wal.kept_bytes > 0) {
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

fn row(backup: &PlannedBackup) -> Vec<String> {
    let summary = &backup.summary;
    vec![
        summary.id.to_string(),
        super::describe::kind_words(summary.kind, &summary.filters),
        summary.source.clone(),
        wording::time(summary.finished_at),
        reason(backup.fate).1.to_owned(),
    ]
}

/// Backups that are older than the policy says and stay all the same.
fn old_but_kept(plan: &PrunePlan, text: &mut String) {
    for backup in &plan.backups {
        if !matches!(backup.fate, Fate::Goes | Fate::Stays(Kept::Young | Kept::Halted)) {
            let _ = writeln!(text, "  {} stays: {}.", backup.summary.id, reason(backup.fate).1);
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

/// What went, or would.
struct Totals {
    packs: u64,
    pack_bytes: u64,
    pruned_bytes: u64,
    emptied_bytes: u64,
}

impl Totals {
    fn of(plan: &PrunePlan, report: Option<&PruneReport>) -> Self {
        if let Some(report) = report {
            return Self {
                packs: report.packs.objects,
                pack_bytes: report.packs.bytes,
                pruned_bytes: report.packs.bytes + report.wal.bytes + report.others.bytes,
                emptied_bytes: report.emptied.bytes,
            };
        }
        let (packs, pack_bytes) = match plan.packs.left {
            None => (plan.packs.objects.number(), plan.packs.objects.bytes()),
            Some(_) => (0, 0),
        };
        let pruned_bytes = plan.bytes();
        let at_once = if plan.trash_kept.is_zero() { pruned_bytes } else { 0 };
        Self { packs, pack_bytes, pruned_bytes, emptied_bytes: plan.trash.bytes() + at_once }
    }
}

fn body(
    plan: &PrunePlan,
    report: Option<&PruneReport>,
    retention: RetentionSettings,
    warnings: Vec<Notice>,
) -> Body {
    let totals = Totals::of(plan, report);
    let left = report.map_or(plan.packs.left.as_ref(), |report| report.packs_left.as_ref());
    Body {
        dry_run: report.is_none(),
        retention_days: retention.days,
        wal_days: retention.wal_days,
        halted: plan.halt.as_ref().map(halted),
        backups: plan.backups.iter().map(BackupBody::from).collect(),
        wal: plan.wal.iter().map(WalBody::from).collect(),
        packs: PacksBody { packs: totals.packs, stored_bytes: totals.pack_bytes, left: left.map(left_words) },
        pruned_bytes: totals.pruned_bytes,
        emptied_bytes: totals.emptied_bytes,
        abandoned: plan.abandoned.clone(),
        warnings,
    }
}

impl From<&PlannedBackup> for BackupBody {
    fn from(backup: &PlannedBackup) -> Self {
        let summary = &backup.summary;
        Self {
            id: summary.id.clone(),
            kind: summary.kind,
            source: summary.source.clone(),
            finished_at: wording::time(summary.finished_at),
            goes: backup.fate == Fate::Goes,
            reason: reason(backup.fate).0,
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
