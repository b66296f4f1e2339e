//! `journal`: what was done, and whether the log of it is what was written.

mod show;
mod verify;

use crate::args::JournalCommand;
use crate::failure::Failure;
use crate::screen::Answer;
use crate::session::Session;

pub(super) fn run(command: &JournalCommand, session: Session) -> Result<Answer, Failure> {
    match command {
        JournalCommand::Show(args) => show::run(args, session),
        JournalCommand::Verify => verify::run(session),
    }
}
