//! Looking at everything that a restore needs before anything is written, and at all of it at once: whoever recovers at night
//! must not find out one thing after the other.
//!
//! Invariant: nothing is written, and nothing that is there is changed. What cannot be found out is said, not taken to be in order.

mod cluster;
mod database;
mod room;

use postgres::Severity;

pub use cluster::preflight_restore_cluster;
pub use database::preflight_restore;
pub(crate) use room::free as free_bytes;

/// Something that a restore would meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreflightFinding {
    /// A stable word: `roles.missing`, `disk.space`.
    pub code: &'static str,
    /// What it is about: `database books`, `extension hstore`.
    pub object: String,
    /// What was found.
    pub message: String,
    /// What to do about it; empty where nothing is to be done.
    pub remedy: String,
    /// With an error, the restore would fail; a warning is about what a person should know before; a note is good to know.
    pub severity: Severity,
}

/// Findings as they are collected.
#[derive(Default)]
struct Findings(Vec<PreflightFinding>);

impl Findings {
    fn error(
        &mut self,
        code: &'static str,
        object: impl Into<String>,
        message: String,
        remedy: impl Into<String>,
    ) {
        self.add(Severity::Error, code, object, message, remedy);
    }

    fn warning(
        &mut self,
        code: &'static str,
        object: impl Into<String>,
        message: String,
        remedy: impl Into<String>,
    ) {
        self.add(Severity::Warning, code, object, message, remedy);
    }

    fn note(&mut self, code: &'static str, object: impl Into<String>, message: String) {
        self.add(Severity::Note, code, object, message, "");
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        object: impl Into<String>,
        message: String,
        remedy: impl Into<String>,
    ) {
        let (object, remedy) = (object.into(), remedy.into());
        self.0.push(PreflightFinding { code, object, message, remedy, severity });
    }

    /// Worst first; those of a kind in the order in which they were found.
    fn sorted(mut self) -> Vec<PreflightFinding> {
        self.0.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        self.0
    }
}
