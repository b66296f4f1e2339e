//! Every setting with its value and where that comes from.
//!
//! Invariant: no secret is shown. Of a connection string, only what has no password in it.

use serde::Serialize;
use service::health::HealthCheck;
use service::hooks::Hook;

use super::Settings;
use super::file::RecoveryTable;
use crate::args::{BackupArgs, RetentionArgs};
use crate::connection;
use crate::failure::Failure;

/// A setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Shown {
    /// Its name in the settings file.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: String,
    /// A flag, a variable, the settings file, or `default`.
    pub(crate) origin: String,
}

impl Settings {
    /// Every setting, checked.
    pub(crate) fn shown(&self) -> Result<Vec<Shown>, Failure> {
        let mut shown = Vec::new();
        self.show_repository(&mut shown);
        self.show_backup(&mut shown)?;
        self.show_retention(&mut shown)?;
        self.show_service(&mut shown)?;
        self.show_recovery(&mut shown)?;
        self.show_alerts(&mut shown)?;
        self.show_sources(&mut shown)?;
        self.show_checks(&mut shown)?;
        Ok(shown)
    }

    /// Where a value comes from that a variable or the file can say.
    fn origin(&self, variable: &str, is_in_file: bool) -> String {
        if !variable.is_empty() && self.environment.raw(variable).is_some() {
            variable.to_owned()
        } else if is_in_file {
            self.file.path.as_ref().map_or_else(|| "default".to_owned(), |path| path.display().to_string())
        } else {
            "default".to_owned()
        }
    }

    fn show_repository(&self, shown: &mut Vec<Shown>) {
        let table = &self.file.content.repository;
        let mut add = |name: &str, value: String, origin: String| {
            shown.push(Shown { name: name.to_owned(), value, origin });
        };
        let is_in_file = table.directory.is_some() || table.url.is_some();
        let variable = if self.environment.raw("BACKUP_REPOSITORY").is_some() {
            "BACKUP_REPOSITORY"
        } else {
            "BACKUP_DIRECTORY"
        };
        add("repository", self.root.display().to_string(), self.origin(variable, is_in_file));
        let isolation = self.origin("BACKUP_ISOLATION_ENABLED", table.isolation.is_some());
        add("repository.isolation", self.isolation.to_string(), isolation);
        let (key, origin) = self.key.shown();
        add("repository.key_file", key, origin);
        let journal = self.origin("BACKUP_JOURNAL_DIRECTORY", table.journal_directory.is_some());
        add("repository.journal_directory", self.journal_directory.display().to_string(), journal);
    }

    fn show_backup(&self, shown: &mut Vec<Shown>) -> Result<(), Failure> {
        let table = &self.file.content.backup;
        let backup = self.backup(&BackupArgs::default())?;
        let mut add = |name: &str, value: String, variable: &str, is_in_file: bool| {
            shown.push(Shown {
                name: format!("backup.{name}"),
                value,
                origin: self.origin(variable, is_in_file),
            });
        };
        let size = backup
            .max_size_bytes
            .map_or_else(|| "0".to_owned(), |bytes| format!("{}", bytes / 1_000_000_000));
        add("max_size_gb", size, "BACKUP_MAX_SIZE_GB", table.max_size_gb.is_some());
        add(
            "max_size_policy",
            format!("{:?}", backup.max_size_policy).to_lowercase(),
            "",
            table.max_size_policy.is_some(),
        );
        add(
            "compression",
            backup.compression.is_some().to_string(),
            "BACKUP_COMPRESSION_ENABLED",
            table.compression.is_some(),
        );
        let level = backup.compression.map_or_else(|| "none".to_owned(), |level| level.to_string());
        add("compression_level", level, "", table.compression_level.is_some());
        add(
            "verification",
            backup.verification.to_string(),
            "BACKUP_VERIFICATION_ENABLED",
            table.verification.is_some(),
        );
        add(
            "interval_hours",
            self.interval_hours.to_string(),
            "BACKUP_INTERVAL_HOURS",
            table.interval_hours.is_some(),
        );
        add("jobs", backup.jobs.to_string(), "", table.jobs.is_some());
        add(
            "large_table_mb",
            (backup.large_table_bytes / 1_000_000).to_string(),
            "",
            table.large_table_mb.is_some(),
        );
        add(
            "lock_timeout_seconds",
            backup.lock_timeout.as_secs().to_string(),
            "",
            table.lock_timeout_seconds.is_some(),
        );
        add(
            "sandbox_directory",
            self.sandbox_directory.display().to_string(),
            "TMPDIR",
            table.sandbox_directory.is_some(),
        );
        Ok(())
    }

    fn show_retention(&self, shown: &mut Vec<Shown>) -> Result<(), Failure> {
        let policies = self.retention(&RetentionArgs::default())?;
        let general = self.file.content.retention;
        let mut all = vec![("retention".to_owned(), policies.general, general, "BACKUP_RETENTION_DAYS")];
        for (name, policy) in &policies.sources {
            let table =
                self.file.content.sources.get(name).map(|source| source.retention).unwrap_or_default();
            all.push((format!("sources.{name}.retention"), *policy, table, ""));
        }
        for (at, policy, table, variable) in all {
            let values = [
                ("days", policy.days, table.days, variable),
                ("wal_days", policy.wal_days, table.wal_days, ""),
                ("keep_last", policy.keep_last, table.keep_last, ""),
                ("keep_daily", policy.keep_daily, table.keep_daily, ""),
                ("keep_weekly", policy.keep_weekly, table.keep_weekly, ""),
                ("keep_monthly", policy.keep_monthly, table.keep_monthly, ""),
                ("keep_yearly", policy.keep_yearly, table.keep_yearly, ""),
            ];
            for (name, value, in_file, variable) in values {
                let origin = self.origin(variable, in_file.is_some());
                shown.push(Shown { name: format!("{at}.{name}"), value: value.to_string(), origin });
            }
        }
        Ok(())
    }

    fn show_service(&self, shown: &mut Vec<Shown>) -> Result<(), Failure> {
        let table = &self.file.content.service;
        // A file can be for commands only, and name no source.
        let service = self.service()?;
        let on_stop = if service.finishes_runs { "finish" } else { "cancel" };
        let mut add = |name: &str, value: String, is_in_file: bool| {
            shown.push(Shown { name: format!("service.{name}"), value, origin: self.origin("", is_in_file) });
        };
        add(
            "state_directory",
            service.state_directory.display().to_string(),
            table.state_directory.is_some(),
        );
        let listen = service.listen.as_ref().map_or_else(|| "off".to_owned(), ToString::to_string);
        add("listen", listen, table.listen.is_some());
        add("on_stop", on_stop.to_owned(), table.on_stop.is_some());
        add("grace_seconds", service.grace.as_secs().to_string(), table.grace_seconds.is_some());
        add("observe_seconds", service.observe_every.as_secs().to_string(), table.observe_seconds.is_some());
        for task in &service.tasks {
            let is_in_file = !self.file.content.schedules.is_empty();
            let value = cadence(&task.schedule.cadence);
            shown.push(Shown {
                name: format!("schedule {}", task.name),
                value,
                origin: self.origin("", is_in_file),
            });
        }
        Ok(())
    }

    fn show_recovery(&self, shown: &mut Vec<Shown>) -> Result<(), Failure> {
        let sources = &self.file.content.sources;
        let own = sources.iter().filter(|(_, source)| source.recovery != RecoveryTable::default());
        let own = own.map(|(name, source)| (Some(name.as_str()), &source.recovery));
        for (source, table) in [(None, &self.file.content.recovery)].into_iter().chain(own) {
            let recovery = self.recovery(source)?;
            let at = source.map(|source| format!("sources.{source}.")).unwrap_or_default();
            let hours = |ms: u64| (ms / 3_600_000).to_string();
            let command = |hook: &Option<Hook>| {
                hook.as_ref().map_or_else(|| "none".to_owned(), |hook| hook.command.join(" "))
            };
            let health = recovery.health.as_ref().map_or("none", HealthCheck::place).to_owned();
            let values = [
                ("rto_hours", hours(recovery.objectives.rto_ms), table.rto_hours.is_some()),
                ("rpo_hours", hours(recovery.objectives.rpo_ms), table.rpo_hours.is_some()),
                ("stop_services", command(&recovery.stop), table.stop_services.is_some()),
                ("start_services", command(&recovery.start), table.start_services.is_some()),
                ("health_url", health, table.health_url.is_some()),
                ("contacts", recovery.contacts.join(", "), !table.contacts.is_empty()),
            ];
            for (name, value, is_in_file) in values {
                let origin = self.origin("", is_in_file);
                shown.push(Shown { name: format!("{at}recovery.{name}"), value, origin });
            }
        }
        Ok(())
    }

    /// Thresholds, and which channels there are; their secrets are not even read.
    fn show_alerts(&self, shown: &mut Vec<Shown>) -> Result<(), Failure> {
        let table = &self.file.content.alerts;
        let (policy, routing) = (self.alert_policy()?, self.alert_routing()?);
        let age = policy.wal_age.map_or_else(|| "none".to_owned(), |age| (age.as_secs() / 60).to_string());
        let values = [
            ("failures", policy.failures.to_string(), table.failures.is_some()),
            ("outlier_factor", policy.outlier_factor.to_string(), table.outlier_factor.is_some()),
            ("storage_percent", policy.storage_percent.to_string(), table.storage_percent.is_some()),
            (
                "storage_critical_percent",
                policy.storage_critical_percent.to_string(),
                table.storage_critical_percent.is_some(),
            ),
            ("forecast_days", policy.forecast_days.to_string(), table.forecast_days.is_some()),
            ("drill_trend_days", policy.drill_trend_days.to_string(), table.drill_trend_days.is_some()),
            ("key_days", policy.key_days.to_string(), table.key_days.is_some()),
            ("wal_lag_mb", (policy.wal_lag_bytes / 1_000_000).to_string(), table.wal_lag_mb.is_some()),
            ("wal_age_minutes", age, table.wal_age_minutes.is_some()),
            ("repeat_hours", routing.repeat.as_hours().to_string(), table.repeat_hours.is_some()),
        ];
        for (name, value, is_in_file) in values {
            shown.push(Shown { name: format!("alerts.{name}"), value, origin: self.origin("", is_in_file) });
        }
        for (name, channel) in &table.channels {
            let value = format!("{:?}", channel.kind).to_lowercase();
            shown.push(Shown {
                name: format!("alerts.channels.{name}"),
                value,
                origin: self.origin("", true),
            });
        }
        Ok(())
    }

    fn show_checks(&self, shown: &mut Vec<Shown>) -> Result<(), Failure> {
        for check in self.checks()? {
            let of = if check.sources.is_empty() {
                String::new()
            } else {
                format!(", of {}", check.sources.join(", "))
            };
            let value = format!("{}, {}{of}", check.expectation, check.severity);
            shown.push(Shown {
                name: format!("checks.{}", check.name),
                value,
                origin: self.origin("", true),
            });
        }
        Ok(())
    }

    fn show_sources(&self, shown: &mut Vec<Shown>) -> Result<(), Failure> {
        let named = self.file.content.sources.keys().map(|name| Some(name.as_str()));
        let names: Vec<Option<&str>> =
            if self.file.content.sources.is_empty() { vec![None] } else { named.collect() };
        for name in names {
            let Ok(source) = self.source(name) else { continue };
            let described = connection::parse(&self.environment, &source.url, &source.origin)?.describe();
            let at = name.map_or_else(|| "source".to_owned(), |name| format!("sources.{name}.url"));
            shown.push(Shown { name: at, value: described, origin: source.origin });
        }
        Ok(())
    }
}

/// How often something runs, in words.
pub(crate) fn cadence(cadence: &model::Cadence) -> String {
    match cadence {
        model::Cadence::Every(interval) => format!("every {} hours", interval.as_hours()),
        model::Cadence::Cron(expression, zone) => {
            format!("{expression} ({})", zone.iana_name().unwrap_or("local time"))
        }
    }
}
