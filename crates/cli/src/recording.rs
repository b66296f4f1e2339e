//! Records in the journal what is done. The one place: commands only note what they find out.
//!
//! Invariant: a command that changes backup data does not begin before its start is recorded durably. One that reads is not stopped by
//! a journal that cannot be written, for it may be the recovery of everything; it says so. No entry holds a secret.

mod asked;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use model::{Actor, Operation, RunEnd, RunFacts, RunOutcome, RunStart};
use repository::Repository;
use service::journal::{FILE_BYTES, Journal, JournalDirectory, JournalError};

use crate::args::Command;
use crate::catalogue::{self, Code};
use crate::failure::Failure;
use crate::screen::{Answer, Notice, Screen};
use crate::session::Session;
use crate::settings::Settings;
use crate::{actor, commands, hooks, opening, surroundings, usage, wal_event, wording};
use asked::{Asked, words_without_secret};

/// Bytes of a message in the journal.
const MESSAGE_BYTES: usize = 500;

/// What a command found out that belongs into the journal. A clone notes to the same place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Noted(Rc<RefCell<RunFacts>>);

impl Noted {
    /// Notes something.
    pub(crate) fn note(&self, note: impl FnOnce(&mut RunFacts)) {
        note(&mut self.0.borrow_mut());
    }
}

/// Runs a command, and records it if it changes or reads backup data.
pub(crate) fn run(command: Command, session: Session) -> Result<Answer, Failure> {
    let Some(mut asked) = Asked::of(&command, &session.environment) else {
        return commands::run(command, session);
    };
    for (name, value) in [("schedule", &session.flags.schedule), ("planned_at", &session.flags.planned_at)] {
        asked.parameters.extend(value.iter().map(|value| (name.to_owned(), value.clone())));
    }
    let (screen, noted) = (session.screen, session.noted.clone());
    // Settings that are wrong are what the command fails with.
    let settings = Settings::load(&session.flags, session.environment.clone()).ok().map(Arc::new);
    let session = Session { loaded: settings.clone(), ..session };
    let settings = settings.as_deref();
    let mut recording = Recording::new(asked, screen);
    recording.begin(settings)?;
    let result = recording.hook_before(settings).and_then(|()| commands::run(command, session));
    recording.end(settings, &result, &noted);
    result.map(|answer| answer.warned(&recording.notices))
}

/// A command that is being recorded.
struct Recording {
    asked: Asked,
    actor: Actor,
    screen: Screen,
    began: Instant,
    /// The journal, and the number of the entry with which the run started.
    open: Option<(Place, u64)>,
    /// Warnings that were shown.
    notices: Vec<Notice>,
}

/// Where is recorded.
struct Place {
    repository: Repository,
    directory: JournalDirectory,
}

impl Place {
    /// Nothing while there is no repository, or none that opens. What then is done fails by itself, and says why.
    fn open(settings: &Settings) -> Option<Self> {
        let repository = opening::repository(settings).ok()?;
        Some(Self { repository, directory: directory(settings) })
    }

    fn journal<'a>(&'a self, actor: &'a Actor) -> Journal<'a> {
        Journal {
            directory: &self.directory,
            repository: &self.repository,
            actor,
            clock: &Timestamp::now,
            random: &surroundings::random,
            file_bytes: FILE_BYTES,
        }
    }
}

/// Records something without duration.
pub(crate) fn note(settings: &Settings, repository: &Repository, what: RunStart) -> Result<(), Failure> {
    let place = Place { repository: repository.clone(), directory: directory(settings) };
    let actor = what.actor.clone();
    let journal = place.journal(&actor);
    let recorded = journal.note(what);
    recorded.map(|_| ()).map_err(|error| catalogue::journal_failure(&error, Code::JournalUnwritable))
}

/// Where the journal ends: the number and the hash of its last entry.
pub(crate) fn head(settings: &Settings, repository: &Repository) -> Option<String> {
    let head = service::journal::head(&directory(settings), repository).ok()??;
    Some(format!("entry {} of {}, SHA-256 {}", head.sequence, head.journal, head.hash))
}

/// The directory of the journal.
pub(crate) fn directory(settings: &Settings) -> JournalDirectory {
    JournalDirectory::new(&settings.journal_directory, settings.isolation)
}

impl Recording {
    fn new(asked: Asked, screen: Screen) -> Self {
        let (actor, began) = (actor::current(), Instant::now());
        Self { asked, actor, screen, began, open: None, notices: Vec::new() }
    }

    /// Records the start.
    fn begin(&mut self, settings: Option<&Settings>) -> Result<(), Failure> {
        let Some(place) = settings.and_then(Place::open) else { return Ok(()) };
        match place.journal(&self.actor).start(self.start()) {
            Ok(recorded) => {
                if recorded.is_damaged {
                    self.warn(catalogue::journal_damaged());
                }
                self.open = Some((place, recorded.sequence));
                Ok(())
            }
            Err(error) => {
                let failure = catalogue::journal_failure(&error, Code::JournalUnwritable);
                if self.asked.changes {
                    return Err(failure);
                }
                self.warn(Notice::from(&failure));
                Ok(())
            }
        }
    }

    fn start(&self) -> RunStart {
        RunStart {
            operation: self.asked.operation,
            actor: self.actor.clone(),
            source: self.asked.source.clone(),
            parameters: self.asked.parameters.clone(),
        }
    }

    fn hook_before(&self, settings: Option<&Settings>) -> Result<(), Failure> {
        let Some(settings) = settings else { return Ok(()) };
        hooks::before(settings, self.asked.operation, self.asked.source.as_deref())
    }

    /// Records the end, and copies entries into the repository when it is time to.
    fn end(&mut self, settings: Option<&Settings>, result: &Result<Answer, Failure>, noted: &Noted) {
        // What made the repository, or opened it again: before, there was no key under which to record.
        let opened = matches!(self.asked.operation, Operation::Init | Operation::KeysRotate);
        if self.open.is_none() && opened && result.is_ok() {
            self.begin_afterwards(settings);
        }
        let Some((place, run)) = self.open.take() else { return };
        let mut end = self.ended(result, noted, &place.repository);
        let source = self.asked.source.as_deref();
        if let Some(notice) = settings.and_then(|it| hooks::after(it, self.asked.operation, source, &end)) {
            end.warnings.push(notice.code.clone());
            self.warn(notice);
        }
        let journal = place.journal(&self.actor);
        let recorded = match journal.end(run, end) {
            Ok(recorded) => recorded,
            Err(error) => return self.warn_of(&error),
        };
        let copied = if self.asked.changes || recorded.copy_is_due { journal.copy() } else { Ok(0) };
        if recorded.is_damaged {
            self.warn(catalogue::journal_damaged());
        }
        if let Err(error) = copied {
            let failure = catalogue::journal_failure(&error, Code::JournalUnreadable);
            self.warn(catalogue::journal_not_copied(&failure));
        }
    }

    /// Records the start of what only now has a repository to record in.
    fn begin_afterwards(&mut self, settings: Option<&Settings>) {
        let Some(place) = settings.and_then(Place::open) else { return };
        match place.journal(&self.actor).start(self.start()) {
            Ok(recorded) => self.open = Some((place, recorded.sequence)),
            Err(error) => self.warn_of(&error),
        }
    }

    fn ended(&self, result: &Result<Answer, Failure>, noted: &Noted, repository: &Repository) -> RunEnd {
        let (failure, warnings) = match result {
            Ok(answer) => (answer.failure(), answer.warning_codes()),
            Err(failure) => (Some(failure), Vec::new()),
        };
        let needs_person = result.as_ref().is_ok_and(Answer::needs_person);
        let outcome = match failure {
            Some(failure) if failure.code == Code::Cancelled => RunOutcome::Cancelled,
            Some(_) => RunOutcome::Failed,
            None if needs_person => RunOutcome::Warnings,
            None => RunOutcome::Done,
        };
        let mut facts = noted.0.borrow().clone();
        if let (Some(backup), None) = (&facts.backup, &facts.source)
            && let Ok(manifest) = repository.manifest(backup)
        {
            (facts.source, facts.kind) = (Some(manifest.source), Some(manifest.kind));
        }
        facts.source = facts.source.map(|source| words_without_secret(&source));
        RunEnd {
            outcome,
            code: failure.map(|failure| failure.code.as_str().to_owned()),
            message: failure.map(|failure| message(&failure.message)),
            duration_ms: wording::millis(self.began.elapsed()),
            warnings,
            facts,
        }
    }

    fn warn_of(&mut self, error: &JournalError) {
        self.warn(Notice::from(&catalogue::journal_failure(error, Code::JournalUnwritable)));
    }

    fn warn(&mut self, notice: Notice) {
        if self.asked.operation == Operation::WalReceive && self.screen.json {
            // Standard error is read line by line there.
            self.screen.line(&wal_event::warning(&notice));
        } else {
            self.screen.warning(&notice);
        }
        self.notices.push(notice);
    }
}

/// A sentence as the journal has it.
fn message(text: &str) -> String {
    let text = usage::redact(text);
    let end = text.floor_char_boundary(MESSAGE_BYTES);
    if end < text.len() { format!("{}…", &text[..end]) } else { text }
}
