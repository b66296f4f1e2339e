//! Hooks before and after what is done: which there are, and what they are told.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Operation, RunEnd};
use service::hooks::Hook;

use crate::catalogue::{self, Code};
use crate::failure::{Failure, sentence};
use crate::screen::Notice;
use crate::settings::Settings;

/// Seconds that a hook may take when nobody said otherwise.
const LIMIT_SECONDS: u64 = 300;

impl Settings {
    fn hook(&self, moment: &str, operation: Operation) -> Option<Hook> {
        let table = &self.file.content.hooks;
        let command = match (moment, operation) {
            ("before", Operation::Backup) => &table.before_backup,
            ("after", Operation::Backup) => &table.after_backup,
            ("before", Operation::Restore) => &table.before_restore,
            ("after", Operation::Restore) => &table.after_restore,
            ("before", Operation::Prune) => &table.before_prune,
            ("after", Operation::Prune) => &table.after_prune,
            _ => return None,
        };
        let limit = Duration::from_secs(table.limit_seconds.unwrap_or(LIMIT_SECONDS).max(1));
        command.clone().filter(|command| !command.is_empty()).map(|command| Hook { command, limit })
    }

    fn told(
        &self,
        moment: &str,
        operation: Operation,
        source: Option<&str>,
    ) -> BTreeMap<&'static str, String> {
        let mut told = BTreeMap::from([("CHRONAVAULT_EVENT", format!("{moment}-{operation}"))]);
        told.extend(source.map(|source| ("CHRONAVAULT_SOURCE", source.to_owned())));
        told.extend(self.told_always());
        told
    }

    /// What every program of the user's is told: one that is found along PATH finds others along it.
    pub(crate) fn told_always(&self) -> Option<(&'static str, String)> {
        let path = self.environment.raw("PATH").and_then(|path| path.to_str());
        path.map(|path| ("PATH", path.to_owned()))
    }
}

/// Runs the hook before an operation. When it fails, the operation does not begin.
pub(crate) fn before(settings: &Settings, operation: Operation, source: Option<&str>) -> Result<(), Failure> {
    let Some(hook) = settings.hook("before", operation) else { return Ok(()) };
    match hook.run(&settings.told("before", operation, source)) {
        Ok(_) => Ok(()),
        Err(error) => {
            let message = format!("the hook before this {operation} failed: {}", sentence(&error));
            Err(Failure::new(Code::HookFailed, message))
        }
    }
}

/// Runs the hook after an operation, however that ended. When the hook fails, somebody has to know.
pub(crate) fn after(
    settings: &Settings,
    operation: Operation,
    source: Option<&str>,
    end: &RunEnd,
) -> Option<Notice> {
    let hook = settings.hook("after", operation)?;
    let mut told = settings.told("after", operation, end.facts.source.as_deref().or(source));
    told.insert("CHRONAVAULT_OUTCOME", end.outcome.to_string());
    told.extend(end.facts.backup.as_ref().map(|backup| ("CHRONAVAULT_BACKUP", backup.to_string())));
    told.extend(end.code.clone().map(|code| ("CHRONAVAULT_CODE", code)));
    let error = hook.run(&told).err()?;
    Some(catalogue::hook_failed(&format!("the hook after this {operation} failed: {}", sentence(&error))))
}
