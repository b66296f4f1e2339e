//! The thread of a channel.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Sender, bounded};
use jiff::Timestamp;

use crate::alerts::channel::GRACE;
use crate::alerts::{Channel, ChannelError, Message};

/// What became of a message.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) channel: String,
    /// The message.
    pub(super) id: String,
    pub(super) outcome: Result<(), ChannelError>,
}

/// A thread that sends one message after the other. Dropping it ends the thread once it has nothing to do.
pub(super) struct Worker {
    channel: Arc<dyn Channel>,
    requests: Sender<(Message, Timestamp)>,
    at_work: Option<Work>,
}

/// A message that is being sent.
struct Work {
    id: String,
    deadline: Instant,
    /// Whether the deadline passed and somebody took note of it.
    is_late: bool,
}

impl Worker {
    pub(super) fn start(
        name: &str,
        channel: Arc<dyn Channel>,
        reports: Sender<Report>,
    ) -> Result<Self, std::io::Error> {
        let (requests, requested) = bounded::<(Message, Timestamp)>(1);
        let (sender, name) = (Arc::clone(&channel), name.to_owned());
        std::thread::Builder::new().name(format!("alert-{name}")).spawn(move || {
            for (message, now) in requested {
                let outcome = sender.send(&message, now);
                let report = Report { channel: name.clone(), id: message.id, outcome };
                if reports.send(report).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { channel, requests, at_work: None })
    }

    pub(super) fn is_busy(&self) -> bool {
        self.at_work.is_some()
    }

    /// Until when an answer is waited for; nothing when none is.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.at_work.as_ref().filter(|work| !work.is_late).map(|work| work.deadline)
    }

    /// Gives it a message. It must not be busy.
    pub(super) fn hand(&mut self, message: Message, now: Timestamp) {
        let deadline = Instant::now() + self.channel.limit() + GRACE;
        self.at_work = Some(Work { id: message.id.clone(), deadline, is_late: false });
        // A thread that is gone answers nothing, which is noticed at the deadline.
        let _ = self.requests.try_send((message, now));
    }

    /// Takes note of an answer, and returns whether it came too late.
    pub(super) fn finish(&mut self) -> bool {
        self.at_work.take().is_some_and(|work| work.is_late)
    }

    /// The message that is late since now.
    pub(super) fn overdue(&mut self, at: Instant) -> Option<(String, ChannelError)> {
        let work = self.at_work.as_mut().filter(|work| !work.is_late && work.deadline <= at)?;
        work.is_late = true;
        let error = ChannelError::Late { place: self.channel.place(), limit: self.channel.limit() };
        Some((work.id.clone(), error))
    }
}
