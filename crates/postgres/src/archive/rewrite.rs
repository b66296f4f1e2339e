//! Writing parts of an archive, or more than it held, as an archive again.
//!
//! The source is followed to its end and proven whole, also where most of it is not wanted: an error may come after all wanted
//! bytes were written, and then what was written must not be used.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufWriter, Read, Write};

use model::{QualifiedName, quote_identifier};

use super::cursor::put_int;
use super::toc::{DataState, DumpId, Section, Toc, TocEntry};
use super::walk::{ArchiveSink, BLOCK_LARGE_OBJECTS, BLOCK_ROWS, Walker};
use super::{ArchiveError, Text};

/// Bytes of a data chunk that is written.
const CHUNK_BYTES: usize = 64 * 1024;

/// What `pg_dump` writes after the last row of a table.
const END_OF_ROWS: &[u8] = b"\\.\n\n\n";

/// A table whose rows are not in the archive and shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraTable {
    /// The table.
    pub name: QualifiedName,
    /// The columns in the order of the rows.
    pub columns: Vec<String>,
    /// Whether it is made by an extension, so that the archive does not define it.
    pub of_extension: bool,
}

/// Passes on the entries that `wanted` chooses, with their data.
///
/// Returns the table of contents that was written.
pub fn copy(
    source: &mut impl Read,
    wanted: impl FnMut(&TocEntry) -> bool,
    output: &mut impl Write,
) -> Result<Toc, ArchiveError> {
    let no_rows = |_: &QualifiedName| -> io::Result<io::Empty> { Ok(io::empty()) };
    extend(source, wanted, &[], no_rows, output)
}

/// Passes on the entries that `wanted` chooses, with their data, and adds the rows of `tables`.
///
/// `open_rows` is called once for each table, in the order of the result, and gives its rows as COPY text (each ends in a newline;
/// no end mark). They are read to the end before the next are opened. The result is what `pg_dump` would have written had it dumped
/// the rows itself: `pg_restore` takes it from a pipe or a file, also in parallel.
///
/// Returns the table of contents that was written.
pub fn extend<R: Read>(
    source: &mut impl Read,
    wanted: impl FnMut(&TocEntry) -> bool,
    tables: &[ExtraTable],
    open_rows: impl FnMut(&QualifiedName) -> io::Result<R>,
    output: &mut impl Write,
) -> Result<Toc, ArchiveError> {
    let sink = Rewriter {
        output: BufWriter::with_capacity(CHUNK_BYTES, output),
        chunk: Vec::with_capacity(CHUNK_BYTES),
        wanted,
        tables,
        open_rows,
        toc: None,
        blocks: VecDeque::new(),
        copying: None,
    };
    let (_, mut sink) = Walker::new(sink).read_all(source)?;
    sink.write_rows_until(None)?;
    sink.output.flush().map_err(ArchiveError::Write)?;
    sink.toc.ok_or(ArchiveError::Refused)
}

/// A data block to be written.
#[derive(Debug, Clone, Copy)]
enum Block {
    Stored(DumpId),
    /// Rows of the table with this index.
    Extra(DumpId, usize),
}

struct Rewriter<'a, W: Write, F, O> {
    output: BufWriter<W>,
    /// Data that does not fill a chunk yet.
    chunk: Vec<u8>,
    wanted: F,
    tables: &'a [ExtraTable],
    open_rows: O,
    toc: Option<Toc>,
    /// Blocks still to be written, in order.
    blocks: VecDeque<Block>,
    /// The kind of the block that is being copied; `None` while one is left out.
    copying: Option<u8>,
}

impl<W, F, O, R> Rewriter<'_, W, F, O>
where
    W: Write,
    F: FnMut(&TocEntry) -> bool,
    O: FnMut(&QualifiedName) -> io::Result<R>,
    R: Read,
{
    /// Writes the rows of all extra tables that come before the block of `entry`, or before the end.
    fn write_rows_until(&mut self, entry: Option<DumpId>) -> Result<(), ArchiveError> {
        while let Some(block) = self.blocks.front().copied() {
            match block {
                Block::Stored(id) if Some(id) == entry => return Ok(()),
                Block::Stored(_) => return Err(ArchiveError::Refused),
                Block::Extra(id, index) => {
                    self.blocks.pop_front();
                    self.write_rows(id, index)?;
                }
            }
        }
        Ok(())
    }

    fn write_rows(&mut self, id: DumpId, index: usize) -> Result<(), ArchiveError> {
        let Some(table) = self.tables.get(index) else { return Ok(()) };
        let failed = |source| ArchiveError::Rows { table: table.name.to_string(), source };
        self.begin(BLOCK_ROWS, id)?;
        let mut rows = (self.open_rows)(&table.name).map_err(failed)?;
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            match rows.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => self.put_data(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        self.put_data(END_OF_ROWS)?;
        self.put_end_of_data()
    }

    fn begin(&mut self, kind: u8, id: DumpId) -> Result<(), ArchiveError> {
        self.put(&[kind])?;
        self.put_int(i32::try_from(id).unwrap_or(i32::MAX))
    }

    fn put_data(&mut self, mut bytes: &[u8]) -> Result<(), ArchiveError> {
        while !bytes.is_empty() {
            let count = (CHUNK_BYTES - self.chunk.len()).min(bytes.len());
            self.chunk.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if self.chunk.len() == CHUNK_BYTES {
                self.put_chunk()?;
            }
        }
        Ok(())
    }

    fn put_chunk(&mut self) -> Result<(), ArchiveError> {
        // Length 0 would be the end mark.
        if !self.chunk.is_empty() {
            self.put_int(i32::try_from(self.chunk.len()).unwrap_or(i32::MAX))?;
            self.output.write_all(&self.chunk).map_err(ArchiveError::Write)?;
            self.chunk.clear();
        }
        Ok(())
    }

    fn put_end_of_data(&mut self) -> Result<(), ArchiveError> {
        self.put_chunk()?;
        self.put_int(0)
    }

    fn put_int(&mut self, value: i32) -> Result<(), ArchiveError> {
        let mut bytes = Vec::with_capacity(8);
        put_int(&mut bytes, value);
        self.put(&bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.output.write_all(bytes).map_err(ArchiveError::Write)
    }
}

impl<W, F, O, R> ArchiveSink for Rewriter<'_, W, F, O>
where
    W: Write,
    F: FnMut(&TocEntry) -> bool,
    O: FnMut(&QualifiedName) -> io::Result<R>,
    R: Read,
{
    fn toc(&mut self, toc: &Toc) -> Result<(), ArchiveError> {
        if !self.tables.is_empty() && !toc.header.compression.is_none() {
            return Err(ArchiveError::Compressed);
        }
        let mut result = toc.subset(&mut self.wanted);
        let ids = insert_tables(&mut result, toc, self.tables)?;
        let block = |entry: &TocEntry| match ids.get(&entry.dump_id) {
            Some(index) => Block::Extra(entry.dump_id, *index),
            None => Block::Stored(entry.dump_id),
        };
        self.blocks = result.entries.iter().filter(|entry| entry.had_dumper).map(block).collect();
        result.write(&mut self.output).map_err(ArchiveError::Write)?;
        self.toc = Some(result);
        Ok(())
    }

    fn block(&mut self, entry: &TocEntry) -> Result<(), ArchiveError> {
        // Blocks keep their order: if this one is wanted, it is the next of those that are.
        let next_stored = self.blocks.iter().find_map(|block| match block {
            Block::Stored(id) => Some(*id),
            Block::Extra(..) => None,
        });
        if next_stored != Some(entry.dump_id) {
            self.copying = None;
            return Ok(());
        }
        self.write_rows_until(Some(entry.dump_id))?;
        self.blocks.pop_front();
        let kind = if entry.desc == "BLOBS" { BLOCK_LARGE_OBJECTS } else { BLOCK_ROWS };
        self.copying = Some(kind);
        self.begin(kind, entry.dump_id)
    }

    fn large_object(&mut self, oid: u32) -> Result<(), ArchiveError> {
        match self.copying {
            Some(_) => self.put_int(oid.cast_signed()),
            None => Ok(()),
        }
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        match self.copying {
            Some(_) => self.put_data(bytes),
            None => Ok(()),
        }
    }

    fn end_data(&mut self) -> Result<(), ArchiveError> {
        match self.copying {
            Some(_) => self.put_end_of_data(),
            None => Ok(()),
        }
    }

    fn end_block(&mut self) -> Result<(), ArchiveError> {
        match self.copying.take() {
            // The end mark of the list of large objects.
            Some(BLOCK_LARGE_OBJECTS) => self.put_int(0),
            _ => Ok(()),
        }
    }
}

/// Inserts an entry for the rows of each table where `pg_dump` has it, and returns the index of each by its dump id.
fn insert_tables(
    result: &mut Toc,
    source: &Toc,
    tables: &[ExtraTable],
) -> Result<BTreeMap<DumpId, usize>, ArchiveError> {
    // Dependencies may name entries that were never written; their numbers are taken as well.
    let ids = source.entries.iter().flat_map(|entry| entry.dependencies.iter().chain([&entry.dump_id]));
    let mut next_id = ids.max().copied().unwrap_or(0);
    let mut new_ids = BTreeMap::new();
    let mut new_entries = Vec::with_capacity(tables.len());
    for (index, table) in tables.iter().enumerate() {
        next_id += 1;
        new_ids.insert(next_id, index);
        new_entries.push(rows_entry(source, table, next_id)?);
    }
    let is_rows = |entry: &TocEntry| entry.desc == "TABLE DATA";
    let place = |entry: &TocEntry| (entry.namespace.clone(), entry.tag.clone());
    let first_rows = result.entries.iter().position(is_rows).unwrap_or_else(|| {
        let comes_later = |entry: &TocEntry| matches!(entry.section, Section::Data | Section::PostData);
        result.entries.iter().position(comes_later).unwrap_or(result.entries.len())
    });
    let tail = result.entries.split_off(first_rows);
    // pg_dump sorts the rows of tables by schema and name, except where other data depends on them: keep its order, and put
    // each new entry before the first that sorts after it.
    new_entries.sort_by_key(place);
    let mut new_entries = new_entries.into_iter().peekable();
    for entry in tail {
        while let Some(new) = new_entries.next_if(|new| !is_rows(&entry) || place(new) < place(&entry)) {
            result.entries.push(new);
        }
        result.entries.push(entry);
    }
    result.entries.extend(new_entries);
    Ok(new_ids)
}

/// The entry that `pg_dump` would make for the rows of `table`.
///
/// `pg_restore` reads from the first dependency whose rows they are, and makes everything in the last section that depends on the
/// table wait for the rows (`repoint_table_dependencies`), so that no other entry has to change.
fn rows_entry(source: &Toc, table: &ExtraTable, dump_id: DumpId) -> Result<TocEntry, ArchiveError> {
    let QualifiedName { schema, name } = &table.name;
    let definition = source.entries.iter().find(|entry| entry.is("TABLE", schema, name));
    if definition.is_none() && !table.of_extension {
        return Err(ArchiveError::UnknownTable { table: table.name.to_string() });
    }
    let columns: Vec<_> = table.columns.iter().map(|column| quote_identifier(column)).collect();
    let columns = if columns.is_empty() { String::new() } else { format!("({})", columns.join(", ")) };
    Ok(TocEntry {
        dump_id,
        had_dumper: true,
        table_oid: 0,
        oid: definition.map_or(0, |entry| entry.oid),
        tag: Text::from(name.as_str()),
        desc: "TABLE DATA".to_owned(),
        section: Section::Data,
        defn: None,
        drop_stmt: None,
        copy_stmt: Some(Text::from(format!("COPY {} {columns} FROM stdin;\n", table.name.quoted()))),
        namespace: Some(Text::from(schema.as_str())),
        tablespace: None,
        tableam: None,
        relkind: 0,
        owner: definition.map_or_else(|| Some(Text::default()), |entry| entry.owner.clone()),
        dependencies: definition.iter().map(|entry| entry.dump_id).collect(),
        data_state: DataState::NotSet,
        data_offset: 0,
    })
}
