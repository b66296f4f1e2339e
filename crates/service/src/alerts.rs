//! Alerts: what is wrong at a moment, who is told about it and when, and by which channels.
//!
//! Invariant: [`evaluate`] and the [`Book`] are pure; only the [`Dispatcher`], its channels and the state file act. What was raised is
//! told to the end: it is sent until a channel takes it or its attempts are used up, and when it is over, that is told, too. No message
//! holds a secret, and no error of a channel shows its address beyond the host.
//!
//! Deliberately absent: where settings and secrets come from; whoever starts the dispatcher hands them over.

mod book;
mod channel;
mod channels;
mod code;
mod conditions;
mod dispatcher;
mod evaluation;
mod finding;
mod message;
mod policy;
mod route;
mod secret;
mod series;
mod state_file;
mod statistics;
mod wording;

pub use book::{
    ABSENT_UNTIL_RESOLVED, ATTEMPTS, ATTEMPTS_UNTIL_FAILED, Alert, Book, ChannelHealth, Delivery,
    OUTBOX_LIMIT, RETRY_FIRST, RETRY_MOST,
};
pub use channel::{CHANNEL_LIMIT, Channel, ChannelError, Sent, send_test};
pub use channels::{
    CommandChannel, CommandSettings, EmailChannel, EmailSecurity, EmailSettings, EmailSettingsError,
    HttpClient, PingChannel, PingMethod, SIGNATURE_HEADER, SlackChannel, WebAddress, WebAddressError,
    WebhookChannel, signature,
};
pub use code::AlertCode;
pub use dispatcher::{AlertSettings, ChannelTrouble, Dispatcher, PING, PingSettings, ROUND_LIMIT};
pub use evaluation::{evaluate, is_unknown};
pub use finding::{AlertKey, Finding, Severity};
pub use message::{Event, Message};
pub use policy::AlertPolicy;
pub use route::{Route, Routing};
pub use secret::Secret;
pub use state_file::{ALERTS_FILE, StateFile, StateFileError};
