//! `[alerts]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// `[alerts]`: when something is wrong, and who is told.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AlertsTable {
    /// Failures in a row that are critical.
    pub(crate) failures: Option<u64>,
    /// How many times the median is unusual.
    pub(crate) outlier_factor: Option<f64>,
    /// Percent of the storage that are used: a warning.
    pub(crate) storage_percent: Option<u64>,
    /// The same: critical.
    pub(crate) storage_critical_percent: Option<u64>,
    /// Days within which the storage may not become full.
    pub(crate) forecast_days: Option<u64>,
    /// Days after which a key is old.
    pub(crate) key_days: Option<u64>,
    /// Days within which drills may not become too slow.
    pub(crate) drill_trend_days: Option<u64>,
    /// Megabytes of WAL that the archive may be behind.
    pub(crate) wal_lag_mb: Option<u64>,
    /// Minutes that the newest archived WAL may be old.
    pub(crate) wal_age_minutes: Option<u64>,
    /// Hours after which somebody is reminded.
    pub(crate) repeat_hours: Option<u64>,
    /// `[alerts.channels.NAME]`
    pub(crate) channels: BTreeMap<String, ChannelTable>,
    /// `[[alerts.routes]]`
    pub(crate) routes: Vec<RouteTable>,
    /// `[alerts.ping]`
    pub(crate) ping: Option<PingTable>,
}

/// The ways to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ChannelType {
    /// JSON, signed.
    Webhook,
    /// Text for Slack and what is like it.
    Slack,
    /// SMTP.
    Email,
    /// A program.
    Command,
}

/// `[alerts.channels.NAME]`. Which settings belong to which type is checked where they are used.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChannelTable {
    /// What it is.
    #[serde(rename = "type")]
    pub(crate) kind: ChannelType,
    /// How long a message may take.
    pub(crate) timeout_seconds: Option<u64>,
    /// Webhook, Slack: the file with the URL.
    pub(crate) url_file: Option<PathBuf>,
    /// The same from a command.
    pub(crate) url_command: Option<Vec<String>>,
    /// The same from systemd.
    pub(crate) url_credential: Option<String>,
    /// Webhook: the file with the key of signatures.
    pub(crate) key_file: Option<PathBuf>,
    /// The same from a command.
    pub(crate) key_command: Option<Vec<String>>,
    /// The same from systemd.
    pub(crate) key_credential: Option<String>,
    /// Webhook, Slack, e-mail: certificate authorities instead of those of the system.
    pub(crate) ca_file: Option<PathBuf>,
    /// E-mail: the server.
    pub(crate) host: Option<String>,
    /// E-mail: its port.
    pub(crate) port: Option<u16>,
    /// E-mail: `starttls`, `tls` or `plain`.
    pub(crate) security: Option<SecurityWord>,
    /// E-mail: the account.
    pub(crate) user: Option<String>,
    /// E-mail: the file with its password.
    pub(crate) password_file: Option<PathBuf>,
    /// The same from a command.
    pub(crate) password_command: Option<Vec<String>>,
    /// The same from systemd.
    pub(crate) password_credential: Option<String>,
    /// E-mail: the sender.
    pub(crate) from: Option<String>,
    /// E-mail: who gets it.
    pub(crate) to: Option<Vec<String>>,
    /// Command: the program and its arguments.
    pub(crate) command: Option<Vec<String>>,
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SecurityWord {
    /// TLS after STARTTLS.
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// None.
    Plain,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SeverityWord {
    /// Good to know.
    Info,
    /// For one of the next days.
    Warning,
    /// For now.
    Critical,
}

/// `[[alerts.routes]]`
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteTable {
    /// The severities.
    pub(crate) severity: Vec<SeverityWord>,
    /// The sources; all of them when nothing is said.
    pub(crate) sources: Option<Vec<String>>,
    /// The channels.
    pub(crate) channels: Vec<String>,
    /// Who is told when nothing changes.
    #[serde(default)]
    pub(crate) escalate_to: Vec<String>,
    /// After how many minutes.
    pub(crate) escalate_after_minutes: Option<u64>,
}

/// `[alerts.ping]`
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PingTable {
    /// The file with the URL.
    pub(crate) url_file: Option<PathBuf>,
    /// The same from a command.
    pub(crate) url_command: Option<Vec<String>>,
    /// The same from systemd.
    pub(crate) url_credential: Option<String>,
    /// Certificate authorities instead of those of the system.
    pub(crate) ca_file: Option<PathBuf>,
    /// `get` or `post`.
    pub(crate) method: Option<MethodWord>,
    /// Minutes between two pings.
    pub(crate) interval_minutes: Option<u64>,
    /// How long it may take.
    pub(crate) timeout_seconds: Option<u64>,
}

/// How a ping is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MethodWord {
    /// GET.
    Get,
    /// POST.
    Post,
}
