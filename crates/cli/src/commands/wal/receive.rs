//! `wal receive`: WAL from a server into the archive, until somebody says stop.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use model::Lsn;
use operations::postgres::SlotName;
use operations::{ReceiveReport, ReceiveRequest};
use repository::Repository;
use serde::Serialize;

use crate::args::{BackupArgs, WalReceiveArgs};
use crate::catalogue::{Code, needs_person};
use crate::connection;
use crate::failure::{Failure, sentence};
use crate::opening;
use crate::progress::Reporter;
use crate::screen::{Answer, Notice};
use crate::session::Session;
use crate::settings::Settings;
use crate::surroundings::Surroundings;
use crate::wording;

/// What a source is called when nobody named it.
const DEFAULT_SOURCE: &str = "cluster";
/// What the name of a slot begins with, before that of the source.
const SLOT_PREFIX: &str = "chronavault_";
/// How often is looked whether keys were rotated.
const KEY_INTERVAL: Duration = Duration::from_mins(1);
/// Bytes of the longest name of a slot.
const SLOT_LIMIT: usize = 63;

#[derive(Serialize)]
struct Body {
    source: String,
    slot: String,
    received_bytes: u64,
    segments: u64,
    pieces: u64,
    interruptions: u64,
    archived_to: Option<Lsn>,
    duration_ms: u64,
    warnings: Vec<Notice>,
}

pub(in crate::commands) fn run(args: &WalReceiveArgs, session: Session) -> Result<Answer, Failure> {
    let started = Instant::now();
    let (screen, noted) = (session.screen, session.noted.clone());
    let settings = session.settings()?;
    let source = settings.source(args.source.as_deref())?;
    let name = source.name.unwrap_or_else(|| DEFAULT_SOURCE.to_owned());
    noted.note(|facts| facts.source = Some(name.clone()));
    let mut connection = connection::parse(&settings.environment, &source.url, &source.origin)?;
    if let Some(name) = &args.application_name {
        connection = connection.with_application_name(name);
    }
    let request = ReceiveRequest {
        source: connection,
        slot: args.slot.clone().map_or_else(|| default_slot(&name), Ok)?,
        flush_interval: args.flush_interval,
        synchronous: args.synchronous,
        compression: settings.backup(&BackupArgs::default())?.compression,
    };
    let repository = opening::repository(&settings)?;
    let surroundings = Surroundings::new(screen, &settings)?;
    surroundings.reporter.expect_wal();
    let received = receive(repository, &request, &settings, &surroundings);
    surroundings.reporter.finish();
    // It ends because somebody asked it to; an error is one all the same.
    let report = received?;
    noted.note(|facts| facts.plain_bytes = Some(report.received_bytes));
    let warnings = surroundings.reporter.take_warnings();
    let body = Body {
        source: name,
        slot: request.slot.to_string(),
        received_bytes: report.received_bytes,
        segments: report.segments,
        pieces: report.pieces,
        interruptions: report.interruptions,
        archived_to: report.archived_to,
        duration_ms: wording::millis(started.elapsed()),
        warnings: warnings.iter().map(Notice::from).collect(),
    };
    let text = match report.archived_to {
        Some(position) => {
            format!("archived up to {position}: {}", wording::count(report.segments, "segment"))
        }
        None => "nothing was received".to_owned(),
    };
    Ok(Answer::new(text, &body)?.needing_person(warnings.iter().any(needs_person)))
}

/// Receives until somebody asks to stop: with the key of `repository`, and from when keys were rotated on with the one that takes its
/// place.
fn receive(
    mut repository: Repository,
    request: &ReceiveRequest,
    settings: &Settings,
    surroundings: &Surroundings,
) -> Result<ReceiveReport, Failure> {
    let mut all = ReceiveReport::default();
    loop {
        let (ends_with_this, ended) = bounded::<()>(0);
        let (used, reporter) = (repository.clone(), &surroundings.reporter);
        let (received, renewed) = std::thread::scope(|scope| {
            let watch = scope.spawn(move || rotated(&used, settings, &ended, reporter));
            let received = operations::receive_wal(&repository, request, &surroundings.context());
            drop(ends_with_this);
            (received, watch.join().ok().flatten())
        });
        let report = received?;
        all.received_bytes += report.received_bytes;
        all.segments += report.segments;
        all.pieces += report.pieces;
        all.interruptions += report.interruptions;
        all.archived_to = report.archived_to.or(all.archived_to);
        match renewed {
            Some(renewed) if surroundings.reporter.take_renewed() => repository = renewed,
            _ => return Ok(all),
        }
    }
}

/// Waits until keys were rotated, and returns the repository as the new key opens it; nothing when `ended` says that nobody needs it
/// any more. While no key at hand opens it, what is `used` goes on: the epoch before is still one that everybody reads.
fn rotated(
    used: &Repository,
    settings: &Settings,
    ended: &Receiver<()>,
    reporter: &Reporter,
) -> Option<Repository> {
    while ended.recv_timeout(KEY_INTERVAL) == Err(RecvTimeoutError::Timeout) {
        let opened = opening::anew(settings).ok().filter(|opened| !opened.is_as(used));
        if opened.is_some() {
            reporter.renew();
            return opened;
        }
    }
    None
}

/// The slot of a source: its name with what a slot cannot be called by replaced.
fn default_slot(source: &str) -> Result<SlotName, Failure> {
    let letters = source.chars().map(|letter| match letter.to_ascii_lowercase() {
        letter @ ('a'..='z' | '0'..='9') => letter,
        _ => '_',
    });
    let name: String = SLOT_PREFIX.chars().chain(letters).take(SLOT_LIMIT).collect();
    name.parse().map_err(|error| Failure::new(Code::Internal, sentence(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_has_a_slot() {
        for (source, slot) in [
            ("books", "chronavault_books"),
            ("Books-2026 (old)", "chronavault_books_2026__old_"),
            ("Bücher", "chronavault_b_cher"),
            ("", "chronavault_"),
        ] {
            assert_eq!(default_slot(source).unwrap().as_str(), slot);
        }
        assert_eq!(default_slot(&"x".repeat(100)).unwrap().as_str().len(), SLOT_LIMIT);
    }
}
