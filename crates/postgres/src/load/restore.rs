//! Running `pg_restore`, one phase at a time.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, Write};

use rustix::fs::MemfdFlags;

use super::phase::{Phase, is_setting, phases};
use super::selection::circular_foreign_keys;
use super::transcript::{Transcript, is_telling};
use super::{LoadError, Selection};
use crate::archive::{self, ArchiveError, DumpId, Toc};
use crate::conninfo::ConnectOptions;
use crate::process::{Input, Process, ProcessError};
use crate::session;
use crate::tools::Tools;

/// From this major version on, `pg_restore` sets `transaction_timeout`, and servers know it.
const TRANSACTION_TIMEOUT_SINCE: u32 = 17;

/// What is restored, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct LoadOptions {
    /// Give objects to the roles that owned them; otherwise the role that restores owns them.
    pub owners: bool,
    /// Restore privileges.
    pub privileges: bool,
    /// Use the tablespaces of the source; otherwise the default of the database.
    pub tablespaces: bool,
    /// Restore publications.
    pub publications: bool,
    /// Restore subscriptions. They are made without connecting, and do nothing until enabled.
    pub subscriptions: bool,
    /// Restore security labels.
    pub security_labels: bool,
    /// Processes that make indexes and constraints at the same time; at least 1.
    pub jobs: usize,
    /// Settings of the sessions, such as `maintenance_work_mem`. Timeouts are always off.
    pub settings: Vec<(String, String)>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            owners: true,
            privileges: true,
            tablespaces: true,
            publications: true,
            subscriptions: true,
            security_labels: true,
            jobs: 1,
            settings: Vec::new(),
        }
    }
}

/// Restores an archive into one database, phase by phase: [`Loader::pre_data`], [`Loader::data`], [`Loader::post_data`]. Rows that are
/// not in the archive must be loaded by others before the last.
#[derive(Debug)]
pub struct Loader<'a> {
    tools: &'a Tools,
    target: &'a ConnectOptions,
    /// Major version of the target.
    server_major: u32,
    toc: &'a Toc,
    selection: Option<&'a Selection>,
    options: LoadOptions,
}

impl<'a> Loader<'a> {
    /// Restores what `toc` describes into the database of `target`, whose server has `server_major`.
    ///
    /// The tools should be of the target's major version. They must be at least as new as those that wrote the archive; if they
    /// are newer than the target, they may say things that it does not understand.
    pub fn new(
        tools: &'a Tools,
        target: &'a ConnectOptions,
        server_major: u32,
        toc: &'a Toc,
        options: LoadOptions,
    ) -> Self {
        Self { tools, target, server_major, toc, selection: None, options }
    }

    /// Restores only what `selection` chose.
    #[must_use]
    pub fn with_selection(mut self, selection: &'a Selection) -> Self {
        self.selection = Some(selection);
        self
    }

    /// Makes what rows need: types, functions, tables, views. Returns warnings.
    pub fn pre_data(&self) -> Result<Vec<String>, LoadError> {
        self.restore_definitions(Phase::PreData, 1)
    }

    /// Loads the data that is in the archive: rows, values of sequences, large objects. Returns warnings.
    ///
    /// `source` is the whole archive. It is followed to its end, and damage in any part of it is an error.
    pub fn data(&self, source: &mut impl Read) -> Result<Vec<String>, LoadError> {
        let phase = Phase::Data;
        let wanted = self.part(phase);
        if wanted.entries.iter().all(is_setting) {
            archive::Walker::new(()).read_all(source)?;
            return Ok(Vec::new());
        }
        let failed = |source| LoadError::Process { phase, source };
        let ids: BTreeSet<_> = wanted.entries.iter().map(|entry| entry.dump_id).collect();
        let is_wanted = |entry: &archive::TocEntry| ids.contains(&entry.dump_id);
        let mut process = self.start(1, Input::Piped).map_err(failed)?;
        let Some(mut input) = process.take_stdin() else { return Ok(Vec::new()) };
        let copied = archive::copy(source, is_wanted, &mut input);
        drop(input);
        match copied {
            // If pg_restore stopped reading, its own words say more.
            Ok(_) | Err(ArchiveError::Write(_)) => {
                let warnings = self.end(process, phase)?;
                copied?;
                Ok(warnings)
            }
            // A cut archive must not look to pg_restore like one that ended.
            Err(error) => {
                drop(process);
                Err(error.into())
            }
        }
    }

    /// Makes indexes, constraints and what else comes after all rows, fills materialized views, and makes triggers and event triggers last.
    /// Returns warnings.
    pub fn post_data(&self) -> Result<Vec<String>, LoadError> {
        // Each foreign key locks both tables, its own first: two that are made at the same time and go in a circle would wait for each
        // other for ever. pg_restore knows by the data of tables which locks an entry takes, and that is not in what it is given here.
        let circular = circular_foreign_keys(self.toc);
        let post_data = self.part_where(Phase::PostData, |id| !circular.contains(&id));
        let mut warnings = self.restore_part(&post_data, Phase::PostData, self.options.jobs)?;
        let last = self.part_where(Phase::PostData, |id| circular.contains(&id));
        warnings.extend(self.restore_part(&last, Phase::PostData, 1)?);
        warnings.extend(self.restore_definitions(Phase::Triggers, 1)?);
        Ok(warnings)
    }

    /// The entries of `phase`, with the settings that every part has.
    fn part(&self, phase: Phase) -> Toc {
        self.part_where(phase, |_| true)
    }

    /// Those of them that `is_wanted`.
    fn part_where(&self, phase: Phase, is_wanted: impl Fn(DumpId) -> bool) -> Toc {
        let is_selected = |id| self.selection.is_none_or(|selection| selection.dump_ids.contains(&id));
        let wanted: BTreeSet<_> = phases(self.toc)
            .filter(|(found, entry)| {
                is_setting(entry)
                    || (*found == Some(phase) && is_selected(entry.dump_id) && is_wanted(entry.dump_id))
            })
            .map(|(_, entry)| entry.dump_id)
            .collect();
        self.toc.subset(|entry| wanted.contains(&entry.dump_id))
    }

    fn restore_definitions(&self, phase: Phase, jobs: usize) -> Result<Vec<String>, LoadError> {
        self.restore_part(&self.part(phase), phase, jobs)
    }

    fn restore_part(&self, head: &Toc, phase: Phase, jobs: usize) -> Result<Vec<String>, LoadError> {
        if head.entries.iter().all(is_setting) {
            return Ok(Vec::new());
        }
        let file = in_memory(head).map_err(LoadError::Memory)?;
        let process = self.start(jobs, Input::File(file));
        self.end(process.map_err(|source| LoadError::Process { phase, source })?, phase)
    }

    /// Whether the server is too old for a setting that `pg_restore` makes and cannot be told not to make.
    fn old_server(&self) -> bool {
        self.server_major < TRANSACTION_TIMEOUT_SINCE && self.tools.major() >= TRANSACTION_TIMEOUT_SINCE
    }

    fn start(&self, jobs: usize, input: Input) -> Result<Process, ProcessError> {
        let mut command = self.tools.command("pg_restore", Some(self.target));
        let chosen = self.options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        session::give_child_settings(&mut command, chosen);
        command.args(["--verbose", "--no-password", "--format=custom", "--dbname"]);
        command.arg(self.target.database_argument());
        if !self.old_server() {
            command.arg("--exit-on-error");
            if jobs > 1 {
                command.arg(format!("--jobs={jobs}"));
            }
        }
        let options = &self.options;
        for (wanted, flag) in [
            (options.owners, "--no-owner"),
            (options.privileges, "--no-privileges"),
            (options.tablespaces, "--no-tablespaces"),
            (options.publications, "--no-publications"),
            (options.subscriptions, "--no-subscriptions"),
            (options.security_labels, "--no-security-labels"),
        ] {
            if !wanted {
                command.arg(flag);
            }
        }
        if matches!(input, Input::File(_)) {
            // A name, so that the workers of a parallel restore can open it again.
            command.arg("/dev/stdin");
        }
        Process::spawn_with(command, input, is_telling)
    }

    fn end(&self, process: Process, phase: Phase) -> Result<Vec<String>, LoadError> {
        let (status, said) = process.wait().map_err(|source| LoadError::Process { phase, source })?;
        let transcript = Transcript::read(&said, self.old_server());
        if let Some(failure) = transcript.failure {
            let object = failure.object(self.toc);
            return Err(LoadError::Restore { phase, object, message: failure.message });
        }
        let ignored_settings_only = status.code() == Some(1) && transcript.unknown_settings > 0;
        if !status.success() && !ignored_settings_only {
            let last = transcript.warnings.last().map_or_else(String::new, |line| format!("; {line}"));
            let message = format!("pg_restore ended with {status}{last}");
            return Err(LoadError::Restore { phase, object: None, message });
        }
        Ok(transcript.warnings)
    }
}

/// An anonymous file in memory that holds the table of contents, at its start.
fn in_memory(toc: &Toc) -> std::io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("toc", MemfdFlags::CLOEXEC)?);
    toc.write(&mut file)?;
    file.flush()?;
    file.rewind()?;
    Ok(file)
}
