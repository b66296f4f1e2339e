//! What `pg_restore --verbose` says, reduced to what matters.
//!
//! Verbose, because only then does it say at which entry it failed. Its progress lines are dropped as they come, so that the error
//! is kept however many objects were restored before it.

use std::fmt::Write as _;

use crate::archive::{DumpId, Toc};

/// Most bytes of a message.
const MESSAGE_BYTES: usize = 2000;

/// The first words of lines that report progress.
const PROGRESS: [&str; 13] = [
    "connecting to database",
    "creating ",
    "entering main parallel loop",
    "executing ",
    "finished item ",
    "finished main parallel loop",
    "implied ",
    "launching item ",
    "no item ready",
    "processing ",
    "reducing dependencies",
    "restor",
    "skipping item ",
];

const PREFIX: &str = "pg_restore: ";

/// Whether a line is worth keeping.
pub(super) fn is_telling(line: &str) -> bool {
    // Workers of a parallel restore write at the same time, so a line may have its prefix twice, or lack it.
    let mut said = line.trim_start();
    while let Some(rest) = said.strip_prefix(PREFIX.trim_end()) {
        said = rest.trim_start();
    }
    !said.is_empty() && !PROGRESS.iter().any(|words| said.starts_with(words))
}

/// What `pg_restore` said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Transcript {
    /// The first error.
    pub(super) failure: Option<Failure>,
    /// Errors that only say that the target does not know a setting which `pg_restore` always sets.
    pub(super) unknown_settings: usize,
    /// Everything else that is not progress.
    pub(super) warnings: Vec<String>,
}

/// An error of `pg_restore`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// The entry at which it happened.
    pub(super) dump_id: Option<DumpId>,
    /// What it was, in one line.
    pub(super) message: String,
}

impl Failure {
    /// The object at which it happened.
    pub(super) fn object(&self, toc: &Toc) -> Option<String> {
        self.dump_id.and_then(|id| toc.entry(id)).map(ToString::to_string)
    }
}

impl Transcript {
    /// Reads what was said. With `old_server`, errors about settings that a server before version 17 does not know are counted
    /// and passed over.
    pub(super) fn read(text: &str, old_server: bool) -> Self {
        let mut transcript = Self::default();
        let mut dump_id = None;
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            // What workers of a parallel restore say may run into each other.
            let said = line.trim_start_matches(PREFIX.trim_end()).trim_start();
            if let Some(entry) = said.strip_prefix("from TOC entry ") {
                dump_id = entry.split(';').next().and_then(|id| id.parse().ok());
            } else if let Some(at) = said.find("error: ") {
                let mut message = said[at + "error: ".len()..].to_owned();
                let mut is_command = false;
                while let Some(more) = lines.next_if(|line| !line.starts_with(PREFIX)) {
                    // The command may hold a password, and the context the values of a row.
                    is_command |= more.starts_with("Command was: ") || more.starts_with("CONTEXT: ");
                    if !is_command && !more.trim().is_empty() {
                        let _ = write!(message, "; {}", more.trim());
                    }
                }
                transcript.add_error(dump_id.take(), &message, old_server);
            } else if is_warning(said, line, old_server) {
                transcript.warnings.push(shortened(said));
            }
        }
        // With every error seen and none left over, nothing was ignored but what was counted.
        if let Some(ignored) =
            transcript.warnings.iter().find(|line| line.contains("errors ignored on restore"))
            && transcript.failure.is_none()
        {
            transcript.failure = Some(Failure { dump_id: None, message: ignored.clone() });
        }
        transcript
    }

    fn add_error(&mut self, dump_id: Option<DumpId>, message: &str, old_server: bool) {
        let is_setting = message.contains("unrecognized configuration parameter \"transaction_timeout\"");
        if old_server && is_setting {
            self.unknown_settings += 1;
        } else if self.failure.is_none() {
            self.failure = Some(Failure { dump_id, message: shortened(message) });
        }
    }
}

fn is_warning(said: &str, line: &str, old_server: bool) -> bool {
    let is_counted = old_server && said.contains("errors ignored on restore");
    let is_context = said.starts_with("while ") || said.trim().is_empty();
    is_telling(line) && !is_context && !is_counted
}

fn shortened(text: &str) -> String {
    let mut end = MESSAGE_BYTES.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str], old_server: bool) -> Transcript {
        let kept: Vec<_> = lines.iter().copied().filter(|line| is_telling(line)).collect();
        Transcript::read(&kept.join("\n"), old_server)
    }

    #[test]
    fn progress_of_parallel_workers_is_progress_however_it_is_mixed() {
        for line in [
            "pg_restore: launching item 4286 ACL LARGE OBJECT 1",
            "pg_restore:launching item 4286 ACL LARGE OBJECT 1",
            "pg_restore: pg_restore: executing ACL LARGE OBJECT 1",
            "executing ACL LARGE OBJECT 1",
            "pg_restore: ",
        ] {
            assert!(!is_telling(line), "{line}");
        }
        assert!(is_telling("pg_restore: pg_restore: warning: something"));
    }

    #[test]
    fn the_first_error_is_named_with_its_entry() {
        let transcript = read(
            &[
                "pg_restore: connecting to database for restore",
                "pg_restore: processing data for table \"ledger.entry\"",
                "pg_restore: while PROCESSING TOC:",
                "pg_restore: from TOC entry 3494; 0 16497 TABLE DATA entry fixture_owner",
                "pg_restore: error: COPY failed for table \"entry\": ERROR:  new row violates check constraint \"c\"",
                "DETAIL:  Failing row contains (100, 101, 100).",
                "CONTEXT:  COPY entry, line 100: \"100\t101\t100\"",
                "pg_restore: from TOC entry 4; 0 0 INDEX other fixture_owner",
                "pg_restore: error: another",
            ],
            false,
        );
        let expected = Failure {
            dump_id: Some(3494),
            message: "COPY failed for table \"entry\": ERROR:  new row violates check constraint \"c\"; \
                      DETAIL:  Failing row contains (100, 101, 100)."
                .to_owned(),
        };
        assert_eq!(transcript.failure, Some(expected));
    }

    /// P9: the command is not repeated.
    #[test]
    fn commands_are_not_repeated() {
        let transcript = read(
            &[
                "pg_restore: from TOC entry 3490; 6100 16573 SUBSCRIPTION feed postgres",
                "pg_restore: error: could not execute query: ERROR:  permission denied",
                "HINT:  Be someone else.",
                "Command was: CREATE SUBSCRIPTION feed CONNECTION 'password=secret",
                "also=secret' PUBLICATION p;",
                "",
                "",
            ],
            false,
        );
        let message = transcript.failure.unwrap().message;
        assert_eq!(message, "could not execute query: ERROR:  permission denied; HINT:  Be someone else.");
        assert!(transcript.warnings.is_empty());
    }

    #[test]
    fn lines_that_run_into_each_other_are_still_errors() {
        let transcript = read(&["pg_restore:pg_restore: error: one", "Command was: x", " error: two"], false);
        assert_eq!(transcript.failure.unwrap().message, "one");
    }

    #[test]
    fn errors_that_were_ignored_are_errors() {
        let transcript = read(&["pg_restore: warning: errors ignored on restore: 2"], false);
        assert_eq!(transcript.failure.unwrap().message, "warning: errors ignored on restore: 2");
    }

    #[test]
    fn warnings_are_kept_and_progress_is_not() {
        let transcript = read(
            &[
                "pg_restore: creating TABLE \"ledger.error: account\"",
                "pg_restore: launching item 3330 INDEX event_at",
                "pg_restore: WARNING:  tables were not subscribed",
            ],
            false,
        );
        let expected = Transcript {
            warnings: vec!["WARNING:  tables were not subscribed".into()],
            ..Transcript::default()
        };
        assert_eq!(transcript, expected);
    }

    #[test]
    fn an_old_server_may_not_know_a_setting_and_nothing_else() {
        let setting = [
            "pg_restore: while INITIALIZING:",
            "pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter \"transaction_timeout\"",
            "Command was: SET transaction_timeout = 0;",
        ];
        let ignored = ["pg_restore: warning: errors ignored on restore: 1"];
        let transcript = read(&[&setting[..], &ignored].concat(), true);
        assert_eq!((transcript.failure.clone(), transcript.unknown_settings), (None, 1), "{transcript:?}");
        assert!(transcript.warnings.is_empty());
        assert!(read(&[&setting[..], &ignored].concat(), false).failure.is_some());
        let other = ["pg_restore: error: could not execute query: ERROR:  no such type"];
        let transcript = read(&[&setting[..], &other, &ignored].concat(), true);
        assert_eq!(transcript.failure.unwrap().message, "could not execute query: ERROR:  no such type");
    }
}
