//! When something is due: at intervals, or as a cron expression says in a time zone.
//!
//! Invariant: every moment that a schedule names is either served by a run or counted as missed, and none is served twice. A moment
//! that a change to summer time skips is served when the clock has moved on; one that a change back repeats is served once, unless
//! the expression names every hour.

use std::str::FromStr;

use croner::{Cron, parser::CronParser, parser::Seconds, parser::Year};
use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// Days in which the next moment of an expression lies, if there is one: the 29th of February can take eight years.
const SEARCHED_DAYS: u32 = 366 * 8 + 2;
/// So many missed moments are counted; more is as bad.
const MISSED_MOST: u32 = 10_000;

/// A cron expression of five fields: minute, hour, day of the month, month, day of the week (`crontab(5)`; also `@daily` and the like).
#[derive(Debug, Clone)]
pub struct CronExpression {
    text: String,
    cron: Box<Cron>,
    /// Minutes of a day at which it fires on the days that it names.
    minutes: Vec<u16>,
    names_every_hour: bool,
}

/// A text that is no cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no cron expression of five fields: {reason}")]
pub struct ParseCronError {
    text: String,
    reason: String,
}

impl PartialEq for CronExpression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for CronExpression {}

impl std::fmt::Display for CronExpression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for CronExpression {
    type Err = ParseCronError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |reason: String| ParseCronError { text: text.to_owned(), reason };
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|reason| error(reason.to_string()))?;
        let hours: Vec<u16> =
            (0..24).filter(|hour| cron.pattern.hour_match((*hour).into()).unwrap_or(false)).collect();
        let of_hour: Vec<u16> =
            (0..60).filter(|minute| cron.pattern.minute_match((*minute).into()).unwrap_or(false)).collect();
        let minutes =
            hours.iter().flat_map(|hour| of_hour.iter().map(move |minute| 60 * hour + minute)).collect();
        let expression = Self {
            text: text.trim().to_owned(),
            cron: Box::new(cron),
            minutes,
            names_every_hour: hours.len() == 24,
        };
        // One that names no day at all, as the 30th of February, would never be due.
        match expression.next_after(Timestamp::UNIX_EPOCH, &TimeZone::UTC) {
            Some(_) => Ok(expression),
            None => Err(error("it names no day of any year".to_owned())),
        }
    }
}

impl CronExpression {
    /// The first moment after `after`.
    fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        // A change of the clock can carry a moment over midnight.
        let mut date = zone.to_datetime(after).date().yesterday().ok()?;
        for _ in 0..SEARCHED_DAYS {
            if self.names(date) {
                let moments = self.minutes.iter().flat_map(|minute| self.moments(date, *minute, zone));
                if let Some(next) = moments.filter(|moment| *moment > after).min() {
                    return Some(next);
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn names(&self, date: Date) -> bool {
        let pattern = &self.cron.pattern;
        let (year, month, day) =
            (i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs());
        pattern.month_match(month.into()).unwrap_or(false)
            && pattern.day_match(year, month.into(), day.into(), weekday(date)).unwrap_or(false)
    }

    /// The moment that a clock in the zone shows a time of a day, once or twice.
    fn moments(&self, date: Date, minute: u16, zone: &TimeZone) -> Vec<Timestamp> {
        let (hour, minute) = (minute / 60, minute % 60);
        let Ok(hour) = i8::try_from(hour) else { return Vec::new() };
        let Ok(minute) = i8::try_from(minute) else { return Vec::new() };
        let ambiguous =
            zone.to_ambiguous_timestamp(DateTime::from_parts(date, jiff::civil::time(hour, minute, 0, 0)));
        let is_repeated = matches!(ambiguous.offset(), AmbiguousOffset::Fold { .. });
        let second = (is_repeated && self.names_every_hour).then(|| ambiguous.later().ok()).flatten();
        // In a gap this is the moment that lies as far behind its beginning as the time does.
        ambiguous.compatible().ok().into_iter().chain(second).collect()
    }
}

fn weekday(date: Date) -> croner::time::Weekday {
    match date.weekday() {
        Weekday::Monday => croner::time::Weekday::Monday,
        Weekday::Tuesday => croner::time::Weekday::Tuesday,
        Weekday::Wednesday => croner::time::Weekday::Wednesday,
        Weekday::Thursday => croner::time::Weekday::Thursday,
        Weekday::Friday => croner::time::Weekday::Friday,
        Weekday::Saturday => croner::time::Weekday::Saturday,
        Weekday::Sunday => croner::time::Weekday::Sunday,
    }
}

/// How often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cadence {
    /// So long after the run before began.
    Every(SignedDuration),
    /// At the moments that an expression names, by the clocks of a zone.
    Cron(CronExpression, TimeZone),
}

/// When something is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// How often.
    pub cadence: Cadence,
    /// A run begins up to so much later, so that many machines do not begin at once.
    pub jitter: SignedDuration,
    /// Whether what was missed while nobody was there to run it is made up for, by one run.
    pub catches_up: bool,
}

/// The next run of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The moment that it serves.
    pub planned_at: Timestamp,
    /// When it begins.
    pub starts_at: Timestamp,
    /// Moments that no run serves any more.
    pub missed: u32,
}

impl Schedule {
    /// The next run. `last` is the moment that the last one served, `since` is from when on there is somebody to run anything, and
    /// `seed` tells schedules with the same jitter apart.
    ///
    /// Returns nothing when there is none as far as one can tell.
    pub fn next(&self, last: Option<Timestamp>, since: Timestamp, now: Timestamp, seed: u64) -> Option<Due> {
        let first = match (last, &self.cadence) {
            (Some(last), _) => self.after(last)?,
            // Nothing has ever run: an interval is over at once.
            (None, Cadence::Every(_)) => since,
            (None, Cadence::Cron(..)) => self.after(since)?,
        };
        let (mut planned_at, mut missed) = (first, 0);
        // Without making up, moments of a time when nobody was there are over.
        let served_from = if self.catches_up { Timestamp::MIN } else { since };
        while missed < MISSED_MOST {
            let Some(next) = self.after(planned_at) else { break };
            if next > now && planned_at >= served_from {
                break;
            }
            (planned_at, missed) = (next, missed + 1);
        }
        if missed == MISSED_MOST && planned_at < now {
            planned_at = now;
        }
        let starts_at = planned_at.checked_add(self.delay(planned_at, seed)).unwrap_or(planned_at);
        Some(Due { planned_at, starts_at, missed })
    }

    /// The first moment after another.
    pub fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        match &self.cadence {
            Cadence::Every(interval) => moment.checked_add(*interval).ok(),
            Cadence::Cron(expression, zone) => expression.next_after(moment, zone),
        }
    }

    fn delay(&self, moment: Timestamp, seed: u64) -> SignedDuration {
        let most = u64::try_from(self.jitter.as_secs()).unwrap_or(0);
        let hash = xxhash_rust::xxh3::xxh3_64_with_seed(&moment.as_second().to_le_bytes(), seed);
        SignedDuration::from_secs(i64::try_from(hash % (most + 1)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests;
