//! A sign of life: somebody outside raises an alarm when it does not come (healthchecks.io, Uptime Kuma, …).

use std::time::Duration;

use jiff::Timestamp;

use super::{HttpClient, WebAddress};
use crate::alerts::{Channel, ChannelError, Message};

/// How a ping is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PingMethod {
    /// GET.
    Get,
    /// POST, without a body.
    Post,
}

/// Asks for a URL.
#[derive(Debug)]
pub struct PingChannel {
    client: HttpClient,
    address: WebAddress,
    method: PingMethod,
}

impl PingChannel {
    /// A ping to `address`.
    pub fn new(client: HttpClient, address: WebAddress, method: PingMethod) -> Self {
        Self { client, address, method }
    }
}

impl Channel for PingChannel {
    fn send(&self, _message: &Message, _now: Timestamp) -> Result<(), ChannelError> {
        match self.method {
            PingMethod::Get => self.client.get(&self.address),
            PingMethod::Post => self.client.post(&self.address, &[], &[]),
        }
    }

    fn limit(&self) -> Duration {
        self.client.limit()
    }

    fn place(&self) -> String {
        self.address.place().to_owned()
    }
}
