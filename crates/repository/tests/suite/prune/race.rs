//! A writer and a prune at the same time, stopped at every pair of store calls: whatever is listed afterwards is whole.

use std::sync::Arc;
use std::sync::mpsc;

use chronavault_repository::{Error, INTENT_ABANDONED_AFTER, PrunePlan, Repository, TRASH_KEPT};
use jiff::{SignedDuration, Timestamp};
use model::Outcome;
use storage::{Key, MemoryStore, Store};
use testkit::damage::copy;

use super::scene::{all_are_whole, id, logical, noon, policy, try_logical, verified};
use crate::gate::Gate;
use crate::ledger::{self, holder, in_memory};

/// How a prune and a writer share the work, and what came of it.
struct Race {
    store: MemoryStore,
    /// When the prune runs, and how many days it keeps.
    now: Timestamp,
    days: u32,
    /// What it does, if that was worked out before.
    plan: Option<PrunePlan>,
}

/// Which calls of the two were reached, and what the writer said.
struct Outcomes {
    writer_was_stopped: bool,
    prune_was_stopped: bool,
    written: Result<(), Error>,
}

impl Race {
    /// The writer of day 5 stops before its call `first`; then the prune runs up to its call `second`; then the writer to its end;
    /// then the prune.
    fn run(&self, first: usize, second: usize) -> Outcomes {
        let (start, started) = mpsc::channel::<()>();
        let (stop, stopped) = mpsc::channel::<()>();
        let (resume, resumed) = mpsc::channel::<()>();
        let at_end = stop.clone();
        let pruning = Arc::new(Gate::new(self.store.clone(), second, move || {
            stop.send(()).unwrap();
            // The other side may be gone already.
            let _ = resumed.recv();
        }));
        let begin = start.clone();
        let writing = Arc::new(Gate::new(self.store.clone(), first, move || {
            begin.send(()).unwrap();
            stopped.recv().unwrap();
        }));
        let open = |gate: &Arc<Gate>| {
            // Opening costs calls of its own, which are not part of the race.
            Repository::open(Arc::clone(gate) as Arc<dyn Store>, &holder()).unwrap()
        };
        std::thread::scope(|scope| {
            let (open, pruning) = (&open, &pruning);
            let prune = scope.spawn(move || {
                started.recv().unwrap();
                let repository = open(pruning);
                let made = || repository.plan_prune(&policy(self.days, self.days), TRASH_KEPT, self.now);
                let plan = self.plan.clone().map_or_else(made, Ok).unwrap();
                assert_eq!(plan.halt, None);
                repository.prune(&plan, [7, 7, 7], &|_| std::ops::ControlFlow::Continue(())).unwrap();
                let _ = at_end.send(());
            });
            let written = try_logical(&open(&writing), &id(5, 1), "books", 5).map(|_| ());
            let writer_was_stopped = writing.was_reached();
            if !writer_was_stopped {
                start.send(()).unwrap();
            }
            let _ = resume.send(());
            prune.join().unwrap();
            Outcomes { writer_was_stopped, prune_was_stopped: pruning.was_reached(), written }
        })
    }
}

/// Five days, of which some expire.
fn scene() -> (MemoryStore, Repository) {
    let (memory, repository) = in_memory();
    for day in 0..5 {
        verified(&repository, &logical(&repository, day), Outcome::Proven);
    }
    (memory, repository)
}

/// Runs all races from copies of one scene. `plan` is what the prune does, or nothing when it is to work that out itself.
fn all_pairs(
    memory: &MemoryStore,
    (now, days): (Timestamp, u32),
    plan: Option<&PrunePlan>,
) -> (usize, usize) {
    let (mut committed, mut refused) = (0, 0);
    for first in 0.. {
        let mut goes_on = false;
        for second in 0.. {
            let store = MemoryStore::new();
            copy(memory, &store).unwrap();
            let race = Race { store, now, days, plan: plan.cloned() };
            let outcomes = race.run(first, second);
            goes_on |= outcomes.writer_was_stopped;
            let repository = Repository::open(Arc::new(race.store.clone()), &holder()).unwrap();
            let listed = all_are_whole(&race.store, &repository);
            match outcomes.written {
                Ok(()) => {
                    committed += 1;
                    assert!(listed.contains(&id(5, 1)), "{first}, {second}: it was acknowledged");
                    assert_eq!(ledger::problems(&repository, &id(5, 1)), [], "{first}, {second}");
                }
                Err(Error::PackVanished { .. } | Error::IntentVanished { .. }) => {
                    refused += 1;
                    assert!(!listed.contains(&id(5, 1)), "{first}, {second}: it failed");
                }
                Err(error) => panic!("{first}, {second}: {error}"),
            }
            if !outcomes.prune_was_stopped {
                break;
            }
        }
        if !goes_on {
            return (committed, refused);
        }
    }
    unreachable!("the writer ends")
}

#[test]
fn a_writer_and_a_prune_do_not_harm_each_other() {
    let (memory, _) = scene();
    let (committed, refused) = all_pairs(&memory, (noon(5), 4), None);
    assert!(committed > 300, "{committed} pairs");
    assert_eq!(refused, 0, "a writer that has announced itself is not disturbed");
}

#[test]
fn a_writer_that_is_taken_for_dead_fails_rather_than_lacking_packs() {
    let (memory, _) = scene();
    let late = noon(5) + INTENT_ABANDONED_AFTER + SignedDuration::from_hours(1);
    let (committed, refused) = all_pairs(&memory, (late, 6), None);
    assert!(committed > 50 && refused > 50, "{committed} committed, {refused} refused");
}

/// A plan that is so old that it takes the very backup which the writer uses again.
#[test]
fn a_writer_does_not_rely_on_a_backup_that_goes() {
    let (memory, repository) = scene();
    let newest = logical(&repository, 5);
    let plan = repository.plan_prune(&policy(0, 0), TRASH_KEPT, noon(7)).unwrap();
    assert!(plan.halt.is_some(), "so many never go at once");
    for day in 0..3 {
        memory.delete(&Key::new(format!("{}.manifest", id(day, 1))).unwrap()).unwrap();
    }
    verified(&repository, &newest, Outcome::Proven);
    let plan = repository.plan_prune(&policy(0, 0), TRASH_KEPT, noon(7)).unwrap();
    assert_eq!(plan.going().count(), 2);
    for object in memory.list(&id(5, 1).to_string()).unwrap() {
        memory.delete(&object.key).unwrap();
    }
    let (committed, refused) = all_pairs(&memory, (noon(5), 0), Some(&plan));
    assert!(committed > 100, "{committed} committed, {refused} refused");
}
