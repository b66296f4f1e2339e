//! From archives to files: takes the archives of a base backup as they come and hands directories to a sink at once, contents
//! through the crew.

use model::ClusterPath;

use super::changed_file;
use super::content::{ChangedFile, Content, Label, Target, WholeFile};
use super::crew::Stop;
use super::earlier::EarlierFiles;
use super::received::{ReceivedFile, ReceivedFiles};
use super::tar::{Malformed, Member, MemberKind, TarEvent, TarReader};
use crate::cluster::{ClusterError, ClusterFile};

/// The file that makes a data directory a backup.
const LABEL: &str = "backup_label";

/// Where an archive's members are: in the data directory, or below a directory of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ArchivePlace(pub(super) Option<ClusterPath>);

/// What an incremental backup is made against.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) files: EarlierFiles,
    /// Bytes of a page.
    pub(super) block_bytes: u32,
}

/// Takes archives, one after another.
pub(super) struct Unpacker<'a> {
    target: Target<'a>,
    checksums: bool,
    base: Option<Base>,
    place: ArchivePlace,
    tar: TarReader,
    /// The file that is being received.
    current: Option<Current>,
    received: ReceivedFiles,
}

struct Current {
    /// As the server names it.
    path: ClusterPath,
    received: ReceivedFile,
    content: Content,
}

impl From<Malformed> for ClusterError {
    fn from(malformed: Malformed) -> Self {
        Self::Protocol { what: malformed.0.to_owned() }
    }
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(target: Target<'a>, checksums: bool, base: Option<Base>) -> Self {
        Self {
            target,
            checksums,
            base,
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
            return Ok(self.target.sink.directory(&path, member.mode).map_err(ClusterError::Sink)?);
        }
        if self.received.has(&path) {
            return Err(Malformed("a file twice").into());
        }
        let file = ClusterFile { path: path.clone(), mode: member.mode, bytes: member.bytes };
        let content = self.content(file)?;
        let received = ReceivedFile { bytes: member.bytes, checksum: self.checksums.then_some(0) };
        self.current = Some(Current { path, received, content });
        Ok(())
    }

    fn content(&self, file: ClusterFile) -> Result<Content, Stop> {
        let Some(base) = &self.base else { return Ok(Content::Whole(WholeFile::open(&self.target, file)?)) };
        if file.path.as_str() == LABEL {
            return Ok(Content::Label(Label::new(file)));
        }
        let Some(name) = file.path.file_name().strip_prefix(changed_file::PREFIX) else {
            return Ok(Content::Whole(WholeFile::open(&self.target, file)?));
        };
        let parent = file.path.parent().map_or(String::new(), |parent| format!("{parent}/"));
        let path: ClusterPath = format!("{parent}{name}")
            .parse()
            .map_err(|_| ClusterError::Name { name: file.path.to_string() })?;
        let earlier_bytes =
            base.files.bytes(&path).ok_or_else(|| ClusterError::EarlierMissing { path: path.clone() })?;
        let member = ClusterFile { path, ..file };
        Ok(Content::Changed(ChangedFile::new(member, earlier_bytes, base.block_bytes)))
    }

    fn contents(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let Some(current) = &mut self.current else {
            return Err(Malformed("a directory with contents").into());
        };
        if let Some(checksum) = &mut current.received.checksum {
            *checksum = crc32c::crc32c_append(*checksum, bytes);
        }
        current.content.feed(&self.target, bytes)
    }

    fn complete(&mut self) -> Result<(), Stop> {
        let Some(Current { path, received, content }) = self.current.take() else { return Ok(()) };
        self.received.add(path, received);
        content.complete(&self.target)
    }
}
