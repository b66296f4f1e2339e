//! What the daemon shows of itself over HTTP.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use service::alerts::ChannelHealth;
use service::http::View;
use service::observation::Observation;
use service::{ChannelState, Status};

/// A loop that stands still for so many turns hangs. It reads little and waits for nobody, but a disk may be slow.
const TURNS: u32 = 30;

/// The status, shared with whoever answers for it.
#[derive(Clone)]
pub(super) struct Shown(Arc<Mutex<Arc<Status>>>);

impl Shown {
    /// The status of a daemon that has just begun, and whose loop turns at least every `turn`.
    pub(super) fn new(turn: Duration) -> Self {
        let now = Timestamp::now();
        let turn_limit = SignedDuration::try_from(turn * TURNS).unwrap_or(SignedDuration::from_mins(10));
        let status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: now,
            turned_at: now,
            turn_limit,
            observation: None,
            observation_took: SignedDuration::ZERO,
            looking_since: None,
            channels: Vec::new(),
        };
        Self(Arc::new(Mutex::new(Arc::new(status))))
    }

    pub(super) fn view(&self) -> View {
        let shown = self.clone();
        View { status: Arc::new(move || shown.status()), clock: Timestamp::now }
    }

    pub(super) fn turned(&self) {
        self.change(|status| status.turned_at = Timestamp::now());
    }

    /// Somebody has begun to look at everything, or ended.
    pub(super) fn looking(&self, since: Option<Timestamp>) {
        self.change(|status| {
            if let (None, Some(since)) = (since, status.looking_since) {
                status.observation_took = Timestamp::now().duration_since(since);
            }
            status.looking_since = since;
        });
    }

    pub(super) fn seen(&self, observation: Arc<Observation>) {
        self.change(|status| status.observation = Some(observation));
    }

    /// What was seen last.
    pub(super) fn observation(&self) -> Option<Arc<Observation>> {
        self.status().observation.clone()
    }

    pub(super) fn alerted(&self, channels: &BTreeMap<String, ChannelHealth>) {
        let state = |(name, health): (&String, &ChannelHealth)| ChannelState {
            name: name.clone(),
            delivered: health.sent,
            failed: health.refused,
        };
        let channels = channels.iter().map(state).collect();
        self.change(|status| status.channels = channels);
    }

    fn status(&self) -> Arc<Status> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Status)) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut shown));
    }
}
