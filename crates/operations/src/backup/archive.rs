//! The part of a backup that PostgreSQL's own programs write: the schema archive and the roles.

use std::io::Read;

use model::{Inventory, QualifiedName};
use postgres::archive::{Toc, Walker};
use postgres::{ArchiveRequest, Process, Tools};
use repository::{ArchiveWriter, BackupWriter};

use super::BackupRequest;
use crate::Error;
use crate::progress::Progress;
use crate::streams::{ARCHIVE, GLOBALS, INVENTORY};

/// Bytes moved at once from a child to the repository.
const PIPE_BUFFER_BYTES: usize = 256 * 1024;

/// Runs `pg_dump` on the snapshot and stores what it writes, having checked that it is whole. Returns its table of
/// contents.
pub(crate) fn store(
    tools: &Tools,
    snapshot: &str,
    without_rows: &[QualifiedName],
    request: &BackupRequest,
    writer: &BackupWriter,
    progress: &Progress<'_>,
) -> Result<Toc, Error> {
    let (filters, lock_timeout) = (&request.filters, request.lock_timeout);
    let archive = ArchiveRequest { snapshot, filters, without_rows, lock_timeout };
    let process = postgres::start_archive(tools, &request.source, &archive)?;
    let mut walker = Walker::new(());
    store_output(process, writer.archive(ARCHIVE)?, progress, |bytes| Ok(walker.feed(bytes)?))?;
    let (toc, ()) = walker.finish()?;
    Ok(toc)
}

/// Stores the roles of the cluster as SQL.
pub(crate) fn store_globals(
    tools: &Tools,
    request: &BackupRequest,
    with_passwords: bool,
    writer: &BackupWriter,
    progress: &Progress<'_>,
) -> Result<(), Error> {
    let process = postgres::start_globals(tools, &request.source, with_passwords)?;
    store_output(process, writer.archive(GLOBALS)?, progress, |_| Ok(()))
}

/// Stores the inventory.
pub(crate) fn store_inventory(inventory: &Inventory, writer: &BackupWriter) -> Result<(), Error> {
    let mut stream = writer.archive(INVENTORY)?;
    stream
        .push(&serde_json::to_vec(inventory).map_err(|source| Error::Json { what: "inventory", source })?)?;
    Ok(stream.finish()?)
}

/// Moves what a child writes into a stream, showing every piece to `check` first. The child must succeed.
fn store_output(
    mut process: Process,
    mut stream: ArchiveWriter,
    progress: &Progress<'_>,
    mut check: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    if let Some(mut output) = process.take_stdout() {
        let mut buffer = vec![0; PIPE_BUFFER_BYTES];
        loop {
            let count = output.read(&mut buffer).map_err(Error::Pipe)?;
            if count == 0 {
                break;
            }
            check(&buffer[..count])?;
            stream.push(&buffer[..count])?;
            progress.add(count as u64)?;
        }
    }
    process.finish()?;
    Ok(stream.finish()?)
}
