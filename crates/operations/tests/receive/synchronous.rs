//! As a synchronous standby: a commit that has returned is in the archive.

use std::sync::atomic::{AtomicBool, Ordering};

use model::{Lsn, TimelineId};
use testkit::Cluster;

use crate::scene::Scene;
use crate::stage::{Base, archived, compare, count, flushed, receiving, request, system, write_wal};

fn synchronous() -> Scene {
    Scene::with(Cluster::replicating(|options| {
        options.settings.push(("synchronous_standby_names".into(), "vault".into()));
        // Only who asks for it waits.
        options.settings.push(("synchronous_commit".into(), "local".into()));
    }))
}

#[test]
fn each_commit_that_returned_is_in_the_archive() {
    let scene = synchronous();
    let archive = scene.repository.wal(system(&scene.cluster));
    let mut client = scene.cluster.client("postgres");
    let base = Base::take(&scene.cluster);
    client.execute("CREATE TABLE t (i int)").unwrap();
    let mut request = request(&scene.cluster);
    request.synchronous = true;
    request.source = request.source.with_application_name("vault");
    let (rows, report) = receiving(&scene.repository, &request, |watch| {
        watch.streaming();
        client.execute("SET synchronous_commit = on").unwrap();
        let mut rows = 0;
        for round in 0..40 {
            if round % 10 == 5 {
                // Across the end of a segment, with much behind it.
                write_wal(&mut client, 17);
            }
            client.execute("INSERT INTO t VALUES (1)").unwrap();
            rows += 1;
            let position = flushed(&mut client);
            let there = archived(&archive)
                .last()
                .map_or(Lsn(0), |(name, bytes)| name.start(crate::stage::SIZE).plus(bytes.len() as u64));
            assert!(there >= position, "a commit returned at {position}, but the archive ends at {there}");
        }
        rows
    });
    assert_eq!(report.unwrap().interruptions, 0);
    compare(&archive, &scene.cluster, TimelineId::FIRST);
    assert_eq!(count(&base.recover(&archive), "t"), rows);
}

#[test]
fn commits_of_many_sessions_share_a_flush() {
    let scene = synchronous();
    let mut client = scene.cluster.client("postgres");
    client.execute("CREATE TABLE t (i int)").unwrap();
    let mut request = request(&scene.cluster);
    request.synchronous = true;
    request.source = request.source.with_application_name("vault");
    let stop = AtomicBool::new(false);
    let (rows, report) = receiving(&scene.repository, &request, |watch| {
        watch.streaming();
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let mut client = scene.cluster.client("postgres");
                        client.execute("SET synchronous_commit = on").unwrap();
                        let mut rows = 0_u64;
                        while !stop.load(Ordering::Relaxed) {
                            client.execute("INSERT INTO t VALUES (1)").unwrap();
                            rows += 1;
                        }
                        rows
                    })
                })
                .collect();
            while count(&scene.cluster, "t") < 400 {}
            stop.store(true, Ordering::Relaxed);
            writers.into_iter().map(|writer| writer.join().unwrap()).sum::<u64>()
        })
    });
    let report = report.unwrap();
    assert!(report.pieces < rows, "{} pieces for {rows} commits", report.pieces);
}
