//! The contents of members on their way to the crew: whole files, files of which only changes come, and the label of an incremental
//! backup.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::changed_file::{ChangedBlocks, HeaderReader, Patch};
use super::crew::{Dispatcher, Job, OpenFile, Stop};
use super::tar::Malformed;
use crate::cluster::{ClusterError, ClusterFile, ClusterSink};

/// Bytes of the largest `backup_label`.
const LABEL_LIMIT: usize = 64 * 1024;
/// What begins the lines of a label without which it is that of a whole backup.
const INCREMENTAL_LINE: &str = "INCREMENTAL FROM ";

/// Where contents go.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) sink: &'a dyn ClusterSink,
    pub(super) dispatcher: &'a Dispatcher<'a>,
    /// Bytes of a region.
    pub(super) region_bytes: u32,
}

impl Target<'_> {
    fn open(&self, file: ClusterFile) -> Result<Arc<OpenFile>, Stop> {
        let regions = u32::try_from(file.bytes.div_ceil(self.region_bytes.into()))
            .map_err(|_| Malformed("a file that is too large"))?;
        let number = self.sink.file(&file).map_err(ClusterError::Sink)?;
        if regions == 0 {
            self.sink.finish(number, 0).map_err(ClusterError::Sink)?;
        }
        let left = AtomicU32::new(regions);
        Ok(Arc::new(OpenFile { number, path: file.path, bytes: file.bytes, left }))
    }
}

/// The contents of a member, as they come.
pub(super) enum Content {
    Whole(WholeFile),
    Changed(ChangedFile),
    Label(Label),
}

impl Content {
    /// Takes some bytes of the member.
    pub(super) fn feed(&mut self, target: &Target<'_>, bytes: &[u8]) -> Result<(), Stop> {
        match self {
            Self::Whole(file) => file.feed(target, bytes),
            Self::Changed(file) => file.feed(target, bytes),
            Self::Label(label) => Ok(label.feed(bytes)?),
        }
    }

    /// All bytes of the member came.
    pub(super) fn complete(self, target: &Target<'_>) -> Result<(), Stop> {
        match self {
            Self::Whole(_) => Ok(()),
            Self::Changed(file) => Ok(file.complete()?),
            Self::Label(label) => label.complete(target),
        }
    }
}

/// A file that comes whole.
pub(super) struct WholeFile {
    file: Arc<OpenFile>,
    /// The region that is being filled.
    region: u32,
    buffer: Vec<u8>,
}

impl WholeFile {
    pub(super) fn open(target: &Target<'_>, file: ClusterFile) -> Result<Self, Stop> {
        Ok(Self { file: target.open(file)?, region: 0, buffer: Vec::new() })
    }

    fn feed(&mut self, target: &Target<'_>, mut bytes: &[u8]) -> Result<(), Stop> {
        while !bytes.is_empty() {
            let left = self.file.bytes - u64::from(self.region) * u64::from(target.region_bytes);
            // At most a region, which fits wherever a u32 does.
            let length = usize::try_from(left.min(target.region_bytes.into())).unwrap_or(usize::MAX);
            if self.buffer.is_empty() {
                self.buffer = target.dispatcher.buffer()?;
                self.buffer.reserve(length);
            }
            let (now, later) = bytes.split_at(bytes.len().min(length - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == length {
                let bytes = std::mem::take(&mut self.buffer);
                let (file, region) = (self.file.clone(), self.region);
                target.dispatcher.give(Job { file, region, bytes, patch: None })?;
                self.region += 1;
            }
        }
        Ok(())
    }
}

/// A file of which only changes come.
pub(super) struct ChangedFile {
    /// Its path, mode, and the size of the member.
    member: ClusterFile,
    earlier_bytes: u64,
    header: HeaderReader,
    body: Option<Body>,
}

/// What is behind the header.
struct Body {
    file: Arc<OpenFile>,
    changed: ChangedBlocks,
    region: u32,
    /// What the region is made of; none behind the last one.
    patch: Option<Patch>,
    buffer: Vec<u8>,
}

impl ChangedFile {
    pub(super) fn new(member: ClusterFile, earlier_bytes: u64, block_bytes: u32) -> Self {
        Self { member, earlier_bytes, header: HeaderReader::new(block_bytes), body: None }
    }

    fn feed(&mut self, target: &Target<'_>, mut bytes: &[u8]) -> Result<(), Stop> {
        if self.body.is_none() {
            let Some(changed) = self.header.feed(&mut bytes)? else { return Ok(()) };
            let file = ClusterFile { bytes: changed.file_bytes(), ..self.member.clone() };
            let file = target.open(file)?;
            let mut body = Body { file, changed, region: 0, patch: None, buffer: Vec::new() };
            body.skip_unchanged(target, self.earlier_bytes)?;
            self.body = Some(body);
        }
        match &mut self.body {
            Some(body) => body.feed(target, self.earlier_bytes, bytes),
            None => Ok(()),
        }
    }

    fn complete(self) -> Result<(), Malformed> {
        match self.body {
            Some(body) if body.patch.is_none() => Ok(()),
            _ => Err(Malformed("an incremental file that ends early")),
        }
    }
}

impl Body {
    /// Gives regions to the crew up to the next one of which blocks come.
    fn skip_unchanged(&mut self, target: &Target<'_>, earlier_bytes: u64) -> Result<(), Stop> {
        loop {
            let patch = self.changed.patch(self.region, target.region_bytes, earlier_bytes);
            if patch.length == 0 {
                return Ok(());
            }
            if !patch.offsets.is_empty() {
                self.patch = Some(patch);
                return Ok(());
            }
            let bytes = target.dispatcher.buffer()?;
            self.give(target, bytes, patch)?;
        }
    }

    fn give(&mut self, target: &Target<'_>, bytes: Vec<u8>, patch: Patch) -> Result<(), Stop> {
        let (file, region) = (self.file.clone(), self.region);
        self.region += 1;
        target.dispatcher.give(Job { file, region, bytes, patch: Some(patch) })
    }

    fn feed(&mut self, target: &Target<'_>, earlier_bytes: u64, mut bytes: &[u8]) -> Result<(), Stop> {
        while !bytes.is_empty() {
            let Some(patch) = &self.patch else {
                return Err(Malformed("an incremental file that goes on behind its blocks").into());
            };
            let wanted = patch.offsets.len() * patch.block_bytes as usize;
            if self.buffer.is_empty() {
                self.buffer = target.dispatcher.buffer()?;
                self.buffer.reserve(wanted);
            }
            let (now, later) = bytes.split_at(bytes.len().min(wanted - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == wanted
                && let Some(patch) = self.patch.take()
            {
                let bytes = std::mem::take(&mut self.buffer);
                self.give(target, bytes, patch)?;
                self.skip_unchanged(target, earlier_bytes)?;
            }
        }
        Ok(())
    }
}

/// The `backup_label` of an incremental backup. A server does not start with it, since it takes the directory for the changes alone;
/// without two lines it is that of the whole backup that is made of them, as `pg_combinebackup` writes it.
pub(super) struct Label {
    member: ClusterFile,
    text: Vec<u8>,
}

impl Label {
    pub(super) fn new(member: ClusterFile) -> Self {
        Self { member, text: Vec::new() }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.text.extend_from_slice(bytes);
        if self.text.len() > LABEL_LIMIT {
            Err(Malformed("a backup label that is too large"))
        } else {
            Ok(())
        }
    }

    fn complete(self, target: &Target<'_>) -> Result<(), Stop> {
        let lines = self.text.split_inclusive(|byte| *byte == b'\n');
        let text: Vec<u8> =
            lines.filter(|line| !line.starts_with(INCREMENTAL_LINE.as_bytes())).flatten().copied().collect();
        let file = ClusterFile { bytes: text.len() as u64, ..self.member };
        WholeFile::open(target, file)?.feed(target, &text)
    }
}
