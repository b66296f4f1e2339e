//! Restoring a logical backup into a database.
//!
//! Invariant: nothing is written before it is known that the backup can be read, that the target is what it should be, and
//! that every role is there. A new database gets its name only when it is complete; one that is replaced is dropped only
//! then.

use std::time::Duration;

use model::{BackupId, Check, CheckSeverity};
use postgres::load::{
    Apply, Existing, LeftOut, LoadOptions, NewDatabase, Selection, create_roles, database_exists,
    first_object, maintenance_client, missing_roles, roles_needed,
};
use postgres::{Client, ConnectOptions, Tools};
use repository::Repository;

use crate::context::elapsed;
use crate::loading::Loading;
use crate::opened::Opened;
use crate::verify::{Compared, compare_opened as compare};
use crate::{CheckKind, CheckReport, CheckRequest, CheckResult, Context, Error, Phase, Warning, run_checks};

/// Where to restore to, and what.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// The database to restore into.
    pub target: ConnectOptions,
    /// Make the database.
    pub create: bool,
    /// Replace the database if it is there.
    pub clean: bool,
    /// Make the roles that are missing.
    pub create_roles: bool,
    /// Only these tables, `schema.name` or `name`; all when empty.
    pub tables: Vec<String>,
    /// Connections that load at the same time.
    pub jobs: usize,
    /// Check what was restored: with what holds for every database, and with those of these that are for the source. Not for chosen
    /// tables, and the site's own not for a filtered backup, since they are about a whole database.
    pub checks: Option<Vec<Check>>,
    /// The end of the temporary name of a new database, for who has to find one that a killed restore left; random when nothing.
    pub suffix: Option<[u8; 4]>,
}

/// What came of a restore.
#[derive(Debug, Clone)]
pub struct RestoreReport {
    /// The backup.
    pub id: BackupId,
    /// The database, for people, without a password.
    pub target: String,
    /// How long it took.
    pub duration: Duration,
    /// Tables restored.
    pub tables: u64,
    /// Rows restored.
    pub rows: u64,
    /// What was not restored, and why.
    pub left_out: Vec<LeftOut>,
    /// What came of the checks, if they were run.
    pub checks: Option<CheckReport>,
    /// What needs a person.
    pub warnings: Vec<Warning>,
}

/// Restores a backup. When this fails, a database that it was making is gone again, and one that it was to replace is as
/// it was; an empty database that it was filling may be partly filled.
///
/// Where a critical check does not hold, no database is replaced ([`Error::ChecksFailed`]); what takes the place of nothing stays, with a
/// warning.
pub fn restore(
    repository: &Repository,
    id: &BackupId,
    request: &RestoreRequest,
    context: &Context<'_>,
) -> Result<RestoreReport, Error> {
    let started_at = context.now();
    context.phase(Phase::Preflight);
    let backup = Opened::open(repository, id)?;
    let mut restore = Restore {
        repository,
        backup: &backup,
        request,
        context,
        checks: None,
        warnings: Vec::new(),
        left_out: Vec::new(),
    };
    if let Some(warning) = Warning::if_filtered(id, &backup.record.filters) {
        restore.warn(warning);
    }
    let selection = if request.create || request.clean {
        restore.fill_new_database()?
    } else {
        restore.fill_existing_database()?
    };
    let (tables, rows) = counts(&backup, selection.as_ref());
    let Restore { checks, warnings, mut left_out, .. } = restore;
    left_out.extend(selection.into_iter().flat_map(|selection| selection.left_out));
    let target = request.target.describe();
    Ok(RestoreReport {
        id: id.clone(),
        target,
        duration: elapsed(started_at, context),
        tables,
        rows,
        left_out,
        checks,
        warnings,
    })
}

/// Differences to the backup that are shown.
const SHOWN: usize = 10;

struct Restore<'a> {
    repository: &'a Repository,
    backup: &'a Opened,
    request: &'a RestoreRequest,
    context: &'a Context<'a>,
    checks: Option<CheckReport>,
    warnings: Vec<Warning>,
    left_out: Vec<LeftOut>,
}

impl Restore<'_> {
    /// Makes a database under a temporary name, fills it and puts it in place.
    fn fill_new_database(&mut self) -> Result<Option<Selection>, Error> {
        let target = &self.request.target;
        let mut client = maintenance_client(target)?;
        let exists = database_exists(&mut client, target.database())?;
        if exists && !self.request.clean {
            return Err(Error::TargetExists { database: target.database().to_owned() });
        }
        let selection = self.select(Existing::in_new_database)?;
        self.prepare_roles(&mut client, selection.as_ref(), true)?;
        let properties = self.backup.properties.clone();
        let suffix = self.request.suffix.unwrap_or_else(|| self.context.random_bytes());
        let mut database = NewDatabase::create(target, properties, Apply::default(), suffix)?;
        self.load(database.options(), client.server_major(), selection.as_ref())?;
        // With its settings: checks find tables as everybody will.
        self.left_out.extend(database.configure()?);
        self.check(database.options(), exists)?;
        self.context.phase(Phase::Finish);
        self.left_out.extend(database.finish(target.database(), self.request.clean)?);
        Ok(selection)
    }

    /// Fills a database that is there and empty, or, for chosen tables, lacks them.
    fn fill_existing_database(&mut self) -> Result<Option<Selection>, Error> {
        let target = &self.request.target;
        let name = target.database().to_owned();
        let mut client = match Client::connect(target) {
            Err(error) if error.code() == Some(NO_SUCH_DATABASE) => {
                return Err(Error::TargetMissing { database: name });
            }
            result => result?,
        };
        if self.request.tables.is_empty()
            && let Some(object) = first_object(&mut client)?
        {
            return Err(Error::TargetNotEmpty { database: name, object });
        }
        let existing = Existing::read(&mut client)?;
        let selection = self.select(|| existing)?;
        self.prepare_roles(&mut client, selection.as_ref(), false)?;
        let major = client.server_major();
        drop(client);
        self.load(target, major, selection.as_ref())?;
        self.check(target, false)?;
        Ok(selection)
    }

    /// Runs the checks in what was restored. What `replaces` something must not do so with a critical one that does not hold.
    fn check(&mut self, database: &ConnectOptions, replaces: bool) -> Result<(), Error> {
        let Some(checks) = &self.request.checks else { return Ok(()) };
        if !self.request.tables.is_empty() {
            return Ok(());
        }
        let checks = self.backup.checks(checks);
        let comparison = self.compare(database)?;
        let mut report = run_checks(database, CheckRequest::all(&checks), self.context)?;
        report.results.insert(0, comparison);
        if replaces && report.failed(CheckSeverity::Critical).next().is_some() {
            let database = self.request.target.database().to_owned();
            return Err(Error::ChecksFailed { database, problems: report.problems() });
        }
        for warning in report.warnings(&[CheckSeverity::Critical, CheckSeverity::Warning]) {
            self.warn(warning);
        }
        self.checks = Some(report);
        Ok(())
    }

    /// Compares everything with the backup, as a check: the inventory and every row.
    fn compare(&self, database: &ConnectOptions) -> Result<CheckResult, Error> {
        let started_at = self.context.now();
        let hasher = self.repository.row_hasher();
        let Compared { rows, problems, .. } =
            compare(self.backup, &hasher, database, self.request.jobs, self.context)?;
        let message = match problems.first() {
            None => format!("{rows} rows and every definition are as they were backed up"),
            Some(first) => first.message.clone(),
        };
        let shown = problems.iter().take(SHOWN);
        Ok(CheckResult {
            name: "as backed up".to_owned(),
            kind: CheckKind::BuiltIn,
            severity: CheckSeverity::Critical,
            passed: problems.is_empty(),
            message,
            columns: ["object", "problem"].map(str::to_owned).to_vec(),
            rows: shown.map(|it| vec![Some(it.object.clone()), Some(it.message.clone())]).collect(),
            more_rows: problems.len() > SHOWN,
            duration: elapsed(started_at, self.context),
        })
    }

    fn select(&self, existing: impl FnOnce() -> Existing) -> Result<Option<Selection>, Error> {
        if self.request.tables.is_empty() {
            return Ok(None);
        }
        Ok(Some(Selection::of_tables(&self.backup.toc, &self.request.tables, &existing())?))
    }

    /// Names the roles that are missing before anything is written, or makes them.
    fn prepare_roles(
        &mut self,
        client: &mut Client,
        selection: Option<&Selection>,
        with_database: bool,
    ) -> Result<(), Error> {
        let properties = with_database.then_some(&self.backup.properties);
        let needed = roles_needed(&self.backup.toc, selection, properties, &LoadOptions::default());
        let missing = missing_roles(client, &needed)?;
        if missing.is_empty() {
            return Ok(());
        }
        if !self.request.create_roles {
            return Err(Error::RolesMissing { roles: missing });
        }
        for role in create_roles(client, &self.backup.roles)? {
            self.warn(Warning::RoleCreated { role });
        }
        Ok(())
    }

    fn load(
        &mut self,
        target: &ConnectOptions,
        server_major: u32,
        selection: Option<&Selection>,
    ) -> Result<(), Error> {
        let tools = Tools::find(server_major, self.context.tool_path.as_deref())?;
        let loading = Loading {
            backup: self.backup,
            tools: &tools,
            target,
            server_major,
            selection,
            options: LoadOptions::default(),
            jobs: self.request.jobs,
        };
        for message in loading.run(self.context)? {
            self.warn(Warning::Restore { message });
        }
        Ok(())
    }

    fn warn(&mut self, warning: Warning) {
        self.context.warn(warning.clone());
        self.warnings.push(warning);
    }
}

const NO_SUCH_DATABASE: &str = "3D000";

/// Tables and rows that were restored, as the manifest counts them.
fn counts(backup: &Opened, selection: Option<&Selection>) -> (u64, u64) {
    let tables = backup.record.tables.iter().filter(|table| match selection {
        Some(selection) => selection.tables.contains(&table.name),
        None => true,
    });
    tables
        .fold((0, 0), |(tables, rows), table| (tables + 1, rows + table.proof.map_or(0, |proof| proof.rows)))
}
