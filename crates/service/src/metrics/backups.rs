//! Metrics of backups and their proofs.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use model::Outcome;

use super::families::{
    BACKUP_AGE, BACKUP_TIME, BACKUPS, COMPRESSION, NEXT_RUN, PLAIN, PROOF_AGE, PROOF_TIME,
    RECOVERY_POINT_AGE, RESTORE_DURATION, REUSE, REUSED, RPO, STORED,
};
use super::family::Family;
use super::page::{Labels, Number, Page};
use crate::observation::{BackupFacts, BackupState, Observation, ProofFacts};

/// The label of a backup that was never verified.
const NO_PROOF: &str = "none";

pub(super) fn write(page: &mut Page, observation: &Observation, now: Timestamp) {
    let states = &observation.backups;
    page.family(&BACKUPS, counts(states));
    let age = |at: Timestamp| now.duration_since(at).max(SignedDuration::ZERO);
    let last = |page: &mut Page, family: &Family<2>, number: &dyn Fn(&BackupFacts) -> Option<Number>| {
        each(page, family, states, &|state| state.backups.first().and_then(number));
    };
    last(page, &BACKUP_TIME, &|backup| Some(backup.finished_at.into()));
    last(page, &BACKUP_AGE, &|backup| Some(age(backup.finished_at).into()));
    last(page, &PLAIN, &|backup| Some(backup.plain_bytes.into()));
    last(page, &STORED, &|backup| Some(backup.stored_bytes.into()));
    last(page, &REUSED, &|backup| Some(backup.reused_bytes.into()));
    last(page, &COMPRESSION, &|backup| {
        ratio(backup.stored_bytes, backup.plain_bytes.saturating_sub(backup.reused_bytes))
    });
    last(page, &REUSE, &|backup| ratio(backup.reused_bytes, backup.plain_bytes));
    each(page, &PROOF_TIME, states, &|state| last_proof(state).map(|proof| proof.at.into()));
    each(page, &PROOF_AGE, states, &|state| last_proof(state).map(|proof| age(proof.at).into()));
    each(page, &RESTORE_DURATION, states, &|state| last_proof(state).map(|proof| proof.restore.into()));
    each(page, &RPO, states, &|state| state.rpo.map(Number::from));
    each(page, &RECOVERY_POINT_AGE, states, &|state| state.recovery_point_age(now).map(Number::from));
    each(page, &NEXT_RUN, states, &|state| state.next_run.map(Number::from));
}

/// One sample for each source and kind of which the number is known.
fn each(
    page: &mut Page,
    family: &Family<2>,
    states: &[BackupState],
    number: &dyn Fn(&BackupState) -> Option<Number>,
) {
    page.family(family, states.iter().filter_map(|state| Some((labels(state), number(state)?))));
}

fn labels(state: &BackupState) -> Labels<2> {
    [state.source.clone(), state.kind.to_string()]
}

fn counts(states: &[BackupState]) -> BTreeMap<Labels<3>, u64> {
    let mut counts = BTreeMap::new();
    for state in states {
        let [source, kind] = labels(state);
        for word in [Outcome::Proven, Outcome::Sound, Outcome::Failed]
            .map(Outcome::as_str)
            .into_iter()
            .chain([NO_PROOF])
        {
            let is_so =
                |backup: &&BackupFacts| backup.proof.map_or(NO_PROOF, |proof| proof.outcome.as_str()) == word;
            let count = state.backups.iter().filter(is_so).count();
            counts.insert(
                [source.clone(), kind.clone(), word.to_owned()],
                u64::try_from(count).unwrap_or(u64::MAX),
            );
        }
    }
    counts
}

/// The newest proof, which need not be that of the newest backup.
fn last_proof(state: &BackupState) -> Option<ProofFacts> {
    let proofs = state.backups.iter().filter_map(|backup| backup.proof);
    proofs.filter(|proof| proof.outcome == Outcome::Proven).max_by_key(|proof| proof.at)
}

#[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 53 bits")]
fn ratio(part: u64, whole: u64) -> Option<Number> {
    (whole > 0).then(|| Number::Float(part as f64 / whole as f64))
}
