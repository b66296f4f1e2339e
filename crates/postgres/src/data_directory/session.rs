//! What is said to the server: the beginning and the end of a backup.

use model::Lsn;

use crate::base_backup::Checkpoint;
use crate::client::Client;
use crate::cluster::ClusterError;
use crate::session::{SessionError, apply_session_settings};

/// The first major version with `pg_backup_start` instead of `pg_start_backup`.
const RENAMED_MAJOR: u32 = 15;

/// How the server ended a backup.
#[derive(Debug)]
pub(super) struct Stopped {
    /// Where the cluster is consistent.
    pub(super) lsn: Lsn,
    /// The contents of `backup_label`.
    pub(super) label: String,
    /// The contents of `tablespace_map`; empty if there is no tablespace.
    pub(super) tablespace_map: String,
    /// What the server warned of.
    pub(super) warnings: Vec<String>,
}

/// Gives the session the fixed settings: nothing ends it while it has nothing to do.
pub(super) fn settle(client: &mut Client) -> Result<(), ClusterError> {
    apply_session_settings(client).map_err(|error| match error {
        SessionError::Statement(error) => ClusterError::Client(error),
        refused @ SessionError::Refused { .. } => ClusterError::Unsuitable { problem: refused.to_string() },
    })
}

pub(super) fn is_standby(client: &mut Client) -> Result<bool, ClusterError> {
    Ok(client.query_one("SELECT pg_catalog.pg_is_in_recovery()", &[])?.is_true(0))
}

/// An error if the session is gone, and the backup with it, or if the backup is not worth going on with.
pub(super) fn is_still_there(client: &mut Client, from_standby: bool) -> Result<(), ClusterError> {
    if is_standby(client)? == from_standby {
        return Ok(());
    }
    Err(ClusterError::Unsuitable { problem: "the standby was promoted during the backup".to_owned() })
}

/// Begins a backup, with a checkpoint at once. Where replay will begin.
pub(super) fn start_backup(
    client: &mut Client,
    label: &str,
    checkpoint: Checkpoint,
) -> Result<Lsn, ClusterError> {
    let sql = if client.server_major() >= RENAMED_MAJOR {
        "SELECT pg_catalog.pg_backup_start($1, $2)"
    } else {
        "SELECT pg_catalog.pg_start_backup($1, $2, false)"
    };
    let fast = if checkpoint == Checkpoint::Fast { "true" } else { "false" };
    Ok(client.query_one(sql, &[Some(label), Some(fast)])?.number(0)?)
}

/// Ends the backup. It does not wait until the WAL was archived, since the backup has its own.
pub(super) fn stop_backup(client: &mut Client) -> Result<Stopped, ClusterError> {
    let sql = if client.server_major() >= RENAMED_MAJOR {
        "SELECT lsn, labelfile, spcmapfile FROM pg_catalog.pg_backup_stop(false)"
    } else {
        "SELECT lsn, labelfile, spcmapfile FROM pg_catalog.pg_stop_backup(false, false)"
    };
    client.take_notices();
    let row = client.query_one(sql, &[])?;
    let (label, map) = (row.text(1)?.to_owned(), row.get(2).unwrap_or_default().to_owned());
    let warnings = client.take_notices().into_iter().map(|notice| notice.message).collect();
    Ok(Stopped { lsn: row.number(0)?, label, tablespace_map: map, warnings })
}
