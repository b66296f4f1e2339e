//! `alert list`: what the service found last, and who was told.

use jiff::Timestamp;
use model::{BackupId, Kind};
use serde::Serialize;
use service::alerts::{Alert, AlertCode, Book, ChannelHealth, Severity, StateFile};

use crate::catalogue::Code;
use crate::failure::Failure;
use crate::screen::Answer;
use crate::session::Session;
use crate::wording::{self, Column};

#[derive(Serialize)]
struct Body {
    /// Whether anybody has looked yet.
    looked: bool,
    alerts: Vec<AlertBody>,
    channels: Vec<ChannelBody>,
}

#[derive(Serialize)]
struct AlertBody {
    code: AlertCode,
    severity: Severity,
    source: Option<String>,
    kind: Option<Kind>,
    object: Option<String>,
    backup: Option<BackupId>,
    message: String,
    hint: String,
    raised_at: String,
    changed_at: String,
    told_at: String,
    escalated_at: Option<String>,
    /// The channels that were told.
    channels: Vec<String>,
}

#[derive(Serialize)]
struct ChannelBody {
    channel: String,
    /// Messages that wait for it.
    waiting: usize,
    sent: u64,
    /// How often it failed since it took a message.
    failures: u32,
    failing_since: Option<String>,
    last_error: Option<String>,
    last_success_at: Option<String>,
    given_up: u64,
}

const COLUMNS: [Column; 5] = [
    Column::Text("SEVERITY"),
    Column::Text("SINCE"),
    Column::Text("CODE"),
    Column::Text("TOLD"),
    Column::Text("MESSAGE"),
];

pub(in crate::commands) fn run(session: Session) -> Result<Answer, Failure> {
    let screen = session.screen;
    let settings = session.settings()?;
    let file = StateFile::new(settings.state_directory());
    let book = file.read().map_err(|error| Failure::because(Code::AlertsState, &error))?;
    let looked = book.is_some();
    if !looked {
        screen.note(&format!("{} is not there", file.path().display()));
    }
    let book = book.unwrap_or_default();
    let body = Body {
        looked,
        alerts: book.alerts().into_iter().map(AlertBody::from).collect(),
        channels: book.channels().iter().map(|(name, health)| channel(name, health, &book)).collect(),
    };
    let text = match body.alerts.as_slice() {
        [] if !looked => "Nobody has looked yet whether something is wrong.".to_owned(),
        [] => "Nothing is wrong.".to_owned(),
        alerts => wording::table(&COLUMNS, alerts.iter().map(row)),
    };
    Answer::new(text, &body)
}

fn row(alert: &AlertBody) -> Vec<String> {
    let told = if alert.channels.is_empty() { "-".to_owned() } else { alert.channels.join(", ") };
    let cells = [alert.severity.as_str(), &alert.raised_at, alert.code.as_str(), &told, &alert.message];
    cells.map(str::to_owned).to_vec()
}

fn channel(name: &str, health: &ChannelHealth, book: &Book) -> ChannelBody {
    let time = |at: Option<Timestamp>| at.map(wording::time);
    ChannelBody {
        channel: name.to_owned(),
        waiting: book.outbox().iter().filter(|delivery| delivery.channel == name).count(),
        sent: health.sent,
        failures: health.failures,
        failing_since: time(health.failing_since),
        last_error: health.last_error.clone(),
        last_success_at: time(health.last_success_at),
        given_up: health.given_up,
    }
}

impl From<&Alert> for AlertBody {
    fn from(alert: &Alert) -> Self {
        let finding = alert.finding.clone();
        Self {
            code: finding.code,
            severity: finding.severity,
            source: finding.source,
            kind: finding.kind,
            object: finding.object,
            backup: finding.backup,
            message: finding.message,
            hint: finding.hint,
            raised_at: wording::time(alert.raised_at),
            changed_at: wording::time(alert.changed_at),
            told_at: wording::time(alert.told_at),
            escalated_at: alert.escalated_at.map(wording::time),
            channels: alert.informed.iter().cloned().collect(),
        }
    }
}
