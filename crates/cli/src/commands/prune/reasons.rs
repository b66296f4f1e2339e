//! Why backups and WAL go or stay, in JSON and in words.

use model::{Fate, Kept, WalFate, WalKept};
use repository::PlannedWal;

/// Who decided what goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Manner {
    /// The retention policy.
    Prune,
    /// Somebody, by hand.
    Removal,
}

/// The reason in JSON, and in words.
pub(in crate::commands) fn reason(fate: Fate, manner: Manner) -> (&'static str, &'static str) {
    match fate {
        Fate::Goes if manner == Manner::Removal => ("asked", "somebody asked for it"),
        Fate::Goes => ("expired", "older than the days to keep"),
        Fate::Stays(Kept::Held) => ("held", "somebody holds it"),
        Fate::Stays(Kept::Young) => ("young", "younger than the days to keep"),
        Fate::Stays(Kept::LastProven) => ("last_proven", "the newest proven one of its source and kind"),
        Fate::Stays(Kept::Newest) => ("newest", "the newest of its source and kind that has not failed"),
        Fate::Stays(Kept::RecoveryWindow) => {
            ("recovery_window", "moments of the recovery window are reached from it")
        }
        Fate::Stays(Kept::SourceFailed) => {
            ("source_failed", "the newest backup of its source failed its verification")
        }
        Fate::Stays(Kept::Last) => ("last", "one of the newest of its source and kind"),
        Fate::Stays(Kept::Daily) => ("daily", "it stands for a day"),
        Fate::Stays(Kept::Weekly) => ("weekly", "it stands for a week"),
        Fate::Stays(Kept::Monthly) => ("monthly", "it stands for a month"),
        Fate::Stays(Kept::Yearly) => ("yearly", "it stands for a year"),
        Fate::Stays(Kept::Halted) => ("halted", "nothing goes now"),
        Fate::Stays(Kept::NotAsked) => ("not_asked", "nobody asked for it to go"),
    }
}

/// The same of WAL, in JSON.
pub(super) fn wal_reason(wal: &PlannedWal) -> &'static str {
    match wal.fate {
        WalFate::Cut(_) => "cut",
        WalFate::Stays(WalKept::NoBackup) => "no_backup",
        WalFate::Stays(WalKept::NoBackupBefore) => "no_backup_before_window",
        WalFate::Stays(WalKept::SourceFailed) => "source_failed",
        WalFate::Stays(WalKept::HistoryDamaged) => "history_damaged",
        WalFate::Stays(WalKept::SegmentSizes) => "segment_sizes",
        WalFate::Stays(WalKept::Halted) => "halted",
        WalFate::Stays(WalKept::NotAsked) => "not_asked",
    }
}

/// And in words.
pub(super) fn wal_words(wal: &PlannedWal) -> String {
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
        WalFate::Stays(WalKept::NotAsked) => "nobody asked for it to go".to_owned(),
    }
}
