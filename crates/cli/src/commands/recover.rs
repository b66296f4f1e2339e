//! `recover`: a scenario as a procedure, planned, run, resumed or undone, and reported.

mod body;
mod database;
mod list;
mod site;
mod tables;

use model::Scenario;

use crate::args::RecoverCommand;
use crate::failure::Failure;
use crate::screen::Answer;
use crate::session::Session;

pub(super) use body::{Body, answer, plan_words};

pub(super) fn run(command: &RecoverCommand, session: Session) -> Result<Answer, Failure> {
    use database::Asked;
    match command {
        RecoverCommand::Corruption(args) => {
            let asked =
                Asked { scenario: Scenario::Corruption, at: None, switch: true, args: &args.database };
            database::run(&asked, session)
        }
        RecoverCommand::PointInTime(args) => {
            let (at, switch) = (args.at, args.switch);
            let asked = Asked { scenario: Scenario::PointInTime, at, switch, args: &args.database };
            database::run(&asked, session)
        }
        RecoverCommand::Tables(args) => tables::run(args, session),
        RecoverCommand::List(args) => list::run(args, session),
    }
}
