//! Of which cluster WAL is, where the WAL itself does not say.

use std::fs;
use std::path::{Path, PathBuf};

use model::SystemId;
use postgres::control::{CONTROL_PATH, ControlFile};

use super::WalError;

/// The system identifier of the cluster that runs `archive_command` or `restore_command` with the path `wal`. The server runs
/// both in its data directory, with a path relative to it; where the path is absolute, it is in `pg_wal` of the data directory.
///
/// # Errors
/// [`WalError::NoSystem`], [`WalError::Control`].
pub fn system_of(wal: &Path) -> Result<SystemId, WalError> {
    let path = control_file(wal);
    let bytes = fs::read(&path).map_err(|source| WalError::NoSystem { path: path.clone(), source })?;
    match ControlFile::parse(&bytes) {
        Ok(control) => Ok(control.system_id),
        Err(source) => Err(WalError::Control { path, source }),
    }
}

fn control_file(wal: &Path) -> PathBuf {
    let of_path = wal.parent().and_then(Path::parent).map(|directory| directory.join(CONTROL_PATH));
    match of_path {
        Some(path) if wal.is_absolute() && path.exists() => path,
        _ => PathBuf::from(CONTROL_PATH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_file_is_in_the_directory_of_the_server() {
        assert_eq!(control_file(Path::new("pg_wal/000000010000000000000001")), Path::new(CONTROL_PATH));
        assert_eq!(control_file(Path::new("/nowhere/pg_wal/RECOVERYXLOG")), Path::new(CONTROL_PATH));
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("global")).unwrap();
        fs::write(directory.path().join(CONTROL_PATH), b"short").unwrap();
        let wal = directory.path().join("pg_wal/RECOVERYXLOG");
        assert_eq!(control_file(&wal), directory.path().join(CONTROL_PATH));
        assert!(matches!(system_of(&wal), Err(WalError::Control { .. })));
        assert!(matches!(system_of(Path::new("x")), Err(WalError::NoSystem { .. })));
    }
}
