//! The environment as an argument: what of it has a meaning for connections.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroize;

/// Variables other than `PG…` that have a meaning for libpq.
const OTHERS: [&str; 3] = ["HOME", "USER", "LOGNAME"];

/// The variables that are defaults of connection settings: `PG…`, `HOME`, and `USER` and `LOGNAME` for an account that
/// `/etc/passwd` does not know.
///
/// Libraries do not read the environment; the program collects it once and hands it in. `Debug` shows names only.
#[derive(Clone, Default)]
pub struct ClientEnvironment {
    variables: BTreeMap<OsString, OsString>,
}

impl ClientEnvironment {
    /// Keeps the variables that matter of `vars` (usually `std::env::vars_os()`) and forgets the others.
    pub fn from_vars(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let matters = |name: &OsStr| {
            name.as_encoded_bytes().starts_with(b"PG") || OTHERS.iter().any(|other| name == *other)
        };
        Self { variables: vars.into_iter().filter(|(name, _)| matters(name)).collect() }
    }

    /// No variables at all.
    pub fn empty() -> Self {
        Self::default()
    }

    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// The home directory: `HOME`, else the one in `/etc/passwd`.
    pub(super) fn home(&self) -> Option<PathBuf> {
        match self.get("HOME") {
            Some(home) if !home.is_empty() => Some(PathBuf::from(home)),
            _ => super::account::current().and_then(|account| account.home),
        }
    }

    /// The name of the operating system user that we run as.
    pub(super) fn user(&self) -> Option<String> {
        let from_variables = || {
            let names = ["USER", "LOGNAME"];
            names.iter().find_map(|name| Some(self.get(name)?.to_str()?.to_owned()).filter(|s| !s.is_empty()))
        };
        super::account::current().map(|account| account.name).or_else(from_variables)
    }
}

impl Drop for ClientEnvironment {
    fn drop(&mut self) {
        if let Some(password) = self.variables.remove(OsStr::new("PGPASSWORD")) {
            password.into_encoded_bytes().zeroize();
        }
    }
}

impl fmt::Debug for ClientEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}
