//! The dispatcher: judges an observation, keeps the book, and sends what is to be sent.
//!
//! Invariant: a channel that hangs holds up a round for no longer than its own limit, and no other channel at all. The book is stored before
//! something is sent and after each answer, so that a restart repeats at most the one message whose answer it did not see, under
//! its old id.

mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use jiff::{SignedDuration, Timestamp};

use super::{
    AlertPolicy, Book, Channel, Finding, Message, Routing, Severity, StateFile, evaluate, is_unknown,
};
use crate::observation::Observation;
use worker::{Report, Worker};

/// The name under which the ping is listed among channels. No channel is called so.
pub const PING: &str = "ping";
/// A round begins no message later than this after its start; what is left comes in the next.
pub const ROUND_LIMIT: Duration = Duration::from_secs(20);

/// A sign of life that somebody outside waits for.
pub struct PingSettings {
    /// How it is sent.
    pub channel: Arc<dyn Channel>,
    /// How often.
    pub interval: SignedDuration,
}

/// Everything about alerts that somebody can set.
pub struct AlertSettings {
    /// When something is wrong.
    pub policy: AlertPolicy,
    /// Who is told; its channels are those of `channels`.
    pub routing: Routing,
    /// The channels.
    pub channels: BTreeMap<String, Arc<dyn Channel>>,
    /// The sign of life.
    pub ping: Option<PingSettings>,
}

impl std::fmt::Debug for AlertSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlertSettings({:?}, {:?})", self.policy, self.routing)
    }
}

/// A channel, or the state file, that did not do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelTrouble {
    /// The channel; `alerts.json` stands for the state file.
    pub channel: String,
    /// What happened. Holds no secret.
    pub message: String,
}

/// Sends alerts. Whoever has one calls [`Dispatcher::round`] once a minute.
pub struct Dispatcher {
    policy: AlertPolicy,
    routing: Routing,
    ping_interval: Option<SignedDuration>,
    pinged_at: Option<Timestamp>,
    book: Book,
    file: StateFile,
    /// Whether the last attempt to store the book failed.
    is_unsaved: bool,
    workers: BTreeMap<String, Worker>,
    reports: Receiver<Report>,
    troubles: Vec<ChannelTrouble>,
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dispatcher({:?} at {})", self.routing, self.file.path().display())
    }
}

impl Dispatcher {
    /// Begins where the book in `file` ended. A book that cannot be read is set aside, and a new one begun, which the first
    /// round reports.
    ///
    /// # Errors
    /// When no threads can be started.
    pub fn start(settings: AlertSettings, file: StateFile) -> Result<Self, std::io::Error> {
        let (report, reports): (Sender<Report>, _) = unbounded();
        let mut channels = settings.channels;
        let ping_interval = settings.ping.as_ref().map(|ping| ping.interval);
        if let Some(ping) = settings.ping {
            channels.insert(PING.to_owned(), ping.channel);
        }
        let mut workers = BTreeMap::new();
        for (name, channel) in channels {
            workers.insert(name.clone(), Worker::start(&name, channel, report.clone())?);
        }
        let mut troubles = Vec::new();
        let book = file.read().unwrap_or_else(|error| {
            let aside = file.set_aside();
            let aside =
                aside.map_or_else(|_| String::new(), |path| format!("; it is now {}", path.display()));
            troubles.push(state_trouble(&error, &aside));
            None
        });
        Ok(Self {
            policy: settings.policy,
            routing: settings.routing,
            ping_interval,
            pinged_at: None,
            book: book.unwrap_or_default(),
            file,
            is_unsaved: false,
            workers,
            reports,
            troubles,
        })
    }

    /// What is wrong and who was told.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Judges an observation and sends what is due, for a little longer than [`ROUND_LIMIT`] at most. Returns what did not work; it is tried
    /// again in later rounds.
    pub fn round(&mut self, observation: &Observation, now: Timestamp) -> Vec<ChannelTrouble> {
        let findings = evaluate(observation, &self.policy);
        let is_well = !findings.iter().any(is_of_service);
        while let Ok(report) = self.reports.try_recv() {
            self.take(&report, now);
        }
        let unknown = |finding: &Finding| is_unknown(observation, finding);
        self.book.update(findings, &unknown, &self.routing, now);
        self.save();
        let is_well = is_well && !self.is_unsaved && !self.all_failed();
        self.deliver(is_well, now);
        std::mem::take(&mut self.troubles)
    }

    /// Whether there are channels and none of them works.
    fn all_failed(&self) -> bool {
        let fails = |name: &String| {
            let health = self.book.channels().get(name);
            health.is_some_and(|health| health.failures >= super::ATTEMPTS_UNTIL_FAILED)
        };
        !self.routing.channels.is_empty() && self.routing.channels.iter().all(fails)
    }

    fn deliver(&mut self, is_well: bool, now: Timestamp) {
        let began = Instant::now();
        let mut stopped = BTreeSet::new();
        if !is_well {
            stopped.insert(PING.to_owned());
        }
        loop {
            if began.elapsed() < ROUND_LIMIT {
                self.hand_out(&stopped, now);
            }
            let Some(until) = self.workers.values().filter_map(Worker::deadline).min() else { return };
            match self.reports.recv_deadline(until.min(began + ROUND_LIMIT)) {
                Ok(report) => {
                    if !self.take(&report, now) {
                        stopped.insert(report.channel);
                    }
                }
                Err(_) if began.elapsed() >= ROUND_LIMIT => return,
                Err(_) => stopped.extend(self.note_late(now)),
            }
        }
    }

    /// Gives every worker that has nothing to do its next message.
    fn hand_out(&mut self, stopped: &BTreeSet<String>, now: Timestamp) {
        let is_ping_due = self.is_ping_due(now);
        for (name, worker) in &mut self.workers {
            if stopped.contains(name) || worker.is_busy() {
                continue;
            }
            let message = if name == PING {
                is_ping_due.then(|| Message::test(PING, &self.routing.instance, now))
            } else {
                self.book.next(name, now).map(|delivery| delivery.message.clone())
            };
            if let Some(message) = message {
                worker.hand(message, now);
                if name == PING {
                    self.pinged_at = Some(now);
                }
            }
        }
    }

    fn is_ping_due(&self, now: Timestamp) -> bool {
        let Some(interval) = self.ping_interval else { return false };
        let elapsed = self.pinged_at.map(|at| now.duration_since(at));
        elapsed.is_none_or(|elapsed| elapsed >= interval || elapsed.is_negative())
    }

    /// Takes note of an answer. Returns whether the channel may be given more in this round.
    fn take(&mut self, report: &Report, now: Timestamp) -> bool {
        let Some(worker) = self.workers.get_mut(&report.channel) else { return false };
        let was_late = worker.finish();
        let (channel, id) = (report.channel.as_str(), report.id.as_str());
        let goes_on = match &report.outcome {
            Ok(()) if channel == PING => {
                self.book.worked(channel, now);
                true
            }
            Ok(()) => {
                self.book.sent(channel, id, now);
                true
            }
            // That was counted when it was late.
            Err(_) if was_late => return false,
            Err(error) => {
                if channel == PING {
                    self.book.broke(channel, error, now);
                } else {
                    self.book.failed(channel, id, error, now);
                }
                self.troubles
                    .push(ChannelTrouble { channel: channel.to_owned(), message: error.to_string() });
                error.is_of_one_message()
            }
        };
        self.save();
        goes_on
    }

    /// Takes note of channels that did not answer in time. They stay busy until they do.
    fn note_late(&mut self, now: Timestamp) -> Vec<String> {
        let at = Instant::now();
        let late = |(name, worker): (&String, &mut Worker)| Some((name.clone(), worker.overdue(at)?));
        let late: Vec<_> = self.workers.iter_mut().filter_map(late).collect();
        for (channel, (id, error)) in &late {
            if channel == PING {
                self.book.broke(channel, error, now);
            } else {
                self.book.failed(channel, id, error, now);
            }
            self.troubles.push(ChannelTrouble { channel: channel.clone(), message: error.to_string() });
        }
        self.save();
        late.into_iter().map(|(channel, _)| channel).collect()
    }

    fn save(&mut self) {
        let stored = self.file.write(&self.book);
        if let Err(error) = &stored
            && !self.is_unsaved
        {
            self.troubles.push(state_trouble(error, ""));
        }
        self.is_unsaved = stored.is_err();
    }
}

/// Whether the service itself is not to be relied on.
fn is_of_service(finding: &Finding) -> bool {
    finding.severity == Severity::Critical && finding.code.is_about_the_service()
}

fn state_trouble(error: &(dyn std::error::Error + 'static), more: &str) -> ChannelTrouble {
    let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    ChannelTrouble { channel: super::ALERTS_FILE.to_owned(), message: format!("{error}{source}{more}") }
}

#[cfg(test)]
mod tests;
