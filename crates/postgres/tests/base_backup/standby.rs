//! Base backups that are read from a standby.

use chronavault_postgres::{BaseBackup, Client, ClusterError, ClusterSource};
use testkit::{Cluster, DirectorySink};

use crate::scene::{Place, REGION_BYTES, back_up, check_bank, make_bank, options, start};

/// A standby of `primary` that has replayed everything up to now.
pub(crate) fn standby(primary: &Cluster, place: &Place) -> Cluster {
    let root = place.join("standby");
    back_up(primary, &root);
    std::fs::write(root.join("standby.signal"), "").unwrap();
    testkit::make_startable(&root, primary.owner()).unwrap();
    let connection = format!(
        "host={} port={} user=postgres",
        primary.sandbox().socket_directory().display(),
        primary.sandbox().port()
    );
    let standby = Cluster::replicating(|options| {
        options.template = Some(root.clone());
        options.settings.push(("primary_conninfo".into(), connection));
        options.settings.push(("hot_standby".into(), "on".into()));
    });
    catch_up(&mut primary.client("postgres"), &mut standby.client("postgres"));
    standby
}

/// Waits until the standby has replayed what the primary has written.
fn catch_up(primary: &mut Client, standby: &mut Client) {
    let written = primary.query_one("SELECT pg_current_wal_lsn()", &[]).unwrap();
    let sql = "SELECT pg_last_wal_replay_lsn() >= $1";
    while !standby.query_one(sql, &[written.get(0)]).unwrap().is_true(0) {}
}

#[test]
fn a_backup_from_a_standby_is_the_same_cluster() {
    let primary = Cluster::replicating(|_| ());
    let place = Place::new();
    let mut client = primary.client("postgres");
    make_bank(&mut client);
    let standby = standby(&primary, &place);
    client.execute("UPDATE account SET filler = 'changed' WHERE id % 7 = 0; CHECKPOINT").unwrap();
    catch_up(&mut client, &mut standby.client("postgres"));
    let root = place.join("data");
    let read = back_up(&standby, &root);
    assert!(read.start.from_standby);
    assert_eq!(read.start.system_id, back_up(&primary, &place.join("primary")).start.system_id);
    std::fs::remove_file(root.join("standby.signal")).unwrap();
    let restored = start(&primary, &root);
    check_bank(&mut restored.client("postgres"));
    assert_eq!(restored.dump_text("postgres"), primary.dump_text("postgres"));
}

#[test]
fn a_standby_that_is_promoted_in_between_fails_the_backup() {
    let primary = Cluster::replicating(|_| ());
    let place = Place::new();
    make_bank(&mut primary.client("postgres"));
    let standby = standby(&primary, &place);
    let mut source = BaseBackup::new(options(&standby));
    assert!(source.start().unwrap().from_standby);
    let promoted = standby.client("postgres").query_one("SELECT pg_promote()", &[]).unwrap();
    assert!(promoted.is_true(0));
    let sink = DirectorySink::new(&place.join("data"), REGION_BYTES, None);
    let error = source.read(&sink, &|| false).unwrap_err();
    assert!(matches!(error, ClusterError::Promoted { .. }), "{error:?}");
}
