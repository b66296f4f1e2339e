//! The runbook of a site: what to do when something is wrong, with its own names, paths and commands.
//!
//! Invariant: the same facts at the same time give the same text. No secret is in it: connection strings have no passwords, and of keys
//! there is only what the repository says in clear text. Every line that begins with `chronavault` is one that this program takes.

mod gathered;
mod lost;
mod shell;
mod source;
#[cfg(test)]
mod tests;

use std::fmt::Write;

use jiff::Timestamp;
use repository::KeySummary;

use self::shell::{Shell, block, exports, file_url};
pub(crate) use self::source::SourceBook;
use crate::wording;

/// How every runbook begins.
pub(crate) const TITLE: &str = "# Recovery of ";

/// What is known of a site.
#[derive(Debug, Clone)]
pub(crate) struct Runbook {
    pub(crate) host: String,
    pub(crate) user: String,
    pub(crate) program: String,
    /// The settings file.
    pub(crate) config: Option<String>,
    pub(crate) repository: String,
    pub(crate) repository_id: String,
    pub(crate) journal: String,
    pub(crate) state: String,
    pub(crate) recoveries: String,
    /// The file with the key; nothing when the environment holds it.
    pub(crate) key_file: Option<String>,
    /// `DATABASE_URL` without its password.
    pub(crate) database_url: Option<String>,
    pub(crate) keys: Vec<KeySummary>,
    pub(crate) epoch: u32,
    pub(crate) contacts: Vec<String>,
    /// Schedules of no particular source: their names, and when they run.
    pub(crate) schedules: Vec<(String, String)>,
    pub(crate) sources: Vec<SourceBook>,
}

impl Runbook {
    /// The document as it is at a time.
    pub(crate) fn text(&self, at: Timestamp) -> String {
        let mut text = self.head(at);
        let parts = [self.contacts(), self.scenarios(), self.places(), self.keys(), self.schedules()];
        for part in parts {
            text.push('\n');
            text.push_str(&part);
        }
        for source in &self.sources {
            text.push('\n');
            text.push_str(&source.text(&self.shell(), self));
        }
        text + "\n" + &self.lost_host() + "\n" + &self.without_program()
    }

    fn shell(&self) -> Shell {
        Shell { config: self.config.clone() }
    }

    fn head(&self, at: Timestamp) -> String {
        let of = self.config.as_deref().unwrap_or("the environment, without a settings file");
        format!(
            "{TITLE}{}\n\nWritten at {} by chronavault {}, from {of}.\n\n\
             What stands here of backups, proofs, drills and keys is of that time. The repository has a copy of this document, \
             sealed, and `chronavault serve` puts a new one there after each change of the settings; backups and drills alone make \
             no new copy. `chronavault runbook` writes it anew. Keep one on paper, away from this host.\n",
            self.host,
            wording::time(at),
            env!("CARGO_PKG_VERSION"),
        )
    }

    fn contacts(&self) -> String {
        format!("## Whom to call\n\n{}", contacts(&self.contacts))
    }

    fn scenarios(&self) -> String {
        let mut text = "## What happened?\n\n| what happened | what to do |\n|---|---|\n".to_owned();
        for source in &self.sources {
            let rows = [
                (source.is_logical(), "the database is damaged, emptied or dropped", "Damaged"),
                (source.is_logical(), "something went wrong at a known moment", "Back to a moment"),
                (true, "rows of some tables are gone or wrong", "Some tables"),
                (
                    source.cluster.is_some(),
                    "the cluster is damaged or gone, or has to go back to a moment",
                    "The cluster",
                ),
            ];
            for (_, what, part) in rows.into_iter().filter(|(is_there, ..)| *is_there) {
                let _ = writeln!(text, "| {}: {what} | \"{}\", \"{part}\" |", source.name, source.name);
            }
        }
        text + "| this host is lost | \"The host is lost\" |\n\
                | the program chronavault is lost | \"Without this program\" |\n\n\
                Look before you act: copy what is damaged aside, and write down the time. A recovery is planned first \
                (`--dry-run`), stops at the first step that fails, goes on with `--resume` and is undone with `--rollback`.\n"
    }

    /// Where everything is, and what an environment has to have for the commands of this document.
    fn places(&self) -> String {
        let rows = [
            ("host", self.host.as_str()),
            ("settings", self.config.as_deref().unwrap_or("none: the environment")),
            ("program", &self.program),
            ("user", &self.user),
            ("repository", &self.repository),
            ("id of the repository", &self.repository_id),
            ("journal", &self.journal),
            ("state of the service", &self.state),
            ("reports of recoveries and drills", &self.recoveries),
            ("key", self.key_file.as_deref().unwrap_or("in BACKUP_ENCRYPTION_KEY")),
        ];
        let mut text = "## Where things are\n\n| what | where |\n|---|---|\n".to_owned();
        for (what, place) in rows {
            let _ = writeln!(text, "| {what} | `{place}` |");
        }
        text.push_str("\nThe commands below need this environment");
        text.push_str(if self.key_file.is_some() {
            ":\n\n"
        } else {
            ", and the key in BACKUP_ENCRYPTION_KEY:\n\n"
        });
        let mut lines = vec!["unset BACKUP_DIRECTORY".to_owned()];
        lines.extend(exports(&self.variables()));
        lines.push("# passwords of PostgreSQL: in this file, or in PGPASSWORD".to_owned());
        lines.push("export PGPASSFILE=~/.pgpass".to_owned());
        text + &block(&lines)
    }

    /// Variables of every command.
    fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![("BACKUP_REPOSITORY", file_url(&self.repository))];
        variables.extend(self.key_file.clone().map(|file| ("BACKUP_ENCRYPTION_KEY_FILE", file)));
        variables.extend(self.database_url.clone().map(|url| ("DATABASE_URL", url)));
        variables
    }

    fn keys(&self) -> String {
        let mut text = "## Keys\n\nWithout a key, no backup can be read by anyone. These open the repository:\n\n\
                        | key | whose | since | copy checked | opens everything | in use here |\n|---|---|---|---|---|---|\n"
            .to_owned();
        let time = |at: Option<Timestamp>, never: &str| at.map_or_else(|| never.to_owned(), wording::time);
        for key in &self.keys {
            let label = key.label.as_ref().map_or("", |label| label.as_str());
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} | {} | {} |",
                key.id,
                cell(label),
                time(key.created_at, "not known"),
                time(key.checked_at, "never"),
                yes(key.is_complete(self.epoch)),
                yes(key.in_use),
            );
        }
        text.push_str(
            "\nA copy that was never checked may not be one. To test a copy on paper, and to print one:\n\n",
        );
        let shell = self.shell();
        text + &block(&[
            shell.call(&["keys", "list"]),
            shell.call(&["keys", "escrow", "--check"]),
            shell.call(&["keys", "escrow", "--output", "recovery-sheet.svg"]),
        ])
    }

    fn schedules(&self) -> String {
        let mut text = "## For all sources\n\n".to_owned();
        for (name, when) in &self.schedules {
            let _ = writeln!(text, "- {name}: {when}");
        }
        let shell = self.shell();
        text.push_str("\nHow things stand now:\n\n");
        text + &block(&[
            shell.call(&["doctor"]),
            shell.call(&["list"]),
            shell.call(&["wal", "status"]),
            shell.call(&["alert", "list"]),
            shell.call(&["recover", "list"]),
        ])
    }
}

fn contacts(contacts: &[String]) -> String {
    if contacts.is_empty() {
        return "Nobody is named: set `recovery.contacts` in the settings.\n".to_owned();
    }
    let lines: Vec<_> = contacts.iter().map(|contact| format!("- {contact}\n")).collect();
    lines.concat()
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

/// A text in a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
