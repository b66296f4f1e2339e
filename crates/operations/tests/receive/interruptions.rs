//! Servers and archives that fail, WAL that is gone, and WAL of another past.

use std::sync::Arc;

use chronavault_operations::{Error, Event, Origin, ReceiveError, ReceiveEvent, Warning};
use jiff::Timestamp;
use model::{TimelineId, WalSegmentName};
use postgres::{ClientEnvironment, ConnectOptions, SlotProblem};
use repository::{HolderKey, Repository};
use storage::{Effect, Fault, Faulty, Isolation, LocalStore, Operation};
use testkit::Cluster;

use crate::scene::{KEY, Scene};
use crate::stage::{
    Base, NOBODY, SIZE, compare, count, flushed, receive, receiving, request, system, write_wal,
};

fn is_interrupted(event: &Event) -> bool {
    matches!(event, Event::Wal(ReceiveEvent::Interrupted { .. }))
}

#[test]
fn a_server_that_restarts_is_waited_for() {
    let mut scene = Scene::with(Cluster::replicating(|_| ()));
    let archive = scene.repository.wal(system(&scene.cluster));
    let base = Base::take(&scene.cluster);
    scene.cluster.client("postgres").execute("CREATE TABLE t (i int)").unwrap();
    let request = request(&scene.cluster);
    let repository = &scene.repository;
    let cluster = &mut scene.cluster;
    let (end, report) = receiving(repository, &request, |watch| {
        watch.streaming();
        for (round, orderly) in [(1, true), (2, false)] {
            cluster.client("postgres").execute("INSERT INTO t VALUES (1)").unwrap();
            if orderly {
                cluster.sandbox_mut().stop().unwrap();
            } else {
                cluster.sandbox_mut().kill().unwrap();
            }
            watch.times("an interruption", round, is_interrupted);
            cluster.sandbox_mut().start_again().unwrap();
        }
        let mut client = cluster.client("postgres");
        client.execute("INSERT INTO t VALUES (1)").unwrap();
        let end = flushed(&mut client);
        watch.archived(end);
        end
    });
    assert!(report.unwrap().interruptions >= 2);
    assert!(compare(&archive, &scene.cluster, TimelineId::FIRST) >= end);
    assert_eq!(count(&base.recover(&archive), "t"), 3);
}

#[test]
fn an_archive_that_fails_is_tried_again() {
    let cluster = Cluster::replicating(|_| ());
    let directory = tempfile::tempdir().unwrap();
    // A piece that cannot be stored, a segment that was stored although it seemed not to be, and a full disk.
    let faults = [
        Fault::new(Operation::Put, 1, Effect::FailBefore).on(".piece"),
        Fault::new(Operation::Put, 0, Effect::FailAfter).on(".wal"),
        Fault::new(Operation::Put, 2, Effect::Full).on(".wal"),
        Fault::new(Operation::Delete, 0, Effect::FailBefore).on(".piece"),
    ];
    let repository = faulty(&directory, faults);
    let archive = repository.wal(system(&cluster));
    let mut client = cluster.client("postgres");
    let (end, report) = receiving(&repository, &request(&cluster), |watch| {
        for _ in 0..4 {
            write_wal(&mut client, 20);
            watch.archived(flushed(&mut client));
        }
        flushed(&mut client)
    });
    let report = report.unwrap();
    assert!((2..=4).contains(&report.interruptions), "{report:?}");
    assert!(compare(&archive, &cluster, TimelineId::FIRST) >= end);
}

#[test]
fn wal_that_is_gone_leaves_a_gap_that_is_named() {
    let scene = Scene::with(Cluster::replicating(|options| {
        options.settings.push(("max_wal_size".into(), "32MB".into()));
        options.settings.push(("max_slot_wal_keep_size".into(), "32MB".into()));
    }));
    let archive = scene.repository.wal(system(&scene.cluster));
    let mut client = scene.cluster.client("postgres");
    let request = request(&scene.cluster);
    let ((), report) = receiving(&scene.repository, &request, |watch| {
        watch.archived(flushed(&mut client));
    });
    let archived_to = report.unwrap().archived_to.unwrap();
    // The slot loses what it kept.
    let lost = "SELECT wal_status = 'lost' FROM pg_replication_slots";
    while !client.query_one(lost, &[]).unwrap().is_true(0) {
        write_wal(&mut client, 40);
        client.execute("CHECKPOINT").unwrap();
    }
    let ((), report) = receiving(&scene.repository, &request, |watch| {
        let origin = watch.find("a start behind the gap", |event| match event {
            Event::Wal(ReceiveEvent::Streaming { origin, .. }) if *origin != Origin::Archive => Some(*origin),
            _ => None,
        });
        assert_eq!(origin, Origin::Slot);
        watch.archived(flushed(&mut client));
        let gap = watch.warnings().into_iter().find_map(|warning| match warning {
            Warning::WalGap { from, to } => Some((from, to)),
            _ => None,
        });
        let (from, to) = gap.unwrap();
        let segment = WalSegmentName::containing(TimelineId::FIRST, archived_to, SIZE);
        assert_eq!(from, segment.start(SIZE));
        assert!(to > archived_to);
    });
    report.unwrap();
    // The next time, it goes on behind the gap.
    let ((), report) = receiving(&scene.repository, &request, |watch| {
        assert_eq!(watch.streaming().2, Origin::Archive);
    });
    report.unwrap();
    assert!(archive.catalogue().unwrap().timelines.len() == 1);
}

#[test]
fn wal_of_another_past_is_not_appended() {
    let mut scene = Scene::with(Cluster::replicating(|_| ()));
    let archive = scene.repository.wal(system(&scene.cluster));
    let request = request(&scene.cluster);
    // A copy of the data directory, as a snapshot of the machine would be.
    scene.cluster.sandbox_mut().stop().unwrap();
    let place = tempfile::tempdir().unwrap();
    let (data, copy) = (scene.cluster.sandbox().data_directory(), place.path().join("copy"));
    let cp = |from: &std::path::Path, to: &std::path::Path| {
        let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
        assert!(status.success());
    };
    cp(&data, &copy);
    scene.cluster.sandbox_mut().start_again().unwrap();
    let write = |cluster: &Cluster, text: &str| {
        let mut client = cluster.client("postgres");
        client
            .execute(&format!("CREATE TABLE t AS SELECT repeat('{text}', 1000) FROM generate_series(1, 100)"))
            .unwrap();
        flushed(&mut client)
    };
    let end = write(&scene.cluster, "one");
    let ((), report) = receiving(&scene.repository, &request, |watch| watch.archived(end));
    report.unwrap();
    let before = crate::stage::archived(&archive);
    // The machine goes back to the snapshot.
    scene.cluster.sandbox_mut().stop().unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    cp(&copy, &data);
    scene.cluster.sandbox_mut().start_again().unwrap();
    while write(&scene.cluster, "two") <= end {
        scene.cluster.client("postgres").execute("DROP TABLE t").unwrap();
    }
    let error = receive(&scene.repository, &request, &NOBODY).unwrap_err();
    assert!(matches!(error, Error::Receive(ReceiveError::Differs { .. })), "{error:?}");
    assert!(crate::stage::archived(&archive) == before);
}

#[test]
fn another_cluster_behind_the_same_name_is_refused() {
    let mut scene = Scene::with(Cluster::replicating(|_| ()));
    // Not made from the template, so it has a system identifier of its own.
    let other = Cluster::replicating(|options| options.encoding = "SQL_ASCII".into());
    let hosts = [&scene.cluster, &other].map(|one| one.sandbox().socket_directory().display().to_string());
    let text =
        format!("host={} port={} user=postgres dbname=postgres", hosts.join(","), other.sandbox().port());
    let mut request = request(&scene.cluster);
    request.source = ConnectOptions::parse(&text, &ClientEnvironment::empty()).unwrap();
    let (repository, cluster) = (&scene.repository, &mut scene.cluster);
    let ((), report) = receiving(repository, &request, |watch| {
        watch.streaming();
        cluster.sandbox_mut().stop().unwrap();
        watch.ended();
    });
    assert!(matches!(report, Err(Error::Receive(ReceiveError::OtherCluster { .. }))), "{report:?}");
}

#[test]
fn a_slot_in_danger_is_told() {
    let cluster = Cluster::replicating(|options| {
        options.settings.push(("max_slot_wal_keep_size".into(), "64MB".into()));
    });
    let directory = tempfile::tempdir().unwrap();
    // An archive that takes nothing, so that the slot stays where it is.
    let fault = Fault::new(Operation::Put, 0, Effect::Full).on("wal/").forever();
    let repository = faulty(&directory, [fault]);
    let mut client = cluster.client("postgres");
    client.query("SELECT pg_create_physical_replication_slot('chronavault_test', true)", &[]).unwrap();
    let near = "SELECT safe_wal_size < 15000000 FROM pg_replication_slots";
    while !client.query_one(near, &[]).unwrap().is_true(0) {
        write_wal(&mut client, 1);
    }
    let ((), report) = receiving(&repository, &request(&cluster), |watch| {
        let problem = watch.find("a warning", |event| match event {
            Event::Warning(Warning::Slot { problem, .. }) => Some(*problem),
            _ => None,
        });
        assert!(matches!(problem, SlotProblem::NearLimit { limit_bytes: 67_108_864, .. }), "{problem:?}");
    });
    assert_eq!(report.unwrap().archived_to, None);
}

fn faulty(directory: &tempfile::TempDir, faults: impl IntoIterator<Item = Fault>) -> Repository {
    let local = LocalStore::new(directory.path().join("isolated"), Isolation::Required).unwrap();
    let store = Arc::new(Faulty::new(local, faults));
    let fill = |bytes: &mut [u8]| getrandom::fill(bytes).unwrap();
    Repository::init(store, &HolderKey::new(KEY), Timestamp::now(), &fill).unwrap()
}
