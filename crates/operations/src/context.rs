//! What every operation is given from outside: the time, random bits, the search path for tools, and someone to tell.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use model::RecoveryStep;
use repository::LeaseToken;

use crate::{ReceiveEvent, Warning};

/// The surroundings of an operation. Nothing in this room reads the clock, the environment or randomness by itself.
pub struct Context<'a> {
    /// The time now.
    pub clock: &'a (dyn Fn() -> Timestamp + Sync),
    /// Fills a buffer with random bytes fit for keys.
    pub random: &'a (dyn Fn(&mut [u8]) + Sync),
    /// Is told what happens, and says when to stop.
    pub observer: &'a dyn Observer,
    /// The right under which a backup is taken; without one, it does not matter who else takes one.
    pub lease: Option<LeaseToken>,
    /// Where to look for PostgreSQL's programs: the value of `PATH`.
    pub tool_path: Option<OsString>,
    /// The directory under which sandboxes are made.
    pub sandbox_parent: PathBuf,
}

/// Is told about the progress of an operation. Called from several threads.
pub trait Observer: Sync {
    /// Something happened.
    fn event(&self, event: Event);

    /// Whether the operation should stop. It is asked at every batch of work; the operation then ends with
    /// [`crate::Error::Cancelled`] and leaves nothing half done that could be mistaken for a result.
    fn cancelled(&self) -> bool {
        false
    }
}

/// An observer that is not interested.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn event(&self, _: Event) {}
}

/// One thing that an operation reports while it runs.
#[derive(Debug, Clone)]
pub enum Event {
    /// A step of a recovery begins.
    Step {
        /// The step.
        step: RecoveryStep,
        /// Its number, from 1.
        number: usize,
        /// The number of steps.
        of: usize,
    },
    /// A phase begins.
    Phase(Phase),
    /// A phase has come this far.
    Progress {
        /// The phase.
        phase: Phase,
        /// Bytes done since the phase began.
        done_bytes: u64,
        /// Bytes to do, as far as known; an estimate for a dump, 0 when unknown.
        total_bytes: u64,
    },
    /// Something happened while WAL was received.
    Wal(ReceiveEvent),
    /// Something that a person should know, though the operation goes on.
    Warning(Warning),
}

/// A part of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Looking at server, tools and privileges before anything is read or written.
    Preflight,
    /// Locking the tables and taking the snapshot.
    Snapshot,
    /// Reading the database into the repository.
    Dump,
    /// Waiting for the checkpoint with which a physical backup begins.
    Checkpoint,
    /// Reading the files of the cluster into the repository.
    Files,
    /// Making the backup durable and visible.
    Commit,
    /// Hashing the stored objects.
    Objects,
    /// Decrypting and decompressing every chunk.
    Contents,
    /// Starting a throwaway cluster.
    Sandbox,
    /// Restoring what comes before the rows.
    Schema,
    /// Loading rows.
    Rows,
    /// Restoring indexes, constraints, triggers and materialized views.
    Indexes,
    /// Comparing the inventory.
    Inventory,
    /// Comparing every row.
    RowProofs,
    /// Looking for rows that break a foreign key.
    ForeignKeys,
    /// Giving the restored database its name and settings.
    Finish,
    /// Writing an export.
    Export,
    /// Writing the files of a cluster.
    Directory,
    /// Making written files durable.
    Sync,
    /// Replaying WAL.
    Replay,
    /// Comparing indexes with their tables.
    Amcheck,
    /// Counting the rows of every table.
    Counts,
    /// Running checks.
    Checks,
    /// Comparing rows with those of the live tables.
    Differences,
    /// Putting rows in place.
    Apply,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Preflight => "checking the server",
            Self::Snapshot => "locking tables and taking the snapshot",
            Self::Dump => "reading the database",
            Self::Commit => "committing the backup",
            Self::Objects => "checking stored objects",
            Self::Contents => "reading stored contents",
            Self::Sandbox => "starting a sandbox",
            Self::Schema => "restoring the schema",
            Self::Rows => "loading rows",
            Self::Indexes => "building indexes and constraints",
            Self::Inventory => "comparing the inventory",
            Self::RowProofs => "comparing every row",
            Self::ForeignKeys => "checking foreign keys",
            Self::Finish => "putting the database in place",
            Self::Export => "writing the export",
            Self::Checkpoint => "waiting for the checkpoint",
            Self::Files => "reading the cluster",
            Self::Directory => "writing the files of the cluster",
            Self::Sync => "making the files durable",
            Self::Replay => "replaying WAL",
            Self::Amcheck => "comparing indexes with their tables",
            Self::Counts => "counting the rows of every table",
            Self::Checks => "running checks",
            Self::Differences => "comparing rows with the live tables",
            Self::Apply => "putting rows in place",
        })
    }
}

impl Context<'_> {
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub(crate) fn phase(&self, phase: Phase) {
        self.observer.event(Event::Phase(phase));
    }

    pub(crate) fn warn(&self, warning: Warning) {
        self.observer.event(Event::Warning(warning));
    }

    pub(crate) fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.random)(&mut bytes);
        bytes
    }
}

/// The time since `started_at`, never negative.
pub(crate) fn elapsed(started_at: Timestamp, context: &Context<'_>) -> Duration {
    context.now().duration_since(started_at).try_into().unwrap_or_default()
}
