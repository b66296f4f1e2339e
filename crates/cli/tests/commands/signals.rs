//! Stopping a backup: it ends soon, says so, and leaves no backup.

use std::process::Stdio;

use testkit::Cluster;

use crate::harness::{KEY, Place, Said};

#[test]
fn a_signal_stops_a_backup_and_leaves_none() {
    let cluster = Cluster::start();
    cluster.psql("postgres", "CREATE TABLE entry (id int)");
    let place =
        Place::new().with("BACKUP_ENCRYPTION_KEY", KEY).with("DATABASE_URL", &cluster.url("postgres"));
    place.run(&["init"]).succeeds();
    // Somebody holds the table, so that the backup waits for its lock.
    let mut holder = cluster.hold_lock("postgres", "entry");
    let child = place
        .command(&["backup", "--lock-timeout", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    cluster.await_waiter(&mut holder, "entry");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    // The lock may be had now; the backup must not be made all the same.
    holder.execute("COMMIT").unwrap();
    let said = Said::from(child.wait_with_output().unwrap());
    said.fails(1, "cancelled", "cancelled");
    assert!(place.run(&["list"]).out.contains("no backups yet"));
}
