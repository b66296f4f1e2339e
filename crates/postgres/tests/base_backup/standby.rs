//! Base backups that are read from a standby.

use chronavault_postgres::{BaseBackup, ClusterError, ClusterSource};
use testkit::{Cluster, DirectorySink};

use crate::scene::{Place, REGION_BYTES, back_up, check_bank, make_bank, options, start};

#[test]
fn a_backup_from_a_standby_is_the_same_cluster() {
    let primary = Cluster::replicating(|_| ());
    let place = Place::new();
    let mut client = primary.client("postgres");
    make_bank(&mut client);
    let standby = primary.standby(&place.join("standby"), |_| ());
    client.execute("UPDATE account SET filler = 'changed' WHERE id % 7 = 0; CHECKPOINT").unwrap();
    standby.catch_up(&mut client);
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
    let standby = primary.standby(&place.join("standby"), |_| ());
    let mut source = BaseBackup::new(options(&standby));
    assert!(source.start().unwrap().from_standby);
    standby.promote();
    let sink = DirectorySink::new(&place.join("data"), REGION_BYTES, None);
    let error = source.read(&sink, &|| false).unwrap_err();
    assert!(matches!(error, ClusterError::Promoted { .. }), "{error:?}");
}
