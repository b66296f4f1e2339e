//! The channels.

mod command;
mod email;
mod http;
mod ping;
mod slack;
mod webhook;

pub use command::{CommandChannel, CommandSettings};
pub use email::{EmailChannel, EmailSecurity, EmailSettings, EmailSettingsError};
pub use http::{HttpClient, WebAddress, WebAddressError};
pub use ping::{PingChannel, PingMethod};
pub use slack::SlackChannel;
pub use webhook::{SIGNATURE_HEADER, WebhookChannel, signature};
