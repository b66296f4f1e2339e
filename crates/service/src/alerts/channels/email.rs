//! E-mail over SMTP.

use std::io;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use lettre::address::AddressError;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{Error as SmtpError, SmtpTransport};
use lettre::{Message as Mail, Transport};

use crate::alerts::wording::without_secrets;
use crate::alerts::{Channel, ChannelError, Message, Secret};

/// Characters of a subject; more are cut.
const SUBJECT_CHARS: usize = 180;
/// Characters of what a server says that are kept.
const REASON_CHARS: usize = 300;

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailSecurity {
    /// TLS after STARTTLS, which the server must offer. Port 587.
    StartTls,
    /// TLS from the first byte. Port 465.
    Tls,
    /// None, and so no password. Port 25.
    Plain,
}

impl EmailSecurity {
    /// The port where a server is when nothing is said.
    pub const fn port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Tls => 465,
            Self::Plain => 25,
        }
    }
}

/// Where and how to send.
#[derive(Debug, Clone)]
pub struct EmailSettings {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: EmailSecurity,
    /// The account, with its password.
    pub account: Option<(String, Secret)>,
    /// The sender: `Backups <backups@example.org>`.
    pub from: String,
    /// Who gets it.
    pub to: Vec<String>,
    /// Certificate authorities (PEM) that are trusted instead of those of the system.
    pub authorities: Option<Vec<u8>>,
    /// The name with which this machine introduces itself.
    pub hello: String,
    /// How long a step may take.
    pub limit: Duration,
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EmailSettingsError {
    /// Not an address.
    #[error("{address:?} is no e-mail address")]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it.
        #[source]
        source: AddressError,
    },
    /// Nobody gets it.
    #[error("no address is named to which to send")]
    Nobody,
    /// A password would go over the network as it is.
    #[error("a password is not sent without TLS")]
    PlainPassword,
    /// TLS cannot be set up.
    #[error("TLS for {host} cannot be set up")]
    Tls {
        /// The server.
        host: String,
        /// Why.
        #[source]
        source: SmtpError,
    },
}

/// Sends mails.
pub struct EmailChannel {
    settings: EmailSettings,
    transport: SmtpTransport,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl std::fmt::Debug for EmailChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EmailChannel({:?})", self.settings)
    }
}

impl EmailChannel {
    /// A channel with these settings.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn new(settings: EmailSettings) -> Result<Self, EmailSettingsError> {
        let mailbox = |text: &String| {
            let parsed = text.parse::<Mailbox>();
            parsed.map_err(|source| EmailSettingsError::Address { address: text.clone(), source })
        };
        let from = mailbox(&settings.from)?;
        let to = settings.to.iter().map(mailbox).collect::<Result<Vec<_>, _>>()?;
        if to.is_empty() {
            return Err(EmailSettingsError::Nobody);
        }
        let transport = transport(&settings)?;
        Ok(Self { settings, transport, from, to })
    }

    fn mail(&self, message: &Message, now: Timestamp) -> Result<Mail, lettre::error::Error> {
        let mut subject = format!("chronavault {}", message.title());
        if let Some((cut, _)) = subject.char_indices().nth(SUBJECT_CHARS) {
            subject.truncate(cut);
            subject.push('…');
        }
        // Nobody's answering machine is to answer (RFC 3834).
        let header = HeaderName::new_from_ascii_str("Auto-Submitted");
        let mut mail = Mail::builder()
            .from(self.from.clone())
            .subject(subject)
            .date(SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_second().unsigned_abs()))
            .message_id(Some(format!("<{}@{}>", message.id, self.settings.hello)))
            .raw_header(HeaderValue::new(header, "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN);
        for to in &self.to {
            mail = mail.to(to.clone());
        }
        mail.body(message.to_text())
    }

    fn failed(&self, error: &SmtpError) -> ChannelError {
        let (place, limit) = (self.place(), self.settings.limit);
        if is_late(error) {
            return ChannelError::Late { place, limit };
        }
        let reason = match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        let mut reason = without_secrets(&reason);
        if let Some((_, password)) = &self.settings.account {
            reason = password.hidden_in(&reason);
        }
        let reason = reason.chars().take(REASON_CHARS).collect();
        if error.is_permanent() || error.is_client() {
            ChannelError::Refused { place, reason }
        } else {
            ChannelError::Unreachable { place, reason }
        }
    }
}

fn transport(settings: &EmailSettings) -> Result<SmtpTransport, EmailSettingsError> {
    let parameters = || {
        let mut builder = TlsParameters::builder(settings.host.clone());
        let failed = |source| EmailSettingsError::Tls { host: settings.host.clone(), source };
        if let Some(pem) = &settings.authorities {
            builder = builder.certificate_store(CertificateStore::None);
            builder = builder.add_root_certificate(Certificate::from_pem(pem).map_err(failed)?);
        }
        builder.build_rustls().map_err(failed)
    };
    let tls = match settings.security {
        EmailSecurity::StartTls => Tls::Required(parameters()?),
        EmailSecurity::Tls => Tls::Wrapper(parameters()?),
        EmailSecurity::Plain if settings.account.is_some() => return Err(EmailSettingsError::PlainPassword),
        EmailSecurity::Plain => Tls::None,
    };
    let mut builder = SmtpTransport::builder_dangerous(settings.host.clone())
        .port(settings.port)
        .tls(tls)
        .timeout(Some(settings.limit))
        .hello_name(ClientId::Domain(settings.hello.clone()));
    if let Some((user, password)) = &settings.account {
        builder = builder.credentials(Credentials::new(user.clone(), password.reveal().to_owned()));
    }
    Ok(builder.build())
}

/// Whether the other end said nothing for too long. Sockets with a time limit say that they would block.
fn is_late(error: &SmtpError) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
        }
        source = cause.source();
    }
    error.is_timeout()
}

impl Channel for EmailChannel {
    fn send(&self, message: &Message, now: Timestamp) -> Result<(), ChannelError> {
        let mail = self
            .mail(message, now)
            .map_err(|error| ChannelError::Refused { place: self.place(), reason: error.to_string() })?;
        self.transport.send(&mail).map(|_| ()).map_err(|error| self.failed(&error))
    }

    fn limit(&self) -> Duration {
        self.settings.limit
    }

    fn place(&self) -> String {
        format!("{}:{}", self.settings.host, self.settings.port)
    }
}
