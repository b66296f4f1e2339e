//! How the daemon does, and what it knows.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::observation::Observation;

/// What the daemon shows of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The version of the program.
    pub version: String,
    /// When the daemon started.
    pub started_at: Timestamp,
    /// When its loop turned last.
    pub turned_at: Timestamp,
    /// A loop that has not turned for longer hangs.
    pub turn_limit: SignedDuration,
    /// What was known last; nothing before it was looked for the first time.
    pub observation: Option<Arc<Observation>>,
    /// How long it took to find that out.
    pub observation_took: SignedDuration,
    /// Since when everything is being looked at; nothing when that is not going on now.
    pub looking_since: Option<Timestamp>,
    /// The ways in which people are alerted.
    pub channels: Vec<ChannelState>,
}

/// A way in which people are alerted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelState {
    /// Its name.
    pub name: String,
    /// Messages that it took since the daemon started.
    pub delivered: u64,
    /// Messages that it did not take since the daemon started.
    pub failed: u64,
}

impl Status {
    /// How long ago the loop turned.
    pub fn turn_age(&self, now: Timestamp) -> SignedDuration {
        now.duration_since(self.turned_at).max(SignedDuration::ZERO)
    }

    /// Whether the loop turns.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.turn_age(now) <= self.turn_limit
    }
}
