//! What every command is given.

use std::sync::Arc;

use crate::args::GlobalArgs;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::recording::Noted;
use crate::screen::Screen;
use crate::settings::Settings;

/// One run of the program.
#[derive(Debug)]
pub(crate) struct Session {
    /// Where to print.
    pub(crate) screen: Screen,
    /// The flags that all commands share.
    pub(crate) flags: GlobalArgs,
    /// The environment.
    pub(crate) environment: Environment,
    /// What the command finds out that belongs into the journal.
    pub(crate) noted: Noted,
    /// The settings, where somebody has read them already: with them goes the repository that was opened.
    pub(crate) loaded: Option<Arc<Settings>>,
}

impl Session {
    /// The settings, checked. Commands that need none do not look at them.
    pub(crate) fn settings(self) -> Result<Arc<Settings>, Failure> {
        match self.loaded {
            Some(settings) => Ok(settings),
            None => Settings::load(&self.flags, self.environment).map(Arc::new),
        }
    }
}
