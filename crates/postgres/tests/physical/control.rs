//! `pg_control` as we read it and as the server and its own programs do.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use chronavault_postgres::control::{CONTROL_PATH, ClusterState, ControlError, ControlFile};
use testkit::Cluster;

fn read(data: &Path) -> Vec<u8> {
    fs::read(data.join(CONTROL_PATH)).unwrap()
}

#[test]
fn it_says_what_the_server_says() {
    let mut cluster = Cluster::with(|options| {
        options.data_checksums = true;
        options.settings.push(("max_worker_processes".to_owned(), "11".to_owned()));
        options.settings.push(("max_prepared_transactions".to_owned(), "7".to_owned()));
    });
    let data = cluster.sandbox().data_directory();
    let mut client = cluster.client("postgres");
    client.execute("CHECKPOINT").unwrap();
    let sql = "SELECT s.system_identifier, s.pg_control_version, s.catalog_version_no, c.checkpoint_lsn, c.redo_lsn, \
               c.timeline_id, i.database_block_size, i.blocks_per_segment, i.bytes_per_wal_segment, \
               i.data_page_checksum_version > 0, r.min_recovery_end_lsn, r.end_of_backup_record_required \
               FROM pg_control_system() s, pg_control_checkpoint() c, pg_control_init() i, pg_control_recovery() r";
    let row = client.query_one(sql, &[]).unwrap();
    let control = ControlFile::parse(&read(&data)).unwrap();
    let flag = |yes: bool| if yes { "t" } else { "f" }.to_owned();
    let ours = [
        control.system_id.to_string(),
        control.control_version.to_string(),
        control.catalog_version.to_string(),
        control.checkpoint.to_string(),
        control.redo.to_string(),
        control.timeline.to_string(),
        control.block_bytes.to_string(),
        control.segment_blocks.to_string(),
        control.wal_segment_size.bytes().to_string(),
        flag(control.data_checksums),
        control.min_recovery_point.to_string(),
        flag(control.backup_end_required),
    ];
    for (at, value) in ours.iter().enumerate() {
        assert_eq!(row.text(at).unwrap(), value, "column {at}");
    }
    assert!(control.data_checksums);
    assert_eq!(control.state, ClusterState::InProduction);
    assert_eq!(control.replay.max_connections, 50);
    assert_eq!(control.replay.max_worker_processes, 11);
    assert_eq!(control.replay.max_wal_senders, 0);
    assert_eq!(control.replay.max_prepared_transactions, 7);
    assert_eq!(control.replay.max_locks_per_transaction, 1024);
    assert_eq!(control.min_recovery_timeline, None);
    drop(client);
    cluster.sandbox_mut().stop().unwrap();
    let control = ControlFile::parse(&read(&data)).unwrap();
    assert_eq!(control.state, ClusterState::ShutDown);
    compare_with_controldata(&cluster, &control);
}

/// Where the installation has the program.
fn compare_with_controldata(cluster: &Cluster, control: &ControlFile) {
    let tools = cluster.sandbox().tools();
    if !tools.directory().join("pg_controldata").is_file() {
        return;
    }
    let output =
        tools.command("pg_controldata", None).arg(cluster.sandbox().data_directory()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once(':').map(|(name, value)| (name, value.trim())))
        .collect();
    for (name, value) in [
        ("pg_control version number", control.control_version.to_string()),
        ("Catalog version number", control.catalog_version.to_string()),
        ("Database system identifier", control.system_id.to_string()),
        ("Database cluster state", control.state.to_string()),
        ("Latest checkpoint location", control.checkpoint.to_string()),
        ("Latest checkpoint's REDO location", control.redo.to_string()),
        ("Latest checkpoint's TimeLineID", control.timeline.to_string()),
        ("Minimum recovery ending location", control.min_recovery_point.to_string()),
        ("Min recovery ending loc's timeline", "0".to_owned()),
        ("Backup start location", control.backup_start.to_string()),
        ("Backup end location", control.backup_end.to_string()),
        ("max_connections setting", control.replay.max_connections.to_string()),
        ("max_worker_processes setting", control.replay.max_worker_processes.to_string()),
        ("max_wal_senders setting", control.replay.max_wal_senders.to_string()),
        ("max_prepared_xacts setting", control.replay.max_prepared_transactions.to_string()),
        ("max_locks_per_xact setting", control.replay.max_locks_per_transaction.to_string()),
        ("Database block size", control.block_bytes.to_string()),
        ("Blocks per segment of large relation", control.segment_blocks.to_string()),
        ("Bytes per WAL segment", control.wal_segment_size.bytes().to_string()),
        ("Data page checksum version", "1".to_owned()),
    ] {
        assert_eq!(said.get(name), Some(&value.as_str()), "{name}");
    }
}

#[test]
fn what_is_not_whole_is_refused() {
    let cluster = Cluster::start();
    let bytes = read(&cluster.sandbox().data_directory());
    let whole = ControlFile::parse(&bytes).unwrap();
    assert_eq!(ControlFile::parse(&bytes[..100]), Err(ControlError::Short { bytes: 100 }));
    assert_eq!(ControlFile::parse(&[]), Err(ControlError::Short { bytes: 0 }));
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        match (at, ControlFile::parse(&changed)) {
            (8..12, Err(ControlError::Version { .. })) | (_, Err(ControlError::Checksum)) => {}
            // Behind the CRC are zeros that nobody reads.
            (292.., Ok(read)) if read == whole => {}
            (at, other) => panic!("byte {at}: {other:?}"),
        }
    }
}
