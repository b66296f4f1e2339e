//! `keys add`: access for a second key.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use repository::{Granted, KeyLabel};
use serde::Serialize;

use super::{damaged, generate, given};
use crate::args::KeysAddArgs;
use crate::failure::Failure;
use crate::key::{self, Key};
use crate::opening;
use crate::screen::{Answer, Notice};
use crate::session::Session;
use crate::settings::Settings;
use crate::surroundings::random;
use crate::wording;

#[derive(Serialize)]
struct Body<'a> {
    key_id: String,
    label: Option<&'a KeyLabel>,
    /// Where the new key is, when it was made here.
    generated: Option<PathBuf>,
    slots_added: u64,
    backups_tried: u64,
    warnings: Vec<Notice>,
}

pub(super) fn run(args: &KeysAddArgs, session: Session) -> Result<Answer, Failure> {
    let screen = session.screen;
    let settings = session.settings()?;
    let repository = opening::repository(&settings)?;
    let key = new_key(args, &settings)?;
    let holder = opening::holder(&key);
    let granted = repository.add_key(&holder, args.label.as_ref(), Timestamp::now(), &random)?;
    let warnings: Vec<_> = damaged(&granted.damaged).collect();
    for warning in &warnings {
        screen.warning(warning);
    }
    let generated = args.generate.as_deref().map(key::absolute);
    let text = words(&granted, generated.as_deref());
    let body = Body {
        key_id: granted.key.to_string(),
        label: args.label.as_ref(),
        generated,
        slots_added: granted.slots,
        backups_tried: granted.backups,
        warnings,
    };
    let needs_person = !body.warnings.is_empty();
    Ok(Answer::new(text, &body)?.needing_person(needs_person))
}

fn new_key(args: &KeysAddArgs, settings: &Settings) -> Result<Key, Failure> {
    match (&args.generate, &args.from) {
        (Some(path), _) => generate(path, settings),
        (None, Some(path)) if path == Path::new("-") => key::from_standard_input(),
        (None, Some(path)) => given(path, "--from", settings),
        // The parser sees to it that one is there.
        (None, None) => key::from_standard_input(),
    }
}

fn words(granted: &Granted, generated: Option<&Path>) -> String {
    let Granted { key, slots, backups, .. } = granted;
    if *slots == 0 {
        return format!("Key {key} has access already; nothing was changed.\n");
    }
    let tried = wording::count(*backups, "backup");
    let mut text = format!("Key {key} opens the repository; it was tried on {tried}.\n");
    if let Some(path) = generated {
        let _ = writeln!(text, "The key is in {}. Take it to where it is to be kept.", path.display());
    }
    text
}
