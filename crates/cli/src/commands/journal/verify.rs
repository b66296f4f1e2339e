//! `journal verify`: whether the journal is what was written.

use std::fmt::Write;

use serde::Serialize;
use service::journal::{Finding, FindingKind, JournalReport, JournalSummary};

use crate::actor;
use crate::catalogue::{self, Code};
use crate::failure::Failure;
use crate::opening;
use crate::recording;
use crate::screen::{Answer, Notice};
use crate::session::Session;
use crate::wording;

#[derive(Serialize)]
struct Body {
    /// `sound` or `failed`.
    outcome: &'static str,
    journals: Vec<JournalBody>,
    problems: Vec<FoundBody>,
    warnings: Vec<FoundBody>,
}

#[derive(Serialize)]
struct JournalBody {
    journal: String,
    /// Whether its files are on this machine.
    here: bool,
    host: Option<String>,
    entries: u64,
    first_at: Option<String>,
    last_at: Option<String>,
    /// The number of the last entry that is in the repository.
    copied_to: Option<u64>,
    /// Operations without an end: they go on, or were killed.
    unfinished: u64,
}

#[derive(Serialize)]
struct FoundBody {
    object: String,
    #[serde(flatten)]
    notice: Notice,
}

pub(in crate::commands) fn run(session: Session) -> Result<Answer, Failure> {
    let settings = session.settings()?;
    let repository = opening::repository(&settings)?;
    let report = recording::directory(&settings)
        .verify(&repository, &actor::current().host)
        .map_err(|error| catalogue::journal_failure(&error, Code::JournalUnreadable))?;
    let number = report.problems().count() as u64;
    let failure = report.problems().next().map(|first| {
        let problems = wording::count(number, "problem");
        let message =
            format!("the journal is not what was written, {problems}: {}: {}", first.object, first.message);
        Failure::new(Code::JournalBroken, message)
    });
    let of = |wanted: bool| -> Vec<FoundBody> {
        let findings = report.findings.iter().filter(|finding| finding.kind.is_problem() == wanted);
        findings.map(FoundBody::from).collect()
    };
    let body = Body {
        outcome: if number > 0 { "failed" } else { "sound" },
        journals: report.journals.iter().map(JournalBody::from).collect(),
        problems: of(true),
        warnings: of(false),
    };
    let needs_person = report.findings.iter().any(|finding| finding.kind == FindingKind::Followed);
    Ok(Answer::new(words(&report), &body)?.failing(failure).needing_person(needs_person))
}

impl From<&JournalSummary> for JournalBody {
    fn from(summary: &JournalSummary) -> Self {
        Self {
            journal: summary.journal.to_string(),
            here: summary.is_here,
            host: summary.host.clone(),
            entries: summary.entries,
            first_at: summary.period.map(|(first, _)| wording::time(first)),
            last_at: summary.period.map(|(_, last)| wording::time(last)),
            copied_to: summary.copied_to,
            unfinished: summary.unfinished_runs,
        }
    }
}

impl From<&Finding> for FoundBody {
    fn from(finding: &Finding) -> Self {
        Self { object: finding.object.clone(), notice: catalogue::journal_finding(finding) }
    }
}

fn words(report: &JournalReport) -> String {
    let mut text = String::new();
    if report.journals.is_empty() && report.findings.is_empty() {
        return "There is no journal yet.".to_owned();
    }
    for journal in &report.journals {
        let place = if journal.is_here { "here" } else { "not here, from its copies" };
        let copied = match journal.copied_to {
            Some(sequence) => format!("the repository has them up to {sequence}"),
            None => "none of them is in the repository yet".to_owned(),
        };
        let host = journal.host.as_deref().unwrap_or("an unknown machine");
        let entries = match journal.entries {
            1 => "1 entry".to_owned(),
            number => format!("{} entries", wording::grouped(number)),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "Journal {} of {host} ({place}): {entries}; {copied}.", journal.journal);
    }
    for finding in &report.findings {
        let _ = writeln!(text, "  {} [{}]: {}", finding.object, finding.kind.code(), finding.message);
    }
    if report.problems().next().is_none() {
        text.push_str("Every entry is what was written.\n");
    }
    text
}
