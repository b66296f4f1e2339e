//! The environment of the process, read once at the start. The one place that looks at it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::catalogue::Code;
use crate::failure::Failure;

/// The variable with the key itself. Its value is kept apart and wiped when it is no longer needed.
pub(crate) const ENCRYPTION_KEY: &str = "BACKUP_ENCRYPTION_KEY";

/// Environment variables. One that is set to nothing counts as not set. `Debug` shows names only.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    variables: BTreeMap<OsString, OsString>,
    key: Option<Zeroizing<Vec<u8>>>,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

impl Environment {
    /// An environment of these variables.
    pub(crate) fn from_variables(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            if value.is_empty() {
                continue;
            }
            if name == ENCRYPTION_KEY {
                // The same allocation, so that wiping it wipes our only copy.
                environment.key = Some(Zeroizing::new(value.into_encoded_bytes()));
            } else {
                environment.variables.insert(name, value);
            }
        }
        environment
    }

    /// The value of `BACKUP_ENCRYPTION_KEY`.
    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.key.as_ref().map(|key| key.as_slice())
    }

    /// A variable as it is.
    pub(crate) fn raw(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// A variable that is a path.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.raw(name).map(PathBuf::from)
    }

    /// A variable that is text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        match value.to_str() {
            Some(text) => Ok(Some(text)),
            None => Err(Failure::new(Code::SettingsValue, format!("{name} is not valid UTF-8"))),
        }
    }

    /// All variables but the key.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (OsString, OsString)> + '_ {
        self.variables.iter().map(|(name, value)| (name.clone(), value.clone()))
    }

    /// Whether any variable is set from which libpq would take a server or a database.
    pub(crate) fn names_a_server(&self) -> bool {
        ["PGHOST", "PGHOSTADDR", "PGDATABASE", "PGSERVICE"].iter().any(|name| self.raw(name).is_some())
    }
}
