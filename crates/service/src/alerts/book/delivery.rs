//! What is to be sent, and how it goes.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Book;
use crate::alerts::{AlertKey, ChannelError, Message, Routing};

/// How long after its first failure a message is tried again; each time after it twice as long …
pub const RETRY_FIRST: SignedDuration = SignedDuration::from_mins(1);
/// … up to so long.
pub const RETRY_MOST: SignedDuration = SignedDuration::from_hours(1);
/// A channel that failed so often in a row is reported by the others: after about 15 minutes.
pub const ATTEMPTS_UNTIL_FAILED: u32 = 5;
/// A message that failed so often is given up: after about a day and a half.
pub const ATTEMPTS: u32 = 40;
/// Messages that wait for one channel; with more of them, the oldest is given up.
pub const OUTBOX_LIMIT: usize = 500;

/// A message on its way to a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The channel.
    pub channel: String,
    /// The message.
    pub message: Message,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is to be tried.
    pub next_try_at: Timestamp,
}

/// How a channel is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelHealth {
    /// How often it failed since it took a message.
    pub failures: u32,
    /// Since when it fails.
    pub failing_since: Option<Timestamp>,
    /// What it said last when it failed.
    pub last_error: Option<String>,
    /// Before then it is not tried, for it could not be reached.
    pub rest_until: Option<Timestamp>,
    /// When it took a message last.
    pub last_success_at: Option<Timestamp>,
    /// How many messages it took.
    pub sent: u64,
    /// How many messages were given up.
    pub given_up: u64,
    /// How often it did not take a message.
    #[serde(default)]
    pub refused: u64,
}

impl Book {
    pub(super) fn put(&mut self, channel: &str, message: Message, now: Timestamp) {
        let of_channel = |delivery: &&Delivery| delivery.channel == channel;
        if self.outbox.iter().filter(of_channel).count() >= OUTBOX_LIMIT
            && let Some(oldest) = self.outbox.iter().position(|delivery| delivery.channel == channel)
        {
            self.outbox.remove(oldest);
            self.channels.entry(channel.to_owned()).or_default().given_up += 1;
        }
        let delivery = Delivery { channel: channel.to_owned(), message, attempts: 0, next_try_at: now };
        self.outbox.push(delivery);
    }

    /// Whether a message about an alert waits for a channel.
    pub(super) fn waits(&self, key: &AlertKey, channel: &str) -> bool {
        let is_it =
            |delivery: &Delivery| delivery.channel == channel && delivery.message.finding.key() == *key;
        self.outbox.iter().any(is_it)
    }

    /// The next message for a channel whose time has come. Messages about one alert come in order.
    pub fn next(&self, channel: &str, now: Timestamp) -> Option<&Delivery> {
        let rests = self.channels.get(channel).and_then(|health| health.rest_until);
        if rests.is_some_and(|until| !has_come(until, now)) {
            return None;
        }
        let mut waiting = BTreeSet::new();
        self.outbox.iter().filter(|delivery| delivery.channel == channel).find(|delivery| {
            let key = delivery.message.finding.key();
            if waiting.contains(&key) {
                return false;
            }
            let is_due = has_come(delivery.next_try_at, now);
            if !is_due {
                waiting.insert(key);
            }
            is_due
        })
    }

    /// Takes note that a channel took a message.
    pub fn sent(&mut self, channel: &str, id: &str, now: Timestamp) {
        self.outbox.retain(|delivery| delivery.channel != channel || delivery.message.id != id);
        self.worked(channel, now);
    }

    /// Takes note that a channel works.
    pub fn worked(&mut self, channel: &str, now: Timestamp) {
        let health = self.channels.entry(channel.to_owned()).or_default();
        health.sent += 1;
        health.last_success_at = Some(now);
        (health.failures, health.failing_since, health.rest_until) = (0, None, None);
    }

    /// Takes note that a channel did not take a message.
    pub fn failed(&mut self, channel: &str, id: &str, error: &ChannelError, now: Timestamp) {
        let is_it = |delivery: &Delivery| delivery.channel == channel && delivery.message.id == id;
        let Some(at) = self.outbox.iter().position(is_it) else { return };
        self.broke(channel, error, now);
        let delivery = &mut self.outbox[at];
        delivery.attempts += 1;
        delivery.next_try_at = later(now, delivery.attempts);
        if delivery.attempts >= ATTEMPTS {
            self.outbox.remove(at);
            self.channels.entry(channel.to_owned()).or_default().given_up += 1;
        }
    }

    /// Takes note that a channel does not work.
    pub fn broke(&mut self, channel: &str, error: &ChannelError, now: Timestamp) {
        let health = self.channels.entry(channel.to_owned()).or_default();
        health.failures = health.failures.saturating_add(1);
        health.refused += 1;
        health.failing_since.get_or_insert(now);
        health.last_error = Some(error.to_string());
        if !error.is_of_one_message() {
            health.rest_until = Some(later(now, health.failures));
        }
    }

    /// Forgets what is to be sent to channels that are not there any more, and who was told by them.
    pub(super) fn forget_channels(&mut self, routing: &Routing) {
        let is_there = |name: &str| routing.channels.contains(name);
        self.outbox.retain(|delivery| is_there(&delivery.channel));
        self.channels.retain(|name, _| is_there(name) || name == crate::alerts::PING);
        for alert in self.alerts.values_mut() {
            alert.informed.retain(|name| is_there(name));
        }
    }
}

/// Whether `at` has come, or is so late that the clock was wrong when it was set.
fn has_come(at: Timestamp, now: Timestamp) -> bool {
    at <= now || at.duration_since(now) > RETRY_MOST
}

/// When to try again after so many failures.
fn later(now: Timestamp, failures: u32) -> Timestamp {
    let factor = 1_i32.checked_shl(failures.saturating_sub(1)).filter(|factor| *factor > 0);
    let pause = factor.and_then(|factor| RETRY_FIRST.checked_mul(factor)).unwrap_or(RETRY_MOST);
    now.checked_add(pause.min(RETRY_MOST)).unwrap_or(now)
}
