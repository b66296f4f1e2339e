//! `wal`: between a server and the archive of its WAL.

mod fetch;
mod push;
mod receive;
mod recovered;
mod status;

use crate::args::WalCommand;
use crate::failure::Failure;
use crate::screen::Answer;
use crate::session::Session;

pub(super) fn run(command: &WalCommand, session: Session) -> Result<Answer, Failure> {
    match command {
        WalCommand::Push(args) => push::run(args, session),
        WalCommand::Fetch(args) => fetch::run(args, session),
        WalCommand::Prefetch(args) => fetch::run_ahead(args, session),
        WalCommand::Receive(args) => receive::run(args, session),
        WalCommand::Recovered(args) => recovered::run(args),
        WalCommand::Status(args) => status::run(args, session),
    }
}
