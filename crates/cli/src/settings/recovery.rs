//! `[recovery]`: objectives, and what there is to do around a recovery besides databases.

use std::path::PathBuf;
use std::time::Duration;

use operations::Objectives;
use service::health::HealthCheck;
use service::hooks::Hook;

use super::Settings;
use super::file::RecoveryTable;
use crate::catalogue::Code;
use crate::failure::Failure;

/// Seconds that stopping and starting services may take.
const LIMIT_SECONDS: u64 = 300;
/// Seconds after which an application that does not answer is not well.
const HEALTH_SECONDS: u64 = 120;

/// What is known of the recovery of a source.
#[derive(Debug, Clone)]
pub(crate) struct RecoverySettings {
    /// How long it may take, and how much may be lost.
    pub(crate) objectives: Objectives,
    /// Stops what uses the database.
    pub(crate) stop: Option<Hook>,
    /// Starts it.
    pub(crate) start: Option<Hook>,
    /// Asks whether it is well.
    pub(crate) health: Option<HealthCheck>,
    /// Whom to call.
    pub(crate) contacts: Vec<String>,
}

impl Settings {
    /// What is known of the recovery of a source.
    pub(crate) fn recovery(&self, source: Option<&str>) -> Result<RecoverySettings, Failure> {
        let table = self.recovery_table(source);
        let usual = Objectives::default();
        let or =
            |hours: Option<u64>, usual: u64| hours.map_or(usual, |hours| hours.saturating_mul(3_600_000));
        let limit = Duration::from_secs(table.limit_seconds.unwrap_or(LIMIT_SECONDS).max(1));
        let hook = |command: Option<Vec<String>>| {
            command.filter(|command| !command.is_empty()).map(|command| Hook { command, limit })
        };
        let health = match &table.health_url {
            None => None,
            Some(url) => {
                let wait = Duration::from_secs(table.health_seconds.unwrap_or(HEALTH_SECONDS).max(1));
                let origin = self.file.origin("recovery.health_url");
                let wrong = |error| Failure::new(Code::SettingsValue, format!("{origin}: {error}"));
                Some(HealthCheck::new(url, wait).map_err(wrong)?)
            }
        };
        Ok(RecoverySettings {
            objectives: Objectives {
                rto_ms: or(table.rto_hours, usual.rto_ms),
                rpo_ms: or(table.rpo_hours, usual.rpo_ms),
            },
            stop: hook(table.stop_services),
            start: hook(table.start_services),
            health,
            contacts: table.contacts,
        })
    }

    /// Where records and reports of recoveries are kept.
    pub(crate) fn recovery_directory(&self) -> PathBuf {
        let directory = self.state_directory().join("recoveries");
        // What is shown to somebody must be found from elsewhere.
        std::path::absolute(&directory).unwrap_or(directory)
    }

    /// The table of a source, where it says nothing the general one.
    fn recovery_table(&self, source: Option<&str>) -> RecoveryTable {
        let general = self.file.content.recovery.clone();
        let Some(own) = source.and_then(|name| self.file.content.sources.get(name)) else { return general };
        let own = own.recovery.clone();
        RecoveryTable {
            rto_hours: own.rto_hours.or(general.rto_hours),
            rpo_hours: own.rpo_hours.or(general.rpo_hours),
            stop_services: own.stop_services.or(general.stop_services),
            start_services: own.start_services.or(general.start_services),
            limit_seconds: own.limit_seconds.or(general.limit_seconds),
            health_url: own.health_url.or(general.health_url),
            health_seconds: own.health_seconds.or(general.health_seconds),
            contacts: if own.contacts.is_empty() { general.contacts } else { own.contacts },
        }
    }
}
