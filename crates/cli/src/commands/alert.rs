//! `alert`: whether the channels work, and what is wrong at present.

mod list;
mod test;

use crate::args::AlertCommand;
use crate::failure::Failure;
use crate::screen::Answer;
use crate::session::Session;

pub(super) fn run(command: &AlertCommand, session: Session) -> Result<Answer, Failure> {
    match command {
        AlertCommand::Test(args) => test::run(args, session),
        AlertCommand::List => list::run(session),
    }
}
