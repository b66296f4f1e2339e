//! Verification at three levels; only the last, a real restore, proves a backup (P6).
//!
//! Invariant: an outcome is `proven` only when a restore into a sandbox ran without any error, the inventory is the
//! same, every table has the row proof that was taken at backup time, and no row breaks a foreign key.

mod compare;
mod restored;

use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;
use model::{BackupId, Check, Kind, Level, Outcome};
use postgres::ConnectOptions;
use repository::{MANIFEST_VERSION, Manifest, ProblemKind, ProblemRecord, Proof, Repository};

use crate::context::elapsed;
use crate::opened::Opened;
use crate::physical::rehearse_cluster;
use crate::{Context, Error, Event, Phase, Problem, Warning};
pub(crate) use compare::{Compared, compare as compare_opened, foreign_key_problem};
pub(crate) use restored::{BackupSandbox, Rehearsal};

/// What a verification found.
#[derive(Debug, Clone)]
pub struct VerifyReport {
    /// The backup.
    pub id: BackupId,
    /// What it holds; nothing when its manifest cannot be read.
    pub kind: Option<Kind>,
    /// The level that was reached.
    pub level: Level,
    /// What was found.
    pub outcome: Outcome,
    /// Tables compared, or, below `restore`, tables recorded in the manifest.
    pub tables: u64,
    /// Rows compared, or, below `restore`, rows recorded in the manifest.
    pub rows: u64,
    /// How long it took.
    pub duration: Duration,
    /// How long the restore took.
    pub restore_duration: Option<Duration>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Why a lower level was reached than asked for.
    pub unreached: Option<String>,
}

/// How far to verify, and with what.
#[derive(Debug, Clone, Copy)]
pub struct VerifyRequest<'a> {
    /// The level to reach.
    pub level: Level,
    /// Connections and threads at the same time.
    pub jobs: usize,
    /// The checks of the site: at the level `restore`, those for the source run in what was restored from a logical backup of a whole
    /// database. A critical one that does not hold is a problem of the backup, another one a warning.
    pub checks: &'a [Check],
}

/// Verifies a backup and records the result as a proof.
///
/// What is wrong with the backup is in the report. An error means that the verification itself could not be done.
pub fn verify(
    repository: &Repository,
    id: &BackupId,
    request: VerifyRequest<'_>,
    context: &Context<'_>,
) -> Result<VerifyReport, Error> {
    let started_at = context.now();
    let mut verification = Verification::new(repository, id, request, context);
    verification.objects()?;
    if verification.is_sound() && request.level >= Level::Contents {
        match request.level {
            Level::Restore => verification.restore()?,
            _ => verification.contents()?,
        }
    }
    verification.finish(started_at)
}

/// Compares a restored database, which nobody else may be changing, with a backup: its inventory, every row of every
/// table, and every foreign key. Records nothing.
pub fn compare(
    repository: &Repository,
    id: &BackupId,
    database: &ConnectOptions,
    jobs: usize,
    context: &Context<'_>,
) -> Result<Vec<Problem>, Error> {
    let backup = Opened::open(repository, id)?;
    let compared = compare::compare(&backup, &repository.row_hasher(), database, jobs, context)?;
    Ok(compared.problems)
}

type StoredCheck =
    fn(&Repository, &BackupId, repository::OnProgress<'_>) -> Result<repository::Findings, repository::Error>;

/// Runs a check of what is stored of a backup, and tells how far it is.
pub(crate) fn check_stored(
    repository: &Repository,
    id: &BackupId,
    phase: Phase,
    check: StoredCheck,
    context: &Context<'_>,
) -> Result<repository::Findings, Error> {
    context.phase(phase);
    let progress = |checked: repository::Progress| {
        let repository::Progress { done_bytes, total_bytes } = checked;
        context.observer.event(Event::Progress { phase, done_bytes, total_bytes });
        if context.observer.cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    Ok(check(repository, id, &progress)?)
}

/// A verification under way.
struct Verification<'a> {
    repository: &'a Repository,
    request: VerifyRequest<'a>,
    context: &'a Context<'a>,
    report: VerifyReport,
    server_version: u32,
}

impl<'a> Verification<'a> {
    fn new(
        repository: &'a Repository,
        id: &BackupId,
        request: VerifyRequest<'a>,
        context: &'a Context<'a>,
    ) -> Self {
        let report = VerifyReport {
            id: id.clone(),
            kind: None,
            level: Level::Objects,
            outcome: Outcome::Failed,
            tables: 0,
            rows: 0,
            duration: Duration::ZERO,
            restore_duration: None,
            problems: Vec::new(),
            unreached: None,
        };
        Self { repository, request, context, report, server_version: 0 }
    }

    fn is_sound(&self) -> bool {
        self.report.problems.is_empty()
    }

    fn objects(&mut self) -> Result<(), Error> {
        self.check(Phase::Objects, Repository::check_objects)?;
        let Ok(manifest) = self.repository.manifest(&self.report.id) else { return Ok(()) };
        self.report.kind = Some(manifest.kind);
        if let Manifest { logical: Some(logical), .. } = manifest {
            let proofs = logical.tables.iter().filter_map(|table| table.proof);
            self.report.tables = logical.tables.len() as u64;
            self.report.rows = proofs.map(|proof| proof.rows).sum();
            if let Some(warning) = Warning::if_filtered(&self.report.id, &logical.filters) {
                self.context.warn(warning);
            }
        }
        Ok(())
    }

    fn contents(&mut self) -> Result<(), Error> {
        self.check(Phase::Contents, Repository::check_contents)?;
        self.report.level = Level::Contents;
        Ok(())
    }

    /// Runs a check of what is stored.
    fn check(&mut self, phase: Phase, check: StoredCheck) -> Result<(), Error> {
        let findings = check_stored(self.repository, &self.report.id, phase, check, self.context)?;
        self.report.problems.extend(findings.problems.into_iter().map(stored_problem));
        Ok(())
    }

    fn restore(&mut self) -> Result<(), Error> {
        let restored = match self.report.kind {
            Some(Kind::Physical) => {
                rehearse_cluster(self.repository, &self.report.id, self.request.jobs, self.context)
            }
            _ => Opened::open(self.repository, &self.report.id)
                .and_then(|backup| restored::rehearse(self.repository, &backup, self.request, self.context)),
        };
        match restored {
            Ok(Rehearsal::Done { compared, restore, server_version }) => {
                self.report.level = Level::Restore;
                (self.report.tables, self.report.rows) = (compared.tables, compared.rows);
                self.report.problems.extend(compared.problems);
                self.report.restore_duration = Some(restore);
                self.server_version = server_version;
                Ok(())
            }
            Ok(Rehearsal::Impossible(reason)) => {
                self.report.unreached = Some(reason.clone());
                self.contents()?;
                self.context.warn(Warning::NotProven { reason });
                Ok(())
            }
            Err(error) => {
                self.report.level = Level::Restore;
                self.report.problems.push(restore_problem(&self.report.id, error)?);
                Ok(())
            }
        }
    }

    fn finish(mut self, started_at: Timestamp) -> Result<VerifyReport, Error> {
        self.report.outcome = match self.report.level {
            _ if !self.is_sound() => Outcome::Failed,
            Level::Restore => Outcome::Proven,
            Level::Objects | Level::Contents => Outcome::Sound,
        };
        self.report.duration = elapsed(started_at, self.context);
        if let Ok(reader) = self.repository.read(&self.report.id) {
            let proof = self.proof(reader.manifest_sha256());
            self.repository.write_proof(&proof, self.context.random_bytes())?;
        }
        Ok(self.report)
    }

    fn proof(&self, manifest_sha256: repository::Sha256) -> Proof {
        let report = &self.report;
        Proof {
            version: MANIFEST_VERSION,
            backup: report.id.clone(),
            manifest_sha256,
            level: report.level,
            outcome: report.outcome,
            at: self.context.now(),
            duration_ms: milliseconds(report.duration),
            restore_ms: report.restore_duration.map_or(0, milliseconds),
            tables: report.tables,
            rows: report.rows,
            server_version: self.server_version,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            problems: report.problems.iter().map(Problem::to_record).collect(),
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn stored_problem(problem: repository::Problem) -> Problem {
    Problem { code: object_code(problem.kind), object: problem.object, message: problem.message }
}

/// A stable word for what is wrong with a stored object.
const fn object_code(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::Missing => "object.missing",
        ProblemKind::Truncated => "object.truncated",
        ProblemKind::Changed => "object.changed",
        ProblemKind::Swapped => "object.swapped",
        ProblemKind::Foreign => "object.foreign",
        ProblemKind::WrongKey => "object.wrong_key",
        ProblemKind::NewerVersion => "object.newer_version",
        ProblemKind::Inconsistent => "object.inconsistent",
        ProblemKind::Unreadable => "object.unreadable",
    }
}

/// A restore that failed because of what was restored is a finding; one that failed because of this machine is not.
fn restore_problem(id: &BackupId, error: Error) -> Result<Problem, Error> {
    match error {
        Error::Repository(repository::Error::Damaged(problem)) => Ok(stored_problem(problem)),
        Error::Load(_)
        | Error::LoadRows { .. }
        | Error::Archive(_)
        | Error::Malformed { .. }
        | Error::NoRows { .. } => {
            let message = crate::error::with_sources(&error);
            Ok(Problem { code: "restore.failed", object: id.to_string(), message })
        }
        other => Err(other),
    }
}

impl Problem {
    fn to_record(&self) -> ProblemRecord {
        ProblemRecord {
            code: self.code.to_owned(),
            object: self.object.clone(),
            message: self.message.clone(),
        }
    }
}
