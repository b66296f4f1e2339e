//! A whole backup.

use std::sync::atomic::AtomicBool;

use testkit::Cluster;

use crate::scene::{Place, StopOnDrop, back_up, check_bank, make_bank, start, trade};

#[test]
fn a_backup_starts_and_has_the_same_tables() {
    let cluster = Cluster::replicating(|_| ());
    let place = Place::new();
    let mut client = cluster.client("postgres");
    make_bank(&mut client);
    let root = place.join("data");
    let read = back_up(&cluster, &root);
    assert!(read.stop.stop_lsn > read.start.start_lsn);
    assert_eq!(read.stop.warnings, Vec::<String>::new());
    assert!(!read.start.from_standby && read.start.tablespaces.is_empty());
    assert_eq!(read.start.server_version, client.server_version());
    let facts = client
        .query_one(
            "SELECT (pg_control_system()).system_identifier, (pg_control_checkpoint()).timeline_id, \
             current_setting('block_size'), current_setting('data_checksums') = 'on', \
             (SELECT setting FROM pg_settings WHERE name = 'wal_segment_size')",
            &[],
        )
        .unwrap();
    assert_eq!(read.start.system_id, facts.number(0).unwrap());
    assert_eq!(read.start.timeline, facts.number(1).unwrap());
    assert_eq!(read.start.block_bytes, facts.number::<u32>(2).unwrap());
    assert_eq!(read.start.data_checksums, facts.is_true(3));
    assert_eq!(read.start.segment_size.bytes(), facts.number::<u32>(4).unwrap());
    let restored = start(&cluster, &root);
    check_bank(&mut restored.client("postgres"));
    assert_eq!(restored.dump_text("postgres"), cluster.dump_text("postgres"));
    // The slot went with the session.
    let slots = client.query_one("SELECT count(*) FROM pg_replication_slots", &[]).unwrap();
    assert_eq!(slots.number::<u32>(0).unwrap(), 0);
}

#[test]
fn a_backup_under_load_is_consistent() {
    let cluster = Cluster::replicating(|_| ());
    let place = Place::new();
    make_bank(&mut cluster.client("postgres"));
    let root = place.join("data");
    let stop = AtomicBool::new(false);
    let (before, after) = std::thread::scope(|scope| {
        let traders: Vec<_> = (0..2_u64)
            .map(|seed| {
                let (mut client, stop) = (cluster.client("postgres"), &stop);
                scope.spawn(move || trade(&mut client, seed, stop))
            })
            .collect();
        let stopping = StopOnDrop(&stop);
        let mut client = cluster.client("postgres");
        let count = |client: &mut chronavault_postgres::Client| -> u64 {
            client.query_one("SELECT count(*) FROM history", &[]).unwrap().number(0).unwrap()
        };
        while count(&mut client) < 100 {}
        back_up(&cluster, &root);
        let after = count(&mut client);
        drop(stopping);
        let committed: u64 = traders.into_iter().map(|trader| trader.join().unwrap()).sum();
        (100, after.min(committed))
    });
    let restored = start(&cluster, &root);
    let count = check_bank(&mut restored.client("postgres"));
    assert!((before..=after).contains(&count), "{before} <= {count} <= {after}");
}

#[test]
fn tablespaces_come_along() {
    let cluster = Cluster::replicating(|_| ());
    let place = Place::new();
    let mut client = cluster.client("postgres");
    let mut locations = Vec::new();
    for name in ["one", "two"] {
        let location = place.join(name);
        std::fs::create_dir(&location).unwrap();
        if let Some((uid, gid)) = cluster.owner() {
            std::os::unix::fs::chown(&location, Some(uid), Some(gid)).unwrap();
        }
        let location = location.to_str().unwrap().to_owned();
        client.execute(&format!("CREATE TABLESPACE {name} LOCATION '{location}'")).unwrap();
        client
            .execute(&format!(
                "CREATE TABLE in_{name} TABLESPACE {name} AS SELECT i FROM generate_series(1, 50000) i"
            ))
            .unwrap();
        locations.push(location);
    }
    let root = place.join("data");
    let read = back_up(&cluster, &root);
    let mut named: Vec<String> = read.start.tablespaces.iter().map(|one| one.location.clone()).collect();
    named.sort();
    assert_eq!(named, locations);
    for tablespace in &read.start.tablespaces {
        let prefix = format!("pg_tblspc/{}/PG_", tablespace.oid);
        assert!(read.files.iter().any(|(path, _)| path.as_str().starts_with(&prefix)));
    }
    let restored = start(&cluster, &root);
    assert_eq!(restored.dump_text("postgres"), cluster.dump_text("postgres"));
    let mut client = restored.client("postgres");
    let row =
        client.query_one("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'one'", &[]);
    assert!(!locations.contains(&row.unwrap().text(0).unwrap().to_owned()));
}
