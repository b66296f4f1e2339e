//! `backup --kind physical`: backs up a cluster, then proves that the backup restores.

use std::fmt::Write;

use model::ByteSize;
use operations::{BackupReport, ClusterBackupRequest, Method};

use super::backup::{Stored, keeping_settings, size_limit, verify_and_answer};
use crate::args::{BackupArgs, CheckpointArg, MethodArg};
use crate::catalogue::Code;
use crate::connection;
use crate::failure::Failure;
use crate::opening;
use crate::screen::Answer;
use crate::session::Session;
use crate::settings::BackupSettings;
use crate::surroundings::Surroundings;
use crate::wording;

/// What a cluster is called when nobody named the source: its databases have names, it has none.
pub(super) const DEFAULT_SOURCE: &str = "cluster";

/// Level of zstd when nobody chose one.
const DEFAULT_LEVEL: i32 = 3;

pub(super) fn run(args: &BackupArgs, session: Session) -> Result<Answer, Failure> {
    let (screen, noted) = (session.screen, session.noted.clone());
    let settings = session.settings()?;
    let backup = settings.backup(args)?;
    let source = settings.source(args.source.as_deref())?;
    if !source.filters(args).is_empty() {
        return Err(Failure::new(
            Code::BackupFilters,
            "a physical backup is of the whole cluster: nothing can be left out",
        ));
    }
    let request = ClusterBackupRequest {
        source: connection::parse(&settings.environment, &source.url, &source.origin)?,
        source_name: source.name.unwrap_or_else(|| DEFAULT_SOURCE.to_owned()),
        method: match args.cluster.method {
            MethodArg::Auto => Method::Auto,
            MethodArg::BaseBackup => Method::BaseBackup,
            MethodArg::DataDirectory => Method::DataDirectory,
        },
        fast_checkpoint: args.cluster.checkpoint == CheckpointArg::Fast,
        jobs: backup.jobs,
        compression: level(args, &backup),
        size_limit: size_limit(&backup),
    };
    noted.note(|facts| facts.source = Some(request.source_name.clone()));
    let repository = opening::repository(&settings)?;
    let mut surroundings = Surroundings::new(screen, &settings)?;
    surroundings.take_source(&repository, &request.source_name)?;
    let report = operations::backup_cluster(&repository, &request, &surroundings.context())
        .map_err(|error| surroundings.failure(error))?;
    let stored = Stored { report: &report, words: &stored_words(&report), noted: &noted };
    let answer = verify_and_answer(&repository, stored, &backup, &surroundings)?;
    Ok(keeping_settings(answer, screen, &settings, &repository))
}

/// The level of the compression: pages gain more from a higher one than rows do, and a backup waits for the disk anyway.
fn level(args: &BackupArgs, backup: &BackupSettings) -> Option<i32> {
    let is_chosen =
        args.compression_level.is_some() || backup.compression != BackupSettings::default().compression;
    if is_chosen { backup.compression } else { Some(DEFAULT_LEVEL) }
}

/// What was stored, before anything is known about whether it restores.
fn stored_words(report: &BackupReport) -> String {
    let manifest = &report.manifest;
    let mut text = format!("{} of {:?}: ", manifest.id, manifest.source);
    if let Some(cluster) = &manifest.physical {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "PostgreSQL {}, {}, timeline {}, {} to {}; ",
            wording::server_version(cluster.server_version),
            wording::count(cluster.files, "file"),
            cluster.timeline,
            cluster.start_lsn,
            cluster.stop_lsn,
        );
    }
    let _ = writeln!(
        text,
        "{}; stored {}, reused {}, in {}.",
        ByteSize(manifest.plain_bytes),
        ByteSize(manifest.stored_bytes),
        ByteSize(manifest.reused_bytes),
        wording::duration(report.duration),
    );
    text
}
