//! `restore --data-dir`: a physical backup into a data directory, ready for a server to recover.

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::{BackupId, TargetTimeline};
use operations::{ClusterRestoreReport, ClusterRestoreRequest, RecoveryCommands, StartFrom, TargetAction};
use serde::Serialize;

use super::preflight::Planned;
use crate::args::{ActionArg, BackupArg, RestoreArgs, TimelineArg};
use crate::catalogue::{self, Code};
use crate::failure::Failure;
use crate::opening;
use crate::screen::{Answer, Notice};
use crate::session::Session;
use crate::settings::Settings;
use crate::surroundings::Surroundings;
use crate::wording;

#[derive(Serialize)]
struct Body {
    id: BackupId,
    /// The data directory.
    target: PathBuf,
    duration_ms: u64,
    files: u64,
    plain_bytes: u64,
    recovery_target: String,
    warnings: Vec<Notice>,
}

pub(super) fn run(args: &RestoreArgs, session: Session) -> Result<Answer, Failure> {
    let Some(data_dir) = args.cluster.data_dir.clone() else {
        return Err(Failure::new(Code::Usage, "neither --to nor --data-dir says where to restore to"));
    };
    let (screen, noted) = (session.screen, session.noted.clone());
    let config = session.flags.config.clone();
    let settings = session.settings()?;
    let from = match &args.backup {
        BackupArg::Id(id) => StartFrom::Backup(id.clone()),
        BackupArg::Latest => StartFrom::Newest { source: args.source.clone() },
    };
    let request = ClusterRestoreRequest {
        from,
        data_dir,
        target: args.cluster.target.target(),
        exclusive: args.cluster.exclusive,
        timeline: match args.cluster.timeline {
            None | Some(TimelineArg::Latest) => TargetTimeline::Latest,
            Some(TimelineArg::Current) => TargetTimeline::Current,
            Some(TimelineArg::Id(timeline)) => TargetTimeline::Id(timeline),
        },
        action: match args.cluster.target_action {
            None | Some(ActionArg::Promote) => TargetAction::Promote,
            Some(ActionArg::Pause) => TargetAction::Pause,
            Some(ActionArg::Shutdown) => TargetAction::Shutdown,
        },
        delta: args.cluster.delta,
        tablespaces: args.cluster.tablespaces.clone(),
        jobs: settings.jobs(args.jobs)?,
        commands: commands(&settings, config.as_deref())?,
    };
    if let BackupArg::Id(id) = &args.backup {
        noted.note(|facts| facts.backup = Some(id.clone()));
    }
    let repository = opening::repository(&settings)?;
    let surroundings = Surroundings::new(screen, &settings)?;
    let findings = operations::preflight_restore_cluster(&repository, &request, &surroundings.context())
        .map_err(|error| surroundings.failure(error))?;
    let target = request.data_dir.display().to_string();
    let (id, plan) = plan(&args.backup, &request);
    let planned = Planned { id, target: &target, plan: &plan, findings: &findings };
    let shown = match planned.answer(args.dry_run, screen)? {
        Ok(shown) => shown,
        Err(answer) => return Ok(answer),
    };
    let report = operations::restore_cluster(&repository, &request, &surroundings.context())
        .map_err(|error| surroundings.failure(error))?;
    surroundings.reporter.finish();
    noted.note(|facts| {
        facts.backup = Some(report.id.clone());
        facts.plain_bytes = Some(report.bytes);
    });
    let warnings = surroundings.reporter.take_warnings();
    let needs_person = warnings.iter().any(catalogue::needs_person);
    let body = Body {
        id: report.id.clone(),
        target: report.data_dir.clone(),
        duration_ms: wording::millis(report.duration),
        files: report.files,
        plain_bytes: report.bytes,
        recovery_target: report.target.to_string(),
        warnings: shown.into_iter().chain(warnings.iter().map(Notice::from)).collect(),
    };
    let key_in_environment = settings.key.file().is_none();
    Ok(Answer::new(words(&report, key_in_environment), &body)?.needing_person(needs_person))
}

/// What a restore does, before it is done.
fn plan(backup: &BackupArg, request: &ClusterRestoreRequest) -> (Option<String>, String) {
    let id = match backup {
        BackupArg::Id(id) => Some(id.to_string()),
        BackupArg::Latest => None,
    };
    let what = id.clone().unwrap_or_else(|| "The newest backup that leads there".to_owned());
    let plan = format!(
        "{what} is restored to {}, from where a server recovers to {}.",
        request.data_dir.display(),
        request.target
    );
    (id, plan)
}

fn words(report: &ClusterRestoreReport, key_in_environment: bool) -> String {
    let mut text = format!(
        "Restored {} to {}: {}, {} in {}.\n",
        report.id,
        report.data_dir.display(),
        wording::count(report.files, "file"),
        model::ByteSize(report.bytes),
        wording::duration(report.duration),
    );
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "Start a server on it, and it recovers to {}: pg_ctl -D {} start",
        report.target,
        quote(report.data_dir.as_os_str()),
    );
    if key_in_environment {
        text.push_str("It needs BACKUP_ENCRYPTION_KEY in its environment to fetch WAL.\n");
    }
    text
}

/// What the server is to run: this program, with the settings of this run.
fn commands(settings: &Settings, config: Option<&Path>) -> Result<RecoveryCommands, Failure> {
    let internal = |what: &str, error: std::io::Error| {
        Failure::new(Code::Internal, format!("{what} cannot be found: {error}"))
    };
    let program = std::env::current_exe().map_err(|error| internal("this program", error))?;
    let absolute =
        |path: &Path| std::path::absolute(path).map_err(|error| internal(&path.display().to_string(), error));
    let mut words = vec![program.into_os_string()];
    if let Some(config) = config {
        words.extend(["--config".into(), absolute(config)?.into_os_string()]);
    }
    words.extend(["--repository".into(), file_url(&absolute(&settings.root)?).into()]);
    if let Some(key) = settings.key.file() {
        words.extend(["--key-file".into(), absolute(key)?.into_os_string()]);
    }
    let program: Vec<String> = words.iter().map(|word| quote(word).replace('%', "%%")).collect();
    let program = program.join(" ");
    Ok(RecoveryCommands {
        fetch: format!("{program} wal fetch %f %p"),
        end: format!("{program} wal recovered ."),
    })
}

/// A path as the repository URL that names it.
pub(super) fn file_url(path: &Path) -> String {
    let byte = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => char::from(*byte).to_string(),
        other => format!("%{other:02X}"),
    };
    format!("file://{}", path.as_os_str().as_bytes().iter().map(byte).collect::<String>())
}

/// A word as a shell reads it.
fn quote(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b':');
    if !text.is_empty() && text.bytes().all(is_plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell_and_a_url() {
        assert_eq!(quote(OsStr::new("/usr/bin/chronavault")), "/usr/bin/chronavault");
        assert_eq!(quote(OsStr::new("/a b/it's")), "'/a b/it'\\''s'");
        assert_eq!(quote(OsStr::new("")), "''");
        assert_eq!(file_url(Path::new("/a b/100%/ä")), "file:///a%20b/100%25/%C3%A4");
    }
}
