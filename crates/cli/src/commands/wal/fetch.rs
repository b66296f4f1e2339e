//! `wal fetch`: the `restore_command` of a server, and the process that fetches ahead for it. Exit statuses are a matter of
//! [`crate::recovery`].

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use model::{SystemId, WalName};
use operations::{FetchRequest, Fetched, PrefetchRequest};
use serde::Serialize;

use crate::args::{GlobalArgs, WalFetchArgs, WalPrefetchArgs};
use crate::failure::{Exit, Failure};
use crate::opening;
use crate::screen::Answer;
use crate::session::Session;
use crate::surroundings::brief_context;

/// Whoever fetches ahead ends after this time, whatever it waits for: nobody waits for it, so nobody would notice.
const AHEAD_TIME: Duration = Duration::from_mins(5);

#[derive(Serialize)]
struct Body {
    name: WalName,
    system_id: SystemId,
    /// `absent`, `spool`, `archive`, `pieces` or `partial`.
    fetched: &'static str,
    /// With `pieces`: bytes that are known; zeros are behind them.
    known_bytes: Option<u32>,
}

#[derive(Serialize)]
struct AheadBody {
    segments: u32,
    was_busy: bool,
}

pub(in crate::commands) fn run(args: &WalFetchArgs, session: Session) -> Result<Answer, Failure> {
    let screen = session.screen;
    let flags = session.flags.clone();
    let settings = session.settings()?;
    let system = match args.system_id {
        Some(system) => system,
        None => operations::system_of(&args.path)?,
    };
    let threads = settings.jobs(args.jobs)?;
    let request =
        FetchRequest { name: args.name, target: args.path.clone(), system, ahead: args.ahead, threads };
    let repository = opening::repository(&settings)?;
    let report = operations::fetch_wal(&repository, &request, &brief_context())?;
    if report.wants_prefetch
        && let Err(error) = start_ahead(&flags, args, system, threads)
    {
        screen.detail(&format!("nothing is fetched ahead: {error}"));
    }
    let (fetched, known_bytes) = match report.fetched {
        Fetched::Absent => ("absent", None),
        Fetched::FromSpool => ("spool", None),
        Fetched::FromArchive => ("archive", None),
        Fetched::Unfinished { bytes } => ("pieces", Some(bytes)),
        Fetched::FromPartial => ("partial", None),
    };
    let is_absent = report.fetched == Fetched::Absent;
    if is_absent {
        screen.note(&format!("{} is not archived", args.name));
    } else {
        screen.detail(&format!("{}: {fetched}", args.name));
    }
    Ok(Answer::new("", &Body { name: args.name, system_id: system, fetched, known_bytes })?.absent(is_absent))
}

pub(in crate::commands) fn run_ahead(args: &WalPrefetchArgs, session: Session) -> Result<Answer, Failure> {
    std::thread::spawn(|| {
        std::thread::sleep(AHEAD_TIME);
        std::process::exit(i32::from(Exit::Failed as u8));
    });
    let settings = session.settings()?;
    let request = PrefetchRequest {
        after: args.after,
        target: args.path.clone(),
        system: args.system_id,
        ahead: args.ahead,
        threads: settings.jobs(Some(args.jobs))?,
    };
    let repository = opening::repository(&settings)?;
    let report = operations::prefetch_wal(&repository, &request, &brief_context())?;
    Answer::new("", &AheadBody { segments: report.segments, was_busy: report.was_busy })
}

/// Starts a process that fetches ahead. It is on its own: the server neither waits for it nor sends it signals, and it ends by
/// itself. It needs the key, so it has our environment.
fn start_ahead(
    flags: &GlobalArgs,
    args: &WalFetchArgs,
    system: SystemId,
    threads: usize,
) -> std::io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut option = |name: &str, value: Option<OsString>| {
        if let Some(value) = value {
            command.arg(name).arg(value);
        }
    };
    option("--config", flags.config.clone().map(Into::into));
    option("--directory", flags.directory.clone().map(Into::into));
    option("--repository", flags.repository.clone().map(Into::into));
    option("--key-file", flags.key_file.clone().map(Into::into));
    command
        .args(["wal", "prefetch", "--system-id", &system.to_string(), "--ahead", &args.ahead.to_string()])
        .args(["--jobs", &threads.to_string(), "--", &args.name.to_string()])
        .arg(&args.path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map(|_| ())
}
