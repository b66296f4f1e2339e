//! From archives to regions: takes the archives of a base backup as they come and hands files to a sink, directories at once and
//! contents through the crew.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use model::ClusterPath;

use super::crew::{Dispatcher, Job, OpenFile, Stop};
use super::received::{ReceivedFile, ReceivedFiles};
use super::tar::{Malformed, Member, MemberKind, TarEvent, TarReader};
use crate::cluster::{ClusterError, ClusterFile, ClusterSink};

/// Where an archive's members are: in the data directory, or below a directory of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ArchivePlace(pub(super) Option<ClusterPath>);

/// Takes archives, one after another.
pub(super) struct Unpacker<'a> {
    sink: &'a dyn ClusterSink,
    dispatcher: &'a Dispatcher<'a>,
    region_bytes: u32,
    checksums: bool,
    place: ArchivePlace,
    tar: TarReader,
    /// The file that is being received.
    current: Option<Current>,
    received: ReceivedFiles,
}

struct Current {
    file: Arc<OpenFile>,
    /// The region that is being filled.
    region: u32,
    buffer: Vec<u8>,
    checksum: Option<u32>,
}

impl Current {
    /// Bytes of the region that is being filled.
    fn region_length(&self, whole: u32) -> usize {
        let left = self.file.bytes.saturating_sub(u64::from(self.region) * u64::from(whole));
        // At most a whole region, which fits wherever a u32 does.
        usize::try_from(left.min(whole.into())).unwrap_or(usize::MAX)
    }
}

impl From<Malformed> for ClusterError {
    fn from(malformed: Malformed) -> Self {
        Self::Protocol { what: malformed.0.to_owned() }
    }
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(sink: &'a dyn ClusterSink, dispatcher: &'a Dispatcher<'a>, checksums: bool) -> Self {
        Self {
            sink,
            dispatcher,
            region_bytes: sink.region_bytes().max(1),
            checksums,
            place: ArchivePlace(None),
            tar: TarReader::new(),
            current: None,
            received: ReceivedFiles::default(),
        }
    }

    /// Another archive begins.
    pub(super) fn archive(&mut self, place: ArchivePlace) -> Result<(), Stop> {
        self.tar.finish()?;
        self.tar = TarReader::new();
        self.place = place;
        Ok(())
    }

    /// Some of the bytes of the archive.
    pub(super) fn bytes(&mut self, mut bytes: &[u8]) -> Result<(), Stop> {
        while let Some(event) = self.tar.next(&mut bytes)? {
            match event {
                TarEvent::Member(member) => self.member(member)?,
                TarEvent::Bytes(bytes) => self.contents(bytes)?,
                TarEvent::Complete => self.complete()?,
            }
        }
        Ok(())
    }

    /// All archives came. Returns what was in them.
    pub(super) fn finish(self) -> Result<ReceivedFiles, Stop> {
        self.tar.finish()?;
        Ok(self.received)
    }

    fn path(&self, name: Vec<u8>) -> Result<ClusterPath, ClusterError> {
        let text = String::from_utf8(name)
            .map_err(|error| ClusterError::Name { name: String::from_utf8_lossy(error.as_bytes()).into() })?;
        let whole = match &self.place.0 {
            None => text,
            Some(directory) => format!("{directory}/{text}"),
        };
        whole.parse().map_err(|_| ClusterError::Name { name: whole.clone() })
    }

    fn member(&mut self, member: Member) -> Result<(), Stop> {
        let path = self.path(member.name)?;
        if member.kind == MemberKind::Directory {
            return Ok(self.sink.directory(&path, member.mode).map_err(ClusterError::Sink)?);
        }
        let file = ClusterFile { path, mode: member.mode, bytes: member.bytes };
        let number = self.sink.file(&file).map_err(ClusterError::Sink)?;
        let regions = u32::try_from(file.bytes.div_ceil(self.region_bytes.into()))
            .map_err(|_| Malformed("a file that is too large"))?;
        let file = OpenFile { number, path: file.path, bytes: file.bytes, left: AtomicU32::new(regions) };
        let checksum = self.checksums.then_some(0);
        self.current = Some(Current { file: Arc::new(file), region: 0, buffer: Vec::new(), checksum });
        Ok(())
    }

    fn contents(&mut self, mut bytes: &[u8]) -> Result<(), Stop> {
        let Some(current) = &mut self.current else {
            return Err(Malformed("a directory with contents").into());
        };
        if let Some(checksum) = &mut current.checksum {
            *checksum = crc32c::crc32c_append(*checksum, bytes);
        }
        while !bytes.is_empty() {
            let length = current.region_length(self.region_bytes);
            if current.buffer.is_empty() {
                current.buffer = self.dispatcher.buffer()?;
                current.buffer.reserve(length);
            }
            let (now, later) = bytes.split_at(bytes.len().min(length - current.buffer.len()));
            current.buffer.extend_from_slice(now);
            bytes = later;
            if current.buffer.len() == length {
                let bytes = std::mem::take(&mut current.buffer);
                self.dispatcher.give(Job { file: current.file.clone(), region: current.region, bytes })?;
                current.region += 1;
            }
        }
        Ok(())
    }

    fn complete(&mut self) -> Result<(), Stop> {
        let Some(Current { file, checksum, .. }) = self.current.take() else { return Ok(()) };
        if file.bytes == 0 {
            self.sink.finish(file.number, 0).map_err(ClusterError::Sink)?;
        }
        let received = ReceivedFile { bytes: file.bytes, checksum };
        if !self.received.add(file.path.clone(), received) {
            return Err(Malformed("a file twice").into());
        }
        Ok(())
    }
}
