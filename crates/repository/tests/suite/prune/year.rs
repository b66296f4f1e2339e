//! A year of daily backups and WAL, with everything that happens in a year, pruned every day; and the promises, looked at every day.

use std::collections::BTreeSet;
use std::sync::Arc;

use chronavault_repository::{Committed, Repository};
use jiff::{SignedDuration, Timestamp};
use model::{BackupId, Kind, Outcome};
use storage::{Effect, Fault, Faulty, MemoryStore, Operation, Store};

use super::scene::{
    all_are_whole, archive, archived, id, keys, killed, logical, noon, physical, policy, prune, segment,
    try_prune, unnamed, verified,
};
use crate::ledger::{self, Numbers, holder, in_memory};
use crate::segments::{SYSTEM, timeline};

const DAYS: u32 = 365;
const KEEP_DAYS: u32 = 14;
const WAL_DAYS: u32 = 7;
/// Segments of a day.
const SEGMENTS: u64 = 2;

struct Year {
    memory: MemoryStore,
    repository: Repository,
    numbers: Numbers,
    timeline: u32,
    /// Where each timeline but the first began, in segments.
    forks: Vec<u64>,
    /// Every backup that was ever made, whether it is proven, and when it was complete.
    made: Vec<(BackupId, Kind, Outcome, Timestamp)>,
}

impl Year {
    fn note(&mut self, committed: &Committed, fails: bool) {
        let outcome = if fails { Outcome::Failed } else { Outcome::Proven };
        verified(&self.repository, committed, outcome);
        let manifest = &committed.manifest;
        self.made.push((manifest.id.clone(), manifest.kind, outcome, manifest.finished_at));
    }

    /// What a cluster and its backups do on a day.
    fn live(&mut self, day: u32) {
        let first = u64::from(day) * SEGMENTS;
        if day % 90 == 60 {
            // Somebody else was promoted; the new timeline begins within the first segment of the day.
            self.timeline += 1;
            self.forks.push(first);
            let lines = (1..).zip(&self.forks).map(|(on, fork)| {
                let position = model::Lsn((fork << 20) + 0x100);
                format!("{on}\t{position}\tno recovery target specified\n")
            });
            let history: String = lines.collect();
            let on = timeline(self.timeline);
            self.repository.wal(SYSTEM).put_history(on, history.as_bytes(), noon(day)).unwrap();
        }
        for number in first..first + SEGMENTS {
            archive(&self.repository, self.timeline, number, noon(day));
        }
        let committed = logical(&self.repository, day);
        let fails = self.numbers.below(40) == 0;
        self.note(&committed, fails);
        let committed = physical(&self.repository, day, timeline(self.timeline), first);
        let fails = self.numbers.below(40) == 0;
        self.note(&committed, fails);
        if self.numbers.below(30) == 0 {
            killed(&self.memory, &id(day, 9), day + 5000);
        }
    }

    /// Prunes, and now and then is interrupted, or does so by a wrong clock.
    fn prune(&mut self, day: u32) {
        let (keep, now) = (|| policy(KEEP_DAYS, WAL_DAYS), noon(day) + SignedDuration::from_hours(1));
        match self.numbers.below(12) {
            0 => {
                let nth = usize::try_from(self.numbers.below(12)).unwrap();
                let fault = Fault::new(Operation::Trash, nth, Effect::FailBefore).forever();
                let faulty = Arc::new(Faulty::new(self.memory.clone(), [fault])) as Arc<dyn Store>;
                let _ = try_prune(&Repository::open(faulty, &holder()).unwrap(), &keep(), now);
            }
            // Of a few days, nobody can tell a wrong clock from a right one.
            1 if day >= 10 => {
                let before = keys(&self.memory, "");
                prune(&self.repository, &keep(), now - SignedDuration::from_hours(200));
                assert_eq!(keys(&self.memory, ""), before, "the clock was behind");
                prune(&self.repository, &keep(), now + SignedDuration::from_hours(24 * 1000));
                assert_eq!(keys(&self.memory, ""), before, "the clock was ahead");
            }
            _ => {}
        }
        prune(&self.repository, &keep(), now);
        let dead = keys(&self.memory, "intents/").len();
        assert!(dead <= 3, "day {day}: {dead} intents");
        assert!(dead > 0 || unnamed(&self.memory, &self.repository) == 0, "day {day}");
    }

    /// The promises, on a day after its prune.
    fn holds(&mut self, day: u32) {
        let now = noon(day) + SignedDuration::from_hours(1);
        let listed: BTreeSet<BackupId> = all_are_whole(&self.memory, &self.repository).into_iter().collect();
        let age = |at: Timestamp| now.duration_since(at).as_hours();
        for (id, _, _, at) in &self.made {
            let is_young = age(*at) < 24 * i64::from(KEEP_DAYS);
            assert!(!is_young || listed.contains(id), "day {day}: {id} is young");
        }
        for kind in [Kind::Logical, Kind::Physical] {
            let proven = self.made.iter().rfind(|made| made.1 == kind && made.2 == Outcome::Proven);
            assert!(
                proven.is_none_or(|(id, ..)| listed.contains(id)),
                "day {day}: the last proven {kind} backup"
            );
        }
        self.window_is_reached(day, &listed);
        // No more stays than what was held up by failures, and what the window and the last proven backups need.
        assert!(
            listed.len() <= 2 * (usize::try_from(KEEP_DAYS).unwrap() + 10),
            "day {day}: {}",
            listed.len()
        );
        let lots: BTreeSet<_> = keys(&self.memory, "trash/").iter().map(|key| key[..24].to_owned()).collect();
        assert!(lots.len() <= 8, "day {day}: {lots:?}");
    }

    /// From a proven physical backup of before the window on, all WAL is there up to now, on the timelines on which it was written.
    fn window_is_reached(&self, day: u32, listed: &BTreeSet<BackupId>) {
        let since =
            noon(day) + SignedDuration::from_hours(1) - SignedDuration::from_hours(24 * i64::from(WAL_DAYS));
        let before = |made: &&(BackupId, Kind, Outcome, Timestamp)| {
            made.1 == Kind::Physical && made.2 == Outcome::Proven && made.3 <= since
        };
        let Some(newest) = self.made.iter().rfind(before) else { return };
        assert!(listed.contains(&newest.0), "day {day}: {} reaches the window", newest.0);
        let began = newest.0.started_at().duration_since(noon(0)).as_hours() / 24;
        let first = u64::try_from(began).unwrap() * SEGMENTS;
        let last = (u64::from(day) + 1) * SEGMENTS;
        let there: Vec<Vec<u64>> = (1..=self.timeline).map(|on| archived(&self.repository, on)).collect();
        for number in first..last {
            let on = self.forks.iter().filter(|fork| **fork <= number).count();
            assert!(
                there[on].contains(&number),
                "day {day}: segment {}",
                segment(u32::try_from(on).unwrap() + 1, number)
            );
        }
        let kept: usize = there.iter().map(Vec::len).sum();
        assert!(kept <= 60, "day {day}: {kept} segments");
    }
}

#[test]
fn a_year_of_backups_keeps_its_promises_every_day() {
    let (memory, repository) = in_memory();
    let numbers = Numbers(20_261_123);
    let mut year = Year { memory, repository, numbers, timeline: 1, forks: vec![], made: vec![] };
    for day in 0..DAYS {
        year.live(day);
        year.prune(day);
        year.holds(day);
        let listed = all_are_whole(&year.memory, &year.repository);
        let one = &listed[usize::try_from(year.numbers.below(listed.len() as u64)).unwrap()];
        assert_eq!(ledger::problems(&year.repository, one), [], "day {day}: {one}");
    }
    for id in all_are_whole(&year.memory, &year.repository) {
        assert_eq!(ledger::problems(&year.repository, &id), [], "{id}");
    }
}
