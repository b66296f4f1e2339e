//! `runbook`: the recovery document of this site, written, and kept in the repository.
//!
//! Invariant: a file is replaced as a whole, and only where it is a runbook.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use repository::Repository;
use serde::Serialize;
use tempfile::NamedTempFile;

use crate::args::RunbookArgs;
use crate::catalogue::{self, Code};
use crate::failure::Failure;
use crate::opening;
use crate::runbook::{Runbook, TITLE};
use crate::screen::{Answer, Notice, Screen};
use crate::session::Session;
use crate::settings::Settings;
use crate::site::{self, KeptRunbook};
use crate::wording;

#[derive(Serialize)]
struct Body {
    /// The file; nothing when it went to standard output, or nowhere.
    path: Option<PathBuf>,
    sha256: String,
    written_at: String,
    /// Where it is in the repository.
    object: Option<String>,
    /// Whether it was put there just now: another one that says the same is not.
    is_new: bool,
    warnings: Vec<Notice>,
}

pub(super) fn run(args: &RunbookArgs, session: Session) -> Result<Answer, Failure> {
    let screen = session.screen;
    let settings = session.settings()?;
    let repository = opening::repository(&settings)?;
    let runbook = Runbook::gather(&settings, &repository, args.source.as_deref())?;
    let mut notices = Vec::new();
    let kept = match args.source {
        Some(_) => None,
        None => keep(&settings, &repository, &runbook, screen, &mut notices),
    };
    let (text, written_at, object, is_new) = if let Some(kept) = kept {
        let KeptRunbook { key, text, written_at, is_new } = kept;
        (text, written_at, Some(key.to_string()), is_new)
    } else {
        let now = Timestamp::now();
        (runbook.text(now), now, None, false)
    };
    let sha256 = repository::text_hash(&text).to_string();
    let said = match &args.output {
        None => text,
        Some(path) => {
            write(path, &text)?;
            format!("Wrote the runbook to {}.", path.display())
        }
    };
    let needs_person = !notices.is_empty();
    let written_at = wording::time(written_at);
    let body = Body { path: args.output.clone(), sha256, written_at, object, is_new, warnings: notices };
    Ok(Answer::new(said, &body)?.needing_person(needs_person))
}

/// Keeps it in the repository. Whoever needs it now gets it also where that fails.
fn keep(
    settings: &Settings,
    repository: &Repository,
    runbook: &Runbook,
    screen: Screen,
    notices: &mut Vec<Notice>,
) -> Option<KeptRunbook> {
    let kept = site::keep_configuration(settings, repository)
        .and_then(|(configuration, _)| site::keep_runbook(settings, repository, runbook, &configuration));
    match kept {
        Ok(kept) => Some(kept),
        Err(failure) => {
            let notice = catalogue::site_not_kept(&failure);
            screen.warning(&notice);
            notices.push(notice);
            None
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let unwritten = |error: &io::Error| {
        Failure::new(Code::OutputFailed, format!("cannot write {}: {error}", path.display()))
    };
    if !is_ours(path).map_err(|error| unwritten(&error))? {
        let message = format!("{} is already there, and is no runbook", path.display());
        return Err(Failure::new(Code::OutputExists, message));
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Mode 0600 from the start.
    let mut file = NamedTempFile::new_in(directory).map_err(|error| unwritten(&error))?;
    file.write_all(text.as_bytes()).map_err(|error| unwritten(&error))?;
    file.as_file().sync_all().map_err(|error| unwritten(&error))?;
    file.persist(path).map_err(|error| unwritten(&error.error))?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(|error| unwritten(&error))
}

/// Whether nothing is there, or a runbook.
fn is_ours(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
        Ok(found) if !found.is_file() => return Ok(false),
        Ok(_) => {}
    }
    let mut beginning = Vec::new();
    File::open(path)?.take(TITLE.len() as u64).read_to_end(&mut beginning)?;
    Ok(beginning == TITLE.as_bytes())
}
