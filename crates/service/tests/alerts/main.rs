//! Channels against real other ends: an HTTP server of stock Python, a mail server, programs, and one that hangs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod command;
mod email;
mod receiver;
mod web;

use std::time::Duration;

use chronavault_service::alerts::{ChannelError, Message, Secret};
use jiff::Timestamp;

/// What no error and no output may show.
const SECRET: &str = "hunter2";
/// Long enough for any other end on this machine that answers at all.
const PATIENCE: Duration = Duration::from_mins(1);
/// For other ends that never answer.
const IMPATIENCE: Duration = Duration::from_millis(300);

fn message() -> Message {
    Message::test("ops", "vault.example", Timestamp::now())
}

fn secret() -> Secret {
    Secret::new(SECRET.to_owned())
}

/// The error in words. P9: it holds no secret.
#[track_caller]
fn words(result: Result<(), ChannelError>) -> String {
    let error = result.unwrap_err();
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(!text.contains(SECRET), "{text}");
    }
    error.to_string()
}

/// A port on which somebody accepts connections and never says anything.
fn silence() -> (std::net::TcpListener, u16) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}
