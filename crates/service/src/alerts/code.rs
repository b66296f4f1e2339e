//! The codes of alerts: what each means, how bad it is, and what to do about it. docs/alerts.md is made from here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $severity:literal, $meaning:literal, $action:literal;)+) => {
        /// What an alert is about. Scripts depend on the words.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub enum AlertCode { $($(#[$doc])* $variant),+ }

        impl AlertCode {
            /// All of them, in the order of the page.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// How bad it is, in words.
            pub const fn severity(self) -> &'static str {
                match self { $(Self::$variant => $severity),+ }
            }

            /// What it means.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning),+ }
            }

            /// What to do.
            pub const fn action(self) -> &'static str {
                match self { $(Self::$variant => $action),+ }
            }
        }
    };
}

codes! {
    /// A backup failed.
    BackupFailed = "alert.backup_failed", "warning; critical from `failures` (3) in a row on",
        "The last backup of a source and kind failed, or was killed. The message has the error and says how many failed in a row.",
        "Run the backup by hand and do what its error says (docs/errors.md).";
    /// A backup did not verify.
    VerificationFailed = "alert.verification_failed", "critical; warning when a newer backup is proven",
        "A backup did not verify: it was restored, or its objects were read, and not everything was as it was written.",
        "Make and prove a new backup first. Then find out what damaged the old one, and remove it with `chronavault prune --failed`.";
    /// There is no proven backup that is young enough.
    NoProvenBackup = "alert.no_proven_backup", "critical; warning before the first backup was tried",
        "The newest proven backup of a source and kind is older than its schedule allows (`rpo`), or there is none.",
        "Make a backup, or prove the newest with `chronavault verify`.";
    /// A backup took unusually long.
    DurationUnusual = "alert.duration_unusual", "warning",
        "The last backup took much longer than the 30 before it: at least `outlier_factor` (2) times their median, and out of their usual spread. Needs 5 earlier ones.",
        "Look at the load of the server, the network and the disk; look whether the database grew.";
    /// A backup has an unusual size.
    SizeUnusual = "alert.size_unusual", "warning",
        "The last backup read much less, or stored much more or much less, than the 30 before it. Rows may have been deleted, or rewritten.",
        "Look at what changed in the database; a backup from before is still there.";
    /// An operation of the schedule failed.
    OperationFailed = "alert.operation_failed", "warning",
        "The last prune, verification or drill ended with an error.",
        "Run it by hand and do what its error says (docs/errors.md).";
    /// A rehearsed recovery was not within the objectives.
    DrillMissed = "alert.drill_missed", "critical",
        "The last drill took longer than `recovery.rto_hours` (4), or lost more than `recovery.rpo_hours` (24).",
        "Read its report (`chronavault recover list`): restore with more jobs or from faster storage, or make backups more often.";
    /// Rehearsed recoveries will not be within the objectives soon.
    DrillTrend = "alert.drill_trend", "warning within `drill_trend_days` (90)",
        "If drills go on to take longer as they did, they will take longer than `recovery.rto_hours`. Needs 3 of them.",
        "Restore with more jobs or from faster storage, keep less in the database, or use physical backups.";
    /// The storage is nearly full.
    StorageFull = "alert.storage_full", "warning from `storage_percent` (80) on; critical from `storage_critical_percent` (95) on",
        "Of the place that the repository has, so much is used. The message says what fills it and what a prune would free.",
        "Run `chronavault prune`, keep less, or give the repository more room.";
    /// The storage will be full soon.
    StorageForecast = "alert.storage_forecast", "warning within `forecast_days` (14); critical within 3 days",
        "If the repository grows on as it did in the last 35 days, its place will be full.",
        "Run `chronavault prune`, keep less, or give the repository more room.";
    /// WAL is missing.
    WalGap = "alert.wal_gap", "critical",
        "WAL is missing in the archive: no moment in or behind the gap can be reached from a backup before it.",
        "Take a physical backup now, and find out why the WAL did not arrive.";
    /// WAL arrives late.
    WalLag = "alert.wal_lag", "warning",
        "The server is ahead of the archive by more than `wal_lag_mb` (256), or nothing was archived for `wal_age_minutes` (not set).",
        "Look at the network and the receiver; look for errors of `archive_command` in the server's log.";
    /// A replication slot is in danger.
    WalSlot = "alert.wal_slot", "critical",
        "The replication slot is about to lose WAL, or has lost it, or keeps so much that the disk of the server fills.",
        "Let the receiver catch up, or raise max_slot_wal_keep_size; drop a slot that nobody needs.";
    /// A receiver of WAL does not run.
    WalReceiver = "alert.wal_receiver", "critical",
        "WAL of a source is to be received here, and nobody does.",
        "Do what its last error says; look at the server and the role.";
    /// A key is old.
    KeyOld = "alert.key_old", "warning",
        "A key that opens the repository is older than `key_days` (90).",
        "Run `chronavault keys rotate`.";
    /// A key exists in one place only.
    KeySingle = "alert.key_single", "warning",
        "One key alone opens the repository, and nobody has shown that there is a copy of it. When it is lost, all backups are.",
        "Run `chronavault keys add` or `chronavault keys escrow`, and keep the result elsewhere.";
    /// The clock jumped.
    Clock = "alert.clock", "critical",
        "A backup or a run is from the future, so the clock was or is wrong. Ages, schedules and retention cannot be relied on.",
        "Correct the clock (`timedatectl`); a prune removes nothing until then.";
    /// Permissions are looser than they may be.
    Permissions = "alert.permissions", "critical",
        "Other users can reach the repository, a key or the state of the service.",
        "Take the permissions away, and find out who changed them.";
    /// The journal is not what was written.
    Journal = "alert.journal", "critical",
        "The journal was changed, cut off or replaced, or cannot be read.",
        "Run `chronavault journal verify`, keep the files as they are, and find out who changed them.";
    /// Something could not be found out, or is not as it must be.
    Trouble = "alert.trouble", "warning; critical when the repository, the key or the service itself cannot be used",
        "Something else is not as it must be, or could not be looked at. What was wrong there before counts as wrong until it can be looked at again.",
        "Do what the message says; `chronavault doctor` checks the rest.";
    /// A channel does not take messages.
    ChannelFailed = "alert.channel_failed", "critical",
        "A channel of alerts, or the ping, failed 5 times in a row. The other channels say so, whatever the routes are.",
        "Run `chronavault alert test`.";
    /// A test.
    Test = "alert.test", "info",
        "Somebody ran `chronavault alert test`.",
        "Nothing.";
}

impl AlertCode {
    /// Whether it says that the service itself is not to be relied on, when it is critical. Then nobody is told that all is well.
    pub const fn is_about_the_service(self) -> bool {
        matches!(self, Self::Clock | Self::Journal | Self::Trouble)
    }
}

impl fmt::Display for AlertCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is no code of an alert.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the code of an alert")]
pub struct ParseAlertCodeError {
    text: String,
}

impl FromStr for AlertCode {
    type Err = ParseAlertCodeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|code| code.as_str() == text);
        found.copied().ok_or_else(|| ParseAlertCodeError { text: text.chars().take(80).collect() })
    }
}

impl TryFrom<String> for AlertCode {
    type Error = ParseAlertCodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<AlertCode> for String {
    fn from(code: AlertCode) -> Self {
        code.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests;
