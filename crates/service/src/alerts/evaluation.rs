//! What is wrong in an observation.

use std::collections::BTreeMap;

use super::conditions;
use super::{AlertCode, AlertPolicy, Finding};
use crate::observation::Observation;

/// Everything that is wrong, the worst first; at most one finding of each key.
#[must_use]
pub fn evaluate(observation: &Observation, policy: &AlertPolicy) -> Vec<Finding> {
    let mut worst = BTreeMap::new();
    for finding in conditions::all(observation, policy) {
        let key = finding.key();
        match worst.get(&key) {
            Some(Finding { severity, .. }) if *severity >= finding.severity => {}
            _ => {
                worst.insert(key, finding);
            }
        }
    }
    let mut findings: Vec<_> = worst.into_values().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// Whether the observation cannot tell if `finding`, of an earlier one, still holds: what it is about could not be looked at, and
/// there is a trouble that says why. Such a finding is not over.
#[must_use]
pub fn is_unknown(observation: &Observation, finding: &Finding) -> bool {
    if observation.troubles.is_empty() {
        return false;
    }
    let source = finding.source.as_deref();
    match finding.code {
        AlertCode::NoProvenBackup | AlertCode::VerificationFailed | AlertCode::Clock => {
            let is_it = |state: &crate::observation::BackupState| {
                source.is_none_or(|source| state.source == source)
                    && finding.kind.is_none_or(|kind| state.kind == kind)
            };
            !observation.backups.iter().any(is_it)
        }
        AlertCode::BackupFailed
        | AlertCode::DurationUnusual
        | AlertCode::SizeUnusual
        | AlertCode::OperationFailed
        | AlertCode::DrillMissed
        | AlertCode::DrillTrend => observation.runs.is_empty(),
        AlertCode::StorageFull | AlertCode::StorageForecast => observation.storage.is_none(),
        AlertCode::WalGap | AlertCode::WalLag | AlertCode::WalSlot | AlertCode::WalReceiver => {
            !observation.wal.iter().any(|wal| conditions::wal_object(wal) == finding.object)
        }
        AlertCode::KeyOld | AlertCode::KeySingle => observation.keys.is_empty(),
        AlertCode::Journal => observation.journal.is_none(),
        AlertCode::Permissions | AlertCode::Trouble | AlertCode::ChannelFailed | AlertCode::Test => false,
    }
}

#[cfg(test)]
mod tests;
