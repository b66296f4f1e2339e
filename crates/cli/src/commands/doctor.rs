//! `doctor`: looks at everything a backup needs, and says for each what to do next. It changes nothing.

use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use model::ByteSize;
use operations::postgres::{Finding, Severity, Tools, ToolsError, Unusable};
use repository::{KeyConcern, KeyLabel, Listed, Repository, key_health};
use serde::Serialize;
use storage::Store;

use crate::args::{DoctorArgs, KindArg};
use crate::catalogue::Code;
use crate::connection;
use crate::failure::{Failure, sentence};
use crate::opening;
use crate::screen::{Answer, Screen};
use crate::session::Session;
use crate::settings::Settings;
use crate::surroundings::Surroundings;
use crate::wording;

/// Free space below this is worth a word.
const LITTLE_SPACE_BYTES: u64 = 1_000_000_000;

/// One thing that was looked at.
#[derive(Serialize)]
struct Checked {
    /// `ok`, `warning` or `error`.
    state: State,
    code: String,
    /// What was looked at.
    object: String,
    message: String,
    /// What to do next; empty when nothing is to be done.
    hint: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warning,
    Error,
}

#[derive(Serialize)]
struct Body {
    findings: Vec<Checked>,
}

pub(super) fn run(args: &DoctorArgs, session: Session) -> Result<Answer, Failure> {
    let screen = session.screen;
    let mut findings = Vec::new();
    match session.settings() {
        Err(failure) => findings.push(Checked::failed("settings", &failure)),
        Ok(settings) => {
            findings.push(Checked::ok("settings", settings_words(&settings)));
            examine_settings(&settings, &mut findings);
            examine_repository(&settings, &mut findings);
            examine_source(args, &settings, screen, &mut findings);
        }
    }
    answer(findings)
}

fn settings_words(settings: &Settings) -> String {
    let file = match &settings.file.path {
        Some(path) => format!("read from {}", path.display()),
        None => "there is no chronavault.toml; environment and defaults".to_owned(),
    };
    format!("{file}; keep {} days, every {} hours", settings.retention_days, settings.interval_hours)
}

/// A settings file with a password must be private.
fn examine_settings(settings: &Settings, findings: &mut Vec<Checked>) {
    let Some(path) = &settings.file.path else { return };
    let secret = settings.file.content.sources.values().filter_map(|source| source.url.as_deref());
    let open = path.metadata().is_ok_and(|metadata| metadata.mode() & 0o077 != 0);
    if open && secret.into_iter().any(connection::has_password) {
        findings.push(Checked {
            state: State::Warning,
            code: "settings.permissions".into(),
            object: path.display().to_string(),
            message: "the file holds a password, and other users can read it".into(),
            hint: format!("Run `chmod 600 {}`, or move the password to a PGPASSFILE.", path.display()),
        });
    }
}

fn examine_repository(settings: &Settings, findings: &mut Vec<Checked>) {
    let key = match settings.key.require(&settings.environment) {
        Err(failure) => {
            findings.push(Checked::failed("encryption key", &failure));
            None
        }
        Ok(key) => {
            findings.push(Checked::ok("encryption key", key_words(settings)));
            Some(key)
        }
    };
    let store = match opening::store(settings) {
        Ok(store) => store,
        Err(failure) => return findings.push(Checked::failed("repository", &failure)),
    };
    if settings.key.file().is_some_and(|file| is_inside(file, store.root())) {
        let failure = Failure::new(Code::KeyInsideRepository, "the key file is inside the repository");
        findings.push(Checked { state: State::Warning, ..Checked::failed("encryption key", &failure) });
    }
    let object = store.describe();
    if let Some(key) = key {
        match opening::open(settings, store.clone(), &opening::holder(&key)) {
            Err(failure) => return findings.push(Checked::failed(&object, &failure)),
            Ok(repository) => {
                examine_keys(&repository, findings);
                examine_backups(&repository, &object, findings);
            }
        }
    }
    match store.free_space() {
        Ok(Some(bytes)) if bytes < LITTLE_SPACE_BYTES => findings.push(Checked {
            state: State::Warning,
            code: "storage.little_space".into(),
            object,
            message: format!("only {} are free", ByteSize(bytes)),
            hint: "Make room, or move the repository to a larger disk.".into(),
        }),
        Ok(Some(bytes)) => findings.push(Checked::ok(&object, format!("{} are free", ByteSize(bytes)))),
        Ok(None) => {}
        Err(error) => findings.push(Checked::failed(&object, &Failure::from(error))),
    }
}

fn is_inside(file: &Path, root: &Path) -> bool {
    matches!((file.canonicalize(), root.canonicalize()), (Ok(file), Ok(root)) if file.starts_with(&root))
}

fn key_words(settings: &Settings) -> String {
    match settings.key.file() {
        Some(path) => format!("the key in {} is well formed", path.display()),
        None => "BACKUP_ENCRYPTION_KEY is well formed".to_owned(),
    }
}

/// How many keys there are, how old the one in use is, and what is worth a word about them.
fn examine_keys(repository: &Repository, findings: &mut Vec<Checked>) {
    const OBJECT: &str = "keys";
    let keys = match repository.keys() {
        Ok(keys) => keys,
        Err(error) => return findings.push(Checked::failed(OBJECT, &Failure::from(error))),
    };
    let health = key_health(&keys, repository.current_epoch(), Timestamp::now());
    let number = match health.keys {
        1 => "1 key opens the repository".to_owned(),
        number => format!("{number} keys open the repository"),
    };
    let age = health.age.map(|age| format!(", the one in use for {}", days(age))).unwrap_or_default();
    let checked = match health.checked_at {
        Some(at) => format!("; a copy of it was checked at {}", wording::time(at)),
        None => String::new(),
    };
    findings.push(Checked::ok(OBJECT, format!("{number}{age}{checked}")));
    findings.extend(health.concerns.iter().map(|concern| Checked::concern(OBJECT, concern)));
}

fn days(age: SignedDuration) -> String {
    wording::count(u64::try_from(age.as_hours() / 24).unwrap_or_default(), "day")
}

fn examine_backups(repository: &Repository, object: &str, findings: &mut Vec<Checked>) {
    let backups = match repository.backups() {
        Ok(backups) => backups,
        Err(error) => return findings.push(Checked::failed(object, &Failure::from(error))),
    };
    let number = wording::count(backups.len() as u64, "backup");
    findings.push(Checked::ok(object, format!("the repository opens with the key and has {number}")));
    for backup in &backups {
        if let Listed::Damaged { id, problem } = backup {
            findings.push(Checked::failed(id.as_str(), &Failure::from(problem.clone())));
        }
    }
}

fn examine_source(args: &DoctorArgs, settings: &Settings, screen: Screen, findings: &mut Vec<Checked>) {
    let found = settings.source(args.source.as_deref()).and_then(|source| {
        let options = connection::parse(&settings.environment, &source.url, &source.origin)?;
        let surroundings = Surroundings::new(screen, settings)?;
        let examined = operations::examine(&options, &source.filters, &surroundings.context());
        surroundings.reporter.finish();
        Ok((options, examined))
    });
    let (options, examined) = match found {
        Ok(found) => found,
        Err(failure) => return findings.push(Checked::failed("source", &failure)),
    };
    let object = options.describe();
    for warning in options.warnings() {
        findings.push(Checked {
            state: State::Warning,
            code: "password.file".into(),
            object: object.clone(),
            message: warning.to_string(),
            hint: "Run `chmod 600` on the password file.".into(),
        });
    }
    match examined {
        Err(error) => findings.push(Checked::failed(&object, &Failure::from(error))),
        Ok(examined) => {
            let version = wording::server_version(examined.server_version);
            findings.push(Checked::ok(&object, format!("PostgreSQL {version} answers")));
            findings.push(Checked::tools("client programs", &examined.client_tools, State::Error));
            findings.push(Checked::tools("server programs", &examined.server_tools, State::Warning));
            for (found, kind) in
                [(&examined.findings, KindArg::Logical), (&examined.physical, KindArg::Physical)]
            {
                findings.extend(found.iter().map(|finding| Checked::finding(finding, kind, args.kind)));
            }
            findings.push(Checked::method(examined.data_directory.as_ref()));
        }
    }
}

impl Checked {
    /// What was found on the server. What only backups of a kind need that nobody asked for is good to know, and no more.
    fn finding(finding: &Finding, kind: KindArg, asked: KindArg) -> Self {
        let code = Code::ServerPreflight;
        let wanted = kind == asked;
        let scope = match kind {
            _ if wanted || finding.severity == Severity::Note => "",
            KindArg::Logical => "only for logical backups: ",
            KindArg::Physical => "only for physical backups: ",
        };
        let (state, code, hint) = match finding.severity {
            Severity::Warning if wanted || finding.object.starts_with("replication slot") => {
                (State::Warning, code.as_str(), code.hint())
            }
            Severity::Error if wanted => (State::Error, code.as_str(), code.hint()),
            _ => (State::Ok, "ok", ""),
        };
        Self {
            state,
            code: code.to_owned(),
            object: finding.object.clone(),
            message: format!("{scope}{}", finding.message),
            hint: hint.to_owned(),
        }
    }

    /// How a physical backup would read.
    fn method(data_directory: Result<&(), &Unusable>) -> Self {
        let message = match data_directory {
            Ok(()) => "a physical backup would read the data directory on this machine".to_owned(),
            Err(why) => format!("a physical backup would read over the network, since {}", sentence(why)),
        };
        Self::ok("physical backups", message)
    }

    /// PostgreSQL's programs: where they are, or what to install. `absent` says how bad it is to lack them: without those of
    /// the server, backups can be made, but not proven on this machine.
    fn tools(object: &str, tools: &Result<Tools, ToolsError>, absent: State) -> Self {
        match tools {
            Ok(tools) => Self::ok(object, format!("{} in {}", tools.version(), tools.directory().display())),
            Err(error) => {
                Self { state: absent, ..Self::failed(object, &Failure::because(Code::ToolsMissing, error)) }
            }
        }
    }

    /// Something about keys that needs a person.
    fn concern(object: &str, concern: &KeyConcern) -> Self {
        let (code, message, hint) = match concern {
            KeyConcern::OnePlace => (
                "key.one_place",
                "no copy of the only key was ever checked: whoever loses it loses every backup".to_owned(),
                "Run `chronavault keys escrow`, keep the sheet elsewhere, and test it with `chronavault keys escrow --check`; or add a second key with `chronavault keys add`.".to_owned(),
            ),
            KeyConcern::Old { age } => (
                "key.old",
                format!("the key in use is {} old, and a key is to be rotated every quarter", days(*age)),
                "Run `chronavault keys rotate`.".to_owned(),
            ),
            KeyConcern::LeftBehind { key, label } => (
                "key.left_behind",
                format!("key {key} ({}) does not open the repository any more", label.as_ref().map_or("no label", KeyLabel::as_str)),
                format!("Give it access again with `chronavault keys add`, or run `chronavault keys remove {key}`."),
            ),
            KeyConcern::Ahead { epoch } => (
                "key.ahead",
                format!("there is a key slot of epoch {epoch}, which chronavault.json does not know"),
                "If a rotation was interrupted, run `chronavault keys rotate` again. If none was, chronavault.json was set back: restore it from a copy.".to_owned(),
            ),
            KeyConcern::Damaged(problem) => {
                (Code::KeySlotChanged.as_str(), problem.to_string(), Code::KeySlotChanged.hint().to_owned())
            }
        };
        let (code, object) = (code.to_owned(), object.to_owned());
        Self { state: State::Warning, code, object, message, hint }
    }

    fn ok(object: &str, message: String) -> Self {
        Self { state: State::Ok, code: "ok".into(), object: object.to_owned(), message, hint: String::new() }
    }

    fn failed(object: &str, failure: &Failure) -> Self {
        Self {
            state: State::Error,
            code: failure.code.as_str().to_owned(),
            object: object.to_owned(),
            message: failure.message.clone(),
            hint: failure.hint().to_owned(),
        }
    }
}

fn answer(findings: Vec<Checked>) -> Result<Answer, Failure> {
    let number = |state| findings.iter().filter(|checked| checked.state == state).count() as u64;
    let (errors, warnings) = (number(State::Error), number(State::Warning));
    let mut text = String::new();
    for checked in &findings {
        let mark = match checked.state {
            State::Ok => "ok     ",
            State::Warning => "warning",
            State::Error => "ERROR  ",
        };
        let _ = writeln!(text, "{mark}  {}: {}", checked.object, checked.message);
        if !checked.hint.is_empty() {
            let _ = writeln!(text, "         -> {}", checked.hint);
        }
    }
    let failure = (errors > 0).then(|| {
        let found = wording::count(errors, "check");
        Failure::new(Code::DoctorFound, format!("{found} found something that stops backups or restores"))
    });
    Ok(Answer::new(text, &Body { findings })?.failing(failure).needing_person(warnings > 0))
}
