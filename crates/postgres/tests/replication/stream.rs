//! Streams of WAL.

use std::time::Duration;

use chronavault_postgres::{
    ReplicationClient, ReplicationError, SlotLifetime, StandbyStatus, WalEvent, WalStream,
};
use jiff::Timestamp;
use model::{Lsn, SegmentSize, TimelineId, WalSegmentName};
use testkit::Cluster;

use crate::commands::{connect, slot};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_mins(1);
const SIZE: SegmentSize = SegmentSize::DEFAULT;

fn start_of_segment(lsn: Lsn) -> Lsn {
    Lsn(lsn.0 - u64::from(SIZE.offset(lsn)))
}

/// Reads up to `until`, or to the end of the timeline.
fn read(stream: &mut WalStream<'_>, until: Option<Lsn>) -> Vec<u8> {
    let mut all = Vec::new();
    while until.is_none_or(|until| stream.position() < until) {
        match stream.next(LONG).unwrap() {
            WalEvent::Wal { bytes, .. } => all.extend_from_slice(bytes),
            WalEvent::Keepalive { .. } => {}
            WalEvent::TimelineEnds => break,
            other => panic!("{other:?}"),
        }
    }
    all
}

fn flushed(cluster: &Cluster) -> Lsn {
    let row = cluster.client("postgres").query_one("SELECT pg_current_wal_flush_lsn()", &[]).unwrap();
    row.number(0).unwrap()
}

fn status(lsn: Lsn) -> StandbyStatus {
    StandbyStatus { written: lsn, flushed: lsn }
}

#[test]
fn wal_comes_as_it_is_in_the_segments_of_the_server() {
    let cluster = Cluster::replicating(|_| ());
    let mut client = connect(&cluster);
    let start = start_of_segment(client.identify_system().unwrap().flushed);
    let mut stream = client.stream_wal(None, TimelineId::FIRST, start).unwrap();
    let mut sql = cluster.client("postgres");
    sql.execute("CREATE TABLE t AS SELECT i FROM generate_series(1, 500000) i").unwrap();
    let end = flushed(&cluster);
    let wal = read(&mut stream, Some(end));
    assert!(wal.len() >= 32 << 20, "{} bytes", wal.len());
    let directory = cluster.sandbox().data_directory().join("pg_wal");
    for (at, ours) in wal.chunks(SIZE.bytes() as usize).enumerate() {
        let lsn = start.plus(at as u64 * u64::from(SIZE.bytes()));
        let name = WalSegmentName::containing(TimelineId::FIRST, lsn, SIZE).to_string();
        let theirs = std::fs::read(directory.join(&name)).unwrap();
        assert!(ours == &theirs[..ours.len()], "{name}");
    }
    // Ended in the middle, the connection serves again.
    stream.stop().unwrap();
    client.identify_system().unwrap();
}

#[test]
fn what_is_reported_is_what_the_server_believes() {
    let cluster = Cluster::replicating(|options| {
        options.settings.push(("synchronous_standby_names".into(), "receiver".into()));
        // Only who asks for it waits.
        options.settings.push(("synchronous_commit".into(), "local".into()));
    });
    let options = cluster.options("postgres").with_application_name("receiver");
    let mut client = ReplicationClient::connect(&options).unwrap();
    let name = slot("kept");
    client.create_slot(&name, SlotLifetime::Permanent).unwrap();
    let start = start_of_segment(client.identify_system().unwrap().flushed);
    let mut stream = client.stream_wal(Some(&name), TimelineId::FIRST, start).unwrap();
    let mut sql = cluster.client("postgres");
    sql.execute("CREATE TABLE t (i int)").unwrap();
    read(&mut stream, Some(flushed(&cluster)));
    stream.report(status(stream.position()), Timestamp::UNIX_EPOCH).unwrap();
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| {
            let mut client = cluster.client("postgres");
            client.execute("SET synchronous_commit = on; INSERT INTO t VALUES (1)").unwrap();
        });
        // It waits for us; we say so only when its WAL is here.
        while !committing.is_finished() {
            if let WalEvent::Wal { .. } = stream.next(Duration::from_millis(10)).unwrap() {
                assert!(!committing.is_finished());
            }
            stream.report(status(stream.position()), Timestamp::UNIX_EPOCH).unwrap();
        }
        committing.join().unwrap();
    });
    let said =
        sql.query_one("SELECT flush_lsn, sync_state, reply_time FROM pg_stat_replication", &[]).unwrap();
    assert!(said.number::<Lsn>(0).unwrap() <= stream.position());
    assert_eq!(said.get(1), Some("sync"));
    assert_eq!(said.get(2), Some("1970-01-01 00:00:00+00"));
    let restart = sql.query_one("SELECT restart_lsn FROM pg_replication_slots", &[]).unwrap();
    assert!(restart.number::<Lsn>(0).unwrap() > start);
}

#[test]
fn a_timeline_that_ends_names_the_next_one() {
    let primary = Cluster::replicating(|_| ());
    let place = tempfile::tempdir().unwrap();
    let standby = primary.standby(&place.path().join("standby"), |_| ());
    let mut client = connect(&standby);
    let start = start_of_segment(client.identify_system().unwrap().flushed);
    let mut stream = client.stream_wal(None, TimelineId::FIRST, start).unwrap();
    let mut sql = primary.client("postgres");
    sql.execute("CREATE TABLE t AS SELECT 1 AS i").unwrap();
    standby.catch_up(&mut sql);
    standby.promote();
    let wal = read(&mut stream, None);
    let position = stream.position();
    let next = stream.end().unwrap();
    // The standby may have received the beginning of a record that it never completed.
    let switch = next.switch;
    assert!(next.timeline.get() == 2 && start < switch && switch <= position, "{next:?} {position}");
    assert_eq!(start.plus(wal.len() as u64), position);
    let history = String::from_utf8(client.timeline_history(next.timeline).unwrap()).unwrap();
    assert!(history.starts_with(&format!("1\t{switch}\t")), "{history}");
    // Where the old timeline ends there is nothing to stream.
    let stream = client.stream_wal(None, TimelineId::FIRST, switch).unwrap();
    assert_eq!(stream.end().unwrap(), next);
    // The new one begins with a copy of what the old one had in that segment.
    let segment = start_of_segment(switch);
    standby.client("postgres").execute("INSERT INTO t VALUES (2)").unwrap();
    let mut stream = client.stream_wal(None, next.timeline, segment).unwrap();
    let ours = read(&mut stream, Some(flushed(&standby)));
    let common = SIZE.offset(switch) as usize;
    let before = usize::try_from(segment.bytes_since(start)).unwrap();
    assert!(ours.len() > common);
    assert!(wal[before..].starts_with(&ours[..common]));
}

#[test]
fn a_server_that_shuts_down_sends_everything_first() {
    let mut cluster = Cluster::replicating(|_| ());
    let mut client = connect(&cluster);
    let start = client.identify_system().unwrap().flushed;
    let mut stream = client.stream_wal(None, TimelineId::FIRST, start).unwrap();
    cluster.client("postgres").execute("CREATE TABLE t AS SELECT 1 AS i").unwrap();
    let end = flushed(&cluster);
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| cluster.sandbox_mut().stop().unwrap());
        loop {
            match stream.next(LONG).unwrap() {
                WalEvent::ServerEnds => break,
                // It does not end before we have everything.
                WalEvent::Wal { .. } | WalEvent::Keepalive { .. } => {
                    // Once it believes us, it may be gone before it hears the same again.
                    if stream.report(status(stream.position()), Timestamp::UNIX_EPOCH).is_err() {
                        break;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(stream.position() > end, "with the checkpoint of the shutdown");
        stopping.join().unwrap();
    });
}

#[test]
fn wal_that_is_gone_is_named_so() {
    let cluster = Cluster::replicating(|options| {
        options.settings.push(("wal_keep_size".into(), "0".into()));
        options.settings.push(("max_wal_size".into(), "32MB".into()));
    });
    let mut client = connect(&cluster);
    let start = start_of_segment(client.identify_system().unwrap().flushed);
    let mut sql = cluster.client("postgres");
    let first = WalSegmentName::containing(TimelineId::FIRST, start, SIZE).to_string();
    let file = cluster.sandbox().data_directory().join("pg_wal").join(first);
    while file.exists() {
        sql.execute("CREATE TABLE t AS SELECT i FROM generate_series(1, 200000) i; DROP TABLE t; CHECKPOINT")
            .unwrap();
    }
    // From 16 on, the server says so at once; before, only when it has to read it.
    let error = match client.stream_wal(None, TimelineId::FIRST, start) {
        Err(error) => error,
        Ok(mut stream) => stream.next(LONG).unwrap_err(),
    };
    assert!(matches!(error, ReplicationError::WalGone { .. }), "{error:?}");
}
