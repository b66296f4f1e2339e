//! Standbys: made of a base backup of their primary, and streaming from it.

#![expect(clippy::missing_panics_doc, reason = "failing is panicking here")]

use std::num::NonZeroUsize;
use std::path::Path;

use postgres::{BaseBackup, BaseBackupOptions, Checkpoint, Client, SandboxOptions};

use crate::{Cluster, make_startable, read_cluster};

/// Bytes of a region in these backups.
const REGION_BYTES: u32 = 256 * 1024;

impl Cluster {
    /// A standby of this cluster, which must be one for replication. Its files are first read into `root`. It has replayed everything
    /// up to now when this returns.
    #[must_use]
    pub fn standby(&self, root: &Path, configure: impl FnOnce(&mut SandboxOptions)) -> Self {
        let options = BaseBackupOptions {
            connection: self.options("postgres"),
            checkpoint: Checkpoint::Fast,
            threads: NonZeroUsize::MIN,
            checksums: false,
            earlier: None,
        };
        read_cluster(&mut BaseBackup::new(options), root, REGION_BYTES, None).expect("the primary is read");
        std::fs::write(root.join("standby.signal"), "").expect("the signal is written");
        make_startable(root, self.owner()).expect("the directory is made startable");
        let (host, port) = (self.sandbox().socket_directory(), self.sandbox().port());
        let primary = format!("host={} port={port} user=postgres", host.display());
        let standby = Cluster::replicating(|options| {
            options.template = Some(root.to_owned());
            options.settings.push(("primary_conninfo".into(), primary));
            options.settings.push(("hot_standby".into(), "on".into()));
            configure(options);
        });
        standby.catch_up(&mut self.client("postgres"));
        standby
    }

    /// Waits until this standby has replayed what its primary has written by now.
    pub fn catch_up(&self, primary: &mut Client) {
        let written = primary.query_one("SELECT pg_current_wal_lsn()", &[]).expect("the primary tells");
        let mut client = self.client("postgres");
        let sql = "SELECT pg_last_wal_replay_lsn() >= $1";
        while !client.query_one(sql, &[written.get(0)]).expect("the standby tells").is_true(0) {}
    }

    /// Makes this standby a primary.
    pub fn promote(&self) {
        let promoted = self.client("postgres").query_one("SELECT pg_promote()", &[]).expect("it promotes");
        assert!(promoted.is_true(0), "the standby was not promoted");
    }
}
