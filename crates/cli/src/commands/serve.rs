//! `serve`: the daemon. It runs what is due, each run as a process of its own, receives WAL, and watches.

mod log;
mod shown;
mod watcher;
mod world;

use std::path::Path;
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use service::Observer;
use service::daemon::{Daemon, LOOK_LIMIT, Plan, Wish};
use service::http;
use service::notify::{self, Manager};
use service::scheduler::{Action, Task};
use service::worker::Program;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use self::log::Log;
use self::shown::Shown;
use self::world::{Invocation, ServeWorld};
use crate::args::{GlobalArgs, RetentionArgs};
use crate::catalogue::Code;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::opening;
use crate::recording;
use crate::screen::Answer;
use crate::session::Session;
use crate::settings::{ServiceSettings, Settings};

/// The loop of the daemon turns at least so often.
const TURN: Duration = Duration::from_secs(20);

pub(super) fn run(session: Session) -> Result<Answer, Failure> {
    let (screen, flags) = (session.screen, session.flags.clone());
    let environment = session.environment.clone();
    let settings = session.settings()?;
    let service = settings.service()?;
    let is_backup = |task: &Task| matches!(task.action, Action::Backup { .. });
    if service.receivers.is_empty() && !service.tasks.iter().any(is_backup) {
        settings.source(None)?;
    }
    make_private(&service.state_directory)?;
    let observer = observer(&settings, &service)?;
    let plan = plan(&flags, &environment, &service)?;
    let wishes = wishes()?;
    let shown = Shown::new(plan.turn_every);
    let mut log = Log::new(screen);
    // Whoever cannot look at the service is no reason not to make backups.
    let server = service.listen.as_ref().map(|address| http::serve(address, &shown.view()));
    if let Some(Err(error)) = &server {
        log.failure(&Failure::because(Code::ServiceListen, error));
    }
    let manager = manager(&environment)?;
    let mut world =
        ServeWorld::new(Invocation { flags, environment }, settings, observer, shown, manager, log);
    let daemon = Daemon::new(plan, &mut world, wishes);
    daemon.map_err(|error| Failure::because(Code::Internal, &error))?.run();
    drop(server);
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

fn plan(flags: &GlobalArgs, environment: &Environment, service: &ServiceSettings) -> Result<Plan, Failure> {
    let path = std::env::current_exe().map_err(|error| Failure::because(Code::Internal, &error))?;
    Ok(Plan {
        tasks: service.tasks.clone(),
        receivers: service.receivers.clone(),
        program: Program { path, arguments: flags.again() },
        finishes_runs: service.finishes_runs,
        grace: service.grace,
        observe_every: service.observe_every,
        look_limit: LOOK_LIMIT,
        turn_every: watchdog(environment).map_or(TURN, |interval| TURN.min(interval / 3)),
    })
}

/// How often the service manager wants to hear that the daemon is alive, if it does.
fn watchdog(environment: &Environment) -> Option<Duration> {
    let (usec, pid) = (environment.raw("WATCHDOG_USEC"), environment.raw("WATCHDOG_PID"));
    notify::watchdog(usec, pid, std::process::id())
}

fn manager(environment: &Environment) -> Result<Manager, Failure> {
    Manager::at(environment.raw("NOTIFY_SOCKET")).map_err(|error| {
        let message = format!("the service manager cannot be reached through NOTIFY_SOCKET: {error}");
        Failure::new(Code::SettingsValue, message)
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
