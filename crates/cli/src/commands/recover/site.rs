//! What there is to do at a site around a recovery, as the settings say.

use std::collections::BTreeMap;

use model::{RecoveryStep, Scenario};
use operations::Site;

use crate::failure::sentence;
use crate::settings::{RecoverySettings, Settings};
use crate::signals::Cancel;
use crate::wording;

/// The site of a source.
pub(super) struct SettingsSite {
    settings: RecoverySettings,
    /// What hooks are told.
    told: BTreeMap<&'static str, String>,
    cancel: Cancel,
}

impl SettingsSite {
    pub(super) fn new(
        settings: &Settings,
        recovery: RecoverySettings,
        source: &str,
        scenario: Scenario,
        cancel: Cancel,
    ) -> Self {
        let mut told = BTreeMap::from([
            ("CHRONAVAULT_SOURCE", source.to_owned()),
            ("CHRONAVAULT_SCENARIO", scenario.to_string()),
        ]);
        told.extend(settings.told_always());
        Self { settings: recovery, told, cancel }
    }

    fn told(&self, step: RecoveryStep) -> BTreeMap<&'static str, String> {
        let mut told = self.told.clone();
        told.insert("CHRONAVAULT_EVENT", step.to_string());
        told
    }
}

impl Site for SettingsSite {
    fn has(&self, step: RecoveryStep) -> bool {
        match step {
            RecoveryStep::StopServices => self.settings.stop.is_some(),
            RecoveryStep::StartServices => self.settings.start.is_some(),
            RecoveryStep::Health => self.settings.health.is_some(),
            _ => false,
        }
    }

    fn act(&self, step: RecoveryStep) -> Result<String, String> {
        let hook = match step {
            RecoveryStep::StopServices => &self.settings.stop,
            RecoveryStep::StartServices => &self.settings.start,
            _ => &None,
        };
        if let Some(hook) = hook {
            hook.run(&self.told(step)).map_err(|error| sentence(&error))?;
            return Ok(hook.command.join(" "));
        }
        match &self.settings.health {
            Some(health) if step == RecoveryStep::Health => {
                let took = health.until_well(&|| self.cancel.is_set())?;
                Ok(format!("{} is well after {}", health.place(), wording::duration(took)))
            }
            _ => Ok(String::new()),
        }
    }
}
