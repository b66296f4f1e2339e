//! Channels from their tables.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use service::alerts::{
    CHANNEL_LIMIT, Channel, CommandChannel, CommandSettings, EmailChannel, EmailSecurity, EmailSettings,
    HttpClient, PingChannel, PingMethod, Secret, SlackChannel, WebAddress, WebhookChannel,
};

use super::super::file::{ChannelTable, ChannelType, MethodWord, PingTable, SecurityWord};
use super::Settings;
use crate::actor;
use crate::catalogue::Code;
use crate::failure::{Failure, sentence};
use crate::secret::SecretPlace;

/// Bytes of a file with certificates; what is larger is something else.
const CERTIFICATES_LIMIT: u64 = 4 << 20;
/// Seconds that a message may take. A round of the daemon begins every minute.
const TIMEOUT: std::ops::RangeInclusive<u64> = 1..=30;

impl Settings {
    /// The channel `name`, with its secrets.
    pub(super) fn channel(&self, name: &str, table: &ChannelTable) -> Result<Arc<dyn Channel>, Failure> {
        self.only_its_own(name, table)?;
        let limit = self.limit(name, table.timeout_seconds)?;
        Ok(match table.kind {
            ChannelType::Webhook => {
                let places = (
                    table.key_file.as_deref(),
                    table.key_command.as_deref(),
                    table.key_credential.as_deref(),
                );
                let key = self.secret(name, "key", places)?;
                Arc::new(WebhookChannel::new(
                    self.client(name, limit, table.ca_file.as_deref())?,
                    self.address(name, table)?,
                    key,
                ))
            }
            ChannelType::Slack => Arc::new(SlackChannel::new(
                self.client(name, limit, table.ca_file.as_deref())?,
                self.address(name, table)?,
            )),
            ChannelType::Email => Arc::new(self.email(name, table, limit)?),
            ChannelType::Command => Arc::new(self.program(name, table, limit)?),
        })
    }

    /// The ping.
    pub(super) fn ping(&self, table: &PingTable) -> Result<Arc<dyn Channel>, Failure> {
        let name = "ping";
        let places =
            (table.url_file.as_deref(), table.url_command.as_deref(), table.url_credential.as_deref());
        let address = self.web_address(name, places)?;
        let method = match table.method {
            Some(MethodWord::Post) => PingMethod::Post,
            Some(MethodWord::Get) | None => PingMethod::Get,
        };
        let client = self.client(name, self.limit(name, table.timeout_seconds)?, table.ca_file.as_deref())?;
        Ok(Arc::new(PingChannel::new(client, address, method)))
    }

    fn limit(&self, name: &str, seconds: Option<u64>) -> Result<Duration, Failure> {
        let setting = format!("{}.timeout_seconds", place(name));
        Ok(self.alert_number(&setting, seconds, TIMEOUT)?.map_or(CHANNEL_LIMIT, Duration::from_secs))
    }

    fn address(&self, name: &str, table: &ChannelTable) -> Result<WebAddress, Failure> {
        self.web_address(
            name,
            (table.url_file.as_deref(), table.url_command.as_deref(), table.url_credential.as_deref()),
        )
    }

    fn web_address(&self, name: &str, places: Places<'_>) -> Result<WebAddress, Failure> {
        let url = self.secret(name, "url", places)?;
        let url = url.ok_or_else(|| self.missing(name, "url_file (or url_command, url_credential)"))?;
        WebAddress::new(url).map_err(|error| self.wrong(name, &error))
    }

    fn client(&self, name: &str, limit: Duration, ca_file: Option<&Path>) -> Result<HttpClient, Failure> {
        let authorities = ca_file.map(|path| self.certificates(name, path)).transpose()?;
        HttpClient::new(limit, authorities.as_deref()).map_err(|error| self.wrong(name, &error))
    }

    fn certificates(&self, name: &str, path: &Path) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        let read = std::fs::File::open(path).and_then(|file| {
            std::io::Read::read_to_end(&mut std::io::Read::take(file, CERTIFICATES_LIMIT), &mut bytes)
        });
        match read {
            Ok(_) => Ok(bytes),
            Err(error) => {
                let origin = self.channel_origin(name, "ca_file");
                Err(Failure::new(
                    Code::SettingsValue,
                    format!("cannot read {} ({origin}): {error}", path.display()),
                ))
            }
        }
    }

    fn email(&self, name: &str, table: &ChannelTable, limit: Duration) -> Result<EmailChannel, Failure> {
        let security = match table.security {
            Some(SecurityWord::Starttls) | None => EmailSecurity::StartTls,
            Some(SecurityWord::Tls) => EmailSecurity::Tls,
            Some(SecurityWord::Plain) => EmailSecurity::Plain,
        };
        let places = (
            table.password_file.as_deref(),
            table.password_command.as_deref(),
            table.password_credential.as_deref(),
        );
        let account = match (table.user.clone(), self.secret(name, "password", places)?) {
            (Some(user), Some(password)) => Some((user, password)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(self.missing(name, "password_file (or password_command, password_credential)"));
            }
            (None, Some(_)) => return Err(self.missing(name, "user")),
        };
        let settings = EmailSettings {
            host: table.host.clone().ok_or_else(|| self.missing(name, "host"))?,
            port: table.port.unwrap_or(security.port()),
            security,
            account,
            from: table.from.clone().ok_or_else(|| self.missing(name, "from"))?,
            to: table.to.clone().unwrap_or_default(),
            authorities: table.ca_file.as_deref().map(|path| self.certificates(name, path)).transpose()?,
            hello: actor::current().host,
            limit,
        };
        EmailChannel::new(settings).map_err(|error| self.wrong(name, &error))
    }

    fn program(&self, name: &str, table: &ChannelTable, limit: Duration) -> Result<CommandChannel, Failure> {
        let command = table.command.as_deref().unwrap_or_default();
        let (program, arguments) = command.split_first().ok_or_else(|| self.missing(name, "command"))?;
        if !Path::new(program).is_absolute() {
            let origin = self.channel_origin(name, "command");
            return Err(super::super::wrong_value(
                &origin,
                program,
                "an absolute path with its arguments behind it",
            ));
        }
        Ok(CommandChannel::new(CommandSettings {
            program: program.into(),
            arguments: arguments.to_vec(),
            limit,
        }))
    }

    fn secret(&self, name: &str, what: &str, places: Places<'_>) -> Result<Option<Secret>, Failure> {
        let (file, command, credential) = places;
        SecretPlace { origin: &self.channel_origin(name, what), file, command, credential }
            .read(&self.environment)
    }

    /// Settings of another type would be without effect.
    fn only_its_own(&self, name: &str, table: &ChannelTable) -> Result<(), Failure> {
        use ChannelType::{Command, Email, Slack, Webhook};
        let web: &[ChannelType] = &[Webhook, Slack];
        let checks: [(&str, bool, &[ChannelType]); 8] = [
            (
                "url_…",
                table.url_file.is_some() || table.url_command.is_some() || table.url_credential.is_some(),
                web,
            ),
            (
                "key_…",
                table.key_file.is_some() || table.key_command.is_some() || table.key_credential.is_some(),
                &[Webhook],
            ),
            ("ca_file", table.ca_file.is_some(), &[Webhook, Slack, Email]),
            (
                "host, port or security",
                table.host.is_some() || table.port.is_some() || table.security.is_some(),
                &[Email],
            ),
            ("user", table.user.is_some(), &[Email]),
            (
                "password_…",
                table.password_file.is_some()
                    || table.password_command.is_some()
                    || table.password_credential.is_some(),
                &[Email],
            ),
            ("from or to", table.from.is_some() || table.to.is_some(), &[Email]),
            ("command", table.command.is_some(), &[Command]),
        ];
        for (setting, is_set, types) in checks {
            if is_set && !types.contains(&table.kind) {
                let word = format!("{:?}", table.kind).to_lowercase();
                let message = format!(
                    "{} has {setting}, which a channel of type {word} does not use",
                    self.channel_origin(name, "")
                );
                return Err(Failure::new(Code::SettingsValue, message));
            }
        }
        Ok(())
    }

    fn missing(&self, name: &str, setting: &str) -> Failure {
        Failure::new(Code::SettingsValue, format!("{} lacks {setting}", self.channel_origin(name, "")))
    }

    fn wrong(&self, name: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
        Failure::new(
            Code::SettingsValue,
            format!("{} cannot be used: {}", self.channel_origin(name, ""), sentence(error)),
        )
    }

    /// What messages call a setting of a channel, or the channel itself.
    fn channel_origin(&self, name: &str, setting: &str) -> String {
        let dot = if setting.is_empty() { "" } else { "." };
        self.file.origin(&format!("alerts.{}{dot}{setting}", place(name)))
    }
}

/// A file, a command, a credential.
type Places<'a> = (Option<&'a Path>, Option<&'a [String]>, Option<&'a str>);

fn place(name: &str) -> String {
    if name == "ping" { name.to_owned() } else { format!("channels.{name}") }
}
