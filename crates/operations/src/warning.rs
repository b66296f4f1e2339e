//! What a person should know although an operation went on.

use std::fmt;

use model::{BackupId, ByteSize, Filters, Lsn};
use postgres::{Blocker, Finding, INVENTORY_VERSION, SlotProblem};

/// Something that needs a person, but did not stop the operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// The preflight found something.
    Preflight(Finding),
    /// The backup is larger than the limit that was set, and the setting says to go on.
    LargerThanLimit {
        /// Estimated or stored bytes.
        bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The role may not read role passwords, so the saved roles have none.
    RolesWithoutPasswords,
    /// The roles of the cluster could not be saved at all.
    RolesNotSaved {
        /// What `pg_dumpall` said.
        message: String,
    },
    /// Parts of the database were left out on request when it was backed up.
    Filtered {
        /// The backup.
        id: BackupId,
        /// What was left out.
        filters: Filters,
    },
    /// The verification could not restore, so nothing is proven.
    NotProven {
        /// Why.
        reason: String,
    },
    /// The inventory of the backup has another form than this program's, so only a part of it was compared.
    DefinitionsNotCompared {
        /// The backup.
        id: BackupId,
        /// The version of its inventory.
        version: u32,
    },
    /// Others waited for tables for themselves before these could be read, so the dump starts again with a new snapshot.
    StartedAgain {
        /// Who waited for what.
        blockers: Vec<Blocker>,
        /// The attempt that begins, from 2.
        attempt: u32,
        /// The last attempt that there will be.
        attempts: u32,
    },
    /// The backup that could have been reused from cannot be read.
    ParentUnreadable {
        /// What is wrong with it.
        message: String,
    },
    /// The checksum file could not be written; the backup is complete without it.
    NoChecksums {
        /// Why.
        message: String,
    },
    /// A program of PostgreSQL warned.
    Restore {
        /// What it said.
        message: String,
    },
    /// The server warned of something during a physical backup.
    Server {
        /// What it said.
        message: String,
    },
    /// Pages of the cluster have wrong checksums, and had when they were read again.
    BadPages {
        /// How many.
        count: u64,
        /// The first.
        first: String,
    },
    /// WAL is missing in the archive and on the server.
    WalGap {
        /// The first position that is missing.
        from: Lsn,
        /// Behind the last one.
        to: Lsn,
    },
    /// A replication slot is in danger.
    Slot {
        /// Its name.
        slot: String,
        /// What is wrong.
        problem: SlotProblem,
    },
    /// Nobody can say how a replication slot fares.
    SlotNotWatched {
        /// Its name.
        slot: String,
        /// Why not.
        message: String,
    },
    /// A check does not hold in what was restored.
    CheckFailed {
        /// The check.
        check: String,
        /// What was found.
        message: String,
    },
    /// A role that the backup refers to was made without a password.
    RoleCreated {
        /// The role.
        role: String,
    },
}

impl Warning {
    /// What is said wherever a backup is used that was made with `filters`, if there were any.
    pub(crate) fn if_filtered(id: &BackupId, filters: &Filters) -> Option<Self> {
        (!filters.is_empty()).then(|| Self::Filtered { id: id.clone(), filters: filters.clone() })
    }

    /// A stable word for scripts.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Preflight(_) => "preflight",
            Self::LargerThanLimit { .. } => "larger_than_limit",
            Self::RolesWithoutPasswords => "roles_without_passwords",
            Self::RolesNotSaved { .. } => "roles_not_saved",
            Self::Filtered { .. } => "filtered",
            Self::NotProven { .. } => "not_proven",
            Self::DefinitionsNotCompared { .. } => "definitions_not_compared",
            Self::StartedAgain { .. } => "started_again",
            Self::ParentUnreadable { .. } => "parent_unreadable",
            Self::NoChecksums { .. } => "no_checksums",
            Self::Restore { .. } => "restore",
            Self::Server { .. } => "server",
            Self::BadPages { .. } => "bad_pages",
            Self::WalGap { .. } => "wal_gap",
            Self::Slot { .. } => "slot",
            Self::SlotNotWatched { .. } => "slot_not_watched",
            Self::CheckFailed { .. } => "check_failed",
            Self::RoleCreated { .. } => "role_created",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preflight(finding) => write!(f, "{}: {}", finding.object, finding.message),
            Self::LargerThanLimit { bytes, limit_bytes } => {
                write!(
                    f,
                    "the database has {}, more than the limit of {}",
                    ByteSize(*bytes),
                    ByteSize(*limit_bytes)
                )
            }
            Self::RolesWithoutPasswords => {
                f.write_str("roles were saved without their passwords, which this role may not read")
            }
            Self::RolesNotSaved { message } => {
                write!(f, "the roles of the cluster were not saved: {message}")
            }
            Self::Filtered { id, filters } => write!(f, "{id} is filtered, not complete: {filters}"),
            Self::NotProven { reason } => {
                write!(f, "only the level contents could be reached, so the backup is not proven: {reason}")
            }
            Self::DefinitionsNotCompared { id, version } => write!(
                f,
                "{id} has an inventory of version {version} and this program makes version {INVENTORY_VERSION}, so the definitions of objects were not compared, only their classes, names and owners"
            ),
            Self::StartedAgain { blockers, attempt, attempts } => write!(
                f,
                "not all tables could be read, so the dump starts again (attempt {attempt} of {attempts}): {}",
                Blocker::line(blockers)
            ),
            Self::ParentUnreadable { message } => {
                write!(f, "an earlier backup cannot be read, so nothing of it is reused: {message}")
            }
            Self::NoChecksums { message } => {
                write!(
                    f,
                    "the checksum file was not written, so `sha256sum -c` cannot check this backup: {message}"
                )
            }
            Self::Restore { message } | Self::Server { message } => f.write_str(message),
            Self::BadPages { count: 1, first } => {
                write!(f, "a page of the cluster is damaged: the checksum of {first} is wrong")
            }
            Self::BadPages { count, first } => {
                write!(
                    f,
                    "{count} pages of the cluster are damaged: their checksums are wrong, first that of {first}"
                )
            }
            Self::WalGap { from, to } => write!(
                f,
                "WAL from {from} to {to} is neither archived nor on the server any more, so no recovery can pass it"
            ),
            Self::Slot { slot, problem } => write!(f, "the replication slot {slot} {problem}"),
            Self::SlotNotWatched { slot, message } => {
                write!(f, "nobody can say how the replication slot {slot} fares: {message}")
            }
            Self::CheckFailed { check, message } => write!(f, "the check {check:?} does not hold: {message}"),
            Self::RoleCreated { role } => write!(f, "role {role:?} was created without a password"),
        }
    }
}
