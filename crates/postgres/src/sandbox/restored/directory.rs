//! A restored data directory before a server runs on it, and what is changed of it so that one can.

use std::fmt::Write;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Instant;

use model::Lsn;

use super::super::confinement::Confinement;
use super::super::error::SandboxError;
use super::super::owner::Owner;
use super::super::server::{Launch, Server};
use super::super::{Files, SOCKET_PORT, options};
use super::configuration::{self, Surroundings};
use super::error::RestoredError;
use super::wal_feed::{WalFeed, WalSupply};
use super::{RecoveryRequest, RestoredCluster, preload, superuser};
use crate::backup_label::{BACKUP_LABEL, BackupLabel};
use crate::conninfo::ConnectOptions;
use crate::control::{CONTROL_PATH, ControlFile};
use crate::tools::Tools;

/// Names of the files of the configuration, beside the data directory.
const CONFIGURATION_FILE: &str = "postgresql.conf";
pub(super) const HBA_FILE: &str = "pg_hba.conf";
pub(super) const IDENT_FILE: &str = "pg_ident.conf";
/// Where the server reads more settings, whatever its configuration says.
const AUTO_CONF: &str = "postgresql.auto.conf";
/// Where tablespaces are linked from.
const LINKS: &str = "pg_tblspc";
/// Databases to connect to; either may have been dropped.
const DATABASES: [&str; 2] = ["postgres", "template1"];
/// Whatever a role or a database has as its own settings, a session loads nothing but what a function needs.
const SESSION_OPTIONS: &str = "-c session_preload_libraries= -c local_preload_libraries=";
/// A place for a restored data directory, before a server runs on it. Dropping it removes every file.
#[derive(Debug)]
pub struct RestoredDirectory {
    files: Files,
    owner: Owner,
}

impl RestoredDirectory {
    /// Makes an empty place below `parent`, with mode 0700. The account that runs the server must be able to reach it.
    pub fn create(parent: &Path) -> Result<Self, SandboxError> {
        let owner = Owner::choose()?;
        let files = Files::create(parent, &owner)?;
        let place = Self { files, owner };
        place.owner.make_directory(&place.data())?;
        place.owner.make_directory(&place.tablespaces())?;
        Ok(place)
    }

    /// The data directory, which is there and empty at first.
    pub fn data(&self) -> PathBuf {
        self.files.data()
    }

    /// Where the files of a tablespace belong. A restore may as well leave them in `pg_tblspc/<oid>` of the data directory.
    pub fn tablespace(&self, oid: u32) -> PathBuf {
        self.tablespaces().join(oid.to_string())
    }

    fn tablespaces(&self) -> PathBuf {
        self.files.base.join("tablespaces")
    }

    /// Starts a server of the same major version on what was restored, and lets it recover. When this returns, recovery has ended
    /// or is paused where it should, and the cluster can be read.
    pub fn start(self, tools: &Tools, request: &RecoveryRequest) -> Result<RestoredCluster, RestoredError> {
        // The command that fetches WAL may have to get it over the network.
        self.start_with(tools, request, request.restore_command.is_none())
    }

    /// The same with WAL that `supply` brings from outside of the sandbox: the server asks for it by name, and can use neither the network nor
    /// what it is kept in. `restore_command` of the request does not count.
    pub fn start_supplied(
        self,
        tools: &Tools,
        request: &RecoveryRequest,
        supply: &dyn WalSupply,
    ) -> Result<RestoredCluster, RestoredError> {
        let feed = WalFeed::create(&self.files.base, &self.owner)?;
        let request = RecoveryRequest { restore_command: Some(feed.command()), ..request.clone() };
        feed.during(supply, || self.start_with(tools, &request, true))
    }

    fn start_with(
        self,
        tools: &Tools,
        request: &RecoveryRequest,
        no_network: bool,
    ) -> Result<RestoredCluster, RestoredError> {
        let data = self.data();
        let control = control(&data)?;
        check_version(&data, tools)?;
        check_label(&data, request.from)?;
        let superusers = superuser::names(&data, control.block_bytes)?;
        self.owner.take_tree(&self.files.base)?;
        let mut libraries = preload::configured(tools, &data, &self.owner, &self.files.base)?;
        let mut left_out = preload::leave_out_self_acting(&mut libraries);
        self.settle_tablespaces()?;
        self.settle_files()?;
        let launch = self.launch(&superusers, request, no_network)?;
        let started = Instant::now();
        let server = loop {
            self.configure(tools, &control, &libraries, request)?;
            match Server::start(tools, &self.files.base, &self.owner, launch.clone()) {
                Ok(server) => break server,
                Err(error) => match preload::take_missing(&error, &mut libraries) {
                    Some(library) => left_out.push(library),
                    None => return Err(failed_to_start(&self.files.base, error)),
                },
            }
        };
        let Self { files, .. } = self;
        let mut cluster =
            RestoredCluster { server, files, tools: tools.clone(), control, replayed: Lsn(0), left_out };
        cluster.recover(request, started)?;
        Ok(cluster)
    }

    /// Moves tablespaces into the sandbox, and tells the server where they are. It would put them where they were when the backup was
    /// taken, and that may be where they still are in use.
    fn settle_tablespaces(&self) -> Result<(), RestoredError> {
        let links = self.data().join(LINKS);
        let mut map = String::new();
        for entry in fs::read_dir(&links).map_err(|source| read_failed(&links, source))? {
            let entry = entry.map_err(|source| read_failed(&links, source))?;
            let (link, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let metadata = fs::symlink_metadata(&link).map_err(|source| read_failed(&link, source))?;
            if metadata.is_symlink() {
                let place = link.canonicalize().map_err(|source| read_failed(&link, source))?;
                if !place.starts_with(&self.files.base) {
                    return Err(RestoredError::Tablespace { oid: name, place });
                }
                add(&mut map, &name, &place);
            } else if metadata.is_dir() {
                let place = self.tablespaces().join(&name);
                let moved = fs::rename(&link, &place).and_then(|()| symlink(&place, &link));
                moved.map_err(|source| SandboxError::io("moving", &link, source))?;
                self.owner.take_tree(&link)?;
                add(&mut map, &name, &place);
            }
        }
        if !map.is_empty() {
            self.owner.write_file(&self.data().join("tablespace_map"), map.as_bytes())?;
        }
        Ok(())
    }

    /// Makes the directory one that recovers, and not one that follows a primary.
    fn settle_files(&self) -> Result<(), RestoredError> {
        let data = self.data();
        // A restore may have given it the mode that it had.
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700))
            .map_err(|source| SandboxError::io("changing the mode of", &data, source))?;
        for name in ["postmaster.pid", "standby.signal"] {
            match fs::remove_file(data.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(SandboxError::io("removing", &data.join(name), error).into());
                }
                _ => {}
            }
        }
        self.owner.write_file(&data.join("recovery.signal"), b"")?;
        self.owner.write_file(&data.join(AUTO_CONF), b"")?;
        Ok(())
    }

    fn configure(
        &self,
        tools: &Tools,
        control: &ControlFile,
        libraries: &[String],
        request: &RecoveryRequest,
    ) -> Result<(), RestoredError> {
        let Files { base, sockets, .. } = &self.files;
        let place = Surroundings { base, sockets, port: SOCKET_PORT, major: tools.major() };
        let settings = configuration::settings(&place, &control.replay, libraries, request);
        let text = options::configuration(&settings);
        self.owner.write_file(&base.join(CONFIGURATION_FILE), text.as_bytes())?;
        self.owner.write_file(&base.join(HBA_FILE), b"local all all trust\n")?;
        self.owner.write_file(&base.join(IDENT_FILE), b"")?;
        Ok(())
    }

    fn launch(
        &self,
        superusers: &[String],
        request: &RecoveryRequest,
        no_network: bool,
    ) -> Result<Launch, RestoredError> {
        let connect = |user: &String, database: &str| {
            ConnectOptions::local(&self.files.sockets, SOCKET_PORT, user, database)
                .and_then(|options| options.with_session_options(SESSION_OPTIONS))
                .map_err(SandboxError::from)
        };
        let mut candidates = Vec::new();
        for user in superusers {
            for database in DATABASES {
                candidates.push(connect(user, database)?);
            }
        }
        let file = self.files.base.join(CONFIGURATION_FILE);
        let arguments = vec!["-c".to_owned(), format!("config_file={}", file.display())];
        let Files { base, sockets, .. } = &self.files;
        let mut writable = vec![base.clone(), sockets.clone()];
        writable.extend(request.writable.iter().cloned());
        let confinement = Confinement { writable, no_network };
        Ok(Launch { arguments, candidates, limit: request.limit, confinement: Some(confinement) })
    }
}

/// A line of `tablespace_map`.
fn add(map: &mut String, oid: &str, place: &Path) {
    // Writing to a string cannot fail.
    let _ = writeln!(map, "{oid} {}", place.display());
}

fn control(data: &Path) -> Result<ControlFile, RestoredError> {
    let path = data.join(CONTROL_PATH);
    let bytes = fs::read(&path).map_err(|source| read_failed(&path, source))?;
    ControlFile::parse(&bytes).map_err(RestoredError::Control)
}

/// Data files can be read by the major version that wrote them and by no other.
fn check_version(data: &Path, tools: &Tools) -> Result<(), RestoredError> {
    let path = data.join("PG_VERSION");
    let text = fs::read_to_string(&path).map_err(|source| read_failed(&path, source))?;
    let cluster = text.trim().parse().map_err(|_| read_failed(&path, io::ErrorKind::InvalidData.into()))?;
    let programs = tools.major();
    if cluster == programs { Ok(()) } else { Err(RestoredError::Version { cluster, programs }) }
}

/// Without a label, the server would begin at the last checkpoint in `pg_control`, and skip the WAL before it.
fn check_label(data: &Path, wanted: Lsn) -> Result<(), RestoredError> {
    let path = data.join(BACKUP_LABEL);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(RestoredError::NoLabel),
        other => other.map_err(|source| read_failed(&path, source))?,
    };
    let found = BackupLabel::parse(&text).ok_or(RestoredError::NoLabel)?.start_lsn;
    if found == wanted { Ok(()) } else { Err(RestoredError::Label { found, wanted }) }
}

fn failed_to_start(base: &Path, error: SandboxError) -> RestoredError {
    match error {
        SandboxError::Exited { log, .. } => ended(base, log),
        other => other.into(),
    }
}

/// Why a server ended by itself.
pub(super) fn ended(base: &Path, log: String) -> RestoredError {
    let links = fs::read_dir(base.join("data").join(LINKS)).into_iter().flatten().filter_map(Result::ok);
    let mut targets = links.filter_map(|link| fs::read_link(link.path()).ok());
    if log.contains("for Tablespace/CREATE") || targets.any(|target| !target.starts_with(base)) {
        RestoredError::NewTablespace { log }
    } else {
        RestoredError::Ended { log }
    }
}

fn read_failed(path: &Path, source: io::Error) -> RestoredError {
    RestoredError::Read { path: path.to_owned(), source }
}
