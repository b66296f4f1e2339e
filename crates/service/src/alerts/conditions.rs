//! The conditions, each a function from an observation to findings.

mod backups;
mod clock;
mod drills;
mod keys;
mod operations;
mod outliers;
mod proofs;
mod storage;
mod troubles;
mod wal;

use super::{AlertPolicy, Finding};
use crate::observation::Observation;

pub(super) use wal::object as wal_object;

/// What each condition finds.
pub(super) fn all(observation: &Observation, policy: &AlertPolicy) -> Vec<Finding> {
    let conditions = [
        backups::failed,
        proofs::failed,
        proofs::too_old,
        outliers::durations,
        outliers::sizes,
        operations::failed,
        drills::missed,
        drills::trend,
        storage::full,
        storage::forecast,
        wal::gaps,
        wal::lag,
        wal::slots,
        wal::receivers,
        keys::old,
        keys::single,
        clock::jumped,
        troubles::journal,
        troubles::others,
    ];
    conditions.iter().flat_map(|condition| condition(observation, policy)).collect()
}
