//! `chronavault`: the command line.
//!
//! Invariant: this is the only room that prints, reads the environment and the clock, or sets an exit status; and all it
//! decides is how to ask and how to show. What is asked is in [`args`] and [`settings`], what is shown in [`screen`], what
//! went wrong in [`catalogue`]. Each command has a file of its own in [`commands`].

mod actor;
mod args;
mod catalogue;
mod commands;
mod connection;
mod environment;
mod failure;
mod hardening;
mod hooks;
mod key;
mod opening;
mod process;
mod progress;
mod recording;
mod recovery;
mod runbook;
mod screen;
mod secret;
mod session;
mod settings;
mod sheet;
mod signals;
mod site;
mod surroundings;
mod usage;
mod wal_event;
mod wording;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use args::Cli;
use environment::Environment;
use failure::Exit;
use recording::Noted;
use screen::Screen;
use session::Session;

fn main() -> ExitCode {
    hardening::forbid_core_dumps();
    let environment = Environment::from_variables(env::vars_os());
    let arguments: Vec<OsString> = env::args_os().collect();
    let exit = recovery::guard(&arguments, || match Cli::try_parse_from(&arguments) {
        Ok(cli) => run(cli, environment),
        Err(error) => usage::explain(&error, &arguments, &environment),
    });
    exit.into()
}

fn run(cli: Cli, environment: Environment) -> Exit {
    if let Some(parent) = cli.global.supervised_by {
        process::end_with(parent);
    }
    let screen = Screen::new(&cli.global, &environment);
    let session = Session { screen, flags: cli.global, environment, noted: Noted::default(), loaded: None };
    match recording::run(cli.command, session) {
        Ok(answer) => screen.answer(&answer),
        Err(failure) => screen.failure(&failure),
    }
}
