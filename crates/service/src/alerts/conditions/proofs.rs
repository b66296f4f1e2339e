//! Backups that are not proven.

use model::Outcome;

use super::super::series::{NOT_VERIFIED, series};
use super::super::wording;
use super::super::{AlertCode, AlertPolicy, Finding, Severity};
use crate::observation::{BackupFacts, BackupState, Observation};

fn outcome(backup: &BackupFacts) -> Option<Outcome> {
    backup.proof.map(|proof| proof.outcome)
}

/// Backups that did not verify.
pub(super) fn failed(observation: &Observation, _policy: &AlertPolicy) -> Vec<Finding> {
    let listed = observation.backups.iter().filter_map(listed_failure);
    listed.chain(recorded_failures(observation)).collect()
}

fn listed_failure(state: &BackupState) -> Option<Finding> {
    let failed: Vec<_> =
        state.backups.iter().filter(|backup| outcome(backup) == Some(Outcome::Failed)).collect();
    let newest = failed.iter().max_by_key(|backup| backup.started_at)?;
    let proven = state.newest_proven().filter(|proven| proven.started_at > newest.started_at);
    let severity = if proven.is_some() { Severity::Warning } else { Severity::Critical };
    let name = wording::series(Some(&state.source), Some(state.kind));
    let id = &newest.id;
    let message = match failed.len() {
        1 => format!("{id} of {name} did not verify"),
        count => format!("{count} backups of {name} did not verify; the newest of them is {id}"),
    };
    let superseded = proven.map(|proven| format!("; {} is newer and proven", proven.id)).unwrap_or_default();
    let message = message + &superseded;
    let hint = if proven.is_some() {
        format!("Run `chronavault verify {id}` to see what is wrong, then `chronavault prune --failed`.")
    } else {
        format!(
            "Run `chronavault backup{}` now, which stores again what is damaged; `chronavault verify {id}` says what is wrong.",
            wording::options(Some(&state.source), Some(state.kind))
        )
    };
    let at = newest.proof.map_or(newest.finished_at, |proof| proof.at);
    let finding = Finding::new(AlertCode::VerificationFailed, severity, at, &message, hint);
    Some(finding.of(Some(&state.source), Some(state.kind)).shown_by(Some(id)))
}

/// The same from the journal: of backups that are not listed, or not any more.
fn recorded_failures(observation: &Observation) -> impl Iterator<Item = Finding> {
    series(observation).into_iter().filter_map(|series| {
        let (run, end) = series.runs.iter().rev().find_map(|run| run.end.as_ref().map(|end| (run, end)))?;
        if end.code.as_deref() != Some(NOT_VERIFIED) {
            return None;
        }
        let is_it = |state: &&BackupState| {
            Some(state.source.as_str()) == series.source && Some(state.kind) == series.kind
        };
        let is_settled = observation.backups.iter().filter(is_it).any(|state| {
            let is_verified =
                |backup: &BackupFacts| Some(&backup.id) == run.backup.as_ref() && backup.proof.is_some();
            state.newest_proven().is_some_and(|proven| proven.started_at > run.started_at)
                || state.backups.iter().any(is_verified)
        });
        if is_settled {
            return None;
        }
        let name = wording::series(series.source, series.kind);
        let why = super::backups::words(end.code.as_deref(), end.message.as_deref());
        let message = format!("the last backup of {name} did not verify: {why}");
        let hint = format!(
            "Run `chronavault backup{}` now, which stores again what is damaged.",
            wording::options(series.source, series.kind)
        );
        let finding = Finding::new(AlertCode::VerificationFailed, Severity::Critical, end.at, &message, hint);
        Some(finding.of(series.source, series.kind).shown_by(run.backup.as_ref()))
    })
}

/// Sources and kinds without a proven backup within their RPO.
pub(super) fn too_old(observation: &Observation, _policy: &AlertPolicy) -> Vec<Finding> {
    observation.backups.iter().filter_map(|state| of_state(state, observation)).collect()
}

fn of_state(state: &BackupState, observation: &Observation) -> Option<Finding> {
    let rpo = state.rpo?;
    let (source, kind) = (Some(state.source.as_str()), Some(state.kind));
    let name = wording::series(source, kind);
    let proven = state.newest_proven();
    let (severity, at, message) = if let Some(proven) = proven {
        // What it brings back is the state of the moment when it began.
        let age = state.recovery_point_age(observation.at)?;
        if age <= rpo {
            return None;
        }
        let message = format!(
            "the newest proven backup of {name} is {} old, and may be {} old at most",
            wording::span(age),
            wording::span(rpo)
        );
        let since = proven.started_at.checked_add(rpo).unwrap_or(observation.at);
        (Severity::Critical, since, message)
    } else {
        let is_run = series(observation).iter().any(|series| series.source == source && series.kind == kind);
        let first = state.next_run.filter(|next| *next > observation.at);
        match first {
            Some(first) if state.backups.is_empty() && !is_run => {
                let message = format!(
                    "there is no backup of {name} yet; the first is planned for {}",
                    wording::time(first)
                );
                (Severity::Warning, observation.at, message)
            }
            _ => (Severity::Critical, observation.at, format!("there is no proven backup of {name}")),
        }
    };
    let unproven = state.backups.iter().max_by_key(|backup| backup.started_at);
    let unproven =
        unproven.filter(|backup| proven.is_none_or(|proven| backup.started_at > proven.started_at));
    let hint = match unproven.filter(|backup| outcome(backup) != Some(Outcome::Failed)) {
        Some(backup) => format!("Run `chronavault verify {}` to prove the newest backup.", backup.id),
        None => format!("Run `chronavault backup{}`.", wording::options(source, kind)),
    };
    let finding = Finding::new(AlertCode::NoProvenBackup, severity, at, &message, hint);
    Some(finding.of(source, kind).shown_by(proven.map(|proven| &proven.id)))
}
