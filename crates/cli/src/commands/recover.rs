//! `recover`: a scenario as a procedure, planned, run, resumed or undone, and reported.

mod asking;
mod body;
mod list;
mod lost_host;
mod procedure;
mod site;
mod tables;

use asking::Asked;
use model::Scenario;

use crate::args::RecoverCommand;
use crate::failure::Failure;
use crate::screen::Answer;
use crate::session::Session;

pub(super) use body::{Body, answer, plan_words};

pub(super) fn run(command: &RecoverCommand, session: Session) -> Result<Answer, Failure> {
    match command {
        RecoverCommand::Corruption(args) => {
            let asked =
                Asked { scenario: Scenario::Corruption, at: None, switch: true, args: &args.recovery };
            procedure::run(&asked, session)
        }
        RecoverCommand::PointInTime(args) => {
            let (at, switch) = (args.at, args.switch);
            let asked = Asked { scenario: Scenario::PointInTime, at, switch, args: &args.recovery };
            procedure::run(&asked, session)
        }
        RecoverCommand::LostHost(args) => lost_host::run(args, session),
        RecoverCommand::Tables(args) => tables::run(args, session),
        RecoverCommand::List(args) => list::run(args, session),
    }
}
