//! Writing a backup as what stock tools read: an archive for `pg_restore`, or SQL for `psql`.

use std::io::{self, Read, Write};
use std::thread;

use model::{BackupId, QualifiedName};
use postgres::archive::{self, ExtraTable};
use postgres::load::{Existing, Selection};
use postgres::{Process, Tools};
use repository::Repository;

use crate::opened::Opened;
use crate::progress::Progress;
use crate::{Context, Error, Phase, Warning, crew};

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// SQL text for `psql`.
    Sql,
    /// An archive for `pg_restore`.
    Custom,
}

/// Bytes moved at once from `pg_restore` to the output.
const PIPE_BUFFER_BYTES: usize = 256 * 1024;

/// Writes a backup, or chosen tables of it, to `output`. What was written is whole only when this returns `Ok`.
pub fn export(
    repository: &Repository,
    id: &BackupId,
    tables: &[String],
    format: ExportFormat,
    output: &mut (dyn Write + Send),
    context: &Context<'_>,
) -> Result<(), Error> {
    let backup = Opened::open(repository, id)?;
    if let Some(warning) = Warning::if_filtered(id, &backup.record.filters) {
        context.warn(warning);
    }
    let selection = match tables {
        [] => None,
        names => Some(Selection::of_tables(&backup.toc, names, &Existing::in_new_database())?),
    };
    let progress = Progress::begin(context, Phase::Export, backup.reader.manifest().plain_bytes);
    match format {
        ExportFormat::Custom => write_archive(&backup, selection.as_ref(), output, &progress),
        ExportFormat::Sql => {
            let major = backup.record.server_version / 10_000;
            let tools = Tools::find(major, context.tool_path.as_deref())?;
            write_sql(&tools, &backup, selection.as_ref(), output, &progress)
        }
    }
}

/// Puts the rows of the large tables back into the archive, where `pg_dump` would have put them.
fn write_archive(
    backup: &Opened,
    selection: Option<&Selection>,
    output: &mut (dyn Write + Send),
    progress: &Progress<'_>,
) -> Result<(), Error> {
    let streams: Vec<(&str, &QualifiedName)> = backup
        .row_streams()
        .filter(|(_, table)| selection.is_none_or(|selection| selection.tables.contains(table)))
        .collect();
    let mut extra = Vec::new();
    for (_, table) in &streams {
        let columns = backup.columns(table)?.to_vec();
        extra.push(ExtraTable { name: (*table).clone(), columns, of_extension: false });
    }
    let open_rows = |table: &QualifiedName| {
        let found = streams.iter().find(|(_, name)| *name == table);
        let stream = found.map(|(stream, _)| backup.reader.stream(stream)).transpose();
        stream.map_err(io::Error::other)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    };
    let wanted = |entry: &archive::TocEntry| {
        selection.is_none_or(|selection| selection.dump_ids.contains(&entry.dump_id))
    };
    let mut counted = Counted { output, progress };
    archive::extend(&mut backup.archive()?, wanted, &extra, open_rows, &mut counted)?;
    counted.flush().map_err(Error::Output)
}

/// Sends the archive through `pg_restore`, which turns it into SQL.
fn write_sql(
    tools: &Tools,
    backup: &Opened,
    selection: Option<&Selection>,
    output: &mut (dyn Write + Send),
    progress: &Progress<'_>,
) -> Result<(), Error> {
    let mut command = tools.command("pg_restore", None);
    command.arg("--file=-");
    let mut process = Process::spawn(command, true)?;
    let (input, sql) = (process.take_stdin(), process.take_stdout());
    let (Some(mut input), Some(mut sql)) = (input, sql) else { return Ok(()) };
    let (written, read) = thread::scope(|scope| {
        let writer = scope.spawn(move || write_archive(backup, selection, &mut input, progress));
        let read = copy(&mut sql, output);
        // With nobody reading, pg_restore ends, and so does the writer.
        drop(sql);
        (crew::join(writer), read)
    });
    read?;
    // When pg_restore stopped reading, its own words say more.
    let finished = process.finish();
    match (written, finished) {
        (Ok(()), finished) => finished.map(|_| ()).map_err(Error::from),
        (Err(Error::Archive(archive::ArchiveError::Write(_))), Err(error)) => Err(error.into()),
        (Err(error), _) => Err(error),
    }
}

fn copy(from: &mut impl Read, to: &mut (dyn Write + Send)) -> Result<(), Error> {
    let mut buffer = vec![0; PIPE_BUFFER_BYTES];
    loop {
        let count = from.read(&mut buffer).map_err(Error::Pipe)?;
        if count == 0 {
            return to.flush().map_err(Error::Output);
        }
        to.write_all(&buffer[..count]).map_err(Error::Output)?;
    }
}

/// Counts what is written, and stops when it is told to.
struct Counted<'a> {
    output: &'a mut (dyn Write + Send),
    progress: &'a Progress<'a>,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.output.write(bytes)?;
        self.progress.add(count as u64).map_err(io::Error::other)?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
