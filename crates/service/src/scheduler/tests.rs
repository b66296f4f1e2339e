use jiff::tz::TimeZone;
use model::Cadence;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn task(name: &str, action: Action, expression: &str) -> Task {
    let cadence = Cadence::Cron(expression.parse().unwrap(), TimeZone::get("Europe/Berlin").unwrap());
    let schedule = Schedule { cadence, jitter: SignedDuration::ZERO, catches_up: true };
    Task { name: name.into(), action, schedule, limit: SignedDuration::from_hours(6), retries: 2 }
}

fn backup(source: &str, kind: Kind, expression: &str) -> Task {
    task(&format!("{source}-{kind}"), Action::Backup { source: Some(source.into()), kind }, expression)
}

fn started(orders: &[Order]) -> Vec<(&str, u32)> {
    orders
        .iter()
        .filter_map(|order| match order {
            Order::Start(start) => Some((start.task.name.as_str(), start.attempt)),
            Order::Stop(_) => None,
        })
        .collect()
}

#[test]
fn of_a_source_one_task_runs_at_a_time() {
    let tasks = vec![
        backup("books", Kind::Logical, "0 2 * * *"),
        backup("books", Kind::Physical, "0 2 * * *"),
        backup("wiki", Kind::Logical, "0 2 * * *"),
        task("prune", Action::Prune, "0 2 * * *"),
    ];
    let mut scheduler = Scheduler::new(tasks, at("2026-11-23T12:00:00Z"), |_| None);
    let now = at("2026-11-24T01:00:00Z");
    assert_eq!(scheduler.wakes_at(at("2026-11-23T13:00:00Z")), Some(now));
    assert_eq!(started(&scheduler.poll(now)), [("books-logical", 1), ("wiki-logical", 1), ("prune", 1)]);
    assert_eq!(scheduler.poll(now), []);
    assert_eq!(scheduler.ended("books-logical", Ended::Done, now), None);
    assert_eq!(started(&scheduler.poll(now)), [("books-physical", 1)]);
    assert_eq!(scheduler.running().count(), 3);
}

#[test]
fn what_failed_is_tried_again_until_the_next_run() {
    let mut scheduler =
        Scheduler::new(vec![backup("books", Kind::Logical, "0 2 * * *")], at("2026-11-23T12:00:00Z"), |_| {
            None
        });
    let mut now = at("2026-11-24T01:00:00Z");
    for (attempt, wait) in [(1, Some(5)), (2, Some(15)), (3, None)] {
        assert_eq!(started(&scheduler.poll(now)), [("books-logical", attempt)]);
        let again = scheduler.ended("books-logical", Ended::Failed, now);
        assert_eq!(again, wait.map(|minutes| now + SignedDuration::from_mins(minutes)));
        if let Some(again) = again {
            assert_eq!(scheduler.poll(again - SignedDuration::from_secs(1)), []);
            now = again;
        }
    }
    assert_eq!(scheduler.next_run("books-logical", now), Some(at("2026-11-25T01:00:00Z")));
    // A retry that would come after the next run is not made.
    let mut often = Scheduler::new(vec![backup("books", Kind::Logical, "*/3 * * * *")], now, |_| None);
    let first = often.wakes_at(now).unwrap();
    assert_eq!(started(&often.poll(first)).len(), 1);
    assert_eq!(often.ended("books-logical", Ended::Failed, first), None);
}

#[test]
fn what_outlives_its_limit_is_stopped_once_and_not_tried_again() {
    let mut scheduler =
        Scheduler::new(vec![backup("books", Kind::Logical, "0 2 * * *")], at("2026-11-23T12:00:00Z"), |_| {
            None
        });
    let now = at("2026-11-24T01:00:00Z");
    scheduler.poll(now);
    let limit = now + SignedDuration::from_hours(6);
    assert_eq!(scheduler.wakes_at(now), Some(limit));
    assert_eq!(scheduler.poll(limit), [Order::Stop("books-logical".into())]);
    assert_eq!(scheduler.poll(limit), []);
    assert_eq!(scheduler.ended("books-logical", Ended::Failed, limit), None);
}

#[test]
fn a_clock_that_went_back_stops_nothing() {
    let future = at("2036-01-01T00:00:00Z");
    let tasks = vec![backup("books", Kind::Logical, "0 2 * * *")];
    let mut scheduler = Scheduler::new(tasks, at("2026-11-23T12:00:00Z"), |_| Some(future));
    let now = at("2026-11-23T12:00:00Z");
    assert_eq!(scheduler.wakes_at(now), Some(at("2026-11-24T01:00:00Z")));
    assert_eq!(scheduler.poll(now), []);
    assert_eq!(started(&scheduler.poll(at("2026-11-24T01:00:00Z"))).len(), 1);
}

#[test]
fn other_settings_leave_alone_what_is_the_same() {
    let books = backup("books", Kind::Logical, "0 2 * * *");
    let mut scheduler = Scheduler::new(vec![books.clone()], at("2026-11-23T12:00:00Z"), |_| None);
    let now = at("2026-11-24T01:00:00Z");
    scheduler.poll(now);
    let wiki = backup("wiki", Kind::Logical, "0 2 * * *");
    scheduler.replace(vec![wiki, Task { retries: 9, ..books }], now, |_| Some(now));
    assert_eq!(scheduler.running().map(|task| task.retries).collect::<Vec<_>>(), [9]);
    assert_eq!(scheduler.poll(now), []);
    scheduler.replace(vec![], now, |_| None);
    assert_eq!((scheduler.ended("books-logical", Ended::Done, now), scheduler.wakes_at(now)), (None, None));
}

#[test]
fn what_is_asked_for_runs_at_once_and_its_schedule_goes_on() {
    let tasks = vec![task("prune", Action::Prune, "0 5 * * *")];
    let now = at("2026-11-24T01:00:00Z");
    let mut scheduler = Scheduler::new(tasks, now, |_| None);
    scheduler.ask_for(&Action::Prune, now);
    assert_eq!(started(&scheduler.poll(now)), [("prune", 1)]);
    scheduler.ended("prune", Ended::Done, now);
    assert_eq!(scheduler.wakes_at(now), Some(at("2026-11-24T04:00:00Z")));
}

#[test]
fn what_is_to_be_tried_again_outlives_other_settings() {
    let books = backup("books", Kind::Logical, "0 2 * * *");
    let mut scheduler = Scheduler::new(vec![books.clone()], at("2026-11-23T12:00:00Z"), |_| None);
    let now = at("2026-11-24T01:00:00Z");
    scheduler.poll(now);
    let again = scheduler.ended("books-logical", Ended::Failed, now).unwrap();
    let wiki = backup("wiki", Kind::Logical, "0 1 * * *");
    let reloaded = now + SignedDuration::from_mins(2);
    // Neither what the journal knows of the task nor what came before it is of any interest.
    scheduler.replace(vec![wiki, books], reloaded, |task| task.name.starts_with("books").then_some(now));
    assert_eq!(scheduler.next_run("books-logical", reloaded), Some(again));
    assert_eq!(scheduler.poll(reloaded), [], "one that is new waits for its first moment");
    assert_eq!(started(&scheduler.poll(again)), [("books-logical", 2)]);
}

#[test]
fn moments_before_a_schedule_was_changed_are_over_without_making_up() {
    let mut books = backup("books", Kind::Logical, "0 2 * * *");
    books.schedule.catches_up = false;
    let begun = at("2026-11-23T12:00:00Z");
    let mut scheduler = Scheduler::new(vec![books], begun, |_| Some(begun));
    let mut earlier = backup("books", Kind::Logical, "30 13 * * *");
    earlier.schedule.catches_up = false;
    // In Berlin it is 14:00.
    scheduler.replace(vec![earlier], at("2026-11-23T13:00:00Z"), |_| None);
    assert_eq!(scheduler.poll(at("2026-11-23T13:00:00Z")), []);
    assert_eq!(started(&scheduler.poll(at("2026-11-24T12:30:00Z"))), [("books-logical", 1)]);
}
