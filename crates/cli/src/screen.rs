//! Everything that is printed goes through here: results on standard output, everything else on standard error.
//!
//! Invariant: with `--json`, standard output holds exactly one JSON object. Colours appear on terminals only, and not
//! when `NO_COLOR` is set.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::args::GlobalArgs;
use crate::catalogue::Code;
use crate::environment::Environment;
use crate::failure::{Exit, Failure};

/// The version of the JSON that is printed; raised when a field changes its meaning or goes away.
const SCHEMA_VERSION: u64 = 1;

/// How to talk to whoever started us.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(crate) struct Screen {
    /// One JSON object instead of text.
    pub(crate) json: bool,
    /// No progress, no notes.
    pub(crate) quiet: bool,
    /// More notes.
    pub(crate) verbose: bool,
    /// Whether standard error is a terminal that can draw a bar.
    pub(crate) draws: bool,
    colours: bool,
}

/// What a command answers.
#[derive(Debug)]
pub(crate) struct Answer {
    /// For people; printed without change, nothing when empty.
    text: String,
    /// For scripts.
    body: Map<String, Value>,
    /// What did not hold although the command ran to its end, such as a backup that did not verify.
    failure: Option<Failure>,
    /// Whether something needs a person.
    needs_person: bool,
    /// Whether the answer is that there is nothing.
    is_absent: bool,
}

/// A warning or a finding with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Notice {
    /// A stable word.
    pub(crate) code: String,
    /// What was found.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) hint: String,
}

impl Answer {
    /// An answer whose JSON is `body`, which must serialise to an object.
    pub(crate) fn new(text: impl Into<String>, body: &impl Serialize) -> Result<Self, Failure> {
        match serde_json::to_value(body) {
            Ok(Value::Object(body)) => {
                Ok(Self { text: text.into(), body, failure: None, needs_person: false, is_absent: false })
            }
            Ok(_) => Err(Failure::new(Code::Internal, "the answer is not a JSON object")),
            Err(error) => Err(Failure::because(Code::Internal, &error)),
        }
    }

    /// What did not hold, if anything.
    pub(crate) fn failing(self, failure: Option<Failure>) -> Self {
        Self { failure, ..self }
    }

    /// Whether the exit status is to say that something needs a person.
    pub(crate) fn needing_person(self, needs_person: bool) -> Self {
        Self { needs_person, ..self }
    }

    /// Whether the answer is that there is nothing.
    pub(crate) fn absent(self, is_absent: bool) -> Self {
        Self { is_absent, ..self }
    }

    /// What did not hold, if anything.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Whether something needs a person.
    pub(crate) fn needs_person(&self) -> bool {
        self.needs_person
    }

    /// The codes of the warnings in it.
    pub(crate) fn warning_codes(&self) -> Vec<String> {
        let warnings = self.body.get("warnings").and_then(Value::as_array);
        let codes = warnings.into_iter().flatten().filter_map(|warning| warning["code"].as_str());
        codes.map(str::to_owned).collect()
    }

    /// The answer with warnings that were shown already, and that need a person.
    pub(crate) fn warned(mut self, notices: &[Notice]) -> Self {
        if notices.is_empty() {
            return self;
        }
        let warnings = self.body.entry("warnings").or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(warnings) = warnings {
            warnings.extend(notices.iter().filter_map(|notice| serde_json::to_value(notice).ok()));
        }
        self.needing_person(true)
    }

    /// The exit status that goes with it.
    fn exit(&self) -> Exit {
        match &self.failure {
            Some(failure) => failure.exit(),
            None if self.is_absent => Exit::Absent,
            None if self.needs_person => Exit::Warnings,
            None => Exit::Done,
        }
    }
}

impl Screen {
    /// The screen as the terminal, `NO_COLOR` and `TERM` say.
    pub(crate) fn new(flags: &GlobalArgs, environment: &Environment) -> Self {
        let dumb = environment.raw("TERM").is_none_or(|term| term == "dumb");
        let terminal = io::stderr().is_terminal() && !dumb;
        Self {
            json: flags.json,
            quiet: flags.quiet,
            verbose: flags.verbose,
            draws: terminal && !flags.quiet,
            colours: terminal && environment.raw("NO_COLOR").is_none(),
        }
    }

    /// This screen without plain lines of progress, unless somebody asked for more: only a bar is left.
    pub(crate) fn without_lines(self) -> Self {
        Self { quiet: self.quiet || !(self.draws || self.verbose), ..self }
    }

    /// Prints the answer and returns the exit status.
    pub(crate) fn answer(self, answer: &Answer) -> Exit {
        let written = if self.json {
            write_json(&answer.body, answer.failure.as_ref())
        } else {
            write_text(&answer.text)
        };
        if let Some(failure) = &answer.failure {
            self.say_failure(failure);
        }
        match written {
            Ok(()) => answer.exit(),
            Err(error) => self.unwritten(&error),
        }
    }

    /// Prints a failure and returns the exit status.
    pub(crate) fn failure(self, failure: &Failure) -> Exit {
        self.say_failure(failure);
        if self.json
            && let Err(error) = write_json(&Map::new(), Some(failure))
        {
            return self.unwritten(&error);
        }
        failure.exit()
    }

    /// A line of a result that comes piece by piece. Not with `--json`, whose result comes at the end.
    pub(crate) fn say(self, line: &str) {
        if !self.json {
            // Where nobody reads the story, it still has its exit status.
            let _ = writeln!(io::stdout().lock(), "{line}");
        }
    }

    /// The one text that holds a key, which somebody asked for.
    pub(crate) fn sheet(sheet: &Zeroizing<String>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(sheet.as_bytes())?;
        out.flush()
    }

    /// A line for people that is neither result nor warning.
    pub(crate) fn note(self, line: &str) {
        if !self.quiet {
            say(line);
        }
    }

    /// One JSON object in a line on standard error: something that happens while a command runs with `--json`.
    pub(crate) fn line(self, value: &Value) {
        if !self.quiet {
            say(&value.to_string());
        }
    }

    /// A line for people who asked for more.
    pub(crate) fn detail(self, line: &str) {
        if self.verbose {
            say(line);
        }
    }

    /// A warning with its next action.
    pub(crate) fn warning(self, notice: &Notice) {
        say(&format!("{}: {}.", self.paint("33", &format!("warning[{}]", notice.code)), notice.message));
        if !notice.hint.is_empty() {
            say(&format!("{}: {}", self.paint("36", "hint"), notice.hint));
        }
    }

    fn say_failure(self, failure: &Failure) {
        let code = format!("error[{}]", failure.code.as_str());
        say(&format!("{}: {}.", self.paint("1;31", &code), failure.message));
        say(&format!("{}: {}", self.paint("36", "hint"), failure.hint()));
    }

    /// Standard output did not take the result. A reader that went away (`| head`) is not worth a message.
    fn unwritten(self, error: &io::Error) -> Exit {
        if error.kind() != io::ErrorKind::BrokenPipe {
            self.say_failure(&Failure::new(
                Code::OutputFailed,
                format!("cannot write to standard output: {error}"),
            ));
        }
        Exit::Failed
    }

    fn paint(self, colour: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn write_text(text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}

fn write_json(body: &Map<String, Value>, failure: Option<&Failure>) -> io::Result<()> {
    let mut object = Map::new();
    object.insert("schema_version".into(), SCHEMA_VERSION.into());
    object.extend(body.clone());
    if let Some(failure) = failure {
        let error = serde_json::json!({
            "code": failure.code.as_str(), "message": failure.message, "hint": failure.hint(),
        });
        object.insert("error".into(), error);
    }
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &object)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// A line on standard error. Where nobody reads it, nothing is lost.
fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
