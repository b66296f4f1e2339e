//! `wal push`: the `archive_command` of a server. It says nothing when all is well: what it says ends up in the log of the server.

use model::{SystemId, TimelineId, WalName};
use operations::PushRequest;
use repository::Stored;
use serde::Serialize;

use crate::args::{BackupArgs, WalPushArgs};
use crate::failure::{Failure, sentence};
use crate::opening;
use crate::screen::Answer;
use crate::session::Session;
use crate::surroundings::brief_context;
use crate::wording;

#[derive(Serialize)]
struct Body {
    name: WalName,
    system_id: SystemId,
    timeline: TimelineId,
    /// Whether it was archived before.
    already_there: bool,
    plain_bytes: u64,
    /// Segments that were taken along.
    ahead: Vec<String>,
    duration_ms: u64,
}

pub(in crate::commands) fn run(args: &WalPushArgs, session: Session) -> Result<Answer, Failure> {
    let screen = session.screen;
    let settings = session.settings()?;
    let request = PushRequest {
        path: args.path.clone(),
        system: args.system_id,
        ahead: args.ahead,
        threads: settings.jobs(args.jobs)?,
        level: settings.backup(&BackupArgs::default())?.compression,
    };
    let repository = opening::repository(&settings)?;
    let report = operations::push_wal(&repository, &request, &brief_context())?;
    if let Some(error) = &report.failed_ahead {
        // The server asks for that segment again, and is told then.
        screen.detail(&format!("what comes next was not taken along: {}", sentence(error)));
    }
    let body = Body {
        name: report.name,
        system_id: report.system,
        timeline: report.name.timeline(),
        already_there: report.stored == Stored::Same,
        plain_bytes: report.bytes,
        ahead: report.ahead.iter().map(ToString::to_string).collect(),
        duration_ms: wording::millis(report.duration),
    };
    let done = if body.already_there { "is archived already" } else { "is archived" };
    screen.detail(&format!("{} {done}; {} taken along", body.name, body.ahead.len()));
    Answer::new("", &body)
}
