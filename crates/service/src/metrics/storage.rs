//! Metrics of storage, keys and the journal.

use jiff::{SignedDuration, Timestamp};
use model::forecast;

use super::families::{
    JOURNAL_PROBLEMS, JOURNAL_SEQUENCE, KEY_AGE, KEY_CHECKED, KEY_SLOTS, STORAGE_FREE, STORAGE_GROWTH,
    STORAGE_PRUNABLE, STORAGE_UNTIL_FULL, STORAGE_USED,
};
use super::page::{Labels, Page};
use crate::observation::{KeyState, Observation};

const SECONDS_PER_DAY: f64 = 86_400.0;

pub(super) fn write(page: &mut Page, observation: &Observation, now: Timestamp) {
    let storage = observation.storage.as_ref();
    let used = storage.into_iter().flat_map(|storage| &storage.used_bytes);
    page.family(&STORAGE_USED, used.map(|(what, bytes)| ([(*what).to_owned()], *bytes)));
    page.single(&STORAGE_FREE, storage.and_then(|storage| storage.free_bytes));
    page.single(&STORAGE_PRUNABLE, storage.and_then(|storage| storage.prunable_bytes));
    let trend = storage.and_then(|storage| forecast(&storage.history, storage.free_bytes));
    page.single(&STORAGE_GROWTH, trend.map(|trend| trend.bytes_per_day / SECONDS_PER_DAY));
    page.single(&STORAGE_UNTIL_FULL, trend.and_then(|trend| trend.until_full));

    let keys = &observation.keys;
    page.single(&KEY_SLOTS, (!keys.is_empty()).then_some(keys.len()));
    let age = |at: Timestamp| now.duration_since(at).max(SignedDuration::ZERO);
    page.family(&KEY_AGE, keys.iter().filter_map(|key| Some((labels(key), age(key.created_at?)))));
    page.family(&KEY_CHECKED, keys.iter().filter_map(|key| Some((labels(key), key.checked_at?))));

    let journal = observation.journal.as_ref();
    page.single(&JOURNAL_SEQUENCE, journal.map(|journal| journal.sequence));
    page.single(&JOURNAL_PROBLEMS, journal.map(|journal| journal.problems.len()));
}

fn labels(key: &KeyState) -> Labels<3> {
    [key.slot.clone(), key.label.clone().unwrap_or_default(), key.is_used.to_string()]
}
