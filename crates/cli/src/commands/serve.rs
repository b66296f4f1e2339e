//! `serve`: the daemon. It runs what is due, each run as a process of its own, receives WAL, and watches.

mod log;
mod world;

use std::path::Path;

use crossbeam_channel::{Receiver, unbounded};
use service::Observer;
use service::daemon::{Daemon, Plan, Wish};
use service::worker::Program;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use self::log::Log;
use self::world::ServeWorld;
use crate::args::{GlobalArgs, RetentionArgs};
use crate::catalogue::Code;
use crate::failure::Failure;
use crate::opening;
use crate::recording;
use crate::screen::Answer;
use crate::session::Session;
use crate::settings::{ServiceSettings, Settings};

pub(super) fn run(session: Session) -> Result<Answer, Failure> {
    let (screen, flags) = (session.screen, session.flags.clone());
    let environment = session.environment.clone();
    let settings = session.settings()?;
    let service = settings.service()?;
    make_private(&service.state_directory)?;
    let observer = observer(&settings, &service)?;
    let plan = plan(&flags, &service)?;
    let wishes = wishes()?;
    let mut world = ServeWorld::new(flags, environment, settings, observer, Log::new(screen));
    Daemon::new(plan, &mut world, wishes).run();
    Answer::new("", &serde_json::json!({ "stopped": true }))
}

/// What the daemon looks at everything with.
fn observer(settings: &Settings, service: &ServiceSettings) -> Result<Observer, Failure> {
    Ok(Observer::new(
        opening::repository(settings)?,
        recording::directory(settings),
        settings.retention(&RetentionArgs::default())?,
        service.rpo.clone(),
        service.state_directory.join("usage"),
    ))
}

fn plan(flags: &GlobalArgs, service: &ServiceSettings) -> Result<Plan, Failure> {
    let path = std::env::current_exe().map_err(|error| Failure::because(Code::Internal, &error))?;
    Ok(Plan {
        tasks: service.tasks.clone(),
        receivers: service.receivers.clone(),
        program: Program { path, arguments: flags.again() },
        finishes_runs: service.finishes_runs,
        grace: service.grace,
        observe_every: service.observe_every,
    })
}

/// Signals as wishes, from now on: SIGTERM and SIGINT end the daemon, SIGHUP has it read its settings again.
fn wishes() -> Result<Receiver<Wish>, Failure> {
    let internal = |error: std::io::Error| Failure::because(Code::Internal, &error);
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(internal)?;
    let (sender, wishes) = unbounded();
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                let wish = if signal == SIGHUP { Wish::Reload } else { Wish::Stop };
                if sender.send(wish).is_err() {
                    return;
                }
            }
        })
        .map_err(internal)?;
    Ok(wishes)
}

/// A directory that nobody else can look into.
fn make_private(directory: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|error| {
        let message = format!("cannot create {}: {error}", directory.display());
        Failure::new(Code::OutputFailed, message)
            .with_hint("Name another place with service.state_directory.")
    })
}
