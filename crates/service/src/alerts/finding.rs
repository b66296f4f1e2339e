//! Something that is wrong at a moment.

use std::fmt;

use jiff::Timestamp;
use model::{BackupId, Kind};
use serde::{Deserialize, Serialize};

use super::AlertCode;
use super::wording::without_secrets;

/// Characters of a message; what is longer is cut.
const MESSAGE_CHARS: usize = 1000;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look at it on one of the next days.
    Warning,
    /// Data is in danger; somebody should look at it now.
    Critical,
}

impl Severity {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What makes two findings the same alert: the code and what it is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AlertKey(String);

impl fmt::Display for AlertKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about.
    pub code: AlertCode,
    /// How bad it is.
    pub severity: Severity,
    /// The source, where it is of one.
    pub source: Option<String>,
    /// The kind of backup, where it is of one.
    pub kind: Option<Kind>,
    /// What else makes it different from others with the same code: a key slot, a channel.
    pub object: Option<String>,
    /// The backup that shows it.
    pub backup: Option<BackupId>,
    /// What was found, in a sentence without its full stop, with the error. One line, without secrets.
    pub message: String,
    /// When that happened.
    pub at: Timestamp,
    /// What to do next.
    pub hint: String,
}

impl Finding {
    /// A finding about nothing in particular.
    pub(super) fn new(
        code: AlertCode,
        severity: Severity,
        at: Timestamp,
        message: &str,
        hint: impl Into<String>,
    ) -> Self {
        let mut message = without_secrets(message);
        if message.ends_with('.') && !message.ends_with("..") {
            message.pop();
        }
        if let Some((cut, _)) = message.char_indices().nth(MESSAGE_CHARS) {
            message.truncate(cut);
            message.push('…');
        }
        let hint = without_secrets(&hint.into());
        Self { code, severity, source: None, kind: None, object: None, backup: None, message, at, hint }
    }

    /// Of a source, and of a kind of its backups.
    pub(super) fn of(self, source: Option<&str>, kind: Option<Kind>) -> Self {
        Self { source: source.map(str::to_owned), kind, ..self }
    }

    /// About an object.
    pub(super) fn about(self, object: impl Into<String>) -> Self {
        Self { object: Some(object.into()), ..self }
    }

    /// Shown by a backup.
    pub(super) fn shown_by(self, backup: Option<&BackupId>) -> Self {
        Self { backup: backup.cloned(), ..self }
    }

    /// What makes it the same alert as another.
    pub fn key(&self) -> AlertKey {
        // As JSON, so that no name can be mistaken for another with a separator in it.
        let parts = (self.code, &self.source, self.kind, &self.object);
        AlertKey(serde_json::to_string(&parts).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(message: &str) -> Finding {
        Finding::new(AlertCode::Trouble, Severity::Warning, Timestamp::UNIX_EPOCH, message, "Look.")
    }

    #[test]
    fn a_key_is_of_the_code_and_the_object() {
        let one = finding("a").of(Some("a,b"), None).about("c").key();
        assert_eq!(one, finding("other words").of(Some("a,b"), None).about("c").key());
        assert_ne!(one, finding("a").of(Some("a"), None).about("b,c").key());
        assert_ne!(one, finding("a").of(Some("a,b"), Some(Kind::Logical)).about("c").key());
        let stored = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<AlertKey>(&stored).unwrap(), one);
    }

    #[test]
    fn a_message_is_one_line_of_limited_length() {
        let long = finding(&"ä\n".repeat(3000)).message;
        assert!(long.chars().count() == MESSAGE_CHARS + 1 && !long.contains('\n'), "{long}");
    }
}
