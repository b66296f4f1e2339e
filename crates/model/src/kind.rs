//! Words with a fixed set of values: the kind of a backup, the level and the outcome of a verification, operations and how they
//! end.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The text is none of the words that are allowed here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not one of {allowed}")]
pub struct ParseWordError {
    text: String,
    allowed: &'static str,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? } $allowed:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// The word as it is written in manifests, on the command line and in JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = ParseWordError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(ParseWordError { text: text.chars().take(80).collect(), allowed: $allowed }),
                }
            }
        }
    };
}

words! {
    /// What a backup holds.
    Kind {
        /// Schema and rows of one database.
        Logical = "logical",
        /// Data directory and WAL of a cluster.
        Physical = "physical",
    } "logical, physical"
}

words! {
    /// How far a verification goes; each level includes the ones before it.
    Level {
        /// The hash of every object that the backup needs.
        Objects = "objects",
        /// Every chunk decrypted, decompressed and compared with its id.
        Contents = "contents",
        /// A real restore, compared row for row with what was read at backup time.
        Restore = "restore",
    } "objects, contents, restore"
}

words! {
    /// What a verification found.
    Outcome {
        /// A real restore gave every row back.
        Proven = "proven",
        /// No fault at a level below `restore`.
        Sound = "sound",
        /// At least one problem.
        Failed = "failed",
    } "proven, sound, failed"
}

words! {
    /// What the journal speaks of.
    Operation {
        /// The repository was created.
        Init = "init",
        /// A backup, with its verification where there is one.
        Backup = "backup",
        /// A verification.
        Verify = "verify",
        /// A restore, into a database or a data directory.
        Restore = "restore",
        /// A backup was written out in plaintext.
        Export = "export",
        /// Backups and WAL expired.
        Prune = "prune",
        /// Backups were deleted because somebody said so.
        Delete = "delete",
        /// A backup was held, or its holds were released.
        Hold = "hold",
        /// A key holder was added.
        KeysAdd = "keys-add",
        /// The root key was changed.
        KeysRotate = "keys-rotate",
        /// A key holder was removed.
        KeysRemove = "keys-remove",
        /// A recovery sheet with a key was printed.
        KeysEscrow = "keys-escrow",
        /// WAL was received.
        WalReceive = "wal-receive",
        /// A recovery, from damage to a database or cluster that is back.
        Recover = "recover",
        /// A rehearsed recovery.
        Drill = "drill",
        /// Something that the schedule did or left undone.
        Schedule = "schedule",
        /// Somebody was alerted.
        Alert = "alert",
    } "init, backup, verify, restore, export, prune, delete, hold, keys-add, keys-rotate, keys-remove, keys-escrow, wal-receive, recover, drill, schedule, alert"
}

words! {
    /// What has happened, and so what a recovery has to do.
    Scenario {
        /// A database is damaged or gone, its server is not.
        Corruption = "corruption",
        /// Something went wrong at a known moment.
        PointInTime = "point-in-time",
        /// The machine is gone.
        LostHost = "lost-host",
        /// Rows of some tables are wrong or gone.
        Tables = "tables",
    } "corruption, point-in-time, lost-host, tables"
}

words! {
    /// A step of a recovery. They come in this order; no scenario has all of them.
    RecoveryStep {
        /// Everything that could stop the recovery later is looked at.
        Preflight = "preflight",
        /// What uses the database is stopped.
        StopServices = "stop-services",
        /// The newest backup that verifies is chosen.
        Choose = "choose",
        /// A throwaway server is started, in which the recovery is rehearsed.
        Sandbox = "sandbox",
        /// The backup is restored beside what is damaged.
        Restore = "restore",
        /// WAL is replayed up to the target.
        Replay = "replay",
        /// What was restored is compared with the backup, and checked.
        Check = "check",
        /// What was restored takes the place of what was damaged.
        Switch = "switch",
        /// What uses the database is started.
        StartServices = "start-services",
        /// The application says that it is well.
        Health = "health",
    } "preflight, stop-services, choose, sandbox, restore, replay, check, switch, start-services, health"
}

words! {
    /// How a run of an operation ended.
    RunOutcome {
        /// Done.
        Done = "done",
        /// Done, with warnings that need a person.
        Warnings = "warnings",
        /// Failed.
        Failed = "failed",
        /// Stopped by somebody.
        Cancelled = "cancelled",
    } "done, warnings, failed, cancelled"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_same_in_text_and_json() {
        assert_eq!("physical".parse::<Kind>().unwrap(), Kind::Physical);
        assert_eq!(serde_json::to_string(&Level::Contents).unwrap(), "\"contents\"");
        assert_eq!(Outcome::Proven.to_string(), "proven");
        assert!("Proven".parse::<Outcome>().is_err());
        assert_eq!(serde_json::to_string(&Operation::WalReceive).unwrap(), "\"wal-receive\"");
        assert_eq!("keys-add".parse::<Operation>().unwrap(), Operation::KeysAdd);
        assert!(Level::Objects < Level::Restore);
    }
}
