//! Whether the data directory of a server is the one that we see here.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use model::SystemId;

use super::cluster_path;
use super::listing::{Place, failed};
use super::session;
use crate::client::{Client, Error};
use crate::cluster::ClusterError;
use crate::control::{CONTROL_BYTES, CONTROL_PATH, ControlError, ControlFile};

/// Where the server keeps its slots, below its data directory.
const SLOTS: &str = "pg_replslot";
/// How the names of our slots begin.
const SLOT_PREFIX: &str = "chronavault_";
/// How often `pg_control` is read again when it was being written.
const CONTROL_TRIES: u32 = 50;
/// Time between two of those tries. Writing the file takes far less.
const CONTROL_INTERVAL: Duration = Duration::from_millis(10);
/// Files that `initdb` or a restore writes, and that recovery from a backup renames; a running server changes none of them.
const MADE_ONCE: [&str; 2] = ["PG_VERSION", "backup_label.old"];
/// Bit of a mode: the group may read.
const GROUP_READ: u32 = 0o040;

/// Why a cluster cannot be read from its data directory. It may well be read in another way.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Only some roles may know where it is.
    #[error("the server does not say where its data directory is: the role is not in pg_read_all_settings")]
    NotTold,
    /// It is not on this machine, or in another file system than ours.
    #[error("the data directory {path} is not on this machine", path = path.display())]
    Absent {
        /// What the server says.
        path: PathBuf,
    },
    /// It is here and cannot be read.
    #[error("the data directory {path} cannot be read by this account", path = path.display())]
    Unreadable {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is here is no cluster, or one of a version that is not known.
    #[error("{path} is not a data directory that can be read", path = path.display())]
    Control {
        /// The directory.
        path: PathBuf,
        /// What is wrong with its `pg_control`.
        #[source]
        source: ControlError,
    },
    /// What is here belongs to another cluster.
    #[error("{path} on this machine belongs to the cluster {found}, and the server to {wanted}", path = path.display())]
    OtherCluster {
        /// The directory.
        path: PathBuf,
        /// Its system identifier.
        found: SystemId,
        /// The server's.
        wanted: SystemId,
    },
    /// What is here belongs to the same cluster, and not to this server: a copy, a standby.
    #[error("{path} on this machine is not the directory of this server, but a copy of it", path = path.display())]
    Copy {
        /// The directory.
        path: PathBuf,
    },
    /// There can be no slot, and thus no backup.
    #[error("no replication slot can be made")]
    Slot(#[source] Error),
    /// A statement failed, or the connection.
    #[error("the server cannot be asked for its data directory")]
    Server(#[source] ClusterError),
}

/// The data directory of the server, on this machine.
#[derive(Debug)]
pub(super) struct LocalDirectory {
    path: PathBuf,
    file_mode: u32,
}

/// A temporary slot, which goes with the session at the latest.
#[derive(Debug)]
pub(super) struct Slot {
    name: String,
}

impl LocalDirectory {
    /// Finds it. The proof is a slot with a random name: the server makes a directory for it, which then must be here.
    pub(super) fn of(client: &mut Client) -> Result<Self, Unusable> {
        session::settle(client).map_err(Unusable::Server)?;
        let ask = |client: &mut Client, sql: &str| client.query(sql, &[]);
        let server = |error: Error| Unusable::Server(error.into());
        let sql = "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'data_directory'";
        let rows = ask(client, sql).map_err(server)?;
        let path = rows.first().and_then(|row| row.get(0)).ok_or(Unusable::NotTold)?;
        let local = Self::at(Path::new(path))?;
        let row = client.query_one("SELECT system_identifier FROM pg_catalog.pg_control_system()", &[]);
        local.check_id(row.and_then(|row| row.number(0)).map_err(server)?)?;
        let slot = Slot::create(client).map_err(Unusable::Slot)?;
        let is_here = local.has(&slot);
        slot.drop(client).map_err(Unusable::Server)?;
        if is_here { Ok(local) } else { Err(Unusable::Copy { path: local.path }) }
    }

    /// The directory at `path`, if there is one that can be read.
    fn at(path: &Path) -> Result<Self, Unusable> {
        match path.canonicalize() {
            Ok(path) => Ok(Self { file_mode: file_mode(&path)?, path }),
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                Err(Unusable::Unreadable { path: path.to_owned(), source })
            }
            Err(_) => Err(Unusable::Absent { path: path.to_owned() }),
        }
    }

    fn check_id(&self, wanted: SystemId) -> Result<(), Unusable> {
        let found = self.usable_control()?.system_id;
        if found == wanted {
            Ok(())
        } else {
            Err(Unusable::OtherCluster { path: self.path.clone(), found, wanted })
        }
    }

    /// Its path, without links.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The mode of files in it.
    pub(super) fn file_mode(&self) -> u32 {
        self.file_mode
    }

    /// Makes the slot that keeps the WAL of a backup.
    pub(super) fn create_slot(&self, client: &mut Client) -> Result<Slot, ClusterError> {
        let slot = Slot::create(client)?;
        if self.has(&slot) {
            return Ok(slot);
        }
        let problem = format!("{} is not the data directory of the server any more", self.path.display());
        Err(ClusterError::Unsuitable { problem })
    }

    fn has(&self, slot: &Slot) -> bool {
        self.path.join(SLOTS).join(&slot.name).is_dir()
    }

    /// The `pg_control` of this moment.
    pub(super) fn control(&self) -> Result<ControlFile, ClusterError> {
        self.read_control().map(|(_, control)| control)
    }

    /// Its bytes.
    pub(super) fn control_bytes(&self) -> Result<Vec<u8>, ClusterError> {
        self.read_control().map(|(bytes, _)| bytes)
    }

    fn usable_control(&self) -> Result<ControlFile, Unusable> {
        match self.read_control() {
            Ok((_, control)) => Ok(control),
            Err(ClusterError::Control { source, .. }) => {
                Err(Unusable::Control { path: self.path.clone(), source })
            }
            Err(ClusterError::Read { source, .. }) => {
                Err(Unusable::Unreadable { path: self.path.clone(), source })
            }
            Err(other) => Err(Unusable::Server(other)),
        }
    }

    /// The server may be writing it; then its CRC is wrong for a moment.
    fn read_control(&self) -> Result<(Vec<u8>, ControlFile), ClusterError> {
        let path = self.path.join(CONTROL_PATH);
        let mut tries = 1;
        loop {
            let mut bytes = Vec::with_capacity(CONTROL_BYTES);
            let read =
                File::open(&path).and_then(|file| file.take(CONTROL_BYTES as u64).read_to_end(&mut bytes));
            read.map_err(|source| failed(&path, source))?;
            match ControlFile::parse(&bytes) {
                Ok(control) => return Ok((bytes, control)),
                Err(ControlError::Checksum | ControlError::Short { .. }) if tries < CONTROL_TRIES => {
                    tries += 1;
                    thread::sleep(CONTROL_INTERVAL);
                }
                Err(source) => return Err(ClusterError::Control { path, source }),
            }
        }
    }

    /// When the directory came to be, by `initdb` or by recovery from a backup: everything in it is a continuation of what was there then.
    pub(super) fn made_at(&self) -> Result<Timestamp, ClusterError> {
        let mut latest = Timestamp::MIN;
        for name in MADE_ONCE {
            let path = self.path.join(name);
            let metadata = match std::fs::metadata(&path) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(failed(&path, source)),
            };
            // A time that cannot be told counts as the latest.
            let nanoseconds = i32::try_from(metadata.ctime_nsec()).unwrap_or_default();
            latest = latest.max(Timestamp::new(metadata.ctime(), nanoseconds).unwrap_or(Timestamp::MAX));
        }
        Ok(latest)
    }

    /// The file of WAL with this name. It does not change any more.
    pub(super) fn wal_file(&self, name: &str) -> Result<Place, ClusterError> {
        let path = format!("{}/{name}", super::exclusion::WAL_DIRECTORY);
        let file = self.path.join(&path);
        let bytes = std::fs::metadata(&file).map_err(|source| failed(&file, source))?.len();
        Ok(Place { path: cluster_path(&path)?, file, bytes, required: true })
    }
}

/// As the server chooses it by the mode of the directory: with group access or without.
fn file_mode(path: &Path) -> Result<u32, Unusable> {
    let metadata =
        std::fs::metadata(path).map_err(|source| Unusable::Unreadable { path: path.to_owned(), source })?;
    Ok(if metadata.permissions().mode() & GROUP_READ == 0 { 0o600 } else { 0o640 })
}

impl Slot {
    /// A slot that keeps the WAL from the last checkpoint on.
    fn create(client: &mut Client) -> Result<Self, Error> {
        let random = getrandom::u64().map_err(|error| Error::Unexpected { problem: error.to_string() })?;
        let name = format!("{SLOT_PREFIX}{random:016x}");
        let sql = "SELECT pg_catalog.pg_create_physical_replication_slot($1, true, true)";
        client.query_one(sql, &[Some(&name)])?;
        Ok(Self { name })
    }

    pub(super) fn drop(self, client: &mut Client) -> Result<(), ClusterError> {
        client.query_one("SELECT pg_catalog.pg_drop_replication_slot($1)", &[Some(&self.name)])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::control::sample;

    #[test]
    fn only_a_directory_of_the_cluster_will_do() {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &Path| LocalDirectory::at(path).and_then(|local| local.check_id(SystemId(77)));
        assert!(matches!(at(&directory.path().join("other")), Err(Unusable::Absent { .. })));
        assert!(matches!(at(directory.path()), Err(Unusable::Unreadable { .. })));
        fs::create_dir(directory.path().join("global")).unwrap();
        let control = directory.path().join(CONTROL_PATH);
        fs::write(&control, [0; CONTROL_BYTES]).unwrap();
        assert!(matches!(at(directory.path()), Err(Unusable::Control { .. })));
        fs::write(&control, sample(SystemId(78))).unwrap();
        let other = at(directory.path());
        assert!(matches!(
            other,
            Err(Unusable::OtherCluster { found: SystemId(78), wanted: SystemId(77), .. })
        ));
        fs::write(&control, sample(SystemId(77))).unwrap();
        assert!(at(directory.path()).is_ok());
    }

    #[test]
    fn a_pg_control_that_is_being_written_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("global")).unwrap();
        let local = LocalDirectory::at(directory.path()).unwrap();
        let control = directory.path().join(CONTROL_PATH);
        let mut torn = sample(SystemId(77));
        torn[40] ^= 1;
        fs::write(&control, &torn).unwrap();
        thread::scope(|scope| {
            let reading = scope.spawn(|| local.control());
            fs::write(&control, sample(SystemId(77))).unwrap();
            assert_eq!(reading.join().unwrap().unwrap().system_id, SystemId(77));
        });
        fs::write(&control, &torn).unwrap();
        assert!(matches!(local.control(), Err(ClusterError::Control { source: ControlError::Checksum, .. })));
    }

    #[test]
    fn a_directory_that_recovered_from_a_backup_is_as_old_as_that() {
        let directory = tempfile::tempdir().unwrap();
        let local = LocalDirectory::at(directory.path()).unwrap();
        assert_eq!(local.made_at().unwrap(), Timestamp::MIN);
        let changed_at = |name: &str| {
            let metadata = fs::metadata(directory.path().join(name)).unwrap();
            Timestamp::new(metadata.ctime(), metadata.ctime_nsec().try_into().unwrap()).unwrap()
        };
        let label = directory.path().join("backup_label");
        fs::write(&label, "").unwrap();
        fs::write(directory.path().join("PG_VERSION"), "17").unwrap();
        assert_eq!(local.made_at().unwrap(), changed_at("PG_VERSION"));
        let before = changed_at("PG_VERSION");
        // The clock of the file system goes in steps.
        while changed_at("backup_label") <= before {
            fs::rename(&label, directory.path().join("backup_label.old")).unwrap();
            fs::rename(directory.path().join("backup_label.old"), &label).unwrap();
        }
        fs::rename(&label, directory.path().join("backup_label.old")).unwrap();
        assert_eq!(local.made_at().unwrap(), changed_at("backup_label.old"));
    }
}
