//! Commands that answer with rows, and slots.

use chronavault_postgres::{ReplicationClient, ReplicationError, SlotLifetime, SlotName};
use model::{Lsn, TimelineId};
use testkit::Cluster;

pub(crate) fn connect(cluster: &Cluster) -> ReplicationClient {
    ReplicationClient::connect(&cluster.options("postgres")).unwrap()
}

pub(crate) fn slot(name: &str) -> SlotName {
    name.parse().unwrap()
}

/// The restart position of a slot by SQL; `None` if there is no such slot.
fn restart_lsn(cluster: &Cluster, slot: &SlotName) -> Option<Lsn> {
    let sql = "SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = $1";
    let rows = cluster.client("postgres").query(sql, &[Some(slot.as_str())]).unwrap();
    rows.first().map(|row| row.number(0).unwrap())
}

#[test]
fn a_server_says_what_it_is() {
    let cluster = Cluster::replicating(|_| ());
    let mut client = connect(&cluster);
    let identity = client.identify_system().unwrap();
    let sql = "SELECT system_identifier, pg_current_wal_flush_lsn() FROM pg_control_system()";
    let row = cluster.client("postgres").query_one(sql, &[]).unwrap();
    assert_eq!(identity.system_id, row.number(0).unwrap());
    assert_eq!(identity.timeline, TimelineId::FIRST);
    assert!(identity.flushed <= row.number(1).unwrap() && identity.flushed > Lsn(0));
    assert_eq!(client.show("wal_level").unwrap(), "replica");
    assert_eq!(client.in_recovery().unwrap(), Some(false));
    assert_eq!(client.segment_size().unwrap().bytes(), 16 << 20);
    assert!(client.timeline_history(TimelineId::FIRST).is_err());
    // An error of the server leaves the session usable.
    client.identify_system().unwrap();
    client.close().unwrap();
}

#[test]
fn attributes_of_sessions_are_found_out_without_sql() {
    let cluster = Cluster::replicating(|_| ());
    let place = tempfile::tempdir().unwrap();
    let standby = cluster.standby(&place.path().join("standby"), |_| ());
    let connect = |attributes: &str| {
        let hosts = [&standby, &cluster].map(|one| one.sandbox().socket_directory().display().to_string());
        let text = format!(
            "host={} port={} user=postgres target_session_attrs={attributes}",
            hosts.join(","),
            cluster.sandbox().port()
        );
        let environment = chronavault_postgres::ClientEnvironment::empty();
        let options = chronavault_postgres::ConnectOptions::parse(&text, &environment).unwrap();
        ReplicationClient::connect(&options).unwrap().in_recovery().unwrap().unwrap()
    };
    for (attributes, is_standby) in [
        ("any", true),
        ("primary", false),
        ("read-write", false),
        ("standby", true),
        ("read-only", true),
        ("prefer-standby", true),
    ] {
        assert_eq!(connect(attributes), is_standby, "{attributes}");
    }
}

#[test]
fn slots_are_made_read_and_dropped() {
    let cluster = Cluster::replicating(|_| ());
    let mut client = connect(&cluster);
    let (permanent, temporary, absent) = (slot("kept"), slot("passing"), slot("absent"));
    client.create_slot(&permanent, SlotLifetime::Permanent).unwrap();
    client.create_slot(&temporary, SlotLifetime::Temporary).unwrap();
    let kept = restart_lsn(&cluster, &permanent).unwrap();
    assert!(restart_lsn(&cluster, &temporary).is_some());
    if client.server_major() >= 15 {
        let state = client.read_slot(&permanent).unwrap().unwrap();
        assert_eq!((state.restart_lsn, state.restart_timeline), (Some(kept), Some(TimelineId::FIRST)));
        assert_eq!(client.read_slot(&absent).unwrap(), None);
    } else {
        assert!(matches!(client.read_slot(&permanent), Err(ReplicationError::TooOld { .. })));
    }
    let error = client.drop_slot(&absent).unwrap_err();
    assert!(matches!(error, ReplicationError::NoSlot { ref slot, .. } if slot == "absent"), "{error:?}");
    // An error ends temporary slots.
    assert_eq!(restart_lsn(&cluster, &temporary), None);
    let error = client.create_slot(&permanent, SlotLifetime::Permanent).unwrap_err();
    assert!(matches!(error, ReplicationError::SlotExists { .. }), "{error:?}");
    let mut user = connect(&cluster);
    let from = user.identify_system().unwrap().flushed;
    let _stream = user.stream_wal(Some(&permanent), TimelineId::FIRST, from).unwrap();
    let error = client.stream_wal(Some(&permanent), TimelineId::FIRST, from).unwrap_err();
    assert!(matches!(error, ReplicationError::SlotInUse { .. }), "{error:?}");
    drop(user);
    while let Err(error) = client.drop_slot(&permanent) {
        assert!(matches!(error, ReplicationError::SlotInUse { .. }), "{error:?}");
    }
    assert_eq!(restart_lsn(&cluster, &permanent), None);
}
