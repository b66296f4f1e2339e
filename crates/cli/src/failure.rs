//! A command that failed, as the person or script at the other end gets it: one sentence, a code, a hint, an exit status.
//!
//! Invariant: every failure has a [`Code`], so its exit status and its hint come from the one catalogue.

use std::error::Error;
use std::process::ExitCode;

use crate::catalogue::Code;

/// The exit statuses. Scripts depend on these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// The command line, the settings or the key are not right.
    Usage = 2,
    /// A backup did not verify.
    NotVerified = 3,
    /// Done, with warnings that need a person.
    Warnings = 4,
    /// `wal fetch` only: what was asked for is not archived. To the outside this is [`Exit::Failed`].
    Absent = 5,
    /// `wal fetch` only: it is not known whether what was asked for is archived. A server that gets more than 125 from its
    /// `restore_command` stops; with less it would take this for the end of the WAL. (143 would look like SIGTERM.)
    Abort = 200,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Absent => Self::from(Exit::Failed as u8),
            exit => Self::from(exit as u8),
        }
    }
}

/// Why a command did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What happened, for scripts.
    pub(crate) code: Code,
    /// What happened, in one sentence without its full stop.
    pub(crate) message: String,
    /// What to do next, where the catalogue's hint can be made more exact.
    hint: Option<String>,
    /// The exit status, where it is not that of the catalogue.
    exit: Option<Exit>,
}

impl Failure {
    /// A failure with the catalogue's hint.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: one_line(&message.into()), hint: None, exit: None }
    }

    /// A failure that an error and its sources describe.
    pub(crate) fn because(code: Code, error: &(dyn Error + 'static)) -> Self {
        Self::new(code, sentence(error))
    }

    /// Replaces the hint of the catalogue.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Replaces the sentence.
    pub(crate) fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = one_line(&message.into());
        self
    }

    /// Replaces the exit status of the catalogue.
    pub(crate) fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = Some(exit);
        self
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> &str {
        self.hint.as_deref().unwrap_or_else(|| self.code.hint())
    }

    /// The exit status that goes with it.
    pub(crate) fn exit(&self) -> Exit {
        self.exit.unwrap_or_else(|| self.code.exit())
    }
}

/// An error and its sources as one sentence: `cannot read x: permission denied`.
pub(crate) fn sentence(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        // Some foreign errors repeat their source.
        if !said.is_empty() && !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    one_line(&text)
}

/// `text` without line breaks, control characters and a closing full stop. What a server or a file says must not be able
/// to move the cursor or to fake another line.
pub(crate) fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_control() || c == ' ').filter(|word| !word.is_empty());
    let mut line = words.collect::<Vec<_>>().join(" ");
    if line.ends_with('.') && !line.ends_with("..") {
        line.pop();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the key")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn sources_are_joined_once() {
        let error = Outer(std::io::Error::other("no such file"));
        assert_eq!(sentence(&error), "cannot read the key: no such file");
    }

    #[test]
    fn a_sentence_is_one_line_without_control_characters() {
        assert_eq!(one_line("a\n  b\x1b[31m\tc. "), "a b [31m c");
        assert_eq!(one_line("and so on..."), "and so on...");
    }
}
