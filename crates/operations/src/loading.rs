//! Filling a database from a backup: definitions, then rows from the archive and from the row streams side by side, then
//! indexes and constraints.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use model::QualifiedName;
use postgres::load::{LoadOptions, Loader, Selection};
use postgres::{Client, ConnectOptions, Rows, Spelling, Tools};
use repository::{Groups, ListEntry};

use crate::opened::Opened;
use crate::progress::Progress;
use crate::{Context, Error, Phase, crew};

/// Memory that each session may use to build an index. The default of a server suits one that serves others meanwhile.
const MAINTENANCE_WORK_MEM: &str = "256MB";

/// What is to be loaded where.
pub(crate) struct Loading<'a> {
    pub(crate) backup: &'a Opened,
    pub(crate) tools: &'a Tools,
    pub(crate) target: &'a ConnectOptions,
    pub(crate) server_major: u32,
    pub(crate) selection: Option<&'a Selection>,
    pub(crate) options: LoadOptions,
    pub(crate) jobs: usize,
}

/// The row stream of one table while it is loaded.
struct Table<'a> {
    name: &'a QualifiedName,
    copy_in: String,
    groups: Mutex<Groups>,
    is_begun: AtomicBool,
}

impl<'a> Loading<'a> {
    /// Loads everything. Returns warnings of PostgreSQL's programs.
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<Vec<String>, Error> {
        let mut loader = Loader::new(
            self.tools,
            self.target,
            self.server_major,
            &self.backup.toc,
            LoadOptions { jobs: self.jobs.max(1), settings: settings(), ..self.options.clone() },
        );
        if let Some(selection) = self.selection {
            loader = loader.with_selection(selection);
        }
        context.phase(Phase::Schema);
        let mut warnings = loader.pre_data()?;
        warnings.extend(self.load_rows(&loader, context)?);
        if context.observer.cancelled() {
            return Err(Error::Cancelled);
        }
        context.phase(Phase::Indexes);
        warnings.extend(loader.post_data()?);
        Ok(warnings)
    }

    /// Loads the data of the archive in one thread and the row streams in the others.
    fn load_rows(&self, loader: &Loader<'_>, context: &Context<'_>) -> Result<Vec<String>, Error> {
        let tables = self.tables()?;
        let bytes = self.backup.reader.manifest().plain_bytes;
        let progress = Progress::begin(context, Phase::Rows, bytes);
        thread::scope(|scope| {
            let archive = scope
                .spawn(|| crew::stopping_others(&progress, || Ok(loader.data(&mut self.backup.archive()?)?)));
            let load = || crew::stopping_others(&progress, || self.load_tables(&tables, &progress));
            let workers: Vec<_> = (0..self.jobs.max(1)).map(|_| scope.spawn(load)).collect();
            let results: Vec<_> = workers.into_iter().map(crew::join).collect();
            match (crew::join(archive), crew::all(results)) {
                (Ok(warnings), Ok(_)) => Ok(warnings),
                (Err(error), Err(cause)) if error.is_consequence() => Err(cause),
                (Err(cause), _) | (Ok(_), Err(cause)) => Err(cause),
            }
        })
    }

    fn tables(&self) -> Result<Vec<Table<'a>>, Error> {
        let mut tables = Vec::new();
        for (stream, name) in self.backup.row_streams() {
            if self.selection.is_some_and(|selection| !selection.tables.contains(name)) {
                continue;
            }
            let columns = self.backup.columns(name)?;
            let spelling = Spelling::of_encoding(&self.backup.record.encoding);
            let copy_in = Rows { name, columns, condition: None, spelling }.copy_in_sql();
            let groups = Mutex::new(self.backup.reader.groups(stream)?);
            tables.push(Table { name, copy_in, groups, is_begun: AtomicBool::new(false) });
        }
        Ok(tables)
    }

    /// One worker: loads tables that nobody has begun, largest first; then helps with those that are left.
    ///
    /// Two sessions that load one table interleave their pages, so that rows lose their order and the next backup finds
    /// fewer chunks again. A table is therefore left to one worker as long as there is another to load.
    fn load_tables(&self, tables: &[Table<'_>], progress: &Progress<'_>) -> Result<(), Error> {
        if tables.is_empty() {
            return Ok(());
        }
        let mut client = self.connect()?;
        let unbegun = tables.iter().filter(|table| !table.is_begun.swap(true, Ordering::Relaxed));
        for table in unbegun.chain(tables) {
            self.load_table(&mut client, table, progress)?;
        }
        Ok(())
    }

    /// Loads groups of a table by one `COPY` until none is left.
    fn load_table(
        &self,
        client: &mut Client,
        table: &Table<'_>,
        progress: &Progress<'_>,
    ) -> Result<(), Error> {
        let Some(mut group) = next(table)? else { return Ok(()) };
        let refused = |source| Error::LoadRows { table: table.name.clone(), source };
        let mut loader = self.backup.reader.loader();
        let mut copy = client.copy_in(&table.copy_in).map_err(refused)?;
        loop {
            loader.load(&group, |_, bytes| {
                copy.send(bytes).map_err(refused)?;
                progress.add(bytes.len() as u64)
            })?;
            match next(table)? {
                Some(more) => group = more,
                None => break,
            }
        }
        copy.finish().map_err(refused)?;
        Ok(())
    }

    /// A session that reads rows as they were written.
    fn connect(&self) -> Result<Client, Error> {
        let mut client = Client::connect(self.target)?;
        postgres::apply_session_settings(&mut client)?;
        let encoding = model::quote_literal(&self.backup.record.encoding);
        client.execute(&format!("SET client_encoding = {encoding}; SET synchronous_commit = off"))?;
        Ok(client)
    }
}

fn next(table: &Table<'_>) -> Result<Option<Vec<ListEntry>>, Error> {
    let mut groups: MutexGuard<'_, Groups> = table.groups.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(groups.next().transpose()?)
}

fn settings() -> Vec<(String, String)> {
    vec![
        ("maintenance_work_mem".to_owned(), MAINTENANCE_WORK_MEM.to_owned()),
        ("synchronous_commit".to_owned(), "off".to_owned()),
    ]
}
