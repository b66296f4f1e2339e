//! WAL does not arrive.

use model::ByteSize;

use super::super::wording;
use super::super::{AlertCode, AlertPolicy, Finding, Severity};
use crate::observation::{Observation, WalState};

/// Gaps that a message names.
const NAMED: usize = 3;

/// What makes findings about a cluster different from those about others: its system identifier, where it has a source none.
pub(in super::super) fn object(wal: &WalState) -> Option<String> {
    wal.system.map(|system| system.to_string())
}

fn name(wal: &WalState) -> String {
    match (&wal.source, &wal.system) {
        (Some(source), _) => format!("{source:?}"),
        (None, Some(system)) => format!("cluster {system}"),
        (None, None) => "a cluster without a name".to_owned(),
    }
}

fn finding(
    wal: &WalState,
    code: AlertCode,
    severity: Severity,
    at: jiff::Timestamp,
    message: &str,
    hint: impl Into<String>,
) -> Finding {
    let finding = Finding::new(code, severity, at, message, hint).of(wal.source.as_deref(), None);
    Finding { object: object(wal), ..finding }
}

/// WAL that is missing.
pub(super) fn gaps(observation: &Observation, _policy: &AlertPolicy) -> Vec<Finding> {
    let of = |wal: &WalState| {
        let named: Vec<_> = wal.gaps.iter().take(NAMED).map(String::as_str).collect();
        let more = wal.gaps.len().saturating_sub(NAMED);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let message = format!("WAL of {} is missing: {}{more}", name(wal), named.join("; "));
        let hint = format!(
            "Run `chronavault backup{} --kind physical` now; `chronavault wal status` shows every gap with its cause.",
            wording::options(wal.source.as_deref(), None)
        );
        finding(wal, AlertCode::WalGap, Severity::Critical, observation.at, &message, hint)
    };
    observation.wal.iter().filter(|wal| !wal.gaps.is_empty()).map(of).collect()
}

/// The archive is behind.
pub(super) fn lag(observation: &Observation, policy: &AlertPolicy) -> Vec<Finding> {
    let of = |wal: &WalState| {
        let bytes = wal.receiver.as_ref().and_then(|receiver| receiver.lag_bytes);
        let age = wal.archived_at.map(|archived| observation.at.duration_since(archived));
        let limit = policy.wal_age.filter(|limit| age.is_some_and(|age| age > *limit));
        let message = match (bytes, age, limit) {
            (Some(bytes), ..) if bytes > policy.wal_lag_bytes => format!(
                "the archive is {} of WAL behind {}, and may be {} behind at most",
                ByteSize(bytes),
                name(wal),
                ByteSize(policy.wal_lag_bytes)
            ),
            (_, Some(age), Some(limit)) => format!(
                "the newest archived WAL of {} is {} old, and may be {} old at most",
                name(wal),
                wording::span(age),
                wording::span(limit)
            ),
            _ => return None,
        };
        let hint = "Run `chronavault wal status`; look at the network and the receiver, and for errors of archive_command in the server's log.";
        Some(finding(wal, AlertCode::WalLag, Severity::Warning, observation.at, &message, hint))
    };
    observation.wal.iter().filter_map(of).collect()
}

/// Replication slots that are in danger.
pub(super) fn slots(observation: &Observation, _policy: &AlertPolicy) -> Vec<Finding> {
    let of = |wal: &WalState| {
        let danger = wal.receiver.as_ref()?.slot_danger.as_ref()?;
        let message = format!("the replication slot of {} is in danger: {danger}", name(wal));
        let hint = "Let the receiver catch up, or raise max_slot_wal_keep_size of the server; `SELECT * FROM pg_replication_slots` shows the slot.";
        Some(finding(wal, AlertCode::WalSlot, Severity::Critical, observation.at, &message, hint))
    };
    observation.wal.iter().filter_map(of).collect()
}

/// Receivers that do not run.
pub(super) fn receivers(observation: &Observation, _policy: &AlertPolicy) -> Vec<Finding> {
    let of = |wal: &WalState| {
        let receiver = wal.receiver.as_ref().filter(|receiver| !receiver.is_running)?;
        let why = receiver.last_failure.as_deref().unwrap_or("it did not say why");
        let message = format!("nobody receives the WAL of {}: {why}", name(wal));
        let hint = format!(
            "Do what the error says; `chronavault doctor --kind physical{}` checks the rest.",
            wording::options(wal.source.as_deref(), None)
        );
        Some(finding(wal, AlertCode::WalReceiver, Severity::Critical, observation.at, &message, hint))
    };
    observation.wal.iter().filter_map(of).collect()
}
