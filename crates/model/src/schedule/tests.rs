use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn cron(text: &str, zone: &str) -> Cadence {
    Cadence::Cron(text.parse().unwrap(), TimeZone::get(zone).unwrap())
}

fn schedule(cadence: Cadence) -> Schedule {
    Schedule { cadence, jitter: SignedDuration::ZERO, catches_up: true }
}

fn moments(cadence: Cadence, from: &str, number: usize) -> Vec<String> {
    let schedule = schedule(cadence);
    let mut moment = at(from);
    let mut found = Vec::new();
    for _ in 0..number {
        moment = schedule.after(moment).unwrap();
        found.push(moment.to_string());
    }
    found
}

#[test]
fn an_expression_names_moments_by_the_clocks_of_its_zone() {
    let daily = moments(cron("30 2 * * *", "Europe/Berlin"), "2026-11-23T12:00:00Z", 2);
    assert_eq!(daily, ["2026-11-24T01:30:00Z", "2026-11-25T01:30:00Z"]);
    let weekly = moments(cron("0 4 * * sun", "UTC"), "2026-11-23T12:00:00Z", 2);
    assert_eq!(weekly, ["2026-11-29T04:00:00Z", "2026-12-06T04:00:00Z"]);
    let leap = moments(cron("0 0 29 2 *", "UTC"), "2096-03-01T00:00:00Z", 1);
    assert_eq!(leap, ["2104-02-29T00:00:00Z"], "2100 is no leap year");
    let quarter = moments(cron("*/15 9-10 1 1,4,7,10 *", "UTC"), "2026-10-01T10:20:00Z", 3);
    assert_eq!(quarter, ["2026-10-01T10:30:00Z", "2026-10-01T10:45:00Z", "2027-01-01T09:00:00Z"]);
}

#[test]
fn a_change_of_the_clock_skips_nothing_and_repeats_nothing() {
    // On the 29th of March 2026 the clocks of Berlin go from 2 to 3, on the 25th of October from 3 to 2.
    let spring = moments(cron("30 2 * * *", "Europe/Berlin"), "2026-03-28T02:00:00Z", 2);
    assert_eq!(spring, ["2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]);
    let autumn = moments(cron("30 2 * * *", "Europe/Berlin"), "2026-10-24T12:00:00Z", 2);
    assert_eq!(autumn, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    let hourly = moments(cron("0 * * * *", "Europe/Berlin"), "2026-10-24T23:30:00Z", 4);
    let expected =
        ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z", "2026-10-25T03:00:00Z"];
    assert_eq!(hourly, expected);
    let quarters = moments(cron("*/15 2-3 * * *", "Europe/Berlin"), "2026-03-29T00:50:00Z", 4);
    let expected =
        ["2026-03-29T01:00:00Z", "2026-03-29T01:15:00Z", "2026-03-29T01:30:00Z", "2026-03-29T01:45:00Z"];
    assert_eq!(quarters, expected, "both hours fall on the same moments");
}

#[test]
fn what_is_no_expression_is_refused() {
    for text in ["", "hourly", "61 * * * *", "* * * *", "0 0 0 1 1 *", "0 0 30 2 *", "0 0 * * * 2027"] {
        let error = text.parse::<CronExpression>().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{text:?} is no cron expression of five fields: ")), "{error}");
    }
    assert_eq!("  @daily ".parse::<CronExpression>().unwrap().to_string(), "@daily");
}

#[test]
fn an_interval_is_counted_from_the_run_before() {
    let daily = schedule(Cadence::Every(SignedDuration::from_hours(24)));
    let (since, last) = (at("2026-11-23T12:00:00Z"), at("2026-11-23T10:00:00Z"));
    let due = |planned: &str, missed| {
        let planned_at = at(planned);
        Some(Due { planned_at, starts_at: planned_at, missed })
    };
    assert_eq!(daily.next(None, since, since, 0), due("2026-11-23T12:00:00Z", 0), "the first is due at once");
    assert_eq!(daily.next(Some(last), since, since, 0), due("2026-11-24T10:00:00Z", 0));
    let late = at("2026-11-27T11:00:00Z");
    assert_eq!(daily.next(Some(last), since, late, 0), due("2026-11-27T10:00:00Z", 3));
}

#[test]
fn what_was_missed_is_made_up_for_once_or_not_at_all() {
    let mut nightly = schedule(cron("0 2 * * *", "UTC"));
    let (last, back) = (at("2026-11-20T02:00:00Z"), at("2026-11-23T12:00:00Z"));
    let found = nightly.next(Some(last), back, back, 0).unwrap();
    assert_eq!((found.planned_at, found.missed), (at("2026-11-23T02:00:00Z"), 2));
    assert!(found.starts_at <= back, "at once");
    nightly.catches_up = false;
    let found = nightly.next(Some(last), back, back, 0).unwrap();
    assert_eq!((found.planned_at, found.missed), (at("2026-11-24T02:00:00Z"), 3));
    // What became due while somebody was there is late, not missed.
    let found = nightly.next(Some(last), at("2026-11-20T03:00:00Z"), at("2026-11-21T09:00:00Z"), 0).unwrap();
    assert_eq!((found.planned_at, found.missed), (at("2026-11-21T02:00:00Z"), 0));
}

#[test]
fn jitter_is_the_same_every_time_and_not_the_same_everywhere() {
    let jitter = SignedDuration::from_mins(30);
    let nightly = Schedule { jitter, ..schedule(cron("0 2 * * *", "UTC")) };
    let now = at("2026-11-23T12:00:00Z");
    let starts = |seed| nightly.next(None, now, now, seed).unwrap().starts_at;
    let all: std::collections::BTreeSet<_> = (0..50).map(starts).collect();
    assert!(all.len() > 30 && starts(7) == starts(7));
    let planned = at("2026-11-24T02:00:00Z");
    assert!(all.iter().all(|start| *start >= planned && *start <= planned + jitter));
}

proptest! {
    /// Whoever polls at whatever times serves or misses each moment of three years exactly once.
    #[test]
    fn every_moment_is_served_or_missed_once(
        expression in prop::sample::select(vec!["30 2 * * *", "0 * * * *", "15 3 * * mon", "0 0 1 * *", "*/20 1-3 * * *"]),
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
        catches_up: bool,
        waits in prop::collection::vec(1..200_i64, 1..60),
    ) {
        let schedule = Schedule { catches_up, ..schedule(cron(expression, zone)) };
        let begin = at("2026-01-01T00:00:00Z");
        let (mut now, mut last, mut accounted) = (begin, begin, 0_u32);
        for (turn, wait) in waits.iter().cycle().take(200).enumerate() {
            now += SignedDuration::from_hours(*wait);
            // Every third time nobody was there until now.
            let since = if turn % 3 == 0 { now } else { begin };
            let due = schedule.next(Some(last), since, now, 1).unwrap();
            if due.planned_at <= now {
                prop_assert!(due.planned_at > last);
                accounted += due.missed + 1;
                last = due.planned_at;
            }
        }
        let (mut all, mut moment) = (0, begin);
        while let Some(next) = schedule.after(moment).filter(|next| *next <= last) {
            prop_assert!(next > moment);
            (moment, all) = (next, all + 1);
        }
        prop_assert_eq!((all, moment), (accounted, last));
    }
}
