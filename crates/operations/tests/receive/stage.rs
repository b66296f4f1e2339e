//! A cluster whose WAL is received, somebody who watches, and recoveries from what was archived.

use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use chronavault_operations as operations;
use jiff::Timestamp;
use model::{Lsn, SegmentSize, SystemId, TimelineId, WalName, WalSegmentName};
use operations::{
    Context, Error, Event, Observer, ReceiveEvent, ReceiveReport, ReceiveRequest, Unobserved, Warning,
    receive_wal,
};
use postgres::{BaseBackup, BaseBackupOptions, Checkpoint, Client, ReplicationClient};
use repository::{Repository, WalArchive};
use testkit::{Cluster, make_startable, read_cluster};

pub(crate) const SIZE: SegmentSize = SegmentSize::DEFAULT;
/// Longer than anything here takes.
const LONG: Duration = Duration::from_mins(1);

/// Remembers events, and can be asked to stop.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    events: Mutex<Vec<Event>>,
    news: Condvar,
    stop: AtomicBool,
    ended: AtomicBool,
}

impl Observer for Watch {
    fn event(&self, event: Event) {
        self.events.lock().unwrap().push(event);
        self.news.notify_all();
    }

    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Watch {
    /// The first event of which `choose` makes something, waiting for it.
    pub(crate) fn find<T>(&self, what: &str, choose: impl Fn(&Event) -> Option<T>) -> T {
        self.wait(what, |events| events.iter().find_map(&choose))
    }

    fn wait<T>(&self, what: &str, look: impl Fn(&[Event]) -> Option<T>) -> T {
        let until = Instant::now() + LONG;
        let mut events = self.events.lock().unwrap();
        loop {
            if let Some(found) = look(&events) {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} did not happen, but: {events:#?}");
            events = self.news.wait_timeout(events, left).unwrap().0;
        }
    }

    /// Waits until so many events happened of which `is_one` holds.
    pub(crate) fn times(&self, what: &str, times: usize, is_one: impl Fn(&Event) -> bool) {
        self.wait(what, |events| {
            (events.iter().filter(|event| is_one(event)).count() >= times).then_some(())
        });
    }

    /// Waits until the receiver has returned.
    pub(crate) fn ended(&self) {
        self.wait("the end", |_| self.ended.load(Ordering::Relaxed).then_some(()));
    }

    /// The number of events of which `is_one` holds so far.
    pub(crate) fn count(&self, is_one: impl Fn(&Event) -> bool) -> usize {
        self.events.lock().unwrap().iter().filter(|event| is_one(event)).count()
    }

    /// Waits until everything before `lsn` is archived.
    pub(crate) fn archived(&self, lsn: Lsn) {
        self.find(&format!("archiving up to {lsn}"), |event| match event {
            Event::Wal(ReceiveEvent::Flushed { position }) => (*position >= lsn).then_some(()),
            Event::Wal(ReceiveEvent::Stored { segment }) => (segment.end(SIZE) >= lsn).then_some(()),
            _ => None,
        });
    }

    pub(crate) fn streaming(&self) -> (TimelineId, Lsn, operations::Origin) {
        self.find("streaming", |event| match event {
            Event::Wal(ReceiveEvent::Streaming { timeline, from, origin, .. }) => {
                Some((*timeline, *from, *origin))
            }
            _ => None,
        })
    }

    pub(crate) fn warnings(&self) -> Vec<Warning> {
        let events = self.events.lock().unwrap();
        let warning =
            |event: &Event| if let Event::Warning(warning) = event { Some(warning.clone()) } else { None };
        events.iter().filter_map(warning).collect()
    }
}

pub(crate) fn request(cluster: &Cluster) -> ReceiveRequest {
    ReceiveRequest {
        source: cluster.options("postgres"),
        slot: "chronavault_test".parse().unwrap(),
        flush_interval: Duration::from_millis(50),
        synchronous: false,
        compression: Some(1),
    }
}

/// Receives WAL while `work` runs, and stops then.
pub(crate) fn receiving<T>(
    repository: &Repository,
    request: &ReceiveRequest,
    work: impl FnOnce(&Watch) -> T,
) -> (T, Result<ReceiveReport, Error>) {
    struct Stop<'a>(&'a Watch);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.stop.store(true, Ordering::Relaxed);
        }
    }
    let watch = Watch::default();
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let result = receive(repository, request, &watch);
            let events = watch.events.lock().unwrap();
            watch.ended.store(true, Ordering::Relaxed);
            drop(events);
            watch.news.notify_all();
            result
        });
        let stop = Stop(&watch);
        let result = work(&watch);
        drop(stop);
        (result, receiver.join().unwrap())
    })
}

pub(crate) fn receive(
    repository: &Repository,
    request: &ReceiveRequest,
    observer: &dyn Observer,
) -> Result<ReceiveReport, Error> {
    let context = Context {
        clock: &Timestamp::now,
        random: &|_| (),
        observer,
        lease: None,
        tool_path: None,
        sandbox_parent: PathBuf::from("/tmp"),
    };
    receive_wal(repository, request, &context)
}

/// Nobody.
pub(crate) const NOBODY: Unobserved = Unobserved;

pub(crate) fn system(cluster: &Cluster) -> SystemId {
    let mut client = ReplicationClient::connect(&cluster.options("postgres")).unwrap();
    client.identify_system().unwrap().system_id
}

pub(crate) fn flushed(client: &mut Client) -> Lsn {
    client.query_one("SELECT pg_current_wal_flush_lsn()", &[]).unwrap().number(0).unwrap()
}

/// Writes about so many MiB of WAL.
pub(crate) fn write_wal(client: &mut Client, mib: u32) {
    let rows = mib * 4000;
    let sql = format!(
        "CREATE TABLE w AS SELECT i, repeat('w', 200) FROM generate_series(1, {rows}) i; DROP TABLE w"
    );
    client.execute(&sql).unwrap();
}

/// Everything that is archived of segments, whole or not, by name.
pub(crate) fn archived(archive: &WalArchive) -> Vec<(WalSegmentName, Vec<u8>)> {
    loop {
        // Pieces go when their segment is whole, also while somebody looks.
        if let Some(all) = try_archived(archive) {
            return all;
        }
    }
}

fn try_archived(archive: &WalArchive) -> Option<Vec<(WalSegmentName, Vec<u8>)>> {
    let mut all = Vec::new();
    for wal in archive.catalogue().unwrap().timelines.values() {
        for name in wal.segments.keys() {
            let mut bytes = Vec::new();
            archive.get(WalName::Segment(*name), &mut bytes).unwrap().unwrap();
            all.push((*name, bytes));
        }
        for name in wal.pieces.keys().filter(|name| !wal.segments.contains_key(name)) {
            all.push((*name, archive.join_pieces(*name).unwrap()?.1));
        }
    }
    all.sort();
    Some(all)
}

/// What is archived is what the server has, and leaves no gap. Returns the position up to which it goes.
pub(crate) fn compare(archive: &WalArchive, cluster: &Cluster, timeline: TimelineId) -> Lsn {
    let directory = cluster.sandbox().data_directory().join("pg_wal");
    let mut expected: Option<WalSegmentName> = None;
    let mut end = Lsn(0);
    for (name, ours) in archived(archive).into_iter().filter(|(name, _)| name.timeline == timeline) {
        assert!(expected.is_none_or(|expected| expected == name), "{name} instead of {expected:?}");
        // The server may have recycled what it no longer needs.
        if let Ok(theirs) = std::fs::read(directory.join(name.to_string())) {
            assert!(ours == theirs[..ours.len()], "{name} differs");
        }
        end = name.start(SIZE).plus(ours.len() as u64);
        expected = Some(name.next(SIZE));
    }
    end
}

/// A base backup, and clusters that are recovered from it and from an archive.
pub(crate) struct Base {
    directory: tempfile::TempDir,
}

impl Base {
    pub(crate) fn take(cluster: &Cluster) -> Self {
        let directory = tempfile::Builder::new().prefix("receive-").tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let options = BaseBackupOptions {
            connection: cluster.options("postgres"),
            checkpoint: Checkpoint::Fast,
            threads: NonZeroUsize::MIN,
            checksums: false,
            earlier: None,
        };
        let root = directory.path().join("base");
        read_cluster(&mut BaseBackup::new(options), &root, 1 << 20, None).unwrap();
        // What recovery needs of WAL comes from the archive.
        std::fs::write(root.join("recovery.signal"), "").unwrap();
        make_startable(&root, cluster.owner()).unwrap();
        Self { directory }
    }

    /// Recovers to the end of what is archived, along the latest timeline.
    pub(crate) fn recover(&self, archive: &WalArchive) -> Cluster {
        let wal = self.directory.path().join(format!("wal-{}", self.files()));
        std::fs::create_dir(&wal).unwrap();
        for (name, mut bytes) in archived(archive) {
            bytes.resize(SIZE.bytes() as usize, 0);
            write(&wal, &name.to_string(), &bytes);
        }
        for timeline in archive.catalogue().unwrap().timelines.keys() {
            if let Some(history) = archive.history(*timeline).unwrap() {
                write(&wal, &WalName::History(*timeline).to_string(), &history);
            }
        }
        let cluster = Cluster::replicating(|options| {
            options.template = Some(self.directory.path().join("base"));
            let command = format!("cp {}/%f %p", wal.display());
            options.settings.push(("restore_command".into(), command));
            options.settings.push(("recovery_target_timeline".into(), "latest".into()));
        });
        let mut client = cluster.client("postgres");
        while client.query_one("SELECT pg_is_in_recovery()", &[]).unwrap().is_true(0) {}
        cluster
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.directory.path()).unwrap().count()
    }
}

fn write(directory: &Path, name: &str, bytes: &[u8]) {
    let path = directory.join(name);
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
}

pub(crate) fn count(cluster: &Cluster, table: &str) -> u64 {
    let sql = format!("SELECT count(*) FROM {table}");
    cluster.client("postgres").query_one(&sql, &[]).unwrap().number(0).unwrap()
}
