//! Base backups that must not succeed.

use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, Ordering};

use chronavault_postgres::{
    Again, BaseBackup, ClusterError, ClusterFile, ClusterSink, ClusterSource, ErrorKind, FileNumber, Region,
    RegionSink, ReplicationClient, ReplicationError, SinkError, SlotLifetime, SlotName,
};
use model::ClusterPath;
use testkit::{Cluster, DirectorySink, read_cluster};

use crate::scene::{Place, REGION_BYTES, make_bank, options};

fn setting(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn what_the_server_lacks_is_named() {
    let replica = || vec![setting("wal_level", "replica"), setting("max_wal_senders", "1")];
    let cluster = Cluster::with(|options| options.settings.extend(replica()));
    let error = ReplicationClient::connect(&cluster.options("postgres")).unwrap_err();
    assert!(matches!(error, ReplicationError::NoAccessEntry { .. }), "{error:?}");
    let let_in = |settings: Vec<(String, String)>| {
        Cluster::with(|options| {
            options.access.push("local replication all trust".into());
            options.settings.extend(settings);
        })
    };
    let cluster = let_in(vec![]);
    let error = ReplicationClient::connect(&cluster.options("postgres")).unwrap_err();
    assert!(matches!(error, ReplicationError::NoSenderLeft { .. }), "{error:?}");
    // Two servers: the process that refuses the first role may still have the only sender when the second one asks.
    let cluster = let_in(replica());
    cluster.client("postgres").execute("CREATE ROLE plain LOGIN").unwrap();
    let error = connect_as(&cluster, "plain").unwrap_err();
    assert!(matches!(error, ReplicationError::NotPermitted { ref user, .. } if user == "plain"), "{error:?}");
    let cluster = let_in(replica());
    cluster.client("postgres").execute("CREATE ROLE backup LOGIN REPLICATION").unwrap();
    let first = connect_as(&cluster, "backup").unwrap();
    let error = connect_as(&cluster, "backup").unwrap_err();
    assert!(matches!(error, ReplicationError::NoSenderLeft { .. }), "{error:?}");
    drop(first);
    let slot: SlotName = "chronavault_test".parse().unwrap();
    for (slots, names) in [(0, vec![]), (1, vec!["other"])] {
        let cluster =
            let_in([replica(), vec![setting("max_replication_slots", &slots.to_string())]].concat());
        for name in names {
            let sql = format!("SELECT pg_create_physical_replication_slot('{name}')");
            cluster.client("postgres").query(&sql, &[]).unwrap();
        }
        let mut client = connect_as(&cluster, "postgres").unwrap();
        let error = client.create_slot(&slot, SlotLifetime::Temporary).unwrap_err();
        assert!(matches!(error, ReplicationError::NoSlotLeft { .. }), "{error:?}");
    }
}

fn connect_as(cluster: &Cluster, user: &str) -> Result<ReplicationClient, ReplicationError> {
    ReplicationClient::connect(&cluster.sandbox().options_as(user, "postgres").unwrap())
}

#[test]
fn a_server_process_that_ends_in_the_middle_fails_the_backup() {
    let cluster = Cluster::replicating(|_| ());
    let place = Place::new();
    let mut client = cluster.client("postgres");
    make_bank(&mut client);
    let mut source = BaseBackup::new(options(&cluster));
    source.start().unwrap();
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_replication";
    assert_eq!(client.query_one(sql, &[]).unwrap().number::<u32>(0).unwrap(), 1);
    let sink = DirectorySink::new(&place.join("data"), REGION_BYTES, None);
    let error = source.read(&sink, &|| false).unwrap_err();
    let ClusterError::Client(error) = error else { panic!("{error:?}") };
    assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error:?}");
    // It was started once and is over.
    assert!(matches!(source.read(&sink, &|| false), Err(ClusterError::Unsuitable { .. })));
}

#[test]
fn a_backup_can_be_cancelled() {
    let cluster = Cluster::replicating(|_| ());
    let place = Place::new();
    let mut source = BaseBackup::new(options(&cluster));
    source.start().unwrap();
    let sink = DirectorySink::new(&place.join("data"), REGION_BYTES, None);
    let asked = AtomicU32::new(0);
    let error = source.read(&sink, &|| asked.fetch_add(1, Ordering::Relaxed) > 50).unwrap_err();
    assert!(matches!(error, ClusterError::Cancelled), "{error:?}");
    // The server notices; the slot goes.
    let mut client = cluster.client("postgres");
    let gone = "SELECT NOT EXISTS (SELECT FROM pg_replication_slots) AND NOT EXISTS (SELECT FROM pg_stat_replication)";
    while !client.query_one(gone, &[]).unwrap().is_true(0) {}
}

/// Fails at one call.
struct Failing {
    at: &'static str,
    stored: AtomicU32,
}

impl Failing {
    fn unless(&self, call: &str) -> Result<(), SinkError> {
        if self.at == call { Err("the disk is full".into()) } else { Ok(()) }
    }
}

impl ClusterSink for Failing {
    fn region_bytes(&self) -> u32 {
        REGION_BYTES
    }

    fn directory(&self, _path: &ClusterPath, _mode: u32) -> Result<(), SinkError> {
        self.unless("directory")
    }

    fn file(&self, _file: &ClusterFile) -> Result<FileNumber, SinkError> {
        self.unless("file")?;
        Ok(FileNumber(0))
    }

    fn finish(&self, _file: FileNumber, _bytes: u64) -> Result<(), SinkError> {
        self.unless("finish")
    }

    fn worker(&self) -> Result<Box<dyn RegionSink + '_>, SinkError> {
        self.unless("worker")?;
        Ok(Box::new(FailingWorker(self)))
    }
}

struct FailingWorker<'a>(&'a Failing);

impl RegionSink for FailingWorker<'_> {
    fn store(&mut self, _region: Region, _bytes: &mut [u8], _again: Again<'_>) -> Result<(), SinkError> {
        // Not the first one, so that others are under way.
        if self.0.stored.fetch_add(1, Ordering::Relaxed) == 40 { self.0.unless("store") } else { Ok(()) }
    }

    fn earlier(&mut self, _region: Region, _bytes: &mut Vec<u8>) -> Result<bool, SinkError> {
        Ok(false)
    }

    fn keep(&mut self, _region: Region) -> Result<bool, SinkError> {
        Ok(false)
    }

    fn finish(self: Box<Self>) -> Result<(), SinkError> {
        self.0.unless("end of a worker")
    }
}

#[test]
fn a_sink_that_fails_ends_the_backup_with_its_error() {
    let cluster = Cluster::replicating(|_| ());
    for at in ["directory", "file", "finish", "worker", "store", "end of a worker"] {
        let mut source = BaseBackup::new(options(&cluster));
        source.start().unwrap();
        let error = source.read(&Failing { at, stored: AtomicU32::new(0) }, &|| false).unwrap_err();
        assert_eq!(error.to_string(), "the disk is full", "{at}");
    }
}

/// Asks for some bytes of one file again.
struct Asking {
    files: std::sync::Mutex<Vec<ClusterPath>>,
    wanted: &'static str,
    answers: std::sync::Mutex<Vec<Answer>>,
}

/// What came first and then, if it came.
type Answer = (Vec<u8>, Option<Vec<u8>>);

impl ClusterSink for Asking {
    fn region_bytes(&self) -> u32 {
        REGION_BYTES
    }

    fn directory(&self, _path: &ClusterPath, _mode: u32) -> Result<(), SinkError> {
        Ok(())
    }

    fn file(&self, file: &ClusterFile) -> Result<FileNumber, SinkError> {
        let mut files = self.files.lock().unwrap();
        files.push(file.path.clone());
        Ok(FileNumber(u32::try_from(files.len() - 1)?))
    }

    fn finish(&self, _file: FileNumber, _bytes: u64) -> Result<(), SinkError> {
        Ok(())
    }

    fn worker(&self) -> Result<Box<dyn RegionSink + '_>, SinkError> {
        Ok(Box::new(AskingWorker(self)))
    }
}

struct AskingWorker<'a>(&'a Asking);

impl RegionSink for AskingWorker<'_> {
    fn store(&mut self, region: Region, bytes: &mut [u8], again: Again<'_>) -> Result<(), SinkError> {
        if self.0.files.lock().unwrap()[region.file.0 as usize].as_str() == self.0.wanted {
            let mut page = vec![1; 100];
            let could = again(u64::from(region.number) * u64::from(REGION_BYTES) + 10, &mut page);
            let answer = (bytes[10..110].to_vec(), could.then_some(page));
            self.0.answers.lock().unwrap().push(answer);
            // Behind the end of the file there is nothing.
            assert!(!again(1 << 40, &mut [0; 10]));
        }
        Ok(())
    }

    fn earlier(&mut self, _region: Region, _bytes: &mut Vec<u8>) -> Result<bool, SinkError> {
        Ok(false)
    }

    fn keep(&mut self, _region: Region) -> Result<bool, SinkError> {
        Ok(false)
    }

    fn finish(self: Box<Self>) -> Result<(), SinkError> {
        Ok(())
    }
}

#[test]
fn a_page_is_read_again_where_the_role_may() {
    let cluster = Cluster::replicating(|_| ());
    let mut client = cluster.client("postgres");
    client.execute("CREATE ROLE backup LOGIN REPLICATION; CREATE ROLE lonely LOGIN REPLICATION").unwrap();
    client
        .execute(
            "GRANT pg_read_server_files TO backup; \
             GRANT EXECUTE ON FUNCTION pg_read_binary_file(text, bigint, bigint, boolean) TO backup",
        )
        .unwrap();
    for (user, may) in [("postgres", true), ("backup", true), ("lonely", false)] {
        let mut options = options(&cluster);
        options.connection = cluster.sandbox().options_as(user, "postgres").unwrap();
        let mut source = BaseBackup::new(options);
        source.start().unwrap();
        let sink = Asking { files: Vec::new().into(), wanted: "postgresql.conf", answers: Vec::new().into() };
        source.read(&sink, &|| false).unwrap();
        let answers = sink.answers.into_inner().unwrap();
        let [(first, then)] = answers.as_slice() else { panic!("{answers:?}") };
        let mut actual = vec![0; 100];
        let file = std::fs::File::open(cluster.sandbox().data_directory().join("postgresql.conf")).unwrap();
        file.read_exact_at(&mut actual, 10).unwrap();
        assert_eq!(first, &actual);
        assert_eq!(then, &may.then_some(actual), "{user}");
    }
}

#[test]
fn regions_of_odd_sizes_are_all_the_same() {
    let cluster = Cluster::replicating(|_| ());
    let place = Place::new();
    for (at, bytes) in [8192, 24_576, 1 << 20, 1 << 30].into_iter().enumerate() {
        let root = place.join(&at.to_string());
        let read = read_cluster(&mut BaseBackup::new(options(&cluster)), &root, bytes, None).unwrap();
        for (path, _) in read.files.iter().filter(|(path, _)| path.as_str().starts_with("base/1/")) {
            let ours = std::fs::read(root.join(path.as_str())).unwrap();
            let theirs = std::fs::read(cluster.sandbox().data_directory().join(path.as_str())).unwrap();
            assert!(ours == theirs, "{path}");
        }
    }
}
