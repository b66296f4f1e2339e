//! Why a replication connection or a replication command failed, so that each case can be told what to do about it.

use crate::client::error::{Error, ServerError};

/// A replication connection could not be made, or a replication command failed.
#[derive(Debug, thiserror::Error)]
pub enum ReplicationError {
    /// The role lacks the attribute REPLICATION.
    #[error("the role {user} may not replicate: it has not the attribute REPLICATION")]
    NotPermitted {
        /// The role.
        user: String,
        /// What the server said.
        #[source]
        source: Error,
    },
    /// `pg_hba.conf` has no entry that lets the role replicate. The database `all` does not include replication.
    #[error("{host} has no entry in pg_hba.conf that lets the role {user} replicate from here")]
    NoAccessEntry {
        /// Host and port, or socket.
        host: String,
        /// The role.
        user: String,
        /// What the server said.
        #[source]
        source: Error,
    },
    /// Every WAL sender is taken, or there is none.
    #[error("{host} has no WAL sender left (max_wal_senders)")]
    NoSenderLeft {
        /// Host and port, or socket.
        host: String,
        /// What the server said.
        #[source]
        source: Error,
    },
    /// The WAL of the server does not hold enough (`wal_level = minimal`).
    #[error("the WAL of {host} is not enough for a physical backup (wal_level)")]
    WalLevel {
        /// Host and port, or socket.
        host: String,
        /// What the server said.
        #[source]
        source: Error,
    },
    /// Every replication slot is taken, or there is none.
    #[error("{host} has no replication slot left (max_replication_slots)")]
    NoSlotLeft {
        /// Host and port, or socket.
        host: String,
        /// What the server said.
        #[source]
        source: Error,
    },
    /// There is a slot of that name.
    #[error("there is a replication slot {slot} already")]
    SlotExists {
        /// Its name.
        slot: String,
        /// What the server said.
        #[source]
        source: Error,
    },
    /// There is no slot of that name.
    #[error("there is no replication slot {slot}")]
    NoSlot {
        /// The name.
        slot: String,
        /// What the server said.
        #[source]
        source: Error,
    },
    /// Somebody else uses the slot.
    #[error("the replication slot {slot} is in use")]
    SlotInUse {
        /// Its name.
        slot: String,
        /// What the server said.
        #[source]
        source: Error,
    },
    /// WAL that was asked for is not there any more.
    #[error("WAL that was asked for is not on {host} any more")]
    WalGone {
        /// Host and port, or socket.
        host: String,
        /// What the server said.
        #[source]
        source: Error,
    },
    /// The server is of a version that lacks it.
    #[error("PostgreSQL {major} has no {what}")]
    TooOld {
        /// The major version.
        major: u32,
        /// What it lacks.
        what: &'static str,
    },
    /// Anything else.
    #[error(transparent)]
    Client(#[from] Error),
}

/// What a command was about, to name it when it fails.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) host: &'a str,
    pub(super) user: &'a str,
    pub(super) slot: Option<&'a str>,
}

impl About<'_> {
    /// Tells the cases apart by SQLSTATE and, where one stands for several, by what no translation changes: names of settings
    /// and files.
    pub(super) fn classify(&self, source: Error) -> ReplicationError {
        let (host, user) = (self.host.to_owned(), self.user.to_owned());
        let Some(ServerError { code, message, hint, .. }) = source.server() else { return source.into() };
        let mentions =
            |word: &str| message.contains(word) || hint.as_ref().is_some_and(|hint| hint.contains(word));
        let slot = self.slot.map(str::to_owned);
        match (code.as_str(), slot) {
            // Later it would be about one setting or one function.
            ("42501", _) if matches!(source, Error::Refused { .. } | Error::AllHosts { .. }) => {
                ReplicationError::NotPermitted { user, source }
            }
            ("28000", _) if mentions("pg_hba.conf") => ReplicationError::NoAccessEntry { host, user, source },
            ("53300", _) if mentions("max_wal_senders") => ReplicationError::NoSenderLeft { host, source },
            ("55000", _) if mentions("wal_level") => ReplicationError::WalLevel { host, source },
            ("53400" | "55000", Some(_)) if mentions("max_replication_slots") => {
                ReplicationError::NoSlotLeft { host, source }
            }
            ("42710", Some(slot)) => ReplicationError::SlotExists { slot, source },
            ("42704", Some(slot)) => ReplicationError::NoSlot { slot, source },
            ("55006", Some(slot)) => ReplicationError::SlotInUse { slot, source },
            ("58P01", _) => ReplicationError::WalGone { host, source },
            _ => source.into(),
        }
    }
}

impl ReplicationError {
    /// The error of the connection or of the server below.
    pub fn client(&self) -> Option<&Error> {
        match self {
            Self::NotPermitted { source, .. }
            | Self::NoAccessEntry { source, .. }
            | Self::NoSenderLeft { source, .. }
            | Self::WalLevel { source, .. }
            | Self::NoSlotLeft { source, .. }
            | Self::SlotExists { source, .. }
            | Self::NoSlot { source, .. }
            | Self::SlotInUse { source, .. }
            | Self::WalGone { source, .. }
            | Self::Client(source) => Some(source),
            Self::TooOld { .. } => None,
        }
    }
}
