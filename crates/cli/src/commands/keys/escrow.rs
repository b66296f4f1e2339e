//! `keys escrow`: the recovery sheet, and the test of one.
//!
//! Invariant: the sheet goes to a terminal, to a new file for its owner only, or where somebody insists; never into a log by accident.

use std::io::{self, IsTerminal};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use repository::{HolderKey, KeyLabel, Repository};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::args::KeysEscrowArgs;
use crate::catalogue::Code;
use crate::failure::Failure;
use crate::key;
use crate::opening;
use crate::screen::{Answer, Screen};
use crate::session::Session;
use crate::settings::Settings;
use crate::sheet::{Ink, Sheet};
use crate::surroundings::random;
use crate::wording;

#[derive(Serialize)]
struct Printed {
    key_id: String,
    repository_id: String,
    epoch: u32,
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct CheckedBody {
    key_id: String,
    label: Option<KeyLabel>,
    /// Whether it is the key that the settings name; null when they name none that can be read.
    in_use: Option<bool>,
    repository_id: String,
    epoch: u32,
    checked_at: String,
}

pub(super) fn run(args: &KeysEscrowArgs, session: Session) -> Result<Answer, Failure> {
    match &args.check {
        Some(path) => check(path, session),
        None => print(args, session),
    }
}

/// What kind of file the sheet goes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Svg,
}

fn form(path: &Path) -> Result<Form, Failure> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg") => Ok(Form::Svg),
        Some("txt") => Ok(Form::Text),
        _ => Err(Failure::new(Code::Usage, format!("{} ends neither in .svg nor in .txt", path.display()))
            .with_hint("Name a file that ends in .svg or .txt with --output.")),
    }
}

fn print(args: &KeysEscrowArgs, session: Session) -> Result<Answer, Failure> {
    let screen = session.screen;
    let form = args.output.as_deref().map(form).transpose()?;
    let is_terminal = io::stdout().is_terminal();
    if args.output.is_none() && (screen.json || !(is_terminal || args.yes)) {
        let message = if screen.json {
            "the sheet holds the key, which is never part of JSON"
        } else {
            "the sheet holds the key, and standard output is no terminal but may be a log"
        };
        return Err(Failure::new(Code::KeyNotShown, message));
    }
    let settings = session.settings()?;
    let key = settings.key.require(&settings.environment)?;
    let holder = opening::holder(&key);
    let repository = opening::open(&settings, opening::store(&settings)?, &holder)?;
    let sheet = sheet(&repository, &holder)?;
    let text = if let (Some(path), Some(form)) = (&args.output, form) {
        key::refuse_inside(path, &settings.root)?;
        let content = if form == Form::Svg { sheet.svg() } else { sheet.text(Ink::Paper) };
        write(path, &content)?;
        format!("Wrote the recovery sheet of key {} to {}.\n{AFTER}", repository.key_id(), path.display())
    } else {
        show(&sheet, is_terminal)?;
        if is_terminal {
            screen.note("The key is on this screen and in its history: clear both when it is written down.");
        }
        String::new()
    };
    let body = Printed {
        key_id: repository.key_id().to_string(),
        repository_id: repository.id().to_string(),
        epoch: repository.current_epoch(),
        output: args.output.as_deref().map(key::absolute),
    };
    Answer::new(text, &body)
}

fn show(sheet: &Sheet, is_terminal: bool) -> Result<(), Failure> {
    let ink = if is_terminal { Ink::Terminal } else { Ink::Paper };
    Screen::sheet(&sheet.text(ink)).map_err(|error| {
        Failure::new(Code::OutputFailed, format!("cannot write to standard output: {error}"))
    })
}

const AFTER: &str = "Print it, keep it apart from the repository, and delete the file. Then test the paper:\n  \
                     chronavault keys escrow --check\n";

fn sheet(repository: &Repository, holder: &HolderKey) -> Result<Sheet, Failure> {
    let own = repository.keys()?.into_iter().find(|key| key.in_use);
    let lines = holder.to_escrow_lines();
    Sheet::new(
        [
            ("Repository", repository.id().to_string()),
            ("Where", repository.place()),
            ("Key", repository.key_id().to_string()),
            ("Label", own.and_then(|key| key.label).map_or("-".to_owned(), String::from)),
            ("Epoch", repository.current_epoch().to_string()),
            ("Printed", wording::time(Timestamp::now())),
        ],
        lines,
        &holder.to_hex(),
    )
}

fn write(path: &Path, content: &Zeroizing<String>) -> Result<(), Failure> {
    key::write_secret(path, content.as_bytes()).map_err(|error| {
        let code = if error.kind() == io::ErrorKind::AlreadyExists {
            Code::OutputExists
        } else {
            Code::OutputFailed
        };
        Failure::new(code, format!("cannot write the recovery sheet to {}: {error}", path.display()))
    })
}

fn check(path: &Path, session: Session) -> Result<Answer, Failure> {
    let screen = session.screen;
    let settings = session.settings()?;
    let typed = typed(path, &settings, screen)?;
    let store = opening::store(&settings)?;
    let repository = Repository::open(store, &typed).map_err(|error| {
        Failure::from(error).with_hint(
            "The text is a key without a typing error, but not one of this repository as it is now: look whether the sheet is from before a rotation, or of another repository.",
        )
    })?;
    let now = Timestamp::now();
    let mut name = [0; 3];
    random(&mut name);
    repository.record_key_check(now, name)?;
    let own = settings.key.find(&settings.environment).ok().flatten();
    let in_use = own.map(|key| opening::holder(&key).slot_id(repository.id(), 1) == repository.key_id());
    let label = repository.keys()?.into_iter().find(|key| key.in_use).and_then(|key| key.label);
    let body = CheckedBody {
        key_id: repository.key_id().to_string(),
        label,
        in_use,
        repository_id: repository.id().to_string(),
        epoch: repository.current_epoch(),
        checked_at: wording::time(now),
    };
    Answer::new(checked_words(&body), &body)
}

/// The key that was typed or scanned.
fn typed(path: &Path, settings: &Settings, screen: Screen) -> Result<HolderKey, Failure> {
    let text = if path == Path::new("-") {
        if io::stdin().is_terminal() {
            screen
                .note("Type the lines of the sheet, or scan its code; end with Ctrl-D on a line of its own.");
        }
        key::standard_input()?
    } else {
        refuse_key_file(path, settings)?;
        key::text_of(path).map_err(|error| {
            Failure::new(Code::KeyUnreadable, format!("cannot read {}: {error}", path.display()))
                .with_hint("Name the file with what was typed or scanned.")
        })?
    };
    let text =
        std::str::from_utf8(&text).map_err(|_| Failure::new(Code::KeyEscrow, "what was read is not text"))?;
    HolderKey::from_escrow(text).map_err(|error| Failure::because(Code::KeyEscrow, &error))
}

/// The key file itself is no second copy.
fn refuse_key_file(path: &Path, settings: &Settings) -> Result<(), Failure> {
    let identity = |path: &Path| path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()));
    let own = settings.key.file().and_then(identity);
    if own.is_some() && own == identity(path) {
        let message = format!("{} is the key file in use, not a copy of it", path.display());
        return Err(Failure::new(Code::KeyEscrow, message).with_hint(
            "Type or scan what is on paper: `chronavault keys escrow --check` reads standard input.",
        ));
    }
    Ok(())
}

fn checked_words(body: &CheckedBody) -> String {
    let label = body.label.as_ref().map(|label| format!(" ({})", label.as_str())).unwrap_or_default();
    let which = match body.in_use {
        Some(true) => "the key in use",
        Some(false) => "another key than the one in use",
        None => "a key that the settings do not name",
    };
    format!(
        "The copy is right: it is key {}{label}, {which}, and opens the repository in epoch {}.\n\
         The check is recorded in the repository.\n",
        body.key_id, body.epoch
    )
}
