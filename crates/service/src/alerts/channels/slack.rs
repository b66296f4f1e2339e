//! An incoming webhook of Slack, or of anything that takes the same: Mattermost, Rocket.Chat, Zulip.

use std::time::Duration;

use jiff::Timestamp;

use super::{HttpClient, WebAddress};
use crate::alerts::{Channel, ChannelError, Message};

/// Posts messages as text.
#[derive(Debug)]
pub struct SlackChannel {
    client: HttpClient,
    address: WebAddress,
}

impl SlackChannel {
    /// A webhook at `address`, which is a secret as a whole.
    pub fn new(client: HttpClient, address: WebAddress) -> Self {
        Self { client, address }
    }
}

/// The text in Slack's own marks (its documentation, "Formatting text": `&`, `<` and `>` are escaped).
fn text(message: &Message) -> String {
    let finding = &message.finding;
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!(
        "*{}*\n{}\n_{} on {}_",
        escaped(&message.title()),
        escaped(&finding.hint),
        finding.code,
        escaped(&message.instance)
    )
}

impl Channel for SlackChannel {
    fn send(&self, message: &Message, _now: Timestamp) -> Result<(), ChannelError> {
        let body = serde_json::json!({ "text": text(message) }).to_string();
        self.client.post(&self.address, &[("Content-Type", "application/json")], body.as_bytes())
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
    use crate::alerts::{AlertCode, Event, Finding, Severity};

    #[test]
    fn nothing_in_a_message_is_a_mark() {
        let now = Timestamp::UNIX_EPOCH;
        let finding =
            Finding::new(AlertCode::Trouble, Severity::Warning, now, "<!channel> & co", "Run `x > y`.");
        let message = Message { event: Event::Raised, finding, ..Message::test("c", "vault", now) };
        assert_eq!(
            text(&message),
            "*[warning] &lt;!channel&gt; &amp; co*\nRun `x &gt; y`.\n_alert.trouble on vault_"
        );
    }
}
