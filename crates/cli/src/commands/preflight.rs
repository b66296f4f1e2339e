//! What a restore would meet: said before anything is written, all of it at once.

use std::fmt::Write;

use operations::PreflightFinding;
use operations::postgres::Severity;
use serde::Serialize;

use crate::catalogue::Code;
use crate::failure::{Failure, one_line};
use crate::screen::{Answer, Notice, Screen};
use crate::wording;

/// A finding in JSON.
#[derive(Serialize)]
struct FindingBody {
    code: &'static str,
    object: String,
    message: String,
    /// What to do about it.
    remedy: String,
    /// `error`, `warning` or `note`.
    severity: &'static str,
}

#[derive(Serialize)]
struct Body<'a> {
    dry_run: bool,
    id: Option<String>,
    target: &'a str,
    /// What would be done.
    plan: &'a str,
    findings: Vec<FindingBody>,
}

/// A restore before it is done.
pub(super) struct Planned<'a> {
    /// The backup, where it is known which.
    pub(super) id: Option<String>,
    /// The database or the directory.
    pub(super) target: &'a str,
    /// What would be done, in a sentence.
    pub(super) plan: &'a str,
    /// What it would meet.
    pub(super) findings: &'a [PreflightFinding],
}

impl Planned<'_> {
    /// The answer instead of a restore: where it was only asked for, or where it would fail. Otherwise warnings are shown, and
    /// returned, and the restore can begin.
    pub(super) fn answer(
        &self,
        is_dry_run: bool,
        screen: Screen,
    ) -> Result<Result<Vec<Notice>, Answer>, Failure> {
        let failure = self.failure();
        if !is_dry_run && failure.is_none() {
            let warnings = self.findings.iter().filter(|finding| finding.severity == Severity::Warning);
            let notices: Vec<_> = warnings.map(Notice::from).collect();
            for notice in &notices {
                screen.warning(notice);
            }
            return Ok(Ok(notices));
        }
        let body = Body {
            dry_run: is_dry_run,
            id: self.id.clone(),
            target: self.target,
            plan: self.plan,
            findings: self.findings.iter().map(FindingBody::from).collect(),
        };
        let needs_person = self.findings.iter().any(|finding| finding.severity == Severity::Warning);
        Ok(Err(Answer::new(self.words(), &body)?.failing(failure).needing_person(needs_person)))
    }

    fn words(&self) -> String {
        let mut text = format!("{}\n", self.plan);
        for finding in self.findings {
            let mark = match finding.severity {
                Severity::Error => "ERROR  ",
                Severity::Warning => "warning",
                Severity::Note => "note   ",
            };
            let _ = writeln!(text, "{mark}  {} [{}]", sentence(finding), finding.code);
            if !finding.remedy.is_empty() {
                let _ = writeln!(text, "         -> {}", finding.remedy);
            }
        }
        text
    }

    /// One error is the failure that the restore would be; of several, all are in one.
    fn failure(&self) -> Option<Failure> {
        let errors: Vec<_> =
            self.findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
        match errors[..] {
            [] => None,
            [error] => {
                let known = Code::ALL.iter().find(|code| code.as_str() == error.code);
                let code = known.copied().unwrap_or(Code::RestorePreflight);
                Some(Failure::new(code, sentence(error)).with_hint(error.remedy.clone()))
            }
            _ => {
                let sentences: Vec<_> = errors.iter().map(|error| sentence(error)).collect();
                let number = wording::count(errors.len() as u64, "thing");
                let message = format!("{number} would stop the restore: {}", sentences.join("; "));
                let remedies: Vec<_> = errors.iter().map(|error| error.remedy.as_str()).collect();
                Some(Failure::new(Code::RestorePreflight, message).with_hint(remedies.join(" ")))
            }
        }
    }
}

fn sentence(finding: &PreflightFinding) -> String {
    one_line(&format!("{}: {}", finding.object, finding.message))
}

impl From<&PreflightFinding> for FindingBody {
    fn from(finding: &PreflightFinding) -> Self {
        Self {
            code: finding.code,
            object: finding.object.clone(),
            message: finding.message.clone(),
            remedy: finding.remedy.clone(),
            severity: match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Note => "note",
            },
        }
    }
}

impl From<&PreflightFinding> for Notice {
    fn from(finding: &PreflightFinding) -> Self {
        Self { code: finding.code.to_owned(), message: sentence(finding), hint: finding.remedy.clone() }
    }
}
