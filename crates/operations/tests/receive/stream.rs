//! WAL that streams without trouble.

use chronavault_operations::{Error, Event, Origin, ReceiveEvent};
use model::TimelineId;
use postgres::ReplicationError;
use testkit::Cluster;

use crate::scene::Scene;
use crate::stage::{
    Base, NOBODY, SIZE, compare, count, flushed, receive, receiving, request, system, write_wal,
};

fn is_stored(event: &Event) -> bool {
    matches!(event, Event::Wal(ReceiveEvent::Stored { .. }))
}

#[test]
fn what_is_archived_is_the_wal_of_the_server() {
    let scene = Scene::with(Cluster::replicating(|_| ()));
    let archive = scene.repository.wal(system(&scene.cluster));
    let mut client = scene.cluster.client("postgres");
    let base = Base::take(&scene.cluster);
    client.execute("CREATE TABLE t (i int)").unwrap();
    let (end, report) = receiving(&scene.repository, &request(&scene.cluster), |watch| {
        let (timeline, from, origin) = watch.streaming();
        assert_eq!((timeline, origin), (TimelineId::FIRST, Origin::Slot));
        assert_eq!(SIZE.offset(from), 0);
        write_wal(&mut client, 60);
        client.execute("INSERT INTO t VALUES (1)").unwrap();
        let end = flushed(&mut client);
        watch.archived(end);
        assert!(watch.count(is_stored) >= 2);
        end
    });
    let report = report.unwrap();
    assert!(report.segments >= 2 && report.pieces >= 1 && report.interruptions == 0, "{report:?}");
    assert!(report.archived_to.unwrap() >= end);
    assert!(compare(&archive, &scene.cluster, TimelineId::FIRST) >= end);
    // Whole segments have no pieces any more.
    let catalogue = archive.catalogue().unwrap();
    let wal = &catalogue.timelines[&TimelineId::FIRST];
    assert!(wal.pieces.keys().all(|name| !wal.segments.contains_key(name)) && wal.pieces.len() <= 1);

    // It goes on where the archive ends, in the middle of a segment.
    let restart = "SELECT restart_lsn FROM pg_replication_slots WHERE NOT active";
    let kept = client.query_one(restart, &[]).unwrap().number::<model::Lsn>(0).unwrap();
    assert!(kept >= end);
    client.execute("INSERT INTO t VALUES (2)").unwrap();
    let (end, report) = receiving(&scene.repository, &request(&scene.cluster), |watch| {
        assert_eq!(watch.streaming().2, Origin::Archive);
        write_wal(&mut client, 20);
        client.execute("INSERT INTO t VALUES (3)").unwrap();
        let end = flushed(&mut client);
        watch.archived(end);
        assert_eq!(watch.warnings(), []);
        end
    });
    report.unwrap();
    assert!(compare(&archive, &scene.cluster, TimelineId::FIRST) >= end);
    let recovered = base.recover(&archive);
    assert_eq!(count(&recovered, "t"), 3);
}

#[test]
fn a_promotion_in_the_middle_is_followed() {
    let scene = Scene::with(Cluster::replicating(|_| ()));
    let place = tempfile::tempdir().unwrap();
    let standby = scene.cluster.standby(&place.path().join("standby"), |_| ());
    let archive = scene.repository.wal(system(&scene.cluster));
    let base = Base::take(&scene.cluster);
    let mut client = scene.cluster.client("postgres");
    client.execute("CREATE TABLE t (i int); INSERT INTO t VALUES (1)").unwrap();
    let second = TimelineId::new(2).unwrap();
    let (end, report) = receiving(&scene.repository, &request(&standby), |watch| {
        watch.streaming();
        write_wal(&mut client, 20);
        client.execute("INSERT INTO t VALUES (2)").unwrap();
        standby.catch_up(&mut client);
        watch.archived(flushed(&mut client));
        standby.promote();
        let mut client = standby.client("postgres");
        client.execute("INSERT INTO t VALUES (3)").unwrap();
        write_wal(&mut client, 20);
        let (from, next) = watch.find("the end of timeline 1", |event| match event {
            Event::Wal(ReceiveEvent::TimelineEnded { timeline, next, .. }) => Some((*timeline, *next)),
            _ => None,
        });
        assert_eq!((from, next), (TimelineId::FIRST, second));
        let end = flushed(&mut client);
        watch.archived(end);
        end
    });
    assert_eq!(report.unwrap().interruptions, 0);
    assert!(compare(&archive, &standby, second) >= end);
    compare(&archive, &scene.cluster, TimelineId::FIRST);
    assert!(archive.catalogue().unwrap().timelines[&second].has_history);
    let recovered = base.recover(&archive);
    assert_eq!(count(&recovered, "t"), 3);
    // Again, on the timeline on which the archive ends.
    let ((), report) = receiving(&scene.repository, &request(&standby), |watch| {
        let (timeline, _, origin) = watch.streaming();
        assert_eq!((timeline, origin), (second, Origin::Archive));
    });
    report.unwrap();
}

#[test]
fn a_promotion_that_was_missed_is_followed_later() {
    let scene = Scene::with(Cluster::replicating(|_| ()));
    let place = tempfile::tempdir().unwrap();
    let standby = scene.cluster.standby(&place.path().join("standby"), |_| ());
    let archive = scene.repository.wal(system(&scene.cluster));
    let base = Base::take(&scene.cluster);
    let mut client = scene.cluster.client("postgres");
    client.execute("CREATE TABLE t (i int); INSERT INTO t VALUES (1)").unwrap();
    standby.catch_up(&mut client);
    let ((), report) = receiving(&scene.repository, &request(&standby), |watch| {
        watch.archived(flushed(&mut client));
    });
    report.unwrap();
    client.execute("INSERT INTO t VALUES (2)").unwrap();
    standby.catch_up(&mut client);
    standby.promote();
    let mut client = standby.client("postgres");
    client.execute("INSERT INTO t VALUES (3)").unwrap();
    let ((), report) = receiving(&scene.repository, &request(&standby), |watch| {
        // The rest of the first timeline comes first.
        assert_eq!(watch.streaming().0, TimelineId::FIRST);
        watch.find("the second timeline", |event| match event {
            Event::Wal(ReceiveEvent::Streaming { timeline, .. }) if timeline.get() == 2 => Some(()),
            _ => None,
        });
        watch.archived(flushed(&mut client));
    });
    report.unwrap();
    let recovered = base.recover(&archive);
    assert_eq!(count(&recovered, "t"), 3);
}

#[test]
fn what_the_server_refuses_from_the_start_is_an_error() {
    let scene = Scene::with(Cluster::replicating(|_| ()));
    scene.cluster.client("postgres").execute("CREATE ROLE plain LOGIN").unwrap();
    let mut request = request(&scene.cluster);
    request.source = scene.cluster.sandbox().options_as("plain", "postgres").unwrap();
    let error = receive(&scene.repository, &request, &NOBODY).unwrap_err();
    assert!(matches!(error, Error::Replication(ReplicationError::NotPermitted { .. })), "{error:?}");
}
