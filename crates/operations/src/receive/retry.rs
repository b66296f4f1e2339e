//! What happens between two connections: which errors end everything, how long to wait, and what to say of it.

use std::error::Error as StdError;
use std::time::Duration;

use jiff::Timestamp;
use postgres::{ErrorKind, ReplicationError};

use super::error::ReceiveError;
use super::event::ReceiveEvent;
use crate::{Context, Error, Event};

/// The wait before the first new attempt. It doubles with each one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How long a stop goes unnoticed.
const STOP_POLL: Duration = Duration::from_millis(100);
/// The same reason is told again after so long.
const TELL_AGAIN: Duration = Duration::from_mins(10);

/// Counts attempts, and remembers what was told.
#[derive(Debug, Default)]
pub(super) struct Retry {
    wait: Option<Duration>,
    told: Option<(String, Timestamp)>,
}

impl Retry {
    /// WAL came: the next interruption is a new one.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Tells why there was an interruption and waits. Returns whether to try again.
    pub(super) fn wait(&mut self, error: &Error, context: &Context<'_>) -> bool {
        let retry_in = self.wait.map_or(FIRST_WAIT, |wait| (wait * 2).min(LONGEST_WAIT));
        self.wait = Some(retry_in);
        let message = sentence(error);
        let now = context.now();
        let is_told = self.told.as_ref().is_some_and(|(told, at)| {
            *told == message
                && Duration::try_from(now.duration_since(*at)).is_ok_and(|passed| passed < TELL_AGAIN)
        });
        if !is_told {
            self.told = Some((message.clone(), now));
            context.observer.event(Event::Wal(ReceiveEvent::Interrupted { message, retry_in }));
        }
        let mut left = retry_in;
        while !context.observer.cancelled() {
            if left.is_zero() {
                return true;
            }
            let step = left.min(STOP_POLL);
            std::thread::sleep(step);
            left -= step;
        }
        false
    }
}

/// An error with its sources.
fn sentence(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Whether only a person can change it. What the server refuses before anything has streamed is a matter of settings; later, it
/// may be on its way to come back.
pub(super) fn is_final(error: &Error, has_streamed: bool) -> bool {
    match error {
        Error::Receive(ReceiveError::ServerEnded) => false,
        Error::Receive(_) => true,
        Error::Repository(error) => matches!(
            error,
            repository::Error::WalDiffers { .. }
                | repository::Error::WalMisnamed { .. }
                | repository::Error::WalLength { .. }
                | repository::Error::TooLarge { .. }
                | repository::Error::Damaged(_)
        ),
        Error::Replication(error) => !has_streamed && is_refusal(error),
        _ => false,
    }
}

fn is_refusal(error: &ReplicationError) -> bool {
    match error {
        ReplicationError::NotPermitted { .. }
        | ReplicationError::NoAccessEntry { .. }
        | ReplicationError::NoSenderLeft { .. }
        | ReplicationError::WalLevel { .. }
        | ReplicationError::NoSlotLeft { .. }
        | ReplicationError::TooOld { .. } => true,
        ReplicationError::Client(error) => {
            matches!(error.kind(), ErrorKind::Authentication | ErrorKind::Tls | ErrorKind::Protocol)
        }
        ReplicationError::SlotExists { .. }
        | ReplicationError::NoSlot { .. }
        | ReplicationError::SlotInUse { .. }
        | ReplicationError::WalGone { .. } => false,
    }
}
