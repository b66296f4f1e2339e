//! A snapshot of a database, taken when everything that it will read is locked.
//!
//! Invariant: first the locks, then the snapshot. A snapshot that is older than a lock is not safe to read through:
//! `TRUNCATE`, and `ALTER TABLE` where it rewrites the table, replace the storage of a table, and a snapshot from before
//! their commit sees the new storage as empty (PostgreSQL documentation, 13.6 "Caveats"). So all tables are locked with
//! `ACCESS SHARE`; only then does the transaction take its snapshot (`LOCK` takes none, 13.3.1 and `LOCK`, "Notes"); and
//! then it is checked that the snapshot sees the same tables, in the storage that they are in now.
//!
//! Architecture invariant: the session that took the locks holds them to the end. If it is lost, the others go on reading
//! without noticing; so a backup is only good if [`Snapshot::close`] says that the session was there all the time.
//!
//! Deliberately absent: locks on sequences, views and materialized views. Rows of none of them are read.

mod error;
mod locks;
use std::collections::BTreeSet;
use std::time::Duration;

use model::Filters;

pub use error::{Blocker, SnapshotError};

use crate::filter::{self, Selection};
use crate::preflight::LockRoom;
use crate::table::{ListedTable, LockableTable, Table, list_for_snapshot, list_lockable};
use crate::{Client, ConnectOptions, Error, session};

/// How to take a snapshot.
#[derive(Debug, Clone)]
pub struct SnapshotOptions {
    /// What to leave out.
    pub filters: Filters,
    /// How long one `LOCK` statement waits for whoever rewrites a table; also how long a joined session waits.
    pub lock_timeout: Duration,
    /// How often to start again: after a lock that could not be had in time, or when tables came, went or were
    /// rewritten meanwhile.
    pub attempts: u32,
    /// Tables per `LOCK` statement.
    pub lock_batch: usize,
}

impl Default for SnapshotOptions {
    /// Two minutes for locks in all, in twelve attempts.
    fn default() -> Self {
        Self {
            filters: Filters::default(),
            lock_timeout: Duration::from_secs(10),
            attempts: 12,
            lock_batch: 1000,
        }
    }
}

/// A session that holds locks on all tables and one snapshot, which other sessions can join.
///
/// Works on a standby too, as long as it is not told to cancel queries that conflict with recovery.
pub struct Snapshot {
    client: Client,
    id: String,
    /// What the snapshot sees, in the form of `pg_current_snapshot()`: equal in all sessions that share it.
    contents: String,
    tables: Vec<Table>,
    lock_timeout: Duration,
    lock_batch: usize,
}

/// What an attempt met that another attempt may not meet.
enum Obstacle {
    /// A lock could not be had in time.
    Locked(Vec<Blocker>),
    /// This table (a name for people) came, went or was rewritten.
    Changed(String),
}

impl Obstacle {
    fn after(self, attempts: u32) -> SnapshotError {
        match self {
            Self::Locked(blockers) => SnapshotError::Locked { blockers, attempts },
            Self::Changed(table) => SnapshotError::Changed { table, attempts },
        }
    }
}

impl Snapshot {
    /// Connects, locks every table that `settings` do not leave out, and takes the snapshot.
    ///
    /// The session speaks UTF-8 (unless the database is in `SQL_ASCII`), so that names can be read; sessions that
    /// [`join`](Self::join) speak the encoding of the database.
    pub fn take(options: &ConnectOptions, settings: &SnapshotOptions) -> Result<Self, SnapshotError> {
        Self::take_unless(options, settings, &|| false)
    }

    /// The same, unless it `is_stopped`, which is asked before each attempt.
    pub fn take_unless(
        options: &ConnectOptions,
        settings: &SnapshotOptions,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Self, SnapshotError> {
        let mut client = Client::connect(options)?;
        session::apply_session_settings(&mut client)?;
        session::restrict_relation_kinds(&mut client)?;
        session::use_utf8(&mut client)?;
        let mut attempt = 1;
        loop {
            let obstacle = match try_once(&mut client, settings)? {
                Ok((id, contents, tables)) => {
                    let (lock_timeout, lock_batch) = (settings.lock_timeout, settings.lock_batch);
                    return Ok(Self { client, id, contents, tables, lock_timeout, lock_batch });
                }
                Err(obstacle) => obstacle,
            };
            client.execute("ROLLBACK")?;
            if attempt >= settings.attempts {
                return Err(obstacle.after(attempt));
            }
            if is_stopped() {
                return Err(SnapshotError::Stopped);
            }
            attempt += 1;
        }
    }

    /// The name under which `pg_dump --snapshot` and other sessions find the snapshot.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// All tables that the snapshot sees and the filters do not exclude, sorted by name.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// The version of the server, as in `server_version_num`.
    pub fn server_version(&self) -> u32 {
        self.client.server_version()
    }

    /// The session that holds the snapshot, for catalog queries. It must not leave its transaction.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Another session on the same snapshot, with the fixed settings, that has locked `tables`.
    ///
    /// Lock here what the session will read, at once: as soon as somebody else waits for an exclusive lock on a table,
    /// every new session queues up behind them, while they wait for us. That would last for ever, so a joined session
    /// waits for locks no longer than [`SnapshotOptions::lock_timeout`] and then fails.
    pub fn join<'a>(
        &self,
        options: &ConnectOptions,
        tables: impl IntoIterator<Item = &'a Table>,
    ) -> Result<Client, SnapshotError> {
        let mut client = Client::connect(options)?;
        session::apply_session_settings(&mut client)?;
        session::restrict_relation_kinds(&mut client)?;
        client.execute(&format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}; {}",
            model::quote_literal(&self.id),
            locks::set_lock_timeout(self.lock_timeout)
        ))?;
        let wanted: Vec<_> = tables.into_iter().map(|t| (t.oid, t.spelling.qualified(&t.name))).collect();
        match locks::lock(&mut client, &wanted, self.lock_batch)? {
            locks::Locking::Done => {}
            locks::Locking::Blocked(blockers) => return Err(Obstacle::Locked(blockers).after(1)),
            locks::Locking::Gone(message) => return Err(Obstacle::Changed(message).after(1)),
            locks::Locking::NoRoom(e) => {
                return Err(no_room(&mut client, &Selection::default(), wanted.len(), e));
            }
        }
        if current_contents(&mut client)? != self.contents {
            return Err(SnapshotError::Lost);
        }
        Ok(client)
    }

    /// Checks that the session still holds the snapshot. Call it now and then during a long backup: it also keeps the
    /// connection from being dropped by whatever is between.
    pub fn check(&mut self) -> Result<(), SnapshotError> {
        if current_contents(&mut self.client)? == self.contents { Ok(()) } else { Err(SnapshotError::Lost) }
    }

    /// Who waits for an exclusive lock on one of the tables. Until they have got it, or have given up, nobody else can read that
    /// table, and they wait for this session among others.
    pub fn waiting(&mut self) -> Result<Vec<Blocker>, SnapshotError> {
        let tables: Vec<u32> = self.tables.iter().map(|table| table.oid).collect();
        Ok(locks::blockers(&mut self.client, &tables)?)
    }

    /// Proves that the locks and the snapshot were held until now, and releases them. Everything that was read through
    /// the snapshot is worthless if this fails.
    pub fn close(mut self) -> Result<(), SnapshotError> {
        self.check()?;
        self.client.execute("COMMIT")?;
        Ok(())
    }
}

type Taken = (String, String, Vec<Table>);

/// Locks, takes the snapshot and checks it. The caller ends the transaction if there is an obstacle.
fn try_once(
    client: &mut Client,
    settings: &SnapshotOptions,
) -> Result<Result<Taken, Obstacle>, SnapshotError> {
    let selection = filter::select(client, &settings.filters)?;
    let before = list_lockable(client, &selection)?;
    require_readable(&before)?;
    client.execute(&format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {}",
        locks::set_lock_timeout(settings.lock_timeout)
    ))?;
    let wanted: Vec<_> = before.iter().map(|table| (table.oid, table.name.quoted())).collect();
    match locks::lock(client, &wanted, settings.lock_batch)? {
        locks::Locking::Done => {}
        locks::Locking::Blocked(blockers) => return Ok(Err(Obstacle::Locked(blockers))),
        locks::Locking::Gone(message) => return Ok(Err(Obstacle::Changed(message))),
        locks::Locking::NoRoom(error) => return Err(no_room(client, &selection, wanted.len(), error)),
    }
    client.execute("SET LOCAL lock_timeout = 0")?;
    // The first statement that needs a snapshot; all locks are held by now.
    let id = client.query_one("SELECT pg_catalog.pg_export_snapshot()", &[])?.text(0)?.to_owned();
    let contents = current_contents(client)?;
    let selection = filter::select(client, &settings.filters)?;
    if let Some(changed) = changed_table(client, &selection, &before)? {
        return Ok(Err(Obstacle::Changed(changed)));
    }
    let listed = list_for_snapshot(client, &selection)?;
    if let Some(rewritten) = listed.iter().find(|listed| !listed.storage_is_current) {
        return Ok(Err(Obstacle::Changed(rewritten.table.name.to_string())));
    }
    require_visible_rows(&listed)?;
    Ok(Ok((id, contents, listed.into_iter().map(|listed| listed.table).collect())))
}

/// A table that the snapshot sees and that was not locked, or the other way round. A name may have moved to another
/// table before the lock, so the locks themselves are looked up too.
fn changed_table(
    client: &mut Client,
    selection: &Selection,
    before: &[LockableTable],
) -> Result<Option<String>, SnapshotError> {
    let seen = list_lockable(client, selection)?;
    let locked: BTreeSet<_> = before.iter().map(|table| (table.oid, &table.name)).collect();
    let visible: BTreeSet<_> = seen.iter().map(|table| (table.oid, &table.name)).collect();
    if let Some((_, name)) = locked.symmetric_difference(&visible).next() {
        return Ok(Some(name.to_string()));
    }
    Ok(locks::first_without_lock(client, &seen)?)
}

/// Asked before anything is locked, so that all tables are named at once.
fn require_readable(tables: &[LockableTable]) -> Result<(), SnapshotError> {
    let tables: Vec<_> = tables.iter().filter(|t| !t.readable).map(|t| t.name.clone()).collect();
    if tables.is_empty() { Ok(()) } else { Err(SnapshotError::Unreadable { tables }) }
}

fn require_visible_rows(listed: &[ListedTable]) -> Result<(), SnapshotError> {
    let hidden = listed.iter().filter(|listed| listed.rows_hidden && listed.table.rows_wanted);
    let tables: Vec<_> = hidden.map(|listed| listed.table.name.clone()).collect();
    if tables.is_empty() { Ok(()) } else { Err(SnapshotError::RowsHidden { tables }) }
}

/// With the setting that would be enough, if it can be found out.
fn no_room(client: &mut Client, selection: &Selection, tables: usize, source: Error) -> SnapshotError {
    match LockRoom::measure(client, selection) {
        Ok(room) => SnapshotError::LockCapacity { tables, setting: room.sufficient_setting(), source },
        Err(_) => source.into(),
    }
}

fn current_contents(client: &mut Client) -> Result<String, Error> {
    Ok(client.query_one("SELECT pg_catalog.pg_current_snapshot()::text", &[])?.text(0)?.to_owned())
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("id", &self.id)
            .field("tables", &self.tables.len())
            .finish_non_exhaustive()
    }
}
