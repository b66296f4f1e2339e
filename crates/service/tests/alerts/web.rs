//! Webhooks, Slack and the ping.

use std::time::Instant;

use chronavault_service::alerts::{
    Channel, HttpClient, PingChannel, PingMethod, Secret, SlackChannel, WebAddress, WebhookChannel,
};
use jiff::Timestamp;
use serde_json::Value;
use testkit::certificates::Authority;

use super::receiver::Receiver;
use super::{IMPATIENCE, PATIENCE, SECRET, message, secret, silence, words};

fn address(text: &str) -> WebAddress {
    WebAddress::new(Secret::new(text.to_owned())).unwrap()
}

fn client() -> HttpClient {
    HttpClient::new(PATIENCE, None).unwrap()
}

fn local(receiver: &Receiver, path: &str) -> WebAddress {
    address(&format!("http://127.0.0.1:{}{path}", receiver.port))
}

#[test]
fn a_webhook_is_signed_so_that_stock_python_can_check_it() {
    let mut receiver = Receiver::start("hook.py", &[SECRET]);
    let channel = WebhookChannel::new(client(), local(&receiver, "/200"), Some(secret()));
    let message = message();
    channel.send(&message, Timestamp::now()).unwrap();
    let said = receiver.next();
    assert_eq!((&said["signed"], &said["method"]), (&true.into(), &"POST".into()));
    assert_eq!(said["type"], "application/json");
    assert!(said["agent"].as_str().unwrap().starts_with("chronavault/"));
    let body: Value = serde_json::from_str(said["body"].as_str().unwrap()).unwrap();
    assert_eq!(body, message.to_json());
    // Another key, another time, or none.
    let other = Secret::new("other".into());
    let hour_ago = Timestamp::now() - jiff::SignedDuration::from_hours(1);
    for (key, at) in [(Some(other), Timestamp::now()), (Some(secret()), hour_ago), (None, Timestamp::now())] {
        WebhookChannel::new(client(), local(&receiver, "/200"), key).send(&message, at).unwrap();
        assert_eq!(receiver.next()["signed"], false);
    }
}

#[test]
fn a_status_says_whether_it_was_taken() {
    let mut receiver = Receiver::start("hook.py", &[SECRET]);
    for (status, is_of_one) in [(404, true), (400, true), (429, false), (500, false), (503, false)] {
        let channel = WebhookChannel::new(client(), local(&receiver, &format!("/{SECRET}/{status}")), None);
        let sent = channel.send(&message(), Timestamp::now());
        receiver.next();
        assert_eq!(sent.as_ref().unwrap_err().is_of_one_message(), is_of_one, "{status}");
        let said = words(sent);
        assert!(said.contains("127.0.0.1:") && said.contains(&format!("HTTP status {status}")), "{said}");
    }
    let channel = WebhookChannel::new(client(), local(&receiver, &format!("/redirect/{SECRET}")), None);
    let said = words(channel.send(&message(), Timestamp::now()));
    assert!(said.contains("leads elsewhere"), "{said}");
    assert!(receiver.next()["path"].as_str().unwrap().starts_with("/redirect"));
    // It did not go there: the next thing that comes is something else.
    WebhookChannel::new(client(), local(&receiver, "/204"), None).send(&message(), Timestamp::now()).unwrap();
    assert_eq!(receiver.next()["path"], "/204");
}

#[test]
fn tls_trusts_the_authority_that_is_named_and_no_other() {
    let authority = Authority::new("authority.example");
    let certificate = authority.issue("hook", "localhost", &["DNS:localhost"]);
    let [file, key] =
        [&certificate.certificate, &certificate.key].map(|path| path.to_str().unwrap().to_owned());
    let mut receiver = Receiver::start("hook.py", &[SECRET, &file, &key]);
    let to = address(&format!("https://localhost:{}/200", receiver.port));
    let pem = std::fs::read(authority.certificate()).unwrap();
    let trusting = HttpClient::new(PATIENCE, Some(&pem)).unwrap();
    WebhookChannel::new(trusting.clone(), to.clone(), Some(secret()))
        .send(&message(), Timestamp::now())
        .unwrap();
    assert_eq!(receiver.next()["signed"], true);
    let other = std::fs::read(Authority::new("other.example").certificate()).unwrap();
    let other = HttpClient::new(PATIENCE, Some(&other)).unwrap();
    for distrusting in [client(), other] {
        let said =
            words(WebhookChannel::new(distrusting, to.clone(), None).send(&message(), Timestamp::now()));
        assert!(said.contains("cannot be reached") && said.contains("certificate"), "{said}");
    }
    let by_number = address(&format!("https://127.0.0.1:{}/200", receiver.port));
    let said = words(WebhookChannel::new(trusting, by_number, None).send(&message(), Timestamp::now()));
    assert!(said.contains("certificate"), "another name: {said}");
    assert!(HttpClient::new(PATIENCE, Some(b"nothing")).is_err());
}

#[test]
fn whoever_never_answers_is_left_after_the_limit() {
    let (_listener, port) = silence();
    for scheme in ["http", "https"] {
        let client = HttpClient::new(IMPATIENCE, None).unwrap();
        let to = address(&format!("{scheme}://127.0.0.1:{port}/{SECRET}"));
        let began = Instant::now();
        let said = words(WebhookChannel::new(client, to, None).send(&message(), Timestamp::now()));
        assert_eq!(said, format!("127.0.0.1:{port} did not answer within 300ms"));
        assert!(began.elapsed() >= IMPATIENCE && began.elapsed() < PATIENCE);
    }
    let (listener, port) = silence();
    drop(listener);
    let to = address(&format!("http://127.0.0.1:{port}/{SECRET}"));
    let said = words(WebhookChannel::new(client(), to, None).send(&message(), Timestamp::now()));
    assert!(said.contains("refused"), "{said}");
}

#[test]
fn slack_gets_text_and_the_ping_nothing() {
    let mut receiver = Receiver::start("hook.py", &[SECRET]);
    let slack = SlackChannel::new(client(), local(&receiver, "/200"));
    slack.send(&message(), Timestamp::now()).unwrap();
    let body: Value = serde_json::from_str(receiver.next()["body"].as_str().unwrap()).unwrap();
    assert!(body["text"].as_str().unwrap().starts_with("*[test] this is a test of the channel"), "{body}");
    assert_eq!(body.as_object().unwrap().len(), 1);
    for (method, word) in [(PingMethod::Get, "GET"), (PingMethod::Post, "POST")] {
        let ping = PingChannel::new(client(), local(&receiver, "/200"), method);
        ping.send(&message(), Timestamp::now()).unwrap();
        let said = receiver.next();
        assert_eq!((&said["method"], &said["body"]), (&word.into(), &"".into()));
    }
}
