//! The commands, one file each. A command takes its arguments and a session and returns an answer or a failure; it
//! prints nothing itself but progress and notes.

mod alert;
mod backup;
mod backup_cluster;
mod check;
mod completions;
mod config;
mod delete;
mod demo;
mod describe;
mod doctor;
mod drill;
mod export;
mod hold;
mod init;
mod journal;
mod keys;
mod list;
mod man;
mod preflight;
mod prune;
mod recover;
mod restore;
mod restore_cluster;
mod runbook;
mod serve;
mod show;
mod verify;
mod wal;

use crate::args::Command;
use crate::failure::Failure;
use crate::screen::Answer;
use crate::session::Session;

/// Runs a command.
pub(crate) fn run(command: Command, session: Session) -> Result<Answer, Failure> {
    match command {
        Command::Init => init::run(session),
        Command::Backup(args) => backup::run(&args, session),
        Command::List(args) => list::run(&args, session),
        Command::Show(args) => show::run(&args, session),
        Command::Verify(args) => verify::run(&args, session),
        Command::Restore(args) => restore::run(&args, session),
        Command::Check(args) => check::run(&args, session),
        Command::Export(args) => export::run(&args, session),
        Command::Prune(args) => prune::run(&args, session),
        Command::Keys(command) => keys::run(&command, session),
        Command::Delete(args) => delete::run(&args, session),
        Command::Hold(args) => hold::run(&args, session),
        Command::Wal(command) => wal::run(&command, session),
        Command::Journal(command) => journal::run(&command, session),
        Command::Alert(command) => alert::run(&command, session),
        Command::Recover(command) => recover::run(&command, session),
        Command::Drill(args) => drill::run(&args, session),
        Command::Runbook(args) => runbook::run(&args, session),
        Command::Serve => serve::run(session),
        Command::Config(command) => config::run(command, session),
        Command::Doctor(args) => doctor::run(&args, session),
        Command::Demo(args) => demo::run(&args, session),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}
