//! `wal recovered`: what a restored server runs when its recovery has ended.

use std::path::PathBuf;

use serde::Serialize;

use crate::args::WalRecoveredArgs;
use crate::failure::Failure;
use crate::screen::Answer;

#[derive(Serialize)]
struct Body {
    data_dir: PathBuf,
}

pub(super) fn run(args: &WalRecoveredArgs) -> Result<Answer, Failure> {
    operations::end_recovery(&args.data_dir)?;
    let text = format!("Recovery has ended; its settings are gone from {}.\n", args.data_dir.display());
    Answer::new(text, &Body { data_dir: args.data_dir.clone() })
}
