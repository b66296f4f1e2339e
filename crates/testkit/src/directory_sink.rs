//! A sink for the files of a cluster that writes them into a directory, and is stricter than any real one.

#![expect(clippy::missing_panics_doc, reason = "failing is panicking here")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use model::ClusterPath;
use postgres::{
    Again, ClusterFile, ClusterSink, ClusterSource, ClusterStart, ClusterStop, FileNumber, Region,
    RegionSink, SinkError,
};

/// Writes every file below a directory. Panics when a source breaks a rule: a path named twice, a region given twice or with the
/// wrong size, a file finished too early, a worker that did not finish.
#[derive(Debug)]
pub struct DirectorySink {
    root: PathBuf,
    region_bytes: u32,
    earlier: Option<PathBuf>,
    state: Mutex<State>,
    /// Regions that were kept, and bytes that were stored.
    kept: AtomicU64,
    stored_bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<Received>,
    paths: BTreeSet<ClusterPath>,
    workers: usize,
}

#[derive(Debug)]
struct Received {
    file: ClusterFile,
    /// Bytes by number of the region.
    regions: BTreeMap<u32, u64>,
    finished: Option<u64>,
}

/// What a source read into a directory.
#[derive(Debug)]
pub struct ReadCluster {
    /// What it said at the start.
    pub start: ClusterStart,
    /// What it said at the end.
    pub stop: ClusterStop,
    /// Every file with its size.
    pub files: Vec<(ClusterPath, u64)>,
    /// Regions that were taken from the earlier directory unread.
    pub kept_regions: u64,
    /// Bytes that were stored.
    pub stored_bytes: u64,
}

impl DirectorySink {
    /// Writes into `root`, which is made. `earlier` holds what another sink wrote before.
    #[must_use]
    pub fn new(root: &Path, region_bytes: u32, earlier: Option<&Path>) -> Self {
        fs::create_dir_all(root).expect("the directory is made");
        Self {
            root: root.to_owned(),
            region_bytes,
            earlier: earlier.map(Path::to_owned),
            state: Mutex::default(),
            kept: AtomicU64::new(0),
            stored_bytes: AtomicU64::new(0),
        }
    }

    /// Everything was read: checks that it is whole.
    #[must_use]
    pub fn finish(self, start: ClusterStart, stop: ClusterStop) -> ReadCluster {
        let state = self.state.into_inner().expect("no worker panicked");
        assert_eq!(state.workers, 0, "workers that did not finish");
        let size = |received: &Received| {
            let path = &received.file.path;
            let bytes = received.finished.unwrap_or_else(|| panic!("{path} was not finished"));
            (path.clone(), bytes)
        };
        ReadCluster {
            start,
            stop,
            files: state.files.iter().map(size).collect(),
            kept_regions: self.kept.into_inner(),
            stored_bytes: self.stored_bytes.into_inner(),
        }
    }

    fn store(&self, region: Region, bytes: &[u8]) {
        let path = self.note(region, bytes.len() as u64);
        let offset = u64::from(region.number) * u64::from(self.region_bytes);
        let file = OpenOptions::new().write(true).open(self.root.join(path.as_str())).expect("it is there");
        file.write_all_at(bytes, offset).expect("it can be written");
        self.stored_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }

    fn note(&self, region: Region, bytes: u64) -> ClusterPath {
        let mut state = self.state.lock().expect("no worker panicked");
        let received = &mut state.files[region.file.0 as usize];
        let path = received.file.path.clone();
        assert!(received.finished.is_none(), "a region of {path} behind its end");
        assert!((1..=u64::from(self.region_bytes)).contains(&bytes), "a region of {bytes} bytes of {path}");
        let before = received.regions.insert(region.number, bytes);
        assert_eq!(before, None, "region {} of {path} twice", region.number);
        path
    }

    /// The region as the earlier directory has it.
    fn earlier_region(&self, region: Region) -> Option<Vec<u8>> {
        let root = self.earlier.as_ref()?;
        let path =
            self.state.lock().expect("no worker panicked").files[region.file.0 as usize].file.path.clone();
        let file = File::open(root.join(path.as_str())).ok()?;
        let offset = u64::from(region.number) * u64::from(self.region_bytes);
        let size = file.metadata().expect("it has a size").len();
        let length = size.checked_sub(offset).filter(|left| *left > 0)?.min(u64::from(self.region_bytes));
        let mut bytes = vec![0; usize::try_from(length).expect("a region fits")];
        file.read_exact_at(&mut bytes, offset).expect("it can be read");
        Some(bytes)
    }
}

impl ClusterSink for DirectorySink {
    fn region_bytes(&self) -> u32 {
        self.region_bytes
    }

    fn directory(&self, path: &ClusterPath, mode: u32) -> Result<(), SinkError> {
        let directory = self.root.join(path.as_str());
        fs::create_dir_all(&directory)?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(mode))?;
        Ok(())
    }

    fn file(&self, file: &ClusterFile) -> Result<FileNumber, SinkError> {
        let mut state = self.state.lock().expect("no worker panicked");
        assert!(state.paths.insert(file.path.clone()), "{} twice", file.path);
        let place = self.root.join(file.path.as_str());
        fs::create_dir_all(place.parent().expect("it is below the root"))?;
        File::create_new(&place)?.set_permissions(fs::Permissions::from_mode(file.mode))?;
        let number = u32::try_from(state.files.len())?;
        state.files.push(Received { file: file.clone(), regions: BTreeMap::new(), finished: None });
        Ok(FileNumber(number))
    }

    fn finish(&self, file: FileNumber, bytes: u64) -> Result<(), SinkError> {
        let mut state = self.state.lock().expect("no worker panicked");
        let received = &mut state.files[file.0 as usize];
        let path = &received.file.path;
        assert_eq!(received.finished, None, "{path} was finished twice");
        let count = bytes.div_ceil(u64::from(self.region_bytes));
        assert_eq!(received.regions.len() as u64, count, "regions of {path}, which has {bytes} bytes");
        assert_eq!(received.regions.values().sum::<u64>(), bytes, "bytes of {path}");
        let sizes: Vec<u64> = received.regions.values().copied().collect();
        let (_, whole) = sizes.split_last().unwrap_or((&0, &[]));
        assert!(
            whole.iter().all(|size| *size == u64::from(self.region_bytes)),
            "regions of {path}: {sizes:?}"
        );
        received.finished = Some(bytes);
        Ok(())
    }

    fn worker(&self) -> Result<Box<dyn RegionSink + '_>, SinkError> {
        self.state.lock().expect("no worker panicked").workers += 1;
        Ok(Box::new(Worker { sink: self }))
    }
}

struct Worker<'a> {
    sink: &'a DirectorySink,
}

impl RegionSink for Worker<'_> {
    fn store(&mut self, region: Region, bytes: &mut [u8], _again: Again<'_>) -> Result<(), SinkError> {
        self.sink.store(region, bytes);
        Ok(())
    }

    fn earlier(&mut self, region: Region, bytes: &mut Vec<u8>) -> Result<bool, SinkError> {
        let found = self.sink.earlier_region(region);
        let is_there = found.is_some();
        *bytes = found.unwrap_or_default();
        Ok(is_there)
    }

    fn keep(&mut self, region: Region) -> Result<bool, SinkError> {
        let Some(bytes) = self.sink.earlier_region(region) else { return Ok(false) };
        self.sink.store(region, &bytes);
        self.sink.stored_bytes.fetch_sub(bytes.len() as u64, Ordering::Relaxed);
        self.sink.kept.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }

    fn finish(self: Box<Self>) -> Result<(), SinkError> {
        self.sink.state.lock().expect("no worker panicked").workers -= 1;
        Ok(())
    }
}

/// Reads a cluster into the directory `root`. Nothing but the source may fail.
pub fn read_cluster(
    source: &mut dyn ClusterSource,
    root: &Path,
    region_bytes: u32,
    earlier: Option<&Path>,
) -> Result<ReadCluster, postgres::ClusterError> {
    let start = source.start()?;
    let sink = DirectorySink::new(root, region_bytes, earlier);
    let stop = source.read(&sink, &|| false)?;
    Ok(sink.finish(start, stop))
}

/// Makes a directory that was read a data directory that a server can start on: tablespaces are moved to `<root>.tablespaces`, and
/// everything belongs to the account `owner` where that is another one.
pub fn make_startable(root: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    let map = root.join("tablespace_map");
    if map.exists() {
        let away = root.with_extension("tablespaces");
        fs::create_dir_all(&away)?;
        let mut lines = String::new();
        for line in fs::read_to_string(&map)?.lines() {
            let oid = line.split(' ').next().unwrap_or_default();
            let place = away.join(oid);
            fs::rename(root.join("pg_tblspc").join(oid), &place)?;
            writeln!(lines, "{oid} {}", place.display()).expect("writing to a string works");
        }
        fs::write(&map, lines)?;
        give(&away, owner)?;
    }
    fs::set_permissions(root, fs::Permissions::from_mode(0o700))?;
    give(root, owner)
}

fn give(directory: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    let Some((uid, gid)) = owner else { return Ok(()) };
    chown(directory, Some(uid), Some(gid))?;
    let status = Command::new("chown").arg("-R").arg(format!("{uid}:{gid}")).arg(directory).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("chown failed")) }
}
