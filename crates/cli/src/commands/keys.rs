//! `keys`: who can open the repository.
//!
//! Invariant: a new key is durable in a file before the repository hears of it, and no key is an argument or part of any output but
//! the recovery sheet.

mod add;
mod escrow;
mod list;
mod remove;
mod rotate;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use repository::{KeySummary, Problem};
use serde::Serialize;

use crate::args::KeysCommand;
use crate::catalogue::Code;
use crate::failure::Failure;
use crate::key::{self, Key, KeySource};
use crate::screen::{Answer, Notice};
use crate::session::Session;
use crate::settings::Settings;
use crate::surroundings::random;
use crate::wording;

pub(super) fn run(command: &KeysCommand, session: Session) -> Result<Answer, Failure> {
    match command {
        KeysCommand::List => list::run(session),
        KeysCommand::Add(args) => add::run(args, session),
        KeysCommand::Rotate(args) => rotate::run(args, session),
        KeysCommand::Remove(args) => remove::run(args, session),
        KeysCommand::Escrow(args) => escrow::run(args, session),
    }
}

/// Where the key in use comes from.
#[derive(Serialize)]
struct OriginBody {
    /// `environment` or `file`.
    origin: &'static str,
    path: Option<PathBuf>,
}

impl OriginBody {
    fn of(source: &KeySource) -> Self {
        let path = source.file().map(key::absolute);
        Self { origin: if path.is_some() { "file" } else { "environment" }, path }
    }

    fn words(&self) -> String {
        match &self.path {
            Some(path) => path.display().to_string(),
            None => "BACKUP_ENCRYPTION_KEY".to_owned(),
        }
    }
}

/// A new key, durable in `path`, which must not exist.
fn generate(path: &Path, settings: &Settings) -> Result<Key, Failure> {
    key::refuse_inside(path, &settings.root)?;
    key::generate(path, &random).map_err(|failure| {
        failure.with_hint("Name a file that does not exist yet, or give the one that is there with --from.")
    })
}

/// The key that somebody has in a file.
fn given(path: &Path, origin: &str, settings: &Settings) -> Result<Key, Failure> {
    key::refuse_inside(path, &settings.root)?;
    key::read(path, origin)
}

/// Backups that no key could read.
fn damaged(problems: &[Problem]) -> impl Iterator<Item = Notice> + '_ {
    problems.iter().map(|problem| Notice::from(&Failure::from(problem.clone())))
}

/// A key as a sentence names it.
fn name(key: &KeySummary) -> String {
    match &key.label {
        Some(label) => format!("{} ({})", key.id, label.as_str()),
        None => key.id.to_string(),
    }
}

/// A time of which it may not be known when it was.
fn time(time: Option<Timestamp>) -> Option<String> {
    time.map(wording::time)
}

/// That a key file cannot be put in its place.
fn not_replaced(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Code::KeyNotWritten,
        format!("cannot put the new key in the place of {}: {error}", path.display()),
    )
}
