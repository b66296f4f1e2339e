//! Metrics of WAL.

use super::families::{
    RECEIVER_RESTARTS, RECEIVER_UP, SLOT_IN_DANGER, WAL_ARCHIVED_TIME, WAL_GAPS, WAL_LAG, WAL_POSITION,
    WAL_STORED, WAL_WINDOW,
};
use super::family::Family;
use super::page::{Number, Page};
use crate::observation::{Observation, ReceiverState, WalState};

pub(super) fn write(page: &mut Page, observation: &Observation) {
    let mut each = |family: &Family<2>, number: &dyn Fn(&WalState) -> Option<Number>| {
        let labels = |wal: &WalState| {
            [wal.source.clone().unwrap_or_default(), wal.system.map(|id| id.to_string()).unwrap_or_default()]
        };
        page.family(family, observation.wal.iter().filter_map(|wal| Some((labels(wal), number(wal)?))));
    };
    each(&WAL_ARCHIVED_TIME, &|wal| wal.archived_at.map(Number::from));
    each(&WAL_POSITION, &|wal| wal.archived_to.map(|position| Number::Whole(position.0)));
    each(&WAL_WINDOW, &|wal| wal.window_from.map(Number::from));
    each(&WAL_STORED, &|wal| Some(wal.stored_bytes.into()));
    each(&WAL_GAPS, &|wal| Some(wal.gaps.len().into()));
    let mut of_receiver = |family: &Family<2>, number: &dyn Fn(&ReceiverState) -> Option<Number>| {
        each(family, &|wal| wal.receiver.as_ref().and_then(number));
    };
    of_receiver(&WAL_LAG, &|receiver| receiver.lag_bytes.map(Number::from));
    of_receiver(&RECEIVER_UP, &|receiver| Some(receiver.is_running.into()));
    of_receiver(&RECEIVER_RESTARTS, &|receiver| Some(u64::from(receiver.restarts).into()));
    of_receiver(&SLOT_IN_DANGER, &|receiver| Some(receiver.slot_danger.is_some().into()));
}
