//! A webhook: the message as JSON, signed.

use std::time::Duration;

use aws_lc_rs::hmac;
use jiff::Timestamp;

use super::{HttpClient, WebAddress};
use crate::alerts::{Channel, ChannelError, Message, Secret};

/// The header with the signature.
pub const SIGNATURE_HEADER: &str = "X-Chronavault-Signature";

/// Posts messages as JSON.
#[derive(Debug)]
pub struct WebhookChannel {
    client: HttpClient,
    address: WebAddress,
    key: Option<Secret>,
}

impl WebhookChannel {
    /// A webhook at `address`, signed where there is a `key`.
    pub fn new(client: HttpClient, address: WebAddress, key: Option<Secret>) -> Self {
        Self { client, address, key }
    }
}

/// The value of [`SIGNATURE_HEADER`]: `t=TIME,v1=DIGITS`, where the digits are the HMAC-SHA-256 under `key` of `TIME.BODY`, and TIME are seconds
/// since 1970. Whoever receives it recomputes it, and refuses a time that is long ago.
pub fn signature(key: &Secret, body: &[u8], now: Timestamp) -> String {
    let time = now.as_second();
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.reveal().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{time}.").as_bytes());
    context.update(body);
    format!("t={time},v1={}", hex::encode(context.sign()))
}

impl Channel for WebhookChannel {
    fn send(&self, message: &Message, now: Timestamp) -> Result<(), ChannelError> {
        let body = message.to_json().to_string();
        let signed = self.key.as_ref().map(|key| signature(key, body.as_bytes(), now));
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(signed.as_deref().map(|signature| (SIGNATURE_HEADER, signature)));
        self.client.post(&self.address, &headers, body.as_bytes())
    }

    fn limit(&self) -> Duration {
        self.client.limit()
    }

    fn place(&self) -> String {
        self.address.place().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_the_time_and_the_body() {
        let key = Secret::new("hunter2".into());
        let now = Timestamp::from_second(1_795_000_000).unwrap();
        // echo -n '1795000000.{}' | openssl dgst -sha256 -hmac hunter2
        let expected = "t=1795000000,v1=dcc6e8b17ce52b709bb00c0d1a24392660a4b9ab47d50937b3018ff9715a9f0a";
        assert_eq!(signature(&key, b"{}", now), expected);
    }
}
