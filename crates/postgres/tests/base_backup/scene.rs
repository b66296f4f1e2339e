//! Clusters to back up, and clusters that are made of backups.

use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use chronavault_postgres::{BaseBackup, BaseBackupOptions, Checkpoint, Client};
use testkit::{Cluster, ReadCluster, make_startable, read_cluster};

/// The size of the regions in these tests: small, so that many files have several.
pub(crate) const REGION_BYTES: u32 = 64 * 1024;

pub(crate) fn options(cluster: &Cluster) -> BaseBackupOptions {
    BaseBackupOptions {
        connection: cluster.options("postgres"),
        checkpoint: Checkpoint::Fast,
        threads: NonZeroUsize::new(3).unwrap(),
        checksums: true,
        earlier: None,
    }
}

/// A directory that other accounts can pass through.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("base-backup-").tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Self(directory)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Takes a base backup into `root`.
pub(crate) fn back_up(cluster: &Cluster, root: &Path) -> ReadCluster {
    read_cluster(&mut BaseBackup::new(options(cluster)), root, REGION_BYTES, None).unwrap()
}

/// Starts a copy of what a backup of `cluster` left in `root`.
pub(crate) fn start(cluster: &Cluster, root: &Path) -> Cluster {
    make_startable(root, cluster.owner()).unwrap();
    Cluster::replicating(|options| options.template = Some(root.to_owned()))
}

/// A small bank: every transaction moves money and writes that down, so the sum of all accounts is that of the history.
pub(crate) fn make_bank(client: &mut Client) {
    client
        .execute(
            "CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL DEFAULT 0, filler text);
             INSERT INTO account SELECT i, 0, repeat('x', 100) FROM generate_series(1, 20000) i;
             CREATE TABLE history (id bigserial PRIMARY KEY, account int NOT NULL, delta bigint NOT NULL);",
        )
        .unwrap();
}

/// Sets a flag when it is dropped, so that threads end when a test fails.
pub(crate) struct StopOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Moves money until `stop` is set. Returns how many transactions were committed.
pub(crate) fn trade(client: &mut Client, seed: u64, stop: &AtomicBool) -> u64 {
    let mut random = seed;
    let mut committed = 0;
    while !stop.load(Ordering::Relaxed) {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (account, delta) = ((random >> 33) % 20000 + 1, (random >> 20) % 1000);
        let sql = format!(
            "BEGIN; UPDATE account SET balance = balance + {delta} WHERE id = {account}; \
             INSERT INTO history (account, delta) VALUES ({account}, {delta}); COMMIT"
        );
        client.execute(&sql).unwrap();
        committed += 1;
    }
    committed
}

/// The books balance, by the heap and by the indexes. Returns the number of transactions.
pub(crate) fn check_bank(client: &mut Client) -> u64 {
    let sql = "SELECT (SELECT sum(balance) FROM account) = (SELECT coalesce(sum(delta), 0) FROM history), \
               (SELECT count(*) FROM history), (SELECT count(*) FROM account)";
    let row = client.query_one(sql, &[]).unwrap();
    assert!(row.is_true(0), "the books do not balance");
    assert_eq!(row.number::<u64>(2).unwrap(), 20_000);
    let count = row.number(1).unwrap();
    client.execute("SET enable_seqscan = off; SET enable_bitmapscan = off").unwrap();
    let by_index = client.query_one("SELECT count(*) FROM history WHERE id > 0", &[]).unwrap();
    assert_eq!(by_index.number::<u64>(0).unwrap(), count);
    client.execute("RESET enable_seqscan; RESET enable_bitmapscan").unwrap();
    count
}
