//! What every command is given.

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
}

impl Session {
    /// The settings, checked. Commands that need none do not look at them.
    pub(crate) fn settings(self) -> Result<Settings, Failure> {
        Settings::load(&self.flags, self.environment)
    }
}
