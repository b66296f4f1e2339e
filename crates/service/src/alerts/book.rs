//! The book of alerts: what is wrong, who was told about it, and what is still to be sent.
//!
//! Invariant: pure, and all of its state is in it, so that a book that is stored and read again goes on as if nothing had happened.
//! Each episode of an alert is raised once for each channel, reminded of at most once in the repeat interval, and ended by one message that it
//! is resolved. What a channel does not take stays until it does or [`ATTEMPTS`] are used up; messages about one alert stay in order.
//!
//! Deliberately absent: sending. Whoever sends asks for [`Book::next`] and says [`Book::sent`] or [`Book::failed`].

mod delivery;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AlertCode, AlertKey, Event, Finding, Message, Routing, Severity, wording};

pub use delivery::{
    ATTEMPTS, ATTEMPTS_UNTIL_FAILED, ChannelHealth, Delivery, OUTBOX_LIMIT, RETRY_FIRST, RETRY_MOST,
};

/// Evaluations in which an alert must be absent until it is resolved.
pub const ABSENT_UNTIL_RESOLVED: u32 = 2;
/// The version of the state that is stored.
const VERSION: u32 = 1;

/// Something that is wrong, and who was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What is wrong, as it was found last.
    pub finding: Finding,
    /// Since when.
    pub raised_at: Timestamp,
    /// Since when it is as bad as it is.
    pub changed_at: Timestamp,
    /// When somebody was told last.
    pub told_at: Timestamp,
    /// The channels that were told, and are told how it goes on.
    pub informed: BTreeSet<String>,
    /// When it was escalated.
    pub escalated_at: Option<Timestamp>,
    /// In how many evaluations it was not found any more.
    pub absent: u32,
}

/// The book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    version: u32,
    /// The number of the next message.
    next_number: u64,
    alerts: BTreeMap<AlertKey, Alert>,
    outbox: Vec<Delivery>,
    channels: BTreeMap<String, ChannelHealth>,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            version: VERSION,
            next_number: 1,
            alerts: BTreeMap::new(),
            outbox: Vec::new(),
            channels: BTreeMap::new(),
        }
    }
}

impl Book {
    /// Whether this program knows what the state means.
    pub fn is_known(&self) -> bool {
        self.version == VERSION
    }

    /// What is wrong, the worst first.
    pub fn alerts(&self) -> Vec<&Alert> {
        let mut alerts: Vec<_> = self.alerts.values().collect();
        alerts.sort_by_key(|alert| (std::cmp::Reverse(alert.finding.severity), alert.raised_at));
        alerts
    }

    /// What is still to be sent, the oldest first.
    pub fn outbox(&self) -> &[Delivery] {
        &self.outbox
    }

    /// How each channel is that was used.
    pub fn channels(&self) -> &BTreeMap<String, ChannelHealth> {
        &self.channels
    }

    /// Takes note of an evaluation: everything that is wrong now. `is_unknown` says of an alert that is not among `findings` whether
    /// nobody could look.
    pub fn update(
        &mut self,
        mut findings: Vec<Finding>,
        is_unknown: &dyn Fn(&Finding) -> bool,
        routing: &Routing,
        now: Timestamp,
    ) {
        self.forget_channels(routing);
        self.forget_future(now);
        findings.extend(self.failed_channels(now));
        let mut found = BTreeSet::new();
        for finding in findings {
            let key = finding.key();
            if found.insert(key.clone()) {
                self.note(&key, finding, routing, now);
            }
        }
        let gone: Vec<_> = self.alerts.keys().filter(|key| !found.contains(*key)).cloned().collect();
        for key in gone {
            self.note_absence(&key, is_unknown, routing, now);
        }
    }

    fn note(&mut self, key: &AlertKey, finding: Finding, routing: &Routing, now: Timestamp) {
        let mut alert = self.alerts.remove(key).unwrap_or_else(|| Alert {
            finding: finding.clone(),
            raised_at: now,
            changed_at: now,
            told_at: now,
            informed: BTreeSet::new(),
            escalated_at: None,
            absent: 0,
        });
        let has_changed = alert.finding.severity != finding.severity;
        (alert.finding, alert.absent) = (finding, 0);
        let targets = routing.targets(&alert.finding);
        if has_changed {
            alert.changed_at = now;
            let informed = alert.informed.clone();
            self.tell(&mut alert, Event::Changed, &informed, routing, now);
        }
        let new: BTreeSet<_> = targets.difference(&alert.informed).cloned().collect();
        self.tell(&mut alert, Event::Raised, &new, routing, now);
        self.escalate(&mut alert, routing, now);
        if now.duration_since(alert.told_at) >= routing.repeat {
            // Whoever has not got the last message needs no reminder of it.
            let is_waiting = |channel: &&String| self.waits(key, channel);
            let targets = targets.iter().filter(|channel| !is_waiting(channel)).cloned().collect();
            self.tell(&mut alert, Event::Reminder, &targets, routing, now);
            alert.told_at = now;
        }
        self.alerts.insert(key.clone(), alert);
    }

    fn escalate(&mut self, alert: &mut Alert, routing: &Routing, now: Timestamp) {
        let unchanged = now.duration_since(alert.changed_at);
        let escalation = routing.escalation(&alert.finding, unchanged);
        let new: BTreeSet<_> = escalation.difference(&alert.informed).cloned().collect();
        if !new.is_empty() {
            self.tell(alert, Event::Escalated, &new, routing, now);
            alert.escalated_at = Some(now);
        }
    }

    fn note_absence(
        &mut self,
        key: &AlertKey,
        is_unknown: &dyn Fn(&Finding) -> bool,
        routing: &Routing,
        now: Timestamp,
    ) {
        let Some(mut alert) = self.alerts.remove(key) else { return };
        if !is_unknown(&alert.finding) {
            alert.absent += 1;
        }
        if alert.absent < ABSENT_UNTIL_RESOLVED {
            self.alerts.insert(key.clone(), alert);
            return;
        }
        let informed = alert.informed.clone();
        self.tell(&mut alert, Event::Resolved, &informed, routing, now);
    }

    /// Takes moments that are later than now for now: somebody set the clock back, and nothing is to wait until then.
    fn forget_future(&mut self, now: Timestamp) {
        for alert in self.alerts.values_mut() {
            alert.changed_at = alert.changed_at.min(now);
            alert.told_at = alert.told_at.min(now);
        }
    }

    /// Puts a message for each of `channels` into the outbox.
    fn tell(
        &mut self,
        alert: &mut Alert,
        event: Event,
        channels: &BTreeSet<String>,
        routing: &Routing,
        now: Timestamp,
    ) {
        for channel in channels {
            let message = Message {
                id: format!("alert-{}-{}", now.as_second(), self.next_number),
                event,
                finding: alert.finding.clone(),
                raised_at: alert.raised_at,
                at: now,
                instance: routing.instance.clone(),
            };
            self.next_number += 1;
            self.put(channel, message, now);
            alert.informed.insert(channel.clone());
            alert.told_at = now;
        }
    }

    /// What is wrong with channels.
    fn failed_channels(&self, now: Timestamp) -> Vec<Finding> {
        let of = |(name, health): (&String, &ChannelHealth)| {
            if health.failures < ATTEMPTS_UNTIL_FAILED {
                return None;
            }
            let since = health.failing_since.unwrap_or(now);
            let lost = match health.given_up {
                0 => String::new(),
                count => format!("; {count} messages were given up"),
            };
            let message = format!(
                "the channel {name:?} fails since {}: {}{lost}",
                wording::time(since),
                health.last_error.as_deref().unwrap_or("it did not say why")
            );
            let hint = format!("Run `chronavault alert test {}`.", wording::argument(name));
            let finding = Finding::new(AlertCode::ChannelFailed, Severity::Critical, since, &message, hint);
            Some(finding.about(name.as_str()))
        };
        self.channels.iter().filter_map(of).collect()
    }
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
