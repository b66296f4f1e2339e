//! A sink that writes into a directory, looks at pages as a real one does, and holds the source to the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use chronavault_postgres::page::{bad_blocks, relation_file};
use chronavault_postgres::{
    Again, ClusterError, ClusterFile, ClusterSink, ClusterSource, ClusterStart, ClusterStop, FileNumber,
    Region, RegionSink, SinkError,
};
use model::ClusterPath;

/// Called before a region is taken, with its path, its number and its bytes: the place for a test to interfere.
pub(crate) type Hook<'a> = Box<dyn Fn(&ClusterPath, u32, &mut [u8]) + Sync + 'a>;

pub(crate) struct DirectorySink<'a> {
    root: PathBuf,
    region_bytes: u32,
    start: ClusterStart,
    hook: Hook<'a>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<Received>,
    directories: BTreeMap<ClusterPath, u32>,
    workers: usize,
    /// Blocks that were bad at first, and those that stayed so.
    torn: Vec<(ClusterPath, u32)>,
    damaged: Vec<(ClusterPath, u32)>,
}

#[derive(Debug)]
struct Received {
    file: ClusterFile,
    out: File,
    /// Bytes by number of the region.
    regions: BTreeMap<u32, u64>,
    finished: Option<u64>,
}

/// What was read.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) root: PathBuf,
    pub(crate) start: ClusterStart,
    pub(crate) stop: ClusterStop,
    /// In the order in which they were named.
    pub(crate) files: Vec<(ClusterPath, u64)>,
    pub(crate) directories: BTreeMap<ClusterPath, u32>,
    pub(crate) torn: Vec<(ClusterPath, u32)>,
    pub(crate) damaged: Vec<(ClusterPath, u32)>,
}

impl Copy {
    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.iter().any(|(file, _)| file.as_str() == path)
    }

    pub(crate) fn names_in(&self, directory: &str) -> BTreeSet<&str> {
        let inside = self.files.iter().filter(|(path, _)| path.parent() == Some(directory));
        inside.map(|(path, _)| path.file_name()).collect()
    }
}

/// Reads a cluster into `root`.
pub(crate) fn read(
    source: &mut dyn ClusterSource,
    root: &Path,
    region_bytes: u32,
    hook: Hook<'_>,
) -> Result<Copy, ClusterError> {
    read_until(source, root, region_bytes, hook, &|| false)
}

/// The same, until it is `cancelled`.
pub(crate) fn read_until(
    source: &mut dyn ClusterSource,
    root: &Path,
    region_bytes: u32,
    hook: Hook<'_>,
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Copy, ClusterError> {
    let start = source.start()?;
    fs::create_dir_all(root).unwrap();
    let state = Mutex::default();
    let sink = DirectorySink { root: root.to_owned(), region_bytes, start: start.clone(), hook, state };
    let stop = source.read(&sink, cancelled)?;
    let state = sink.state.into_inner().unwrap();
    assert_eq!(state.workers, 0, "workers that did not finish");
    let whole =
        |received: &Received| (received.file.path.clone(), received.finished.expect("it was finished"));
    let files = state.files.iter().map(whole).collect();
    let State { directories, torn, damaged, .. } = state;
    Ok(Copy { root: root.to_owned(), start, stop, files, directories, torn, damaged })
}

impl ClusterSink for DirectorySink<'_> {
    fn region_bytes(&self) -> u32 {
        self.region_bytes
    }

    fn directory(&self, path: &ClusterPath, mode: u32) -> Result<(), SinkError> {
        let directory = self.root.join(path.as_str());
        fs::create_dir_all(&directory)?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(mode))?;
        let before = self.state.lock().unwrap().directories.insert(path.clone(), mode);
        assert_eq!(before, None, "{path} twice");
        Ok(())
    }

    fn file(&self, file: &ClusterFile) -> Result<FileNumber, SinkError> {
        let place = self.root.join(file.path.as_str());
        fs::create_dir_all(place.parent().unwrap())?;
        let out = File::create_new(&place)?;
        out.set_permissions(fs::Permissions::from_mode(file.mode))?;
        let mut state = self.state.lock().unwrap();
        let number = u32::try_from(state.files.len())?;
        state.files.push(Received { file: file.clone(), out, regions: BTreeMap::new(), finished: None });
        Ok(FileNumber(number))
    }

    fn finish(&self, file: FileNumber, bytes: u64) -> Result<(), SinkError> {
        let mut state = self.state.lock().unwrap();
        let received = &mut state.files[file.0 as usize];
        let path = &received.file.path;
        assert_eq!(received.finished, None, "{path} was finished twice");
        let regions: Vec<(u32, u64)> =
            received.regions.iter().map(|(number, size)| (*number, *size)).collect();
        let size = u64::from(self.region_bytes);
        let expected: Vec<(u32, u64)> = (0..)
            .zip((0..bytes).step_by(self.region_bytes as usize).map(|at| size.min(bytes - at)))
            .collect();
        assert_eq!(regions, expected, "regions of {path}, which has {bytes} bytes");
        received.finished = Some(bytes);
        Ok(())
    }

    fn worker(&self) -> Result<Box<dyn RegionSink + '_>, SinkError> {
        self.state.lock().unwrap().workers += 1;
        Ok(Box::new(Worker(self)))
    }
}

struct Worker<'a>(&'a DirectorySink<'a>);

impl RegionSink for Worker<'_> {
    fn store(&mut self, region: Region, bytes: &mut [u8], again: Again<'_>) -> Result<(), SinkError> {
        let sink = self.0;
        let (path, out) = {
            let state = sink.state.lock().unwrap();
            let received = &state.files[region.file.0 as usize];
            (received.file.path.clone(), received.out.try_clone()?)
        };
        (sink.hook)(&path, region.number, bytes);
        sink.inspect(&path, region.number, bytes, again);
        let offset = u64::from(region.number) * u64::from(sink.region_bytes);
        out.write_all_at(bytes, offset)?;
        let mut state = sink.state.lock().unwrap();
        let received = &mut state.files[region.file.0 as usize];
        assert_eq!(received.finished, None, "a region of {path} behind its end");
        let before = received.regions.insert(region.number, bytes.len() as u64);
        assert_eq!(before, None, "region {} of {path} twice", region.number);
        Ok(())
    }

    fn earlier(&mut self, _: Region, _: &mut Vec<u8>) -> Result<bool, SinkError> {
        Ok(false)
    }

    fn keep(&mut self, _: Region) -> Result<bool, SinkError> {
        Ok(false)
    }

    fn finish(self: Box<Self>) -> Result<(), SinkError> {
        self.0.state.lock().unwrap().workers -= 1;
        Ok(())
    }
}

impl DirectorySink<'_> {
    fn inspect(&self, path: &ClusterPath, region: u32, bytes: &mut [u8], again: Again<'_>) {
        let start = &self.start;
        let Some(first) = relation_file(path).filter(|_| start.data_checksums) else { return };
        let page = start.block_bytes as usize;
        let in_file = region * (self.region_bytes / start.block_bytes);
        for block in bad_blocks(bytes, start.block_bytes, first + in_file, start.start_lsn) {
            let at = (block - first - in_file) as usize * page;
            let offset = u64::from(block - first) * u64::from(start.block_bytes);
            let page = &mut bytes[at..at + page];
            let is_read = again(offset, page);
            let is_bad = !bad_blocks(page, start.block_bytes, block, start.start_lsn).is_empty();
            let mut state = self.state.lock().unwrap();
            let list = if is_bad || !is_read { &mut state.damaged } else { &mut state.torn };
            list.push((path.clone(), block));
        }
    }
}

/// A sink that nobody should call.
pub(crate) struct Nothing;

impl ClusterSink for Nothing {
    fn region_bytes(&self) -> u32 {
        panic!("it was called")
    }

    fn directory(&self, path: &ClusterPath, _: u32) -> Result<(), SinkError> {
        panic!("{path}")
    }

    fn file(&self, file: &ClusterFile) -> Result<FileNumber, SinkError> {
        panic!("{file:?}")
    }

    fn finish(&self, file: FileNumber, _: u64) -> Result<(), SinkError> {
        panic!("{file:?}")
    }

    fn worker(&self) -> Result<Box<dyn RegionSink + '_>, SinkError> {
        panic!("it was called")
    }
}
