//! `alert test`: a message on every channel.

use jiff::Timestamp;
use serde::Serialize;
use service::alerts::{Sent, send_test};

use crate::actor;
use crate::args::AlertTestArgs;
use crate::catalogue::Code;
use crate::failure::{Failure, sentence};
use crate::screen::Answer;
use crate::session::Session;
use crate::wording::{self, Column};

#[derive(Serialize)]
struct Body {
    channels: Vec<ChannelBody>,
}

#[derive(Serialize)]
struct ChannelBody {
    channel: String,
    /// Where it leads: a host, a program.
    place: String,
    sent: bool,
    /// Why it was not sent.
    reason: Option<String>,
    duration_ms: u64,
}

const COLUMNS: [Column; 4] =
    [Column::Text("CHANNEL"), Column::Text("TO"), Column::Number("TOOK"), Column::Text("RESULT")];

pub(in crate::commands) fn run(args: &AlertTestArgs, session: Session) -> Result<Answer, Failure> {
    let settings = session.settings()?;
    // Routes that name no channel are a mistake that one wants to hear of here, too.
    settings.alert_routing()?;
    settings.alert_policy()?;
    let channels = settings.alert_channels(&args.channels)?;
    if channels.is_empty() {
        return Err(Failure::new(Code::AlertsNone, "no channel for alerts is set"));
    }
    let sent = send_test(&channels, &actor::current().host, Timestamp::now());
    let body = Body { channels: sent.iter().map(ChannelBody::from).collect() };
    let rows = body.channels.iter().map(|channel| {
        let duration = wording::duration(std::time::Duration::from_millis(channel.duration_ms));
        let result = channel.reason.clone().unwrap_or_else(|| "sent".to_owned());
        vec![channel.channel.clone(), channel.place.clone(), duration, result]
    });
    let text = wording::table(&COLUMNS, rows);
    Ok(Answer::new(text, &body)?.failing(failure(&body)))
}

impl From<&Sent> for ChannelBody {
    fn from(sent: &Sent) -> Self {
        Self {
            channel: sent.channel.clone(),
            place: sent.place.clone(),
            sent: sent.outcome.is_ok(),
            reason: sent.outcome.as_ref().err().map(|error| sentence(error)),
            duration_ms: wording::millis(sent.duration),
        }
    }
}

fn failure(body: &Body) -> Option<Failure> {
    let failed: Vec<_> = body
        .channels
        .iter()
        .filter_map(|channel| Some(format!("{}: {}", channel.channel, channel.reason.as_ref()?)))
        .collect();
    let count = wording::count(failed.len() as u64, "channel");
    let message = || format!("{count} did not take the test: {}", failed.join("; "));
    (!failed.is_empty()).then(|| Failure::new(Code::AlertsNotSent, message()))
}
