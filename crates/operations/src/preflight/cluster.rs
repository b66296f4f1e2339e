//! What a restore into a data directory would meet.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use model::BackupId;
use postgres::Tools;
use repository::{PhysicalRecord, Repository};

use super::{Findings, PreflightFinding, room};
use crate::physical::{Places, choose_start, examine_places};
use crate::{ClusterRestoreRequest, Context, DirectoryError, Error, StartFrom};

/// Looks at everything that a restore of a cluster as `request` says would meet; worst first. It can be done when no finding is an error
/// ([`postgres::Severity::Error`]).
///
/// # Errors
/// When the backup cannot be read, or is no physical one, or there is none.
pub fn preflight_restore_cluster(
    repository: &Repository,
    request: &ClusterRestoreRequest,
    context: &Context<'_>,
) -> Result<Vec<PreflightFinding>, Error> {
    let mut findings = Findings::default();
    let start = match choose_start(repository, request, context) {
        Ok(id) => Some(id),
        Err(Error::Unreachable(error)) => {
            findings.error(
                "recovery.unreachable",
                "target",
                error.to_string(),
                "Choose a target within what can be reached, or find the missing WAL; `chronavault wal status` shows every gap.",
            );
            match &request.from {
                StartFrom::Backup(id) => Some(id.clone()),
                StartFrom::Newest { .. } => None,
            }
        }
        Err(error) => return Err(error),
    };
    owner(&mut findings, &request.data_dir);
    if let Some(id) = start {
        backup(&mut findings, repository, &id, request, context)?;
    }
    Ok(findings.sorted())
}

fn backup(
    findings: &mut Findings,
    repository: &Repository,
    id: &BackupId,
    request: &ClusterRestoreRequest,
    context: &Context<'_>,
) -> Result<(), Error> {
    let manifest = repository.manifest(id)?;
    let Some(record) = &manifest.physical else { return Err(Error::NotPhysical { id: id.clone() }) };
    tools(findings, record, context);
    let mut holds_files = false;
    match examine_places(record, id, request) {
        Ok(Places { is_empty, tablespaces }) => {
            holds_files = !is_empty;
            for place in &tablespaces {
                owner(findings, place);
            }
        }
        Err(Error::Directory(error)) => directory(findings, &request.data_dir, &error),
        Err(error) => return Err(error),
    }
    if holds_files {
        let message = "files that are right stay, so how much room the restore takes is not known".to_owned();
        findings.note("disk.unknown", request.data_dir.display().to_string(), message);
    } else {
        room::examine(findings, &request.data_dir, manifest.plain_bytes, false);
    }
    Ok(())
}

fn tools(findings: &mut Findings, record: &PhysicalRecord, context: &Context<'_>) {
    let major = record.server_version / 10_000;
    match Tools::find_same_server(major, context.tool_path.as_deref()) {
        Ok(tools) => {
            let message = format!("{} in {}", tools.version(), tools.directory().display());
            findings.note("tools.found", "postgres", message);
        }
        // The directory may be carried to where they are.
        Err(error) => findings.warning(
            "tools.missing",
            "postgres",
            crate::error::with_sources(&error),
            format!("Install PostgreSQL {major}: no other version starts on these files."),
        ),
    }
}

/// Why the places cannot be used.
fn directory(findings: &mut Findings, data_dir: &Path, error: &DirectoryError) {
    let (code, remedy) = match error {
        DirectoryError::ServerRuns { .. } => {
            ("directory.in_use", "Stop the server that runs on it, or name another directory.")
        }
        DirectoryError::OtherRestore { .. }
        | DirectoryError::NotEmpty { .. }
        | DirectoryError::NoDataDirectory { .. } => {
            ("directory.not_empty", "Name an empty directory, or add --delta to use what is in it.")
        }
        DirectoryError::NoTablespace { .. } | DirectoryError::Overlap { .. } => {
            ("directory.tablespace", "Give each tablespace a place of its own with --tablespace OLD=NEW.")
        }
        DirectoryError::Io { .. } | DirectoryError::Name { .. } => {
            ("directory.failed", "Check permissions and owner of the directory.")
        }
    };
    findings.error(code, data_dir.display().to_string(), crate::error::with_sources(error), remedy);
}

/// Who the files will belong to, and whether they can be written.
fn owner(findings: &mut Findings, path: &Path) {
    let object = path.display().to_string();
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let Ok(metadata) = fs::metadata(there) else { return };
    if rustix::process::geteuid().is_root() {
        if metadata.uid() == 0 {
            findings.warning(
                "directory.owner",
                object,
                format!("{} belongs to root, so the files will, and PostgreSQL does not run as root", there.display()),
                format!("Make the directory for the account of the server first: install -d -m 700 -o postgres {}", path.display()),
            );
        }
    } else if rustix::fs::access(there, rustix::fs::Access::WRITE_OK).is_err() {
        findings.error(
            "directory.failed",
            object,
            format!("{} cannot be written by this account", there.display()),
            "Run as the account of the server, or let it make the directory first.",
        );
    }
}
