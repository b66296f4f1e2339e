//! Metrics of the daemon itself.

use std::collections::BTreeMap;

use super::families::{
    ALERTS_DELIVERED, ALERTS_FAILED, BUILD, OBSERVATION_DURATION, OBSERVATION_TIME, START_TIME, TROUBLES,
    TURN_TIME,
};
use super::page::Page;
use crate::Status;

pub(super) fn write(page: &mut Page, status: &Status) {
    let observed = status.observation.as_deref();
    page.family(&BUILD, [([status.version.clone()], 1_u64)]);
    page.single(&START_TIME, Some(status.started_at));
    page.single(&TURN_TIME, Some(status.turned_at));
    page.single(&OBSERVATION_TIME, observed.map(|observation| observation.at));
    page.single(&OBSERVATION_DURATION, observed.map(|_| status.observation_took));
    let mut troubles: BTreeMap<[String; 1], u64> = BTreeMap::new();
    for trouble in observed.into_iter().flat_map(|observation| &observation.troubles) {
        *troubles.entry([trouble.code.clone()]).or_default() += 1;
    }
    page.family(&TROUBLES, troubles);
    let channels = || status.channels.iter();
    page.family(&ALERTS_DELIVERED, channels().map(|channel| ([channel.name.clone()], channel.delivered)));
    page.family(&ALERTS_FAILED, channels().map(|channel| ([channel.name.clone()], channel.failed)));
}
