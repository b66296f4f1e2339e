//! Header and table of contents.

use std::fmt;
use std::io::{BufRead, Write};

use super::cursor::{Cursor, Stop, put_int, put_number, put_text};
use super::{ArchiveError, Text};

const MAGIC: &[u8; 5] = b"PGDMP";
/// Identifies the custom format (`archCustom`).
const FORMAT_CUSTOM: u8 = 1;
const INT_SIZE: u8 = 4;
const OFFSET_SIZE: u8 = 8;

/// Identifies an entry within one archive.
pub type DumpId = u32;

/// How the data blocks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Up to version 1.14: the level of zlib, 0 for none.
    Level(i32),
    /// From version 1.15: 0 none, 1 gzip, 2 lz4, 3 zstd.
    Algorithm(u8),
}

impl Compression {
    /// Whether the data blocks are plain.
    pub fn is_none(self) -> bool {
        matches!(self, Self::Level(0) | Self::Algorithm(0))
    }
}

/// What stands before the entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Minor version of the format, 14 to 16; the major version is 1.
    pub minor: u8,
    /// Revision of the format.
    pub revision: u8,
    /// Compression of the data blocks.
    pub compression: Compression,
    /// When the dump began, as the fields of C's `struct tm` in local time: second, minute, hour, day of month, month from 0,
    /// year from 1900, daylight saving.
    pub created: [i32; 7],
    /// The database that was dumped.
    pub database: Option<Text>,
    /// Version of the server that was dumped.
    pub server_version: Option<Text>,
    /// Version of `pg_dump`.
    pub dump_version: Option<Text>,
}

/// The part of a restore to which an entry belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// That of the entry before it (comments, privileges, security labels).
    None,
    /// Definitions that rows need.
    PreData,
    /// Rows, large objects, values of sequences.
    Data,
    /// Indexes, constraints, triggers and what else comes after the rows.
    PostData,
}

/// Whether an entry has a data block, and whether the archive says where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataState {
    /// There is a block; its place is not recorded, as the archive was written to a pipe.
    NotSet,
    /// There is a block at the offset in [`TocEntry::data_offset`].
    Set,
    /// There is no block.
    NoData,
}

/// One entry of the table of contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TocEntry {
    /// Its number in this archive.
    pub dump_id: DumpId,
    /// Whether it has a data block.
    pub had_dumper: bool,
    /// The catalog in which the object is described, 0 for none.
    pub table_oid: u32,
    /// The object's oid in that catalog.
    pub oid: u32,
    /// The object's name, unquoted, or a description such as `TABLE account`.
    pub tag: Text,
    /// What it is: `TABLE`, `TABLE DATA`, `FK CONSTRAINT`, …
    pub desc: String,
    /// Where it says it belongs; see [`Toc::sections`] for where it does.
    pub section: Section,
    /// SQL that makes it.
    pub defn: Option<Text>,
    /// SQL that drops it.
    pub drop_stmt: Option<Text>,
    /// The `COPY` statement in front of its rows.
    pub copy_stmt: Option<Text>,
    /// Schema, unquoted.
    pub namespace: Option<Text>,
    /// Tablespace.
    pub tablespace: Option<Text>,
    /// Table access method.
    pub tableam: Option<Text>,
    /// `pg_class.relkind` of a table (from version 1.16), else 0.
    pub relkind: i32,
    /// Role that owns it.
    pub owner: Option<Text>,
    /// Entries that must be restored before; some may not be in the archive.
    pub dependencies: Vec<DumpId>,
    /// Whether it has a block.
    pub data_state: DataState,
    /// Offset of the block in bytes, where [`DataState::Set`].
    pub data_offset: u64,
}

/// For people: the kind and the qualified name, as in `TABLE DATA ledger.account`.
impl fmt::Display for TocEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(schema) if !schema.is_empty() => write!(f, "{} {schema}.{}", self.desc, self.tag),
            _ => write!(f, "{} {}", self.desc, self.tag),
        }
    }
}

impl TocEntry {
    /// Whether the entry is the `desc` called `schema.name`.
    pub fn is(&self, desc: &str, schema: &str, name: &str) -> bool {
        self.desc == desc && self.tag == name && self.namespace.as_ref().is_some_and(|text| *text == schema)
    }
}

/// Header and entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toc {
    /// What stands before the entries.
    pub header: Header,
    /// The entries, in the order of the archive.
    pub entries: Vec<TocEntry>,
}

impl Toc {
    /// Reads header and entries, and leaves `input` at the first data block.
    pub fn read(input: &mut impl BufRead) -> Result<Self, ArchiveError> {
        let mut reader = TocReader::default();
        loop {
            let bytes = input.fill_buf().map_err(ArchiveError::Read)?;
            if bytes.is_empty() {
                return Err(reader.cut_off());
            }
            let used = reader.feed(bytes)?;
            input.consume(used);
            if let Some(toc) = reader.take() {
                return Ok(toc);
            }
        }
    }

    /// Writes header and entries as `pg_dump` does: the bytes that were read, if nothing was changed.
    ///
    /// Written alone, they are an archive without data, from which `pg_restore` restores definitions, in parallel too if
    /// it reads a file.
    pub fn write(&self, output: &mut impl Write) -> std::io::Result<()> {
        let mut bytes = Vec::with_capacity(64 * 1024);
        self.header.put(&mut bytes);
        put_int(&mut bytes, i32::try_from(self.entries.len()).unwrap_or(i32::MAX));
        for entry in &self.entries {
            entry.put(&mut bytes, self.header.minor);
            if bytes.len() >= 64 * 1024 {
                output.write_all(&bytes)?;
                bytes.clear();
            }
        }
        output.write_all(&bytes)
    }

    /// The bytes of [`Toc::write`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing into memory does not fail.
        let _ = self.write(&mut bytes);
        bytes
    }

    /// Every entry with the section to which it belongs: its own, else that of the last entry before it that has one.
    pub fn sections(&self) -> impl Iterator<Item = (Section, &TocEntry)> {
        let mut current = Section::PreData;
        self.entries.iter().map(move |entry| {
            if entry.section != Section::None {
                current = entry.section;
            }
            (current, entry)
        })
    }

    /// The entry `dump_id`.
    pub fn entry(&self, dump_id: DumpId) -> Option<&TocEntry> {
        self.entries.iter().find(|entry| entry.dump_id == dump_id)
    }

    /// The entries that `wanted` chooses, in their order. Blocks have no recorded place in the result.
    #[must_use]
    pub fn subset(&self, mut wanted: impl FnMut(&TocEntry) -> bool) -> Self {
        let mut entries: Vec<_> = self.entries.iter().filter(|entry| wanted(entry)).cloned().collect();
        entries.iter_mut().for_each(TocEntry::forget_place);
        Self { header: self.header.clone(), entries }
    }
}

impl TocEntry {
    pub(super) fn forget_place(&mut self) {
        self.data_state = if self.had_dumper { DataState::NotSet } else { DataState::NoData };
        self.data_offset = 0;
    }

    fn put(&self, out: &mut Vec<u8>, minor: u8) {
        let id = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
        put_int(out, id(self.dump_id));
        put_int(out, i32::from(self.had_dumper));
        put_number(out, self.table_oid);
        put_number(out, self.oid);
        put_text(out, Some(&self.tag));
        put_text(out, Some(self.desc.as_bytes()));
        put_int(out, self.section.number());
        for text in
            [&self.defn, &self.drop_stmt, &self.copy_stmt, &self.namespace, &self.tablespace, &self.tableam]
        {
            put_text(out, text.as_deref());
        }
        if minor >= 16 {
            put_int(out, self.relkind);
        }
        put_text(out, self.owner.as_deref());
        // Once said whether a table had oids.
        put_text(out, Some(b"false"));
        for dependency in &self.dependencies {
            put_number(out, *dependency);
        }
        put_text(out, None);
        out.push(match self.data_state {
            DataState::NotSet => 1,
            DataState::Set => 2,
            DataState::NoData => 3,
        });
        out.extend_from_slice(&self.data_offset.to_le_bytes());
    }

    fn get(cursor: &mut Cursor<'_>, minor: u8) -> Result<Self, Stop> {
        let dump_id = cursor.count()?;
        if dump_id == 0 {
            return Err(Stop::Malformed("a dump id is zero"));
        }
        let had_dumper = match cursor.int()? {
            0 => false,
            1 => true,
            _ => return Err(Stop::Malformed("a flag is neither 0 nor 1")),
        };
        Ok(Self {
            dump_id,
            had_dumper,
            table_oid: cursor.number()?,
            oid: cursor.number()?,
            tag: cursor.some_text()?,
            desc: String::from_utf8(cursor.some_text()?.to_vec())
                .map_err(|_| Stop::Malformed("the kind of an entry is not ASCII"))?,
            section: Section::from_number(cursor.int()?)?,
            defn: cursor.text()?,
            drop_stmt: cursor.text()?,
            copy_stmt: cursor.text()?,
            namespace: cursor.text()?,
            tablespace: cursor.text()?,
            tableam: cursor.text()?,
            relkind: if minor >= 16 { cursor.int()? } else { 0 },
            owner: cursor.text()?,
            dependencies: {
                if cursor.some_text()? != "false" {
                    return Err(Stop::Malformed("a table has oids"));
                }
                cursor.numbers()?
            },
            data_state: match (cursor.byte()?, had_dumper) {
                (1, true) => DataState::NotSet,
                (2, true) => DataState::Set,
                (3, false) => DataState::NoData,
                _ => return Err(Stop::Malformed("an entry contradicts itself on whether it has data")),
            },
            data_offset: cursor.offset()?,
        })
    }
}

impl Section {
    /// As in the file.
    fn number(self) -> i32 {
        match self {
            Self::None => 1,
            Self::PreData => 2,
            Self::Data => 3,
            Self::PostData => 4,
        }
    }

    fn from_number(number: i32) -> Result<Self, Stop> {
        [Self::None, Self::PreData, Self::Data, Self::PostData]
            .into_iter()
            .find(|section| section.number() == number)
            .ok_or(Stop::Malformed("an entry is in an unknown section"))
    }
}

impl Header {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[1, self.minor, self.revision, INT_SIZE, OFFSET_SIZE, FORMAT_CUSTOM]);
        match self.compression {
            Compression::Level(level) => put_int(out, level),
            Compression::Algorithm(algorithm) => out.push(algorithm),
        }
        for field in self.created {
            put_int(out, field);
        }
        for text in [&self.database, &self.server_version, &self.dump_version] {
            put_text(out, text.as_deref());
        }
    }

    fn get(cursor: &mut Cursor<'_>) -> Result<Self, HeaderStop> {
        if cursor.take(MAGIC.len())? != MAGIC {
            return Err(HeaderStop::NotAnArchive);
        }
        let (major, minor) = (cursor.byte()?, cursor.byte()?);
        if major != 1 || !(14..=16).contains(&minor) {
            return Err(HeaderStop::Version { major, minor });
        }
        let revision = cursor.byte()?;
        if [cursor.byte()?, cursor.byte()?] != [INT_SIZE, OFFSET_SIZE] {
            return Err(Stop::Malformed("integers or offsets have an unusual size").into());
        }
        if cursor.byte()? != FORMAT_CUSTOM {
            return Err(HeaderStop::NotAnArchive);
        }
        let compression = if minor >= 15 {
            Compression::Algorithm(cursor.byte()?)
        } else {
            Compression::Level(cursor.int()?)
        };
        let mut created = [0; 7];
        for field in &mut created {
            *field = cursor.int()?;
        }
        Ok(Self {
            minor,
            revision,
            compression,
            created,
            database: cursor.text()?,
            server_version: cursor.text()?,
            dump_version: cursor.text()?,
        })
    }
}

enum HeaderStop {
    NotAnArchive,
    Version { major: u8, minor: u8 },
    Stop(Stop),
}

impl From<Stop> for HeaderStop {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// Reads a table of contents from pieces of any size.
#[derive(Debug, Default, Clone)]
pub struct TocReader {
    /// Bytes of an element that is not complete yet.
    pending: Vec<u8>,
    /// Bytes of all complete elements.
    offset: u64,
    header: Option<Header>,
    /// Entries that are announced; `None` before the count was read.
    expected: Option<usize>,
    entries: Vec<TocEntry>,
}

impl TocReader {
    /// Takes the next piece, and says how many of its bytes belong to the table of contents: all of them, until it is complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, ArchiveError> {
        let mut buffer = std::mem::take(&mut self.pending);
        buffer.extend_from_slice(bytes);
        let mut at = 0;
        while !self.is_complete() {
            let mut cursor = Cursor::new(&buffer[at..]);
            match self.element(&mut cursor) {
                Ok(()) => {
                    at += cursor.position();
                    self.offset += cursor.position() as u64;
                }
                Err(HeaderStop::Stop(Stop::Incomplete)) => {
                    buffer.drain(..at);
                    self.pending = buffer;
                    return Ok(bytes.len());
                }
                Err(HeaderStop::Stop(Stop::Malformed(problem))) => {
                    let offset = self.offset + cursor.position() as u64;
                    return Err(ArchiveError::Malformed { problem, offset });
                }
                Err(HeaderStop::NotAnArchive) => return Err(ArchiveError::NotAnArchive),
                Err(HeaderStop::Version { major, minor }) => {
                    return Err(ArchiveError::Version { major, minor });
                }
            }
        }
        // What is left over arrived with this piece: whatever was pending before was part of an element.
        Ok(bytes.len() - (buffer.len() - at))
    }

    /// The table of contents, once complete; the reader starts anew then.
    pub fn take(&mut self) -> Option<Toc> {
        if !self.is_complete() {
            return None;
        }
        let done = std::mem::take(self);
        Some(Toc { header: done.header?, entries: done.entries })
    }

    /// Bytes of all complete elements so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The error of an archive that ends here.
    pub fn cut_off(&self) -> ArchiveError {
        let offset = self.offset + self.pending.len() as u64;
        if offset == 0 {
            return ArchiveError::NotAnArchive;
        }
        ArchiveError::CutOff { place: "the table of contents".to_owned(), offset }
    }

    fn is_complete(&self) -> bool {
        self.expected == Some(self.entries.len())
    }

    /// Reads one element: the header, the number of entries or an entry.
    fn element(&mut self, cursor: &mut Cursor<'_>) -> Result<(), HeaderStop> {
        let Some(header) = &self.header else {
            self.header = Some(Header::get(cursor)?);
            return Ok(());
        };
        if self.expected.is_none() {
            self.expected = Some(cursor.count()? as usize);
            return Ok(());
        }
        self.entries.push(TocEntry::get(cursor, header.minor)?);
        Ok(())
    }
}
