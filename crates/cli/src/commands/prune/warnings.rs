//! What a person must know of a prune.

use model::{Fate, Halt, Kept, WalFate, WalKept};
use repository::{PacksLeft, PlannedBackup, PlannedWal, PrunePlan, PruneReport};

use super::reasons::wal_words;
use crate::failure::Failure;
use crate::screen::Notice;
use crate::wording;

/// What needs to be said about a plan. Only packs that a running backup may need are nobody's business.
pub(super) fn warnings(plan: &PrunePlan, report: Option<&PruneReport>) -> Vec<Notice> {
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

pub(super) fn halted(halt: &Halt) -> Notice {
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
            hint: "Check the clock. If it is right, say how many may go with --limit.".to_owned(),
        },
    }
}

pub(super) fn left_words(left: &PacksLeft) -> String {
    match left {
        PacksLeft::Damaged(id) => {
            format!("the manifest of {id} cannot be read, so nobody knows what it needs")
        }
        PacksLeft::Running(id) => format!("{id} is being written, or was killed less than three days ago"),
    }
}
