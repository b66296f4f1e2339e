//! `init`: creates the repository, and a key if none is set.
//!
//! Invariant: the key is durable before the repository that needs it exists, and an existing key or repository is never
//! replaced.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use repository::Repository;
use serde::Serialize;

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
        opening::open(&settings, store, &holder)?
    } else {
        Repository::init(store, &holder, jiff::Timestamp::now(), &surroundings::random)?
    };
    let body = Body {
        repository: root,
        repository_id: repository.id().to_string(),
        created: !there,
        key: KeyBody {
            origin: origin(&settings.key),
            path: settings.key.file().map(key::absolute),
            generated,
        },
    };
    Answer::new(words(&body), &body)
}

/// The key that is set, or a new one, and whether it is new.
fn obtain(settings: &Settings, root: &Path) -> Result<(Key, bool), Failure> {
    if let Some(path) = settings.key.file() {
        key::refuse_inside(path, root)?;
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
