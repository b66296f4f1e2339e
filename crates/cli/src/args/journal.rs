//! `journal`: what its parts take.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use model::Operation;

use super::examples;

/// Runs that are shown when nothing is said.
const LIMIT: usize = 50;

/// The parts of `journal`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum JournalCommand {
    /// Show what was done, newest first.
    #[command(after_help = examples::JOURNAL_SHOW)]
    Show(JournalShowArgs),
    /// Check that the journal is what was written, against the copies of it in the repository.
    #[command(after_help = examples::JOURNAL_VERIFY)]
    Verify,
}

/// `journal show`.
#[derive(Debug, Clone, Args)]
pub(crate) struct JournalShowArgs {
    /// Only what was done with this source.
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Only what was started at or after this time, with its zone: '2026-11-23 12:00:00+01'.
    #[arg(long, value_name = "TIME", value_parser = model::parse_moment)]
    pub(crate) since: Option<Timestamp>,
    /// Only this operation: backup, verify, restore, prune, delete, …
    #[arg(long, value_name = "OPERATION", value_parser = parse_operation)]
    pub(crate) operation: Option<Operation>,
    /// Show at most N; 0 shows all.
    #[arg(long, value_name = "N", default_value_t = LIMIT)]
    pub(crate) limit: usize,
    /// Also what other machines did, and what is lost here, from the copies in the repository.
    #[arg(long)]
    pub(crate) copies: bool,
}

fn parse_operation(text: &str) -> Result<Operation, model::ParseWordError> {
    text.parse()
}
