//! `alert`: what its parts take.

use clap::{Args, Subcommand};

use super::examples;

/// The parts of `alert`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum AlertCommand {
    /// Send a test message on channels.
    #[command(after_help = examples::ALERT_TEST)]
    Test(AlertTestArgs),
    /// Show what is wrong at present, and who was told.
    #[command(after_help = examples::ALERT_LIST)]
    List,
}

/// `alert test`.
#[derive(Debug, Clone, Args)]
pub(crate) struct AlertTestArgs {
    /// The channels [default: all].
    #[arg(value_name = "CHANNEL")]
    pub(crate) channels: Vec<String>,
}
