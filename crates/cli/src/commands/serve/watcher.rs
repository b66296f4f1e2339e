//! Who looks at everything, in a thread beside the loop of the daemon.

use std::sync::Arc;

use jiff::Timestamp;
use operations::{Context, Unobserved};
use repository::Repository;
use service::Observer;
use service::daemon::{Look, Sight, Watch};
use service::observation::Trouble;

use super::shown::Shown;
use crate::opening;
use crate::settings::Settings;
use crate::surroundings::random;

/// Looks with these settings.
pub(super) struct Watcher {
    pub(super) settings: Arc<Settings>,
    pub(super) observer: Observer,
    pub(super) shown: Shown,
}

impl Watcher {
    /// The repository, opened anew as a run would: permissions that were loosened, a disk that is not mounted, a key that went away
    /// or was rotated. Whatever it is that opens it now, it is looked at from now on.
    fn reopen(&mut self) -> Result<Option<Repository>, Trouble> {
        let repository = opening::anew(&self.settings).map_err(|failure| Trouble {
            code: failure.code.as_str().to_owned(),
            object: "repository".to_owned(),
            hint: failure.hint().to_owned(),
            message: failure.message,
        })?;
        if repository.is_as(self.observer.repository()) {
            return Ok(None);
        }
        self.observer.look_at(repository.clone());
        Ok(Some(repository))
    }
}

impl Watch for Watcher {
    fn look(&mut self, look: &Look) -> Sight {
        self.shown.looking(Some(Timestamp::now()));
        let context = Context {
            clock: &Timestamp::now,
            random: &random,
            observer: &Unobserved,
            lease: None,
            tool_path: None,
            sandbox_parent: self.settings.sandbox_directory.clone(),
        };
        let opened = self.reopen();
        let mut observation = self.observer.observe(look, &context);
        let reopened = opened.unwrap_or_else(|trouble| {
            observation.troubles.push(trouble);
            None
        });
        self.shown.looking(None);
        Sight { observation, reopened }
    }
}
