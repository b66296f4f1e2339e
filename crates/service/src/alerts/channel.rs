//! A way to somebody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use jiff::Timestamp;

use super::Message;

/// How long a channel may take for a message when nothing is said.
pub const CHANNEL_LIMIT: Duration = Duration::from_secs(10);
/// How much longer than its limit a channel is waited for, so that it can say itself what took so long.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// Why a channel did not take a message. No variant shows more of an address than its host, or anything of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// Nothing came back in time.
    #[error("{place} did not answer within {limit:?}")]
    Late {
        /// The other end.
        place: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The other end cannot be reached.
    #[error("{place} cannot be reached: {reason}")]
    Unreachable {
        /// The other end.
        place: String,
        /// Why, in words.
        reason: String,
    },
    /// The other end does not take this message.
    #[error("{place} refused the message: {reason}")]
    Refused {
        /// The other end.
        place: String,
        /// What it answered.
        reason: String,
    },
    /// A program did not end well.
    #[error("{program} {how}")]
    Program {
        /// The program.
        program: String,
        /// How it ended.
        how: String,
    },
    /// The system refused.
    #[error("a thread for the channel cannot be started")]
    Thread,
}

impl ChannelError {
    /// Whether it is about one message, so that others may be taken.
    pub fn is_of_one_message(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Program { .. })
    }
}

/// A way to somebody. Sending blocks, for about [`Channel::limit`] at most.
pub trait Channel: Send + Sync {
    /// Sends a message. `now` is the time for signatures.
    ///
    /// # Errors
    /// When the other end did not take it. It may have come all the same.
    fn send(&self, message: &Message, now: Timestamp) -> Result<(), ChannelError>;

    /// How long it may take.
    fn limit(&self) -> Duration;

    /// Where it leads, without secrets: a host, a program.
    fn place(&self) -> String;
}

/// What became of a test.
#[derive(Debug)]
pub struct Sent {
    /// The channel.
    pub channel: String,
    /// Where it leads.
    pub place: String,
    /// What became of it.
    pub outcome: Result<(), ChannelError>,
    /// How long it took.
    pub duration: Duration,
}

/// Sends a test to each of `channels`, all at the same time.
pub fn send_test(channels: &BTreeMap<String, Arc<dyn Channel>>, instance: &str, now: Timestamp) -> Vec<Sent> {
    let began = Instant::now();
    let begin = |(name, channel): (&String, &Arc<dyn Channel>)| {
        let (report, reported) = bounded(1);
        let (thread_channel, message) = (Arc::clone(channel), Message::test(name, instance, now));
        let started = std::thread::Builder::new().name(format!("alert-{name}")).spawn(move || {
            // Whoever waited has gone when this comes too late.
            let _ = report.send((thread_channel.send(&message, now), began.elapsed()));
        });
        (name.clone(), Arc::clone(channel), started.map(|_| reported))
    };
    let begun: Vec<_> = channels.iter().map(begin).collect();
    let finish = |(name, channel, reported): (String, Arc<dyn Channel>, std::io::Result<_>)| {
        let limit = channel.limit();
        let late = || Err(ChannelError::Late { place: channel.place(), limit });
        let (outcome, duration) = match reported {
            Err(_) => (Err(ChannelError::Thread), began.elapsed()),
            Ok(reported) => {
                let reported: crossbeam_channel::Receiver<(Result<(), ChannelError>, Duration)> = reported;
                reported.recv_deadline(began + limit + GRACE).unwrap_or_else(|_| (late(), began.elapsed()))
            }
        };
        Sent { channel: name, place: channel.place(), outcome, duration }
    };
    begun.into_iter().map(finish).collect()
}
