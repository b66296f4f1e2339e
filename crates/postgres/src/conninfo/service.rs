//! Service files (PostgreSQL documentation, 34.17).

use std::path::{Path, PathBuf};

use super::environment::ClientEnvironment;
use super::error::ConninfoError;
use super::settings::{Origin, Settings};

/// Where a packaged libpq looks for `pg_service.conf` when `PGSYSCONFDIR` does not say.
const SYSTEM_DIRECTORIES: [&str; 3] = ["/etc/postgresql-common", "/etc/sysconfig/pgsql", "/etc"];

/// Fills what `settings` does not have from the definition of its service, if it names one.
pub(super) fn apply(settings: &mut Settings, environment: &ClientEnvironment) -> Result<(), ConninfoError> {
    let Some(service) = settings.take_or_variable("service", environment)?.filter(|s| !s.is_empty()) else {
        return Ok(());
    };
    for path in candidates(settings, environment)? {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => return Err(ConninfoError::Read { path, source }),
        };
        if apply_definition(settings, &text, &service, &path)? {
            return Ok(());
        }
    }
    Err(ConninfoError::NoService { service })
}

fn candidates(
    settings: &mut Settings,
    environment: &ClientEnvironment,
) -> Result<Vec<PathBuf>, ConninfoError> {
    let named = settings.take_or_variable("servicefile", environment)?.filter(|s| !s.is_empty());
    let personal = match named {
        Some(path) => {
            // A file that was named must be there.
            let path = PathBuf::from(path);
            std::fs::metadata(&path).map_err(|source| ConninfoError::Read { path: path.clone(), source })?;
            Some(path)
        }
        None => environment.home().map(|home| home.join(".pg_service.conf")),
    };
    let system = match environment.get("PGSYSCONFDIR") {
        Some(directory) => vec![PathBuf::from(directory)],
        None => SYSTEM_DIRECTORIES.iter().map(PathBuf::from).collect(),
    };
    Ok(personal.into_iter().chain(system.iter().map(|dir| dir.join("pg_service.conf"))).collect())
}

/// Applies the section `[service]` of `text`; false when there is none.
fn apply_definition(
    settings: &mut Settings,
    text: &str,
    service: &str,
    path: &Path,
) -> Result<bool, ConninfoError> {
    let mut found = false;
    for (at, line) in text.lines().enumerate() {
        let malformed = |problem| ConninfoError::ServiceFile { path: path.to_owned(), line: at + 1, problem };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(section) = line.strip_prefix('[') {
            if found {
                break;
            }
            let name = section.split_once(']').ok_or_else(|| malformed("a section without ']'"))?.0;
            found = name == service;
            continue;
        }
        if !found {
            continue;
        }
        if line.starts_with("ldap") {
            return Err(malformed("LDAP lookups are not supported"));
        }
        let (key, value) = line.split_once('=').ok_or_else(|| malformed("a line without '='"))?;
        if key == "service" || key == "servicefile" {
            return Err(malformed("services do not nest"));
        }
        settings.set(key, value.as_bytes().to_vec(), Origin::Service).map_err(|error| match error {
            ConninfoError::UnknownKeyword { .. } | ConninfoError::UnknownKeywordAfterPassword => {
                malformed("an unknown connection setting")
            }
            other => other,
        })?;
    }
    Ok(found)
}
