//! The rows of long ago: a sandbox that holds the chosen tables as a backup has them, or as they were at a moment.
//!
//! Invariant: the sandbox lives as long as its value, and is read only.

use std::io::{self, BufReader};

use model::{BackupId, QualifiedName, RecoveryTarget, TargetTimeline};
use postgres::archive::Toc;
use postgres::load::{Existing, Selection, databases};
use postgres::{Client, ConnectOptions, ErrorKind, start_definitions};
use repository::Repository;

use super::TablesError;
use crate::opened::Opened;
use crate::physical::{Moment, StartFrom, restore_moment};
use crate::verify::BackupSandbox;
use crate::{Context, Error, Phase};

/// The name of the restored database.
const DATABASE: &str = "recovered";

/// Where the rows come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableOrigin {
    /// A logical backup.
    Logical(BackupId),
    /// A database of a cluster, at a moment.
    Physical {
        /// The backup to start from.
        from: StartFrom,
        /// The moment.
        target: RecoveryTarget,
        /// The timeline to follow.
        timeline: TargetTimeline,
        /// The database.
        database: String,
    },
}

/// A running sandbox with the rows.
pub(super) struct OldRows {
    pub(super) backup: BackupId,
    /// How to reach the database.
    pub(super) options: ConnectOptions,
    keeper: Keeper,
}

/// Keeps the server running.
enum Keeper {
    /// With every definition of the database that was backed up.
    Logical {
        _sandbox: Box<BackupSandbox>,
        toc: Toc,
    },
    Physical(Box<Moment>),
}

impl OldRows {
    /// Brings the tables into a sandbox.
    pub(super) fn open(
        repository: &Repository,
        origin: &TableOrigin,
        tables: &[String],
        jobs: usize,
        context: &Context<'_>,
    ) -> Result<Self, Error> {
        match origin {
            TableOrigin::Logical(id) => Self::logical(repository, id, tables, jobs, context),
            TableOrigin::Physical { from, target, timeline, database } => {
                let moment = restore_moment(repository, from, target, *timeline, jobs, context)?;
                let options = moment.cluster.options(database);
                require_database(&moment, database)?;
                let backup = moment.backup.clone();
                Ok(Self { backup, options, keeper: Keeper::Physical(Box::new(moment)) })
            }
        }
    }

    fn logical(
        repository: &Repository,
        id: &BackupId,
        tables: &[String],
        jobs: usize,
        context: &Context<'_>,
    ) -> Result<Self, Error> {
        context.phase(Phase::Preflight);
        let backup = Opened::open(repository, id)?;
        let selection = Selection::of_tables(&backup.toc, tables, &Existing::in_new_database())?;
        let sandbox = BackupSandbox::start(&backup, context)?
            .map_err(|reason| TablesError::NoSandbox { id: id.clone(), reason })?;
        let options = sandbox.restore_chosen(&backup, Some(&selection), DATABASE, jobs, context)?;
        let keeper = Keeper::Logical { _sandbox: Box::new(sandbox), toc: backup.toc };
        Ok(Self { backup: id.clone(), options, keeper })
    }

    /// The definitions of everything in the database.
    pub(super) fn definitions(&self, context: &Context<'_>) -> Result<Toc, Error> {
        let moment = match &self.keeper {
            Keeper::Logical { toc, .. } => return Ok(toc.clone()),
            Keeper::Physical(moment) => moment,
        };
        let major = moment.cluster.tools().major();
        let tools = postgres::Tools::find(major, context.tool_path.as_deref())?;
        let mut process = start_definitions(&tools, &self.options)?;
        let Some(output) = process.take_stdout() else {
            return Err(Error::Pipe(io::ErrorKind::BrokenPipe.into()));
        };
        let mut output = BufReader::new(output);
        let toc = Toc::read(&mut output);
        // pg_dump is heard to its end; what it says counts more than what was not read.
        let drained = io::copy(&mut output, &mut io::sink());
        process.finish()?;
        drained.map_err(Error::Pipe)?;
        Ok(toc?)
    }

    /// The names of the tables that were asked for, by what the database has.
    pub(super) fn find(client: &mut Client, typed: &[String]) -> Result<Vec<QualifiedName>, Error> {
        let there = postgres::table_names(client)?;
        let mut found = Vec::new();
        for typed in typed {
            let name = postgres::load::find_table(&there, typed)?;
            if !found.contains(&name) {
                found.push(name);
            }
        }
        Ok(found)
    }
}

fn require_database(moment: &Moment, database: &str) -> Result<(), Error> {
    match Client::connect(&moment.cluster.options(database)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NoSuchDatabase => {
            let mut client = Client::connect(&moment.cluster.options(moment.cluster.database()))?;
            let known = databases(&mut client)?;
            Err(TablesError::NoDatabase { database: database.to_owned(), known }.into())
        }
        Err(error) => Err(error.into()),
    }
}
