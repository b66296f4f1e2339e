//! The settings with which a restored cluster replays WAL, and their removal when it has.
//!
//! Invariant: settings of ours are in `postgresql.auto.conf` between two lines of comment, behind everything else, where they
//! count; what was there before stays.

use std::fmt::Write;

use model::{RecoveryTarget, TimelineId};

/// Where the server keeps settings that override all files.
pub(crate) const AUTO_CONF: &str = "postgresql.auto.conf";
/// Its existence makes a server recover from an archive (PostgreSQL documentation, section 26.3.4).
pub(super) const RECOVERY_SIGNAL: &str = "recovery.signal";

const BEGIN: &str = "# chronavault: recovery; removed when it ends";
const END: &str = "# chronavault: end";
/// The settings that a recovery may have, of which none is of use afterwards.
const NAMES: [&str; 10] = [
    "restore_command",
    "recovery_end_command",
    "recovery_target",
    "recovery_target_time",
    "recovery_target_lsn",
    "recovery_target_xid",
    "recovery_target_name",
    "recovery_target_inclusive",
    "recovery_target_timeline",
    "recovery_target_action",
];

/// What the server does when it has reached the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TargetAction {
    /// Opens for writing, on a new timeline.
    #[default]
    Promote,
    /// Stays open for reading, so that somebody can look.
    Pause,
    /// Shuts down.
    Shutdown,
}

/// What the server runs during recovery: shell commands, in which the server replaces `%f`, `%p` and `%%`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryCommands {
    /// Fetches the WAL file `%f` to `%p`.
    pub fetch: String,
    /// Removes these settings when recovery has ended.
    pub end: String,
}

/// Everything that is asked of a recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recovery {
    pub(super) target: RecoveryTarget,
    /// Whether to end just before the target.
    pub(super) exclusive: bool,
    /// The timeline to follow, if it is another than that of the backup.
    pub(super) timeline: Option<TimelineId>,
    pub(super) action: TargetAction,
    pub(super) commands: RecoveryCommands,
}

impl Recovery {
    /// The settings as lines of a configuration file.
    fn lines(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            let value = value.replace('\\', "\\\\").replace('\'', "''");
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name} = '{value}'");
        };
        line("restore_command", &self.commands.fetch);
        line("recovery_end_command", &self.commands.end);
        // A target of an earlier recovery would contradict this one: the server wants one target only.
        for name in NAMES.iter().filter(|name| is_target(name)) {
            line(name, "");
        }
        if let Some((name, value)) = self.target.setting() {
            line(name, &value);
        }
        let inclusive = !(self.exclusive && self.target.may_be_exclusive());
        line("recovery_target_inclusive", if inclusive { "on" } else { "off" });
        let timeline = self.timeline.map_or_else(|| "current".to_owned(), |timeline| timeline.to_string());
        line("recovery_target_timeline", &timeline);
        line(
            "recovery_target_action",
            match self.action {
                TargetAction::Promote => "promote",
                TargetAction::Pause => "pause",
                TargetAction::Shutdown => "shutdown",
            },
        );
        text
    }

    /// `postgresql.auto.conf` with these settings behind what it has.
    pub(super) fn add_to(&self, conf: &str) -> String {
        let mut conf = without_recovery(conf);
        if !conf.is_empty() && !conf.ends_with('\n') {
            conf.push('\n');
        }
        format!("{conf}{BEGIN}\n{}{END}\n", self.lines())
    }
}

fn is_target(name: &str) -> bool {
    matches!(
        name,
        "recovery_target"
            | "recovery_target_time"
            | "recovery_target_lsn"
            | "recovery_target_xid"
            | "recovery_target_name"
    )
}

/// `postgresql.auto.conf` without settings of a recovery. Where `ALTER SYSTEM` has rewritten the file since, and our comments are
/// gone, they are known by their names.
pub(crate) fn without_recovery(conf: &str) -> String {
    let has_marks = conf.lines().any(|line| line == BEGIN);
    let mut kept = String::with_capacity(conf.len());
    let mut ours = false;
    for line in conf.split_inclusive('\n') {
        let text = line.trim_end();
        ours |= text == BEGIN;
        let goes = ours || (!has_marks && is_recovery_setting(text));
        if !goes {
            kept.push_str(line);
        }
        ours &= text != END;
    }
    kept
}

fn is_recovery_setting(line: &str) -> bool {
    line.split_once('=').is_some_and(|(name, _)| NAMES.contains(&name.trim().to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recovery() -> Recovery {
        Recovery {
            target: RecoveryTarget::Name("before 'x'".to_owned()),
            exclusive: true,
            timeline: None,
            action: TargetAction::Promote,
            commands: RecoveryCommands { fetch: "fetch %f %p".to_owned(), end: "end".to_owned() },
        }
    }

    #[test]
    fn settings_come_last_and_go_without_a_trace() {
        let before = "# Do not edit this file manually!\nwork_mem = '8MB'\nrestore_command = 'cp'\n";
        let with = recovery().add_to(before);
        assert!(with.starts_with("# Do not edit this file manually!\nwork_mem = '8MB'\n"), "{with}");
        assert!(with.contains("recovery_target_name = 'before ''x'''\n"), "{with}");
        // A name has no "just before".
        assert!(with.contains("recovery_target_inclusive = 'on'\n"), "{with}");
        assert_eq!(without_recovery(&with), "# Do not edit this file manually!\nwork_mem = '8MB'\n");
        assert_eq!(recovery().add_to(&with), with);
    }

    #[test]
    fn settings_go_even_when_the_server_has_rewritten_the_file() {
        let rewritten: String = recovery()
            .add_to("work_mem = '8MB'\n")
            .lines()
            .filter(|line| !line.starts_with('#'))
            .fold(String::new(), |text, line| text + line + "\n");
        assert_eq!(without_recovery(&rewritten), "work_mem = '8MB'\n");
    }
}
