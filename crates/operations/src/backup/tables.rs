//! Workers that read rows on the snapshot: large tables into row streams, small ones for their proof.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::thread;

use model::{QualifiedName, RowHasher, TableRecord};
use postgres::{Client, Snapshot, Table};
use repository::{BackupWriter, Repository, RowCutter, RowStream};

use super::BackupRequest;
use super::plan::{Plan, Work};
use crate::progress::Progress;
use crate::row_chunks::{Read, RowChunks, RowCounter};
use crate::{Error, crew, streams};

/// Reads the rows of all tables of the plan with `request.jobs` connections.
pub(crate) fn read(
    repository: &Repository,
    writer: &BackupWriter,
    snapshot: &Snapshot,
    plan: &Plan<'_>,
    request: &BackupRequest,
    progress: &Progress<'_>,
) -> Result<Vec<TableRecord>, Error> {
    let streams = plan
        .large
        .iter()
        .enumerate()
        .map(|(n, table)| Ok(writer.rows(&streams::rows(n), &table.name)?))
        .collect::<Result<Vec<RowStream>, Error>>()?;
    // Locked at once: a lock asked for later could queue behind somebody who waits for us.
    let clients = (0..request.jobs.max(1))
        .map(|_| Ok(snapshot.join(&request.source, plan.large.iter().copied())?))
        .collect::<Result<Vec<Client>, Error>>()?;
    let queue = Mutex::new(VecDeque::from(plan.work()));
    let (hasher, cutter) = (repository.row_hasher(), repository.row_cutter());
    let reader = Reader { hasher, cutter, streams: &streams, plan, progress };
    let done = thread::scope(|scope| {
        let run = |client| crew::stopping_others(progress, || reader.run(client, &queue));
        let workers: Vec<_> = clients.into_iter().map(|client| scope.spawn(move || run(client))).collect();
        crew::all(workers.into_iter().map(crew::join).collect())
    })?;
    Ok(records(plan, done.into_iter().flatten()))
}

struct Reader<'a> {
    hasher: RowHasher,
    cutter: RowCutter,
    streams: &'a [RowStream],
    plan: &'a Plan<'a>,
    progress: &'a Progress<'a>,
}

/// What one piece of work read, and of which table.
type Done<'a> = (&'a Table, Read);

impl<'a> Reader<'a> {
    /// Takes work until none is left.
    fn run(&self, mut client: Client, queue: &Mutex<VecDeque<Work<'a>>>) -> Result<Vec<Done<'a>>, Error> {
        let mut done = Vec::new();
        while let Some(work) = take(queue) {
            self.progress.check()?;
            done.push(self.read(&mut client, work)?);
        }
        Ok(done)
    }

    fn read(&self, client: &mut Client, work: Work<'a>) -> Result<Done<'a>, Error> {
        let hasher = &self.hasher;
        match work {
            Work::Part { large, part, pages } => {
                let table = self.plan.large[large];
                let part = self.streams[large].part(part)?;
                let mut chunks = RowChunks::new(hasher, &self.cutter, self.progress, part);
                client
                    .copy_out(&table.copy_out_sql(pages), &mut chunks)
                    .map_err(|e| Error::reading(&table.name, e))?;
                Ok((table, chunks.finish()?))
            }
            Work::Small(table) => {
                let mut counter = RowCounter::new(hasher, self.progress);
                client
                    .copy_out(&table.copy_out_sql(None), &mut counter)
                    .map_err(|e| Error::reading(&table.name, e))?;
                Ok((table, counter.finish()?))
            }
        }
    }
}

fn take<T>(queue: &Mutex<VecDeque<T>>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// One record per table of the plan, with the parts of each table added up, sorted by name.
fn records<'a>(plan: &Plan<'a>, done: impl Iterator<Item = Done<'a>>) -> Vec<TableRecord> {
    let mut records: BTreeMap<&QualifiedName, TableRecord> =
        plan.without_rows.iter().map(|table| (&table.name, record(table))).collect();
    for (table, read) in done {
        let record = records.entry(&table.name).or_insert_with(|| record(table));
        record.proof.get_or_insert_default().merge(read.proof);
        record.plain_bytes += read.bytes;
    }
    records.into_values().collect()
}

fn record(table: &Table) -> TableRecord {
    TableRecord {
        name: table.name.clone(),
        columns: table.columns.clone(),
        proof: None,
        plain_bytes: 0,
        condition: table.condition.clone(),
    }
}
