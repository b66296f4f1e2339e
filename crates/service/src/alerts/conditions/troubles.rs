//! What whoever looked found strange itself.

use super::super::{AlertCode, AlertPolicy, Finding, Severity};
use crate::observation::{Observation, Trouble};

/// A journal that is not what was written.
pub(super) fn journal(observation: &Observation, _policy: &AlertPolicy) -> Vec<Finding> {
    let Some(journal) = &observation.journal else { return Vec::new() };
    let Some(first) = journal.problems.first() else { return Vec::new() };
    let message = match journal.problems.len() {
        1 => format!("the journal is not what was written: {first}"),
        count => format!("the journal is not what was written: {first}; and {} more", count - 1),
    };
    let hint = "Run `chronavault journal verify`, keep the files as they are, and find out who changed them.";
    vec![Finding::new(AlertCode::Journal, Severity::Critical, observation.at, &message, hint)]
}

/// Troubles, each a finding.
pub(super) fn others(observation: &Observation, _policy: &AlertPolicy) -> Vec<Finding> {
    observation.troubles.iter().map(|trouble| of(trouble, observation)).collect()
}

fn of(trouble: &Trouble, observation: &Observation) -> Finding {
    let (code, severity) = kind(&trouble.code);
    let message = format!("{} ({})", trouble.message.trim_end_matches('.'), trouble.code);
    let hint = if trouble.hint.is_empty() { "Run `chronavault doctor`." } else { trouble.hint.as_str() };
    let object = format!("{} {}", trouble.code, trouble.object);
    Finding::new(code, severity, observation.at, &message, hint).about(object.trim_end())
}

/// What a trouble is, by its code. The words before the dot are those of docs/errors.md.
fn kind(code: &str) -> (AlertCode, Severity) {
    let (room, rest) = code.split_once('.').unwrap_or((code, ""));
    match (room, rest) {
        (_, "loose" | "permissions" | "owner") | ("permissions", _) => {
            (AlertCode::Permissions, Severity::Critical)
        }
        ("clock", _) => (AlertCode::Clock, Severity::Critical),
        ("journal", _) => (AlertCode::Journal, Severity::Critical),
        // What the service itself cannot do, or has no repository to do it with.
        ("service" | "daemon" | "scheduler" | "repository" | "key" | "keys", _) => {
            (AlertCode::Trouble, Severity::Critical)
        }
        _ => (AlertCode::Trouble, Severity::Warning),
    }
}
