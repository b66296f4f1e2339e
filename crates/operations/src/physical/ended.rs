//! What is left to do when the server has recovered: the settings of the recovery go.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::directory::failed;
use super::recovery::{AUTO_CONF, without_recovery};
use crate::Error;

/// Where WAL is kept that was fetched ahead of its time.
const SPOOL: &str = "pg_wal/chronavault-spool";

/// Removes the settings of a recovery, and WAL that was fetched ahead, from the data directory of a server that has recovered.
/// The server runs it (`recovery_end_command`), in its data directory and as its account.
pub fn end_recovery(data_dir: &Path) -> Result<(), Error> {
    let conf = data_dir.join(AUTO_CONF);
    let text = fs::read_to_string(&conf).map_err(|error| failed("read", &conf, error))?;
    let cleaned = without_recovery(&text);
    if cleaned != text {
        replace(&conf, cleaned.as_bytes()).map_err(|error| failed("written", &conf, error))?;
    }
    let spool = data_dir.join(SPOOL);
    match fs::remove_dir_all(&spool) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("removed", &spool, error)),
        _ => Ok(()),
    }
}

/// Replaces a file at once or not at all, and durably.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let temporary = path.with_extension("chronavault");
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(mode).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(directory)?.sync_all()
}
