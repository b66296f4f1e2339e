//! Ten years by a clock of our own: schedules, failures, prunes, downtime and changes to summer time, with the laws that must hold
//! at every moment. Nothing is left out of the account: each planned moment is served or missed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use chronavault_service::scheduler::{Action, Ended, Order, Scheduler, Start, Task};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use model::{
    BackupId, Cadence, Kind, RetentionPolicies, RetentionPolicy, Schedule, Standing, StoredBackup,
    plan_retention,
};
use testkit::random::Random;

const SEED: u64 = 20_261_126;
const DAYS: i64 = 3653;
const KEEP_DAYS: u32 = 30;

fn minutes(number: u64) -> SignedDuration {
    SignedDuration::from_mins(i64::try_from(number).unwrap())
}

fn task(name: &str, action: Action, expression: &str, zone: &str, catches_up: bool) -> Task {
    let cadence = Cadence::Cron(expression.parse().unwrap(), TimeZone::get(zone).unwrap());
    let schedule = Schedule { cadence, jitter: SignedDuration::from_mins(10), catches_up };
    Task { name: name.into(), action, schedule, limit: SignedDuration::from_hours(5), retries: 3 }
}

fn tasks() -> Vec<Task> {
    let backup = |source: &str, kind| Action::Backup { source: Some(source.into()), kind };
    vec![
        task("books", backup("books", Kind::Logical), "30 2 * * *", "Europe/Berlin", true),
        task("cluster", backup("books", Kind::Physical), "0 3 * * sun", "Europe/Berlin", true),
        task("wiki", backup("wiki", Kind::Logical), "15 1 * * *", "America/New_York", false),
        task("verify", Action::Verify { source: None }, "0 12 * * sat", "UTC", true),
        task("prune", Action::Prune, "0 6 * * *", "UTC", true),
    ]
}

struct World {
    numbers: Random,
    now: Timestamp,
    scheduler: Scheduler,
    /// What the journal would say: the moment that was served last, by task.
    served: BTreeMap<String, Timestamp>,
    /// Planned moments that were served or missed, by task.
    accounted: BTreeMap<String, u64>,
    /// Runs that go on, with the moment and the way in which they end.
    running: Vec<(Timestamp, Start, Ended)>,
    backups: Vec<StoredBackup>,
    policies: RetentionPolicies,
}

fn source(task: &Task) -> Option<&str> {
    match &task.action {
        Action::Backup { source, .. } => source.as_deref(),
        _ => None,
    }
}

impl World {
    fn start(&mut self, start: Start) {
        let (task, now) = (&start.task, self.now);
        assert!(start.planned_at <= now, "{start:?} before its time");
        if start.attempt == 1 {
            *self.accounted.entry(task.name.clone()).or_default() += u64::from(start.missed) + 1;
            let last = self.served.insert(task.name.clone(), start.planned_at);
            assert!(last.is_none_or(|last| last < start.planned_at), "{} is served twice", task.name);
        }
        let same = |other: &Start| source(task).is_some() && source(&other.task) == source(task);
        assert!(!self.running.iter().any(|(_, other, _)| same(other)), "{} runs beside another", task.name);
        let ended = if self.numbers.below(20) < 3 { Ended::Failed } else { Ended::Done };
        // One of many takes longer than it may.
        let lasts = minutes(if self.numbers.below(200) == 0 { 600 } else { 1 + self.numbers.below(90) });
        self.running.push((now + lasts, start, ended));
    }

    fn end(&mut self, index: usize) {
        let (at, start, ended) = self.running.remove(index);
        self.now = at;
        if ended == Ended::Done {
            match &start.task.action {
                Action::Backup { source, kind } => self.back_up(source.as_deref().unwrap(), *kind),
                Action::Verify { .. } | Action::Drill { .. } => {}
                Action::Prune => self.prune(),
            }
        }
        let again = self.scheduler.ended(&start.task.name, ended, self.now);
        assert!(again.is_none_or(|again| again > self.now));
    }

    fn back_up(&mut self, source: &str, kind: Kind) {
        let standing = match self.numbers.below(25) {
            0 => Standing::Failed,
            1 => Standing::Unproven,
            _ => Standing::Proven,
        };
        let [_, random @ ..] = u32::try_from(self.numbers.below(1 << 24)).unwrap().to_be_bytes();
        self.backups.push(StoredBackup {
            id: BackupId::new(self.now, random),
            kind,
            source: source.into(),
            finished_at: self.now,
            standing,
            is_filtered: false,
            held_until: None,
            cluster: None,
        });
        if standing == Standing::Proven {
            self.scheduler.ask_for(&Action::Prune, self.now);
        }
    }

    fn prune(&mut self) {
        // Now and then the clock is wrong by a day, a month or ten years, in either direction.
        let jumps = [0, 0, 0, 0, 0, 0, 0, 0, 1, 30, 3650, -1, -3650];
        let jump = jumps[usize::try_from(self.numbers.below(13)).unwrap()];
        let now = self.now + SignedDuration::from_hours(24 * jump);
        let before = self.backups.clone();
        let plan = plan_retention(&self.policies, now, &self.backups, &[]);
        let going: BTreeSet<_> = plan.going().cloned().collect();
        self.backups.retain(|backup| !going.contains(&backup.id));
        self.never_less_than_promised(&before, &going, jump);
    }

    fn never_less_than_promised(&self, before: &[StoredBackup], going: &BTreeSet<BackupId>, jump: i64) {
        let keep = SignedDuration::from_hours(24 * i64::from(KEEP_DAYS));
        for backup in before.iter().filter(|backup| going.contains(&backup.id)) {
            // A clock that is a little wrong cannot be told from one that is right.
            let age =
                self.now.duration_since(backup.finished_at) + SignedDuration::from_hours(24 * jump.max(0));
            assert!(age >= keep, "{}: {} went after {age:#}", self.now, backup.id);
        }
        for source in ["books", "wiki"] {
            let of = |going_too| {
                before.iter().filter(move |it| it.source == source && (going_too || going.contains(&it.id)))
            };
            let gone = of(false).count();
            assert!(gone <= 3 || 2 * gone <= of(true).count(), "{}: {gone} went at once", self.now);
        }
        for (source, kind) in [("books", Kind::Logical), ("books", Kind::Physical), ("wiki", Kind::Logical)] {
            let proven = |backups: &[StoredBackup]| {
                let of = backups.iter().filter(|it| it.source == source && it.kind == kind);
                of.filter(|it| it.standing == Standing::Proven).map(|it| it.id.clone()).max()
            };
            assert_eq!(proven(before), proven(&self.backups), "{}: the last proven backup went", self.now);
        }
    }

    /// Nobody is there for a while; then somebody starts again, who knows what the journal says.
    fn stop_for(&mut self, time: SignedDuration) {
        self.running.clear();
        self.now += time;
        let served = self.served.clone();
        self.scheduler = Scheduler::new(tasks(), self.now, |task| served.get(&task.name).copied());
    }

    fn turn(&mut self, end: Timestamp) {
        let next_end = self.running.iter().map(|(at, ..)| *at).min().unwrap_or(end);
        let wakes = self.scheduler.wakes_at(self.now).unwrap_or(end);
        self.now = next_end.min(wakes).min(end).max(self.now);
        if let Some(index) = self.running.iter().position(|(at, ..)| *at <= self.now) {
            self.end(index);
        }
        for order in self.scheduler.poll(self.now) {
            match order {
                Order::Start(start) => self.start(start),
                Order::Stop(name) => {
                    let index =
                        self.running.iter().position(|(_, start, _)| start.task.name == name).unwrap();
                    let (_, start, _) = self.running.remove(index);
                    assert_eq!(self.scheduler.ended(&start.task.name, Ended::GivenUp, self.now), None);
                }
            }
        }
    }
}

#[test]
fn ten_years_keep_every_promise() {
    eprintln!("seed {SEED}");
    let begin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let end = begin + SignedDuration::from_hours(24 * DAYS);
    let policy = RetentionPolicy {
        days: KEEP_DAYS,
        wal_days: KEEP_DAYS,
        keep_monthly: 6,
        ..RetentionPolicy::default()
    };
    let mut world = World {
        numbers: Random(SEED),
        now: begin,
        scheduler: Scheduler::new(tasks(), begin, |_| None),
        served: BTreeMap::new(),
        accounted: BTreeMap::new(),
        running: Vec::new(),
        backups: Vec::new(),
        policies: policy.into(),
    };
    let mut turns = 0_u64;
    while world.now < end {
        world.turn(end);
        turns += 1;
        if world.numbers.below(2000) == 0 {
            let days = 1 + world.numbers.below(10);
            world.stop_for(minutes(days * 24 * 60));
        }
    }
    assert!(turns > 20_000, "{turns}");
    for task in tasks() {
        let served = world.served[&task.name];
        let (mut planned, mut moment) = (0, begin);
        while let Some(next) = task.schedule.after(moment).filter(|next| *next <= served) {
            (moment, planned) = (next, planned + 1);
        }
        let accounted = world.accounted[&task.name];
        if task.action == Action::Prune {
            assert!(accounted >= planned, "prunes are also asked for");
        } else {
            assert_eq!(
                (accounted, moment),
                (planned, served),
                "{}: each moment is served or missed",
                task.name
            );
        }
    }
    let books = world.backups.iter().filter(|it| it.source == "books" && it.kind == Kind::Logical).count();
    assert!((20..90).contains(&books), "{books}");
}
