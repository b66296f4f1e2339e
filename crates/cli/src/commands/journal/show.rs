//! `journal show`: what was done, newest first.

use std::collections::BTreeMap;

use model::{Actor, BackupId, ByteSize, Operation, Run, RunEnd, RunFacts, RunOutcome};
use serde::Serialize;
use service::journal::{HistoryRun, history};

use crate::args::JournalShowArgs;
use crate::catalogue::{self, Code};
use crate::failure::Failure;
use crate::opening;
use crate::recording;
use crate::screen::Answer;
use crate::session::Session;
use crate::wording::{self, Column};

const COLUMNS: [Column; 8] = [
    Column::Text("STARTED"),
    Column::Text("OPERATION"),
    Column::Text("SOURCE"),
    Column::Text("OUTCOME"),
    Column::Number("TOOK"),
    Column::Number("STORED"),
    Column::Text("WHO"),
    Column::Text("BACKUP"),
];

#[derive(Serialize)]
struct Body {
    runs: Vec<RunBody>,
    /// Whether every entry was authenticated; without the key, none is.
    authenticated: bool,
    /// Lines that are no entries.
    unreadable_lines: u64,
}

#[derive(Serialize)]
struct RunBody {
    journal: String,
    /// The number of the entry with which it started.
    run: u64,
    operation: Operation,
    source: Option<String>,
    backup: Option<BackupId>,
    started_at: String,
    ended_at: Option<String>,
    /// Null when the journal does not say how it ended.
    outcome: Option<RunOutcome>,
    code: Option<String>,
    message: Option<String>,
    duration_ms: Option<u64>,
    warnings: Vec<String>,
    actor: Actor,
    parameters: BTreeMap<String, String>,
    #[serde(flatten)]
    facts: RunFacts,
}

pub(in crate::commands) fn run(args: &JournalShowArgs, session: Session) -> Result<Answer, Failure> {
    let screen = session.screen;
    let settings = session.settings()?;
    let repository = match opening::repository(&settings) {
        Ok(repository) => Some(repository),
        Err(failure) if args.copies => return Err(failure),
        Err(failure) => {
            screen.note(&format!("what the files say was not authenticated: {}", failure.message));
            None
        }
    };
    let directory = recording::directory(&settings);
    let history = history(&directory, repository.as_ref(), args.copies)
        .map_err(|error| catalogue::journal_failure(&error, Code::JournalUnreadable))?;
    let wanted = history.runs.iter().rev().filter(|run| is_wanted(&run.run, args));
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let runs: Vec<_> = wanted.take(limit).collect();
    if history.unreadable_lines > 0 {
        let lines = wording::count(history.unreadable_lines, "line");
        screen
            .note(&format!("{lines} of the journal cannot be read; `chronavault journal verify` says more"));
    }
    let text = if runs.is_empty() {
        "Nothing is recorded.".to_owned()
    } else {
        wording::table(&COLUMNS, runs.iter().map(|run| row(&run.run)))
    };
    let body = Body {
        runs: runs.into_iter().map(RunBody::from).collect(),
        authenticated: repository.is_some(),
        unreadable_lines: history.unreadable_lines,
    };
    Answer::new(text, &body)
}

fn is_wanted(run: &Run, args: &JournalShowArgs) -> bool {
    args.source.as_deref().is_none_or(|source| run.source() == Some(source))
        && args.since.is_none_or(|since| run.started_at >= since)
        && args.operation.is_none_or(|operation| run.start.operation == operation)
}

fn row(run: &Run) -> Vec<String> {
    let facts = run.facts();
    let end = run.end.as_ref().map(|(_, end)| end);
    let text = |text: Option<&str>| text.unwrap_or("-").to_owned();
    vec![
        wording::time(run.started_at),
        run.start.operation.to_string(),
        text(run.source()),
        end.map_or_else(|| "no end".to_owned(), outcome),
        end.map_or_else(
            || "-".to_owned(),
            |end| wording::duration(std::time::Duration::from_millis(end.duration_ms)),
        ),
        facts
            .and_then(|facts| facts.stored_bytes)
            .map_or_else(|| "-".to_owned(), |bytes| ByteSize(bytes).to_string()),
        format!("{}@{}", run.start.actor.user, run.start.actor.host),
        text(facts.and_then(|facts| facts.backup.as_ref()).map(BackupId::as_str)),
    ]
}

fn outcome(end: &RunEnd) -> String {
    match &end.code {
        Some(code) if end.outcome == RunOutcome::Failed => format!("failed ({code})"),
        _ => end.outcome.to_string(),
    }
}

impl From<&HistoryRun> for RunBody {
    fn from(HistoryRun { journal, run }: &HistoryRun) -> Self {
        let end = run.end.as_ref().map(|(_, end)| end);
        let mut facts = run.facts().cloned().unwrap_or_default();
        facts.source = None;
        let backup = facts.backup.take();
        Self {
            journal: journal.to_string(),
            run: run.sequence,
            operation: run.start.operation,
            source: run.source().map(str::to_owned),
            backup,
            started_at: wording::time(run.started_at),
            ended_at: run.end.as_ref().map(|(at, _)| wording::time(*at)),
            outcome: end.map(|end| end.outcome),
            code: end.and_then(|end| end.code.clone()),
            message: end.and_then(|end| end.message.clone()),
            duration_ms: end.map(|end| end.duration_ms),
            warnings: end.map(|end| end.warnings.clone()).unwrap_or_default(),
            actor: run.start.actor.clone(),
            parameters: run.start.parameters.clone(),
            facts,
        }
    }
}
