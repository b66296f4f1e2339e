//! `init`: creates the repository, and a key if none is set.
//!
//! Invariant: the key is durable before the repository that needs it exists, and an existing key or repository is never
//! replaced.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use repository::Repository;
use serde::Serialize;

use crate::catalogue::Code;
use crate::failure::Failure;
use crate::key::{self, Key, KeySource};
use crate::opening;
use crate::screen::Answer;
use crate::session::Session;
use crate::settings::Settings;
use crate::surroundings;

#[derive(Serialize)]
struct Body {
    repository: PathBuf,
    repository_id: String,
    /// Whether the repository is new.
    created: bool,
    key: KeyBody,
}

#[derive(Serialize)]
struct KeyBody {
    /// `environment` or `file`.
    origin: &'static str,
    path: Option<PathBuf>,
    /// Whether the key is new.
    generated: bool,
}

pub(super) fn run(session: Session) -> Result<Answer, Failure> {
    let settings = session.settings()?;
    let store = opening::store(&settings)?;
    let root = store.root().to_owned();
    let there = Repository::exists(store.as_ref())?;
    let (key, generated) =
        if there { (settings.key.require(&settings.environment)?, false) } else { obtain(&settings, &root)? };
    let holder = opening::holder(&key);
    let repository = if there {
        Repository::open(store, &holder)?
    } else {
        Repository::init(store, &holder, jiff::Timestamp::now(), &surroundings::random)?
    };
    let body = Body {
        repository: root,
        repository_id: repository.id().to_string(),
        created: !there,
        key: KeyBody { origin: origin(&settings.key), path: settings.key.file().map(absolute), generated },
    };
    Answer::new(words(&body), &body)
}

/// The key that is set, or a new one, and whether it is new.
fn obtain(settings: &Settings, root: &Path) -> Result<(Key, bool), Failure> {
    if let Some(path) = settings.key.file() {
        refuse_inside(path, root)?;
    }
    let absent = match &settings.key {
        KeySource::Environment => None,
        // A file that was named and is not there is where the new key goes.
        KeySource::File { path, .. } => Some(path.as_path()).filter(|path| !path.exists()),
        KeySource::Default(_) => settings.key.file().filter(|path| !path.exists()),
    };
    match absent {
        Some(path) => Ok((key::generate(path, &surroundings::random)?, true)),
        None => Ok((settings.key.require(&settings.environment)?, false)),
    }
}

/// Whoever gets the repository must not get its key with it.
fn refuse_inside(path: &Path, root: &Path) -> Result<(), Failure> {
    let path = absolute(path);
    if path.starts_with(absolute(root)) {
        let message = format!("the key file {} is inside the repository {}", path.display(), root.display());
        return Err(Failure::new(Code::KeyInsideRepository, message));
    }
    Ok(())
}

/// `path` from the root of the file system; links are followed as far as the path exists.
fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| parent_canonical(path)).unwrap_or_else(|_| path.to_owned())
}

fn parent_canonical(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(parent)), Some(name)) => Ok(parent.join(name)),
        _ => Ok(path),
    }
}

fn origin(source: &KeySource) -> &'static str {
    match source {
        KeySource::Environment => "environment",
        KeySource::File { .. } | KeySource::Default(_) => "file",
    }
}

fn words(body: &Body) -> String {
    let repository = body.repository.display();
    let mut text = if body.created {
        format!("Created the repository {repository}.\n")
    } else {
        format!("The repository {repository} is there already and opens with the key; nothing was changed.\n")
    };
    let key = body.key.path.as_ref().map(|path| path.display().to_string());
    match key {
        Some(path) if body.key.generated => {
            let _ = writeln!(
                text,
                "\nA new encryption key is in {path}.\n\
                 Keep a copy of it somewhere else: whoever loses this key loses every backup, and nobody can help.\n\
                 To use it elsewhere, set BACKUP_ENCRYPTION_KEY_FILE={path}"
            );
        }
        Some(path) => {
            let _ = writeln!(text, "The encryption key is the one in {path}.");
        }
        None => text.push_str("The encryption key is the one in BACKUP_ENCRYPTION_KEY.\n"),
    }
    if body.created {
        text.push_str("\nNext: chronavault backup\n");
    }
    text
}
