//! Keys that are old or have no second place.

use super::super::wording;
use super::super::{AlertCode, AlertPolicy, Finding, Severity};
use crate::observation::{KeyState, Observation};

fn name(key: &KeyState) -> String {
    match &key.label {
        Some(label) => format!("{label:?} (slot {})", key.slot),
        None => format!("of slot {}", key.slot),
    }
}

/// Keys that are to be changed.
pub(super) fn old(observation: &Observation, policy: &AlertPolicy) -> Vec<Finding> {
    let of = |key: &KeyState| {
        let created = key.created_at?;
        let age = observation.at.duration_since(created);
        let days = age.as_hours() / 24;
        if days < i64::from(policy.key_days) {
            return None;
        }
        let message = format!(
            "the key {} is {} old, and is to be replaced after {} days",
            name(key),
            wording::span(age),
            policy.key_days
        );
        let hint = "Run `chronavault keys rotate`, and keep a copy of the new key elsewhere.";
        let finding = Finding::new(AlertCode::KeyOld, Severity::Warning, observation.at, &message, hint);
        Some(finding.about(key.slot.as_str()))
    };
    observation.keys.iter().filter_map(of).collect()
}

/// A key of which nobody knows a copy.
pub(super) fn single(observation: &Observation, _policy: &AlertPolicy) -> Vec<Finding> {
    let [key] = observation.keys.as_slice() else { return Vec::new() };
    if key.checked_at.is_some() {
        return Vec::new();
    }
    let message = format!(
        "the key {} alone opens the repository, and nobody has shown that there is a copy of it: when it is lost, all backups are",
        name(key)
    );
    let hint = "Run `chronavault keys add --generate FILE --label NAME` and keep FILE elsewhere, or print a sheet with `chronavault keys escrow` and test it.";
    vec![Finding::new(AlertCode::KeySingle, Severity::Warning, observation.at, &message, hint)]
}
