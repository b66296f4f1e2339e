//! What is sent.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{AlertCode, Finding, Severity, wording};

/// Raised when a field of the JSON changes its meaning or goes away.
const SCHEMA_VERSION: u64 = 1;

/// Why something is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// It is wrong since now.
    Raised,
    /// It is worse or better than before, and still wrong.
    Changed,
    /// It is still wrong.
    Reminder,
    /// It is still wrong, and nobody did anything.
    Escalated,
    /// It is not wrong any more.
    Resolved,
    /// Somebody tests the channel.
    Test,
}

impl Event {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Changed => "changed",
            Self::Reminder => "reminder",
            Self::Escalated => "escalated",
            Self::Resolved => "resolved",
            Self::Test => "test",
        }
    }
}

/// A message. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Different for each message, and the same whenever one is sent again. Who gets an id twice got one message.
    pub id: String,
    /// Why it is sent.
    pub event: Event,
    /// What is wrong; of one that is resolved, what was.
    pub finding: Finding,
    /// Since when it is wrong.
    pub raised_at: Timestamp,
    /// When the message was made.
    pub at: Timestamp,
    /// The machine that says so.
    pub instance: String,
}

impl Message {
    /// A message to test a channel with.
    pub fn test(channel: &str, instance: &str, now: Timestamp) -> Self {
        let message = format!("this is a test of the channel {channel:?}; nothing is wrong");
        let hint = "Nothing needs to be done.";
        let finding = Finding::new(AlertCode::Test, Severity::Info, now, &message, hint).about(channel);
        Self {
            id: format!("test-{}-{channel}", now.as_millisecond()),
            event: Event::Test,
            finding,
            raised_at: now,
            at: now,
            instance: instance.to_owned(),
        }
    }

    /// As JSON, the same for every channel that sends JSON.
    pub fn to_json(&self) -> Value {
        let finding = &self.finding;
        json!({
            "schema_version": SCHEMA_VERSION,
            "id": self.id,
            "event": self.event,
            "key": finding.key(),
            "code": finding.code,
            "severity": finding.severity,
            "source": finding.source,
            "kind": finding.kind,
            "object": finding.object,
            "backup": finding.backup,
            "message": finding.message,
            "hint": finding.hint,
            "happened_at": wording::time(finding.at),
            "raised_at": wording::time(self.raised_at),
            "sent_at": wording::time(self.at),
            "instance": self.instance,
        })
    }

    /// One line that says it all: `[critical] the last backup …`.
    pub fn title(&self) -> String {
        let severity = self.finding.severity;
        let tag = match self.event {
            Event::Raised | Event::Changed => severity.to_string(),
            Event::Reminder => format!("still {severity}"),
            Event::Escalated => format!("{severity}, escalated"),
            Event::Resolved => "resolved".to_owned(),
            Event::Test => "test".to_owned(),
        };
        format!("[{tag}] {}", self.finding.message)
    }

    /// The whole message as lines for people.
    pub fn to_text(&self) -> String {
        let finding = &self.finding;
        let mut lines = vec![format!("{}.", self.title()), String::new()];
        if self.event == Event::Resolved {
            lines.push(format!(
                "It was wrong from {} to {}.",
                wording::time(self.raised_at),
                wording::time(self.at)
            ));
        } else {
            lines.push(format!("What to do: {}", finding.hint));
        }
        lines.push(String::new());
        lines.push(format!("code:    {}", finding.code));
        if let Some(source) = &finding.source {
            lines.push(format!("source:  {source}"));
        }
        if let Some(kind) = finding.kind {
            lines.push(format!("kind:    {kind}"));
        }
        if let Some(backup) = &finding.backup {
            lines.push(format!("backup:  {backup}"));
        }
        lines.push(format!("since:   {}", wording::time(self.raised_at)));
        lines.push(format!("machine: {}", self.instance));
        lines.push(format!("id:      {}", self.id));
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_everything_that_one_needs() {
        let now: Timestamp = "2026-11-26T03:00:00Z".parse().unwrap();
        let finding =
            Finding::new(AlertCode::BackupFailed, Severity::Warning, now, "it failed: no.", "Run `x`.");
        let mut message = Message {
            id: "a-1".into(),
            event: Event::Raised,
            finding: finding.of(Some("books"), Some(model::Kind::Logical)),
            raised_at: now,
            at: now,
            instance: "vault".into(),
        };
        assert_eq!(
            message.to_text(),
            "[warning] it failed: no.\n\nWhat to do: Run `x`.\n\ncode:    alert.backup_failed\nsource:  books\nkind:    logical\n\
             since:   2026-11-26T03:00:00Z\nmachine: vault\nid:      a-1\n"
        );
        let json = message.to_json();
        assert_eq!((&json["code"], &json["kind"]), (&"alert.backup_failed".into(), &"logical".into()));
        assert_eq!((&json["event"], &json["severity"]), (&"raised".into(), &"warning".into()));
        message.event = Event::Resolved;
        assert!(message.to_text().starts_with("[resolved] it failed: no.\n\nIt was wrong from 2026"));
    }
}
