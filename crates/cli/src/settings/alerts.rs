//! Alerts: thresholds, channels and routes, from `[alerts]` of the settings file.
//!
//! Invariant: a secret is read only for the channel that needs it, and only when that channel is asked for.

mod channel;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::SignedDuration;
use service::alerts::{AlertPolicy, AlertSettings, Channel, PING, PingSettings, Route, Routing, Severity};

use super::file::{AlertsTable, RouteTable, SeverityWord};
use super::{Layers, Settings, only};
use crate::actor;
use crate::catalogue::Code;
use crate::failure::Failure;

/// Minutes between two pings when nothing is said.
const PING_MINUTES: u64 = 5;
/// The most minutes of anything: a year.
const MINUTES: u64 = 527_040;

/// The channels, by name.
pub(crate) type Channels = BTreeMap<String, Arc<dyn Channel>>;

impl Settings {
    /// Where the service keeps what it knows over restarts.
    pub(crate) fn state_directory(&self) -> PathBuf {
        let named = self.file.content.service.state_directory.clone();
        named.unwrap_or_else(|| self.beside_repository("state"))
    }

    /// Everything about alerts, with all secrets.
    pub(crate) fn alerts(&self) -> Result<AlertSettings, Failure> {
        let ping = match &self.alerts_table().ping {
            Some(table) => {
                let minutes = self
                    .alert_number("ping.interval_minutes", table.interval_minutes, 1..=MINUTES)?
                    .unwrap_or(PING_MINUTES);
                Some(PingSettings { channel: self.ping(table)?, interval: span(minutes) })
            }
            None => None,
        };
        let channels = self.alert_channels(&[])?;
        Ok(AlertSettings { policy: self.alert_policy()?, routing: self.alert_routing()?, channels, ping })
    }

    /// The channels that are named, or all of them but the ping, with their secrets.
    pub(crate) fn alert_channels(&self, names: &[String]) -> Result<Channels, Failure> {
        let tables = &self.alerts_table().channels;
        let mut channels = Channels::new();
        let names: BTreeSet<&String> =
            if names.is_empty() { tables.keys().collect() } else { names.iter().collect() };
        for name in names {
            let channel = match (tables.get(name), &self.alerts_table().ping) {
                (Some(table), _) => self.channel(name, table)?,
                (None, Some(table)) if name == PING => self.ping(table)?,
                _ => return Err(self.no_channel(name, "the channel")),
            };
            channels.insert(name.clone(), channel);
        }
        Ok(channels)
    }

    /// From when on something is wrong.
    pub(crate) fn alert_policy(&self) -> Result<AlertPolicy, Failure> {
        let (table, base) = (self.alerts_table(), AlertPolicy::default());
        let failures = self.alert_number("failures", table.failures, 1..=1000)?;
        let percent = self.alert_number("storage_percent", table.storage_percent, 1..=100)?;
        let critical =
            self.alert_number("storage_critical_percent", table.storage_critical_percent, 1..=100)?;
        let forecast = self.alert_number("forecast_days", table.forecast_days, 0..=3650)?;
        let key_days = self.alert_number("key_days", table.key_days, 1..=36_500)?;
        let drill_days = self.alert_number("drill_trend_days", table.drill_trend_days, 0..=3650)?;
        let lag = self.alert_number("wal_lag_mb", table.wal_lag_mb, 1..=100_000_000)?;
        let age = self.alert_number("wal_age_minutes", table.wal_age_minutes, 1..=MINUTES)?;
        let factor = table.outlier_factor.unwrap_or(base.outlier_factor);
        if !(1.0..=1000.0).contains(&factor) {
            let origin = self.file.origin("alerts.outlier_factor");
            return Err(super::wrong_value(&origin, &factor.to_string(), "a number from 1 to 1000"));
        }
        let percent_or =
            |value: Option<u64>, other| value.and_then(|n| u8::try_from(n).ok()).unwrap_or(other);
        let days_or = |value: Option<u64>, other| value.and_then(|n| u32::try_from(n).ok()).unwrap_or(other);
        let forecast_days = days_or(forecast, base.forecast_days);
        Ok(AlertPolicy {
            failures: failures.and_then(|n| usize::try_from(n).ok()).unwrap_or(base.failures),
            outlier_factor: factor,
            storage_percent: percent_or(percent, base.storage_percent),
            storage_critical_percent: percent_or(critical, base.storage_critical_percent),
            forecast_days,
            forecast_critical_days: base.forecast_critical_days.min(forecast_days),
            drill_trend_days: days_or(drill_days, base.drill_trend_days),
            key_days: days_or(key_days, base.key_days),
            wal_lag_bytes: lag.map_or(base.wal_lag_bytes, |megabytes| megabytes * 1_000_000),
            wal_age: age.map(span),
            ..base
        })
    }

    /// Who is told.
    pub(crate) fn alert_routing(&self) -> Result<Routing, Failure> {
        let table = self.alerts_table();
        let channels: BTreeSet<String> = table.channels.keys().cloned().collect();
        for name in &channels {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            if name == PING || name.is_empty() || !name.chars().all(is_plain) {
                let origin = self.file.origin("a channel of alerts");
                let expected = "a name of letters, digits, - and _ that is not ping";
                return Err(super::wrong_value(&origin, name, expected));
            }
        }
        let repeat = self.alert_number("repeat_hours", table.repeat_hours, 1..=8784)?;
        let repeat = repeat.map_or(Routing::REPEAT, |hours| span(hours * 60));
        let routes = table.routes.iter().map(|route| self.route(route)).collect::<Result<_, _>>()?;
        Ok(Routing { channels, routes, repeat, instance: actor::current().host })
    }

    fn route(&self, table: &RouteTable) -> Result<Route, Failure> {
        for name in table.channels.iter().chain(&table.escalate_to) {
            if !self.alerts_table().channels.contains_key(name) {
                return Err(self.no_channel(name, "a route names the channel"));
            }
        }
        if table.severity.is_empty() || table.channels.is_empty() {
            let message =
                format!("{} names no severity or no channel", self.file.origin("a route of alerts"));
            return Err(Failure::new(Code::SettingsValue, message));
        }
        let minutes =
            self.alert_number("routes.escalate_after_minutes", table.escalate_after_minutes, 1..=MINUTES)?;
        let severity = |word: &SeverityWord| match word {
            SeverityWord::Info => Severity::Info,
            SeverityWord::Warning => Severity::Warning,
            SeverityWord::Critical => Severity::Critical,
        };
        Ok(Route {
            severities: table.severity.iter().map(severity).collect(),
            sources: table.sources.clone().unwrap_or_else(|| vec!["*".to_owned()]),
            channels: table.channels.iter().cloned().collect(),
            escalate_to: table.escalate_to.iter().cloned().collect(),
            escalate_after: minutes.map_or(Routing::ESCALATE_AFTER, span),
        })
    }

    fn alerts_table(&self) -> &AlertsTable {
        &self.file.content.alerts
    }

    fn no_channel(&self, name: &str, what: &str) -> Failure {
        let known: Vec<_> = self.alerts_table().channels.keys().map(String::as_str).collect();
        let known = if known.is_empty() {
            "there are none".to_owned()
        } else {
            format!("there are {}", known.join(", "))
        };
        let name: String = name.chars().take(80).collect();
        Failure::new(
            Code::SettingsValue,
            format!("{what} {name:?}, which {} does not have; {known}", self.file.origin("alerts.channels")),
        )
        .with_hint("Name a channel that is there, or add it to chronavault.toml as [alerts.channels.NAME].")
    }

    fn alert_number(
        &self,
        name: &str,
        value: Option<u64>,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, Failure> {
        let from = Layers { environment: &self.environment, file: &self.file };
        from.number(&format!("alerts.{name}"), &only(None, value), range)
    }
}

fn span(minutes: u64) -> SignedDuration {
    SignedDuration::from_mins(i64::try_from(minutes).unwrap_or(i64::MAX / 60))
}
