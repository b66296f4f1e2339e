//! Following an archive from its first byte to its last.
//!
//! After the table of contents come the data blocks, in the order of their entries:
//!
//! ```text
//! block  = 1 | dump id | chunks                          rows of a table
//!        | 3 | dump id | { oid | chunks } | oid 0        large objects
//! chunks = { length | bytes } | length 0
//! ```
//!
//! There is no mark at the end of the archive. It is whole when every entry that has data had its block, every block its end
//! mark, and not one byte follows.

use std::io::{self, Read, Write};

use super::ArchiveError;
use super::cursor::{INT_BYTES, decode_int};
use super::toc::{DataState, DumpId, Toc, TocEntry, TocReader};

pub(super) const BLOCK_ROWS: u8 = 1;
pub(super) const BLOCK_LARGE_OBJECTS: u8 = 3;

/// Bytes read at once by [`Walker::read_all`].
const BUFFER_BYTES: usize = 256 * 1024;

/// What is told of an archive while it is followed. Every method does nothing unless it is written.
pub trait ArchiveSink {
    /// The table of contents is known. Nothing else is told before.
    fn toc(&mut self, toc: &Toc) -> Result<(), ArchiveError> {
        let _ = toc;
        Ok(())
    }

    /// The block of `entry` begins.
    fn block(&mut self, entry: &TocEntry) -> Result<(), ArchiveError> {
        let _ = entry;
        Ok(())
    }

    /// Within a block of large objects, the object `oid` begins.
    fn large_object(&mut self, oid: u32) -> Result<(), ArchiveError> {
        let _ = oid;
        Ok(())
    }

    /// Bytes of the current rows or large object, in pieces of any size, never empty. The rows of a table end with the line `\.`
    /// and two empty lines.
    fn data(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let _ = bytes;
        Ok(())
    }

    /// The rows of the table, or the current large object, end.
    fn end_data(&mut self) -> Result<(), ArchiveError> {
        Ok(())
    }

    /// The block ends.
    fn end_block(&mut self) -> Result<(), ArchiveError> {
        Ok(())
    }
}

/// Told nothing: the archive is only checked.
impl ArchiveSink for () {}

/// Follows an archive that is pushed in pieces of any size, and proves at the end that it is whole.
#[derive(Debug, Clone)]
pub struct Walker<S> {
    sink: S,
    state: State,
    reader: TocReader,
    toc: Option<Toc>,
    /// Index of the next entry that must have a block.
    next: usize,
    /// Index of the entry of the current block.
    current: usize,
    /// Bytes of all pieces before the current one.
    offset: u64,
    /// An element that is split between pieces.
    pending: [u8; INT_BYTES + 1],
    pending_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Toc,
    /// Before the type and dump id of a block, or at the end.
    Block,
    /// Before the oid of a large object, or the end mark of the block.
    Oid,
    /// Before the length of a chunk, or the end mark of the data.
    Length {
        large_objects: bool,
    },
    /// Within a chunk.
    Chunk {
        left: usize,
        large_objects: bool,
    },
    Failed,
}

impl<S: ArchiveSink> Walker<S> {
    /// A walker at the first byte, which tells `sink`.
    pub fn new(sink: S) -> Self {
        Self {
            sink,
            state: State::Toc,
            reader: TocReader::default(),
            toc: None,
            next: 0,
            current: 0,
            offset: 0,
            pending: [0; INT_BYTES + 1],
            pending_bytes: 0,
        }
    }

    /// Takes the next piece of the archive.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let result = self.follow(bytes);
        if result.is_err() {
            self.state = State::Failed;
        }
        self.offset += bytes.len() as u64;
        result
    }

    /// The archive ended: proves that it is whole.
    pub fn finish(self) -> Result<(Toc, S), ArchiveError> {
        let offset = self.offset;
        let cut_off = |place: String| ArchiveError::CutOff { place, offset };
        let Some(toc) = self.toc else {
            return Err(if self.state == State::Failed {
                ArchiveError::Refused
            } else {
                self.reader.cut_off()
            });
        };
        match self.state {
            State::Failed => Err(ArchiveError::Refused),
            State::Block if self.pending_bytes == 0 => match toc.entries.get(self.next) {
                Some(entry) => Err(ArchiveError::MissingData { object: entry.to_string() }),
                None => Ok((toc, self.sink)),
            },
            State::Block => Err(cut_off("the start of a data block".to_owned())),
            _ => {
                let place = toc.entries.get(self.current).map_or_else(String::new, TocEntry::to_string);
                Err(cut_off(place))
            }
        }
    }

    /// Follows everything that `input` holds, and proves that it is a whole archive.
    pub fn read_all(mut self, input: &mut impl Read) -> Result<(Toc, S), ArchiveError> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match input.read(&mut buffer) {
                Ok(0) => return self.finish(),
                Ok(count) => self.feed(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ArchiveError::Read(error)),
            }
        }
    }

    /// The table of contents, once it was read.
    pub fn toc(&self) -> Option<&Toc> {
        self.toc.as_ref()
    }

    /// What is told of the archive.
    pub fn sink_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    fn follow(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = match self.state {
                State::Failed => return Err(ArchiveError::Refused),
                State::Toc => self.follow_toc(rest)?,
                State::Chunk { left, large_objects } => {
                    let count = left.min(rest.len());
                    self.sink.data(&rest[..count])?;
                    self.state = match left - count {
                        0 => State::Length { large_objects },
                        left => State::Chunk { left, large_objects },
                    };
                    count
                }
                State::Block | State::Oid | State::Length { .. } => {
                    let at = self.offset + (bytes.len() - rest.len()) as u64;
                    self.follow_mark(rest, at)?
                }
            };
            rest = &rest[used..];
        }
        Ok(())
    }

    fn follow_toc(&mut self, bytes: &[u8]) -> Result<usize, ArchiveError> {
        let used = self.reader.feed(bytes)?;
        if let Some(toc) = self.reader.take() {
            self.sink.toc(&toc)?;
            self.state = State::Block;
            self.next = next_with_data(&toc, 0);
            self.toc = Some(toc);
        }
        Ok(used)
    }

    /// Takes bytes of a mark (a block's start, an oid or a length), and acts on it when it is complete.
    fn follow_mark(&mut self, bytes: &[u8], offset: u64) -> Result<usize, ArchiveError> {
        let size = if self.state == State::Block { INT_BYTES + 1 } else { INT_BYTES };
        let count = (size - self.pending_bytes).min(bytes.len());
        let split = self.pending_bytes;
        self.pending[split..split + count].copy_from_slice(&bytes[..count]);
        self.pending_bytes += count;
        if self.pending_bytes < size {
            return Ok(count);
        }
        self.pending_bytes = 0;
        let offset = offset - split as u64;
        let malformed = |problem| ArchiveError::Malformed { problem, offset };
        let number = decode_int(&self.pending[size - INT_BYTES..size]).map_err(malformed)?;
        match self.state {
            State::Block => {
                let id = u32::try_from(number).map_err(|_| malformed("a dump id is negative"))?;
                self.begin_block(self.pending[0], id, offset)?;
            }
            State::Oid if number == 0 => self.end_block()?,
            State::Oid => {
                // An oid is unsigned, but written as an integer that is not.
                self.sink.large_object(number.cast_unsigned())?;
                self.state = State::Length { large_objects: true };
            }
            State::Length { large_objects } if number == 0 => {
                self.sink.end_data()?;
                if large_objects {
                    self.state = State::Oid;
                } else {
                    self.end_block()?;
                }
            }
            State::Length { large_objects } => {
                let left = usize::try_from(number).map_err(|_| malformed("a length is negative"))?;
                self.state = State::Chunk { left, large_objects };
            }
            State::Toc | State::Chunk { .. } | State::Failed => {}
        }
        Ok(count)
    }

    fn begin_block(&mut self, kind: u8, id: DumpId, offset: u64) -> Result<(), ArchiveError> {
        let Some(toc) = &self.toc else { return Err(ArchiveError::Refused) };
        let Some(entry) = toc.entries.get(self.next) else {
            let expected = "the end of the archive".to_owned();
            return Err(ArchiveError::UnexpectedBlock { expected, found: id });
        };
        if entry.dump_id != id {
            return Err(ArchiveError::UnexpectedBlock { expected: entry.to_string(), found: id });
        }
        if entry.data_state == DataState::Set && entry.data_offset != offset {
            let problem = "a data block is not where the table of contents says";
            return Err(ArchiveError::Malformed { problem, offset });
        }
        self.state = match (kind, entry.desc.as_str()) {
            (BLOCK_LARGE_OBJECTS, "BLOBS") => State::Oid,
            (BLOCK_ROWS, desc) if desc != "BLOBS" => State::Length { large_objects: false },
            _ => {
                let problem = "a data block is of the wrong kind";
                return Err(ArchiveError::Malformed { problem, offset });
            }
        };
        self.sink.block(entry)?;
        self.current = self.next;
        self.next = next_with_data(toc, self.next + 1);
        Ok(())
    }

    fn end_block(&mut self) -> Result<(), ArchiveError> {
        self.state = State::Block;
        self.sink.end_block()
    }
}

/// The walker as a tee: what is written to it is followed. An error is an [`ArchiveError`] within the [`io::Error`].
impl<S: ArchiveSink> Write for Walker<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.feed(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Index of the first entry from `start` on that has a block; the number of entries if there is none.
fn next_with_data(toc: &Toc, start: usize) -> usize {
    let found = toc.entries.iter().skip(start).position(|entry| entry.had_dumper);
    found.map_or(toc.entries.len(), |distance| start + distance)
}
