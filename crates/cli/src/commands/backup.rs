//! `backup`: backs up a database, then proves that the backup restores.
//!
//! Invariant: a backup whose proof failed or could not be made stays where it is, and the exit status says so.

use std::fmt::Write;

use model::{ByteSize, Level, Outcome, RunFacts};
use operations::{BackupReport, BackupRequest, SizeLimit, VerifyReport, VerifyRequest, Warning};
use repository::Repository;
use serde::Serialize;

use super::describe::{BackupBody, Totals, filters};
use super::verify::{self, VerifyBody};
use crate::args::{BackupArgs, KindArg, MaxSizePolicy};
use crate::catalogue::{self, Code};
use crate::connection;
use crate::failure::{Exit, Failure};
use crate::opening;
use crate::recording::Noted;
use crate::screen::{Answer, Notice, Screen};
use crate::session::Session;
use crate::settings::{BackupSettings, Settings};
use crate::site;
use crate::surroundings::Surroundings;
use crate::wording;

#[derive(Serialize)]
struct Body {
    #[serde(flatten)]
    backup: BackupBody,
    /// Absent when nothing was verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<VerifyBody>,
}

pub(super) fn run(args: &BackupArgs, session: Session) -> Result<Answer, Failure> {
    if args.kind == KindArg::Physical {
        return super::backup_cluster::run(args, session);
    }
    let (screen, noted) = (session.screen, session.noted.clone());
    let settings = session.settings()?;
    let backup = settings.backup(args)?;
    let request = request(args, &settings, &backup)?;
    noted.note(|facts| facts.source = Some(request.source_name.clone()));
    let repository = opening::repository(&settings)?;
    let mut surroundings = Surroundings::new(screen, &settings)?;
    surroundings.take_source(&repository, &request.source_name)?;
    let context = surroundings.context();
    let report =
        operations::backup(&repository, &request, &context).map_err(|error| surroundings.failure(error))?;
    let stored = Stored { report: &report, words: &stored_words(&report), noted: &noted };
    let answer = verify_and_answer(&repository, stored, &backup, &surroundings)?;
    Ok(keeping_settings(answer, screen, &settings, &repository))
}

/// The answer, once the settings are in the repository. That they are not is no reason to call a good backup failed.
pub(super) fn keeping_settings(
    answer: Answer,
    screen: Screen,
    settings: &Settings,
    repository: &Repository,
) -> Answer {
    match site::keep_configuration(settings, repository) {
        Ok(_) => answer,
        Err(failure) => {
            let notice = catalogue::site_not_kept(&failure);
            screen.warning(&notice);
            answer.warned(&[notice])
        }
    }
}

/// A backup that is stored.
#[derive(Clone, Copy)]
pub(super) struct Stored<'a> {
    /// What was done.
    pub(super) report: &'a BackupReport,
    /// The same in words.
    pub(super) words: &'a str,
    /// What belongs into the journal.
    pub(super) noted: &'a Noted,
}

/// Proves a backup that is stored, if that is wanted, and says what came of both.
pub(super) fn verify_and_answer(
    repository: &Repository,
    stored: Stored<'_>,
    settings: &BackupSettings,
    surroundings: &Surroundings,
) -> Result<Answer, Failure> {
    let Stored { report, words, noted } = stored;
    noted.note(|facts| note(facts, report));
    let verified = settings.verification.then(|| {
        let request = VerifyRequest { level: Level::Restore, jobs: settings.jobs, checks: &settings.checks };
        let verified = operations::verify(repository, &report.manifest.id, request, &surroundings.context());
        verified.map_err(|error| surroundings.failure(error))
    });
    surroundings.reporter.finish();
    if let Some(Ok(report)) = &verified {
        noted.note(|facts| facts.verification = Some(verify::facts(report)));
    }
    answer(report, verified, &surroundings.reporter.take_warnings(), words)
}

/// What the journal is to know of a backup.
fn note(facts: &mut RunFacts, report: &BackupReport) {
    let manifest = &report.manifest;
    let totals = Totals::of(manifest);
    facts.backup = Some(manifest.id.clone());
    facts.source = Some(manifest.source.clone());
    facts.kind = Some(manifest.kind);
    facts.plain_bytes = Some(manifest.plain_bytes);
    facts.stored_bytes = Some(manifest.stored_bytes);
    facts.reused_bytes = Some(manifest.reused_bytes);
    if manifest.logical.is_some() {
        (facts.tables, facts.rows) = (Some(totals.tables), Some(totals.rows));
    }
}

fn request(
    args: &BackupArgs,
    settings: &Settings,
    backup: &BackupSettings,
) -> Result<BackupRequest, Failure> {
    let source = settings.source(args.source.as_deref())?;
    let options = connection::parse(&settings.environment, &source.url, &source.origin)?;
    Ok(BackupRequest {
        source_name: source.name.clone().unwrap_or_else(|| options.database().to_owned()),
        source: options,
        filters: source.filters(args),
        jobs: backup.jobs,
        compression: backup.compression,
        large_table_bytes: backup.large_table_bytes,
        size_limit: size_limit(backup),
        lock_timeout: backup.lock_timeout,
    })
}

/// The limit for the size of what is backed up.
pub(super) fn size_limit(backup: &BackupSettings) -> Option<SizeLimit> {
    let refuse = backup.max_size_policy == MaxSizePolicy::Refuse;
    backup.max_size_bytes.map(|bytes| SizeLimit { bytes, refuse })
}

fn answer(
    report: &BackupReport,
    verified: Option<Result<VerifyReport, Failure>>,
    warnings: &[Warning],
    stored: &str,
) -> Result<Answer, Failure> {
    let manifest = &report.manifest;
    let mut backup = BackupBody::new(manifest, report.duration);
    backup.warnings = warnings.iter().map(Notice::from).collect();
    let needs_person = warnings.iter().any(catalogue::needs_person);
    let mut text = stored.to_owned();
    let (mut failure, mut verification) = (None, None);
    match verified {
        None => text.push_str("Not verified, so not proven: `chronavault verify latest` does it.\n"),
        Some(Ok(report)) => {
            backup.verified = report.outcome == Outcome::Proven;
            text.push_str(&verify::words(&report));
            failure = verify::failure(&report);
            verification = Some(VerifyBody::from(&report));
        }
        Some(Err(cause)) => {
            let exit = if cause.code == Code::Cancelled { cause.exit() } else { Exit::NotVerified };
            let message = format!("{} is stored, but could not be verified: {}", manifest.id, cause.message);
            failure = Some(cause.with_message(message).with_exit(exit));
        }
    }
    Ok(Answer::new(text, &Body { backup, verification })?.failing(failure).needing_person(needs_person))
}

/// What was stored, before anything is known about whether it restores.
fn stored_words(report: &BackupReport) -> String {
    let manifest = &report.manifest;
    let totals = Totals::of(manifest);
    let mut text = format!(
        "{} of {:?}: {}, {}, {}; stored {}, reused {}, in {}.\n",
        manifest.id,
        manifest.source,
        wording::count(totals.tables, "table"),
        wording::count(totals.rows, "row"),
        ByteSize(manifest.plain_bytes),
        ByteSize(manifest.stored_bytes),
        ByteSize(manifest.reused_bytes),
        wording::duration(report.duration),
    );
    let filters = filters(manifest);
    if !filters.is_empty() {
        let _ = writeln!(text, "It is filtered, not complete: {filters}");
    }
    text
}
