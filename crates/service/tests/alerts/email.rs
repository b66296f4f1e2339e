//! E-mail to a server with STARTTLS, with TLS from the start, and to one that hangs.

use std::time::Instant;

use chronavault_service::alerts::{
    Channel, EmailChannel, EmailSecurity, EmailSettings, EmailSettingsError, Secret,
};
use jiff::Timestamp;
use testkit::certificates::Authority;

use super::receiver::Receiver;
use super::{IMPATIENCE, PATIENCE, SECRET, message, secret, silence, words};

/// A mail server with a certificate for `localhost`, and settings that fit it.
fn scene(mode: &str, security: EmailSecurity) -> (Receiver, EmailSettings) {
    let authority = Authority::new("authority.example");
    let certificate = authority.issue("mail", "localhost", &["DNS:localhost"]);
    let [file, key] =
        [&certificate.certificate, &certificate.key].map(|path| path.to_str().unwrap().to_owned());
    let receiver = Receiver::start("mail.py", &[mode, &file, &key, "vault", SECRET]);
    let settings = EmailSettings {
        host: "localhost".into(),
        port: receiver.port,
        security,
        account: (security != EmailSecurity::Plain).then(|| ("vault".into(), secret())),
        from: "Backups <backups@example.org>".into(),
        to: vec!["ops@example.org".into(), "Boss <boss@example.org>".into()],
        authorities: Some(std::fs::read(authority.certificate()).unwrap()),
        hello: "vault.example".into(),
        limit: PATIENCE,
    };
    (receiver, settings)
}

fn send(settings: EmailSettings) -> Result<(), chronavault_service::alerts::ChannelError> {
    EmailChannel::new(settings).unwrap().send(&message(), Timestamp::now())
}

#[test]
fn a_mail_goes_out_under_tls_and_authenticated() {
    for (mode, security) in [("starttls", EmailSecurity::StartTls), ("tls", EmailSecurity::Tls)] {
        let (mut receiver, settings) = scene(mode, security);
        let channel = EmailChannel::new(settings).unwrap();
        assert!(!format!("{channel:?}").contains(SECRET));
        let message = message();
        channel.send(&message, Timestamp::now()).unwrap();
        let said = receiver.next();
        assert_eq!((&said["tls"], &said["authenticated"]), (&true.into(), &true.into()), "{mode}");
        assert_eq!(said["from"], "backups@example.org");
        assert_eq!(said["to"], serde_json::json!(["ops@example.org", "boss@example.org"]));
        assert_eq!(said["hello"], "vault.example");
        let headers = &said["headers"];
        assert_eq!(
            headers["Subject"],
            "chronavault [test] this is a test of the channel \"ops\"; nothing is wrong"
        );
        assert_eq!(headers["Message-ID"], format!("<{}@vault.example>", message.id));
        assert_eq!(headers["Auto-Submitted"], "auto-generated");
        let text = said["text"].as_str().unwrap().replace("\r\n", "\n");
        assert_eq!(text.trim_end(), message.to_text().trim_end());
        assert!(!said.to_string().contains(SECRET));
    }
}

#[test]
fn a_wrong_password_is_refused_and_not_shown() {
    let (_receiver, mut settings) = scene("starttls", EmailSecurity::StartTls);
    settings.account = Some(("vault".into(), Secret::new(format!("{SECRET}x"))));
    let said = words(send(settings));
    assert!(said.contains("refused the message") && said.contains("535"), "{said}");
}

#[test]
fn nothing_is_said_to_a_server_without_tls_or_with_a_foreign_certificate() {
    let (mut plain, mut settings) = scene("plain", EmailSecurity::StartTls);
    let said = words(send(settings.clone()));
    assert!(said.to_lowercase().contains("starttls"), "{said}");
    // The server is there and takes mail, if one wants it without TLS.
    (settings.security, settings.account) = (EmailSecurity::Plain, None);
    send(settings.clone()).unwrap();
    assert_eq!(plain.next()["tls"], false);
    settings.account = Some(("vault".into(), secret()));
    assert!(matches!(EmailChannel::new(settings), Err(EmailSettingsError::PlainPassword)));

    let (_receiver, mut settings) = scene("starttls", EmailSecurity::StartTls);
    settings.authorities = Some(std::fs::read(Authority::new("other.example").certificate()).unwrap());
    let said = words(send(settings.clone()));
    assert!(said.contains("certificate"), "{said}");
    settings.authorities = None;
    let said = words(send(settings));
    assert!(said.contains("certificate"), "{said}");
}

#[test]
fn a_mail_server_that_never_answers_is_left_after_the_limit() {
    let (_listener, port) = silence();
    for security in [EmailSecurity::StartTls, EmailSecurity::Tls] {
        let (_receiver, settings) = scene("plain", security);
        let began = Instant::now();
        let said =
            words(send(EmailSettings { host: "127.0.0.1".into(), port, limit: IMPATIENCE, ..settings }));
        assert_eq!(said, format!("127.0.0.1:{port} did not answer within 300ms"));
        assert!(began.elapsed() < PATIENCE);
    }
}

#[test]
fn what_is_no_address_is_refused_at_the_start() {
    let (_receiver, settings) = scene("plain", EmailSecurity::Plain);
    let with =
        |to: &[&str]| EmailSettings { to: to.iter().map(|&to| to.to_owned()).collect(), ..settings.clone() };
    assert!(matches!(EmailChannel::new(with(&[])), Err(EmailSettingsError::Nobody)));
    let error = EmailChannel::new(with(&["ops@example.org", "nobody"])).unwrap_err();
    assert_eq!(error.to_string(), "\"nobody\" is no e-mail address");
}
