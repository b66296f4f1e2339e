//! The storage fills.

use jiff::SignedDuration;
use model::ByteSize;

use super::super::wording;
use super::super::{AlertCode, AlertPolicy, Finding, Severity};
use crate::observation::{Observation, StorageState};

/// How much of the storage is used.
pub(super) fn full(observation: &Observation, policy: &AlertPolicy) -> Vec<Finding> {
    let Some(storage) = &observation.storage else { return Vec::new() };
    let Some(free) = storage.free_bytes else { return Vec::new() };
    let used = used(storage);
    let whole = used.saturating_add(free);
    let is_above =
        |percent: u8| whole > 0 && u128::from(used) * 100 >= u128::from(whole) * u128::from(percent);
    let severity = match () {
        () if is_above(policy.storage_critical_percent) => Severity::Critical,
        () if is_above(policy.storage_percent) => Severity::Warning,
        () => return Vec::new(),
    };
    let percent = u128::from(used) * 100 / u128::from(whole.max(1));
    let message = format!(
        "the repository uses {} of {} ({percent} %) at {}: {}; {}",
        ByteSize(used),
        ByteSize(whole),
        storage.place,
        what_fills(storage),
        prunable(storage)
    );
    vec![Finding::new(AlertCode::StorageFull, severity, observation.at, &message, HINT)]
}

/// When the storage will be full.
pub(super) fn forecast(observation: &Observation, policy: &AlertPolicy) -> Vec<Finding> {
    let Some(storage) = &observation.storage else { return Vec::new() };
    let Some(forecast) = model::forecast(&storage.history, storage.free_bytes) else { return Vec::new() };
    let Some(until) = forecast.until_full else { return Vec::new() };
    let within = |days: u32| until <= SignedDuration::from_hours(24 * i64::from(days));
    let severity = match () {
        () if within(policy.forecast_critical_days) => Severity::Critical,
        () if within(policy.forecast_days) => Severity::Warning,
        () => return Vec::new(),
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is not negative")]
    let daily = ByteSize(forecast.bytes_per_day.max(0.0) as u64);
    let when = observation.at.checked_add(until).unwrap_or(observation.at);
    let message = format!(
        "the storage at {} will be full in {}, on {}: the repository grows by {daily} a day, and {} are free; {}",
        storage.place,
        wording::span(until),
        when.strftime("%Y-%m-%d"),
        ByteSize(storage.free_bytes.unwrap_or(0)),
        prunable(storage)
    );
    vec![Finding::new(AlertCode::StorageForecast, severity, observation.at, &message, HINT)]
}

const HINT: &str = "Run `chronavault prune --dry-run` to see what would go, then `chronavault prune`; or give the repository more room.";

fn used(storage: &StorageState) -> u64 {
    storage.used_bytes.values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
}

/// What fills the storage, the most first.
fn what_fills(storage: &StorageState) -> String {
    let mut parts: Vec<_> = storage.used_bytes.iter().filter(|(_, bytes)| **bytes > 0).collect();
    parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(**bytes));
    let parts: Vec<_> = parts.iter().map(|(name, bytes)| format!("{name} {}", ByteSize(**bytes))).collect();
    parts.join(", ")
}

fn prunable(storage: &StorageState) -> String {
    match storage.prunable_bytes {
        Some(0) => "a prune would free nothing now".to_owned(),
        Some(bytes) => format!("a prune would free {} now", ByteSize(bytes)),
        None => "it is not known what a prune would free".to_owned(),
    }
}
