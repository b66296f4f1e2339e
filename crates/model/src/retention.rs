//! Which backups and which WAL go, and which stay.
//!
//! Invariant: a backup goes only when it is older than the policy says and nothing needs it. The newest backup of each source and
//! kind that is proven, and the newest that has not failed, always stay; nothing goes of a source whose newest backup failed its
//! verification; and whatever moment of the recovery window could be reached, can be reached afterwards. Where the clock or the
//! number of expired backups looks wrong, nothing goes at all.
//!
//! Deliberately absent: packs. Which of them nobody needs follows from the backups that stay.

mod calendar;
mod removal;
mod wal;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

pub use removal::{plan_removal, superseded_failures};

use crate::{ArchivedTimeline, BackupId, Kind, Lsn, SegmentSize, SystemId, TimelineId, WalSegmentName};

/// So many backups of a source may expire at once, whatever share of all they are. Of a source that is backed up every day, one
/// expires every day.
pub const EXPIRING_AT_ONCE: usize = 3;

/// How long things of a source are kept. A backup stays when any of this says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Days for which a backup stays after it was complete.
    pub days: u32,
    /// Days, counted back from now, to whose every moment a cluster can be recovered.
    pub wal_days: u32,
    /// So many of the newest backups stay.
    pub keep_last: u32,
    /// One backup of each of the last so many days that have one stays. Days, weeks (ISO 8601), months and years are those of UTC.
    pub keep_daily: u32,
    /// The same of weeks.
    pub keep_weekly: u32,
    /// The same of months.
    pub keep_monthly: u32,
    /// The same of years.
    pub keep_yearly: u32,
}

/// How long things of all sources are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionPolicies {
    /// Of sources that have no policy of their own.
    pub general: RetentionPolicy,
    /// Of the others.
    pub sources: BTreeMap<String, RetentionPolicy>,
    /// So many backups of a source may go at once, if somebody says so; else see [`EXPIRING_AT_ONCE`].
    pub limit: Option<usize>,
}

/// What is known about whether a backup restores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A verification restored it.
    Proven,
    /// A verification failed.
    Failed,
    /// Neither.
    Unproven,
}

/// A backup, as far as retention is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBackup {
    /// The backup.
    pub id: BackupId,
    /// What it holds.
    pub kind: Kind,
    /// The name of its source.
    pub source: String,
    /// When it was complete.
    pub finished_at: Timestamp,
    /// Whether it restores.
    pub standing: Standing,
    /// Whether something was left out on request. Such a backup never stands in for one that is complete.
    pub is_filtered: bool,
    /// Until when somebody wants it to stay.
    pub held_until: Option<Timestamp>,
    /// What a physical backup is of.
    pub cluster: Option<StoredCluster>,
}

/// The cluster of a physical backup, and the WAL that the backup begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredCluster {
    /// The cluster.
    pub system: SystemId,
    /// The size of its WAL segments.
    pub segment_size: SegmentSize,
    /// The timeline on which the backup was taken.
    pub timeline: TimelineId,
    /// From where on it needs WAL.
    pub start: Lsn,
    /// The earliest position to which it can be recovered.
    pub stop: Lsn,
    /// Whether the backup itself holds the WAL from `start` to `stop`.
    pub holds_wal: bool,
}

/// The archived WAL of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredWal {
    /// The cluster.
    pub system: SystemId,
    /// Its timelines.
    pub timelines: Vec<StoredTimeline>,
}

/// The archived WAL of a timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTimeline {
    /// What there is.
    pub archived: ArchivedTimeline,
    /// A moment after which nothing of it was written; nothing when that is not known.
    pub written_until: Option<Timestamp>,
}

/// What goes and what stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionPlan {
    /// Why nothing goes at all.
    pub halt: Option<Halt>,
    /// More backups are past their days than ever should be at once, even if some stay for other reasons: the clock may be ahead,
    /// and nothing should be done for good.
    pub is_unusual: bool,
    /// Every backup, in the order in which they were given.
    pub backups: Vec<BackupVerdict>,
    /// All archived WAL, by cluster and timeline.
    pub wal: Vec<WalVerdict>,
}

/// Why a prune does nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// It is earlier than the end of a backup: the clock is wrong now, or was then.
    ClockBehind {
        /// The backup.
        backup: BackupId,
        /// When it was complete, by the clock of then.
        finished_at: Timestamp,
    },
    /// More backups would go at once than ever should.
    TooMany {
        /// The source.
        source: String,
        /// How many of its backups would go.
        going: usize,
        /// How many there are.
        of: usize,
    },
}

/// What happens to a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupVerdict {
    /// The backup.
    pub id: BackupId,
    /// Whether it goes.
    pub fate: Fate,
}

/// Whether a backup goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes: it is older than the policy says, and nothing needs it.
    Goes,
    /// It stays.
    Stays(Kept),
}

/// Why a backup stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Somebody holds it.
    Held,
    /// It is younger than the policy says.
    Young,
    /// The newest backup of its source failed its verification.
    SourceFailed,
    /// It is the newest proven backup of its source and kind.
    LastProven,
    /// It is the newest backup of its source and kind that has not failed.
    Newest,
    /// Moments of the recovery window are reached from it.
    RecoveryWindow,
    /// It is one of the newest of its source and kind.
    Last,
    /// It stands for a day.
    Daily,
    /// It stands for a week.
    Weekly,
    /// It stands for a month.
    Monthly,
    /// It stands for a year.
    Yearly,
    /// It would go, but nothing goes now.
    Halted,
    /// Nobody asked for it to go.
    NotAsked,
}

/// What happens to the archived WAL of a timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalVerdict {
    /// The cluster.
    pub system: SystemId,
    /// The timeline.
    pub timeline: TimelineId,
    /// What goes.
    pub fate: WalFate,
}

/// Which WAL of a timeline goes. Its history always stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WalFate {
    /// All of it stays.
    Stays(WalKept),
    /// What lies before a backup goes.
    Cut(WalCut),
}

/// The place up to which WAL goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalCut {
    /// From here on it stays.
    pub before: Lsn,
    /// The backup that needs it from there on.
    pub needed_by: BackupId,
    /// The size of segments.
    pub size: SegmentSize,
}

/// Why all WAL of a timeline stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalKept {
    /// There is no physical backup of the cluster: nobody knows what will be needed.
    NoBackup,
    /// No backup of before the recovery window was taken on this timeline or on one that came of it.
    NoBackupBefore,
    /// The newest backup of a source of the cluster failed its verification.
    SourceFailed,
    /// The history of a timeline of the cluster is damaged, so that it is not known what leads where.
    HistoryDamaged,
    /// The backups of the cluster disagree about the size of its segments.
    SegmentSizes,
    /// Nothing goes now.
    Halted,
    /// Nobody asked for WAL to go.
    NotAsked,
}

impl StoredBackup {
    fn is_held(&self, now: Timestamp) -> bool {
        self.held_until.is_some_and(|until| now < until)
    }
}

impl WalCut {
    /// Whether a segment goes, and everything that belongs to it.
    pub fn takes(&self, segment: WalSegmentName) -> bool {
        segment.fits(self.size) && segment.end(self.size) <= self.before
    }
}

impl RetentionPolicies {
    /// The policy of a source.
    pub fn of(&self, source: &str) -> RetentionPolicy {
        self.sources.get(source).copied().unwrap_or(self.general)
    }

    /// When the recovery window of a cluster begins: the earliest of those of its sources.
    fn window_start<'a>(&self, sources: impl Iterator<Item = &'a str>, now: Timestamp) -> Timestamp {
        let starts = sources.map(|source| self.of(source).window_start(now));
        starts.min().unwrap_or_else(|| self.general.window_start(now))
    }
}

impl From<RetentionPolicy> for RetentionPolicies {
    fn from(general: RetentionPolicy) -> Self {
        Self { general, ..Self::default() }
    }
}

impl RetentionPolicy {
    /// When the recovery window begins.
    fn window_start(self, now: Timestamp) -> Timestamp {
        now.checked_sub(days(self.wal_days)).unwrap_or(Timestamp::MIN)
    }

    fn is_young(self, backup: &StoredBackup, now: Timestamp) -> bool {
        now.duration_since(backup.finished_at) < days(self.days)
    }
}

fn days(number: u32) -> SignedDuration {
    SignedDuration::from_hours(24 * i64::from(number))
}

impl RetentionPlan {
    /// The backups that go.
    pub fn going(&self) -> impl Iterator<Item = &BackupId> {
        self.backups.iter().filter(|verdict| verdict.fate == Fate::Goes).map(|verdict| &verdict.id)
    }
}

/// Decides what goes at `now`. `backups` are all backups that can be read, `wal` is all WAL that is archived.
pub fn plan_retention(
    policies: &RetentionPolicies,
    now: Timestamp,
    backups: &[StoredBackup],
    wal: &[StoredWal],
) -> RetentionPlan {
    let failed = failed_sources(backups);
    let newest = newest_by_group(backups, |backup| backup.standing != Standing::Failed);
    let proven = newest_by_group(backups, |backup| backup.standing == Standing::Proven);
    let systems = wal::systems(backups, wal, &|sources| policies.window_start(sources, now));
    let anchors: BTreeSet<&BackupId> = systems.iter().flat_map(wal::System::anchors).collect();
    let chosen = calendar::chosen(policies, backups);
    let fate = |backup: &StoredBackup| {
        if backup.is_held(now) {
            Fate::Stays(Kept::Held)
        } else if policies.of(&backup.source).is_young(backup, now) {
            Fate::Stays(Kept::Young)
        } else if proven.contains(&backup.id) {
            Fate::Stays(Kept::LastProven)
        } else if newest.contains(&backup.id) {
            Fate::Stays(Kept::Newest)
        } else if anchors.contains(&backup.id) {
            Fate::Stays(Kept::RecoveryWindow)
        } else if let Some(kept) = chosen.get(&backup.id) {
            Fate::Stays(*kept)
        } else if failed.contains(backup.source.as_str()) {
            Fate::Stays(Kept::SourceFailed)
        } else {
            Fate::Goes
        }
    };
    let mut verdicts: Vec<_> =
        backups.iter().map(|backup| BackupVerdict { id: backup.id.clone(), fate: fate(backup) }).collect();
    let goes = |fate| fate == Fate::Goes;
    let expires = |fate| matches!(fate, Fate::Goes | Fate::Stays(Kept::SourceFailed));
    let halt = clock_behind(now, backups).or_else(|| too_many(policies.limit, backups, &verdicts, goes));
    let is_unusual = halt.is_some() || too_many(policies.limit, backups, &verdicts, expires).is_some();
    if halt.is_some() {
        for verdict in verdicts.iter_mut().filter(|verdict| verdict.fate == Fate::Goes) {
            verdict.fate = Fate::Stays(Kept::Halted);
        }
    }
    let staying =
        |id: &BackupId| verdicts.iter().any(|verdict| verdict.id == *id && verdict.fate != Fate::Goes);
    let mut wal: Vec<_> =
        systems.iter().flat_map(|system| system.verdicts(&failed, halt.is_some(), &staying)).collect();
    wal.sort_by_key(|verdict| (verdict.system, verdict.timeline));
    RetentionPlan { halt, is_unusual, backups: verdicts, wal }
}

/// The sources of which the newest backup of some kind failed its verification.
fn failed_sources(backups: &[StoredBackup]) -> BTreeSet<&str> {
    let mut newest: BTreeMap<(&str, Kind), &StoredBackup> = BTreeMap::new();
    for backup in backups {
        let newest = newest.entry((&backup.source, backup.kind)).or_insert(backup);
        if newest.id < backup.id {
            *newest = backup;
        }
    }
    let failed = newest.into_values().filter(|backup| backup.standing == Standing::Failed);
    failed.map(|backup| backup.source.as_str()).collect()
}

/// The newest backup that `counts` of each source and kind, complete and filtered ones apart.
fn newest_by_group(backups: &[StoredBackup], counts: impl Fn(&StoredBackup) -> bool) -> BTreeSet<&BackupId> {
    let mut newest: BTreeMap<(&str, Kind, bool), &BackupId> = BTreeMap::new();
    for backup in backups.iter().filter(|backup| counts(backup)) {
        let newest = newest.entry((&backup.source, backup.kind, backup.is_filtered)).or_insert(&backup.id);
        *newest = (*newest).max(&backup.id);
    }
    newest.into_values().collect()
}

fn clock_behind(now: Timestamp, backups: &[StoredBackup]) -> Option<Halt> {
    let last = backups.iter().max_by_key(|backup| backup.finished_at)?;
    let is_behind = now < last.finished_at;
    is_behind.then(|| Halt::ClockBehind { backup: last.id.clone(), finished_at: last.finished_at })
}

/// The source of which more backups would have such a fate than ever should at once.
fn too_many(
    limit: Option<usize>,
    backups: &[StoredBackup],
    verdicts: &[BackupVerdict],
    counts: impl Fn(Fate) -> bool,
) -> Option<Halt> {
    let mut numbers: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (backup, verdict) in backups.iter().zip(verdicts) {
        let (going, of) = numbers.entry(&backup.source).or_default();
        *going += usize::from(counts(verdict.fate));
        *of += 1;
    }
    let unusual = |going: usize, of: usize| match limit {
        Some(limit) => going > limit,
        None => going > EXPIRING_AT_ONCE && 2 * going > of,
    };
    let (source, (going, of)) = numbers.into_iter().find(|(_, (going, of))| unusual(*going, *of))?;
    Some(Halt::TooMany { source: source.to_owned(), going, of })
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
