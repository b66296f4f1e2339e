//! `[alerts]`.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use ::service::alerts::{AlertPolicy, Routing, Severity};
use jiff::SignedDuration;

use super::*;

/// Settings with this file, and a secret URL in `url` beside it.
fn with(text: &str) -> Given {
    let given = given();
    let url = given.directory.path().join("url");
    fs::write(&url, "https://hooks.example/hunter2\n").unwrap();
    fs::set_permissions(&url, fs::Permissions::from_mode(0o600)).unwrap();
    let text = text.replace("URL_FILE", &format!("url_file = {:?}", url.display().to_string()));
    given.file(&text)
}

/// Why the channels of a file cannot be used. Nothing secret is in it.
#[track_caller]
fn refused(text: &str) -> Failure {
    let given = with(text);
    let settings = given.settings().unwrap();
    let result = settings.alert_channels(&[]).map(|_| ()).and_then(|()| settings.alert_routing().map(|_| ()));
    let failure = result.and_then(|()| settings.alert_policy().map(|_| ())).unwrap_err();
    assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
    failure
}

const OPS: &str = "[alerts.channels.ops]\ntype = \"webhook\"\nURL_FILE\n";

#[test]
fn thresholds_have_defaults_and_limits() {
    let policy = |text: &str| with(text).settings().unwrap().alert_policy();
    assert_eq!(policy("").unwrap(), AlertPolicy::default());
    let given = policy(
        "[alerts]\nfailures = 2\nstorage_percent = 70\nwal_lag_mb = 5\nwal_age_minutes = 90\nforecast_days = 1\n",
    );
    let expected = AlertPolicy {
        failures: 2,
        storage_percent: 70,
        wal_lag_bytes: 5_000_000,
        wal_age: Some(SignedDuration::from_mins(90)),
        forecast_days: 1,
        forecast_critical_days: 1,
        ..AlertPolicy::default()
    };
    assert_eq!(given.unwrap(), expected);
    for (setting, name) in [
        ("failures = 0", "alerts.failures"),
        ("storage_percent = 101", "alerts.storage_percent"),
        ("outlier_factor = 0.5", "alerts.outlier_factor"),
    ] {
        let failure = refused(&format!("[alerts]\n{setting}\n"));
        assert!(failure.code == Code::SettingsValue && failure.message.contains(name), "{}", failure.message);
    }
}

#[test]
fn routes_name_channels_that_are_there() {
    let text = format!(
        "{OPS}[alerts.channels.boss]\ntype = \"command\"\ncommand = [\"/bin/true\"]\n[[alerts.routes]]\nseverity = [\"critical\"]\n\
         channels = [\"ops\"]\nescalate_to = [\"boss\"]\nescalate_after_minutes = 60\n"
    );
    let routing = with(&text).settings().unwrap().alert_routing().unwrap();
    assert_eq!(routing.channels, BTreeSet::from(["boss".to_owned(), "ops".to_owned()]));
    let [route] = &routing.routes[..] else { panic!("not one") };
    assert_eq!(
        (&route.sources[..], route.severities.first()),
        (&["*".to_owned()][..], Some(&Severity::Critical))
    );
    assert_eq!((route.escalate_after, routing.repeat), (SignedDuration::from_hours(1), Routing::REPEAT));
    let route = "[[alerts.routes]]\nseverity = [\"critical\"]\nchannels = [\"opps\"]\n";
    let failure = refused(&format!("{OPS}{route}"));
    assert!(
        failure.message.contains("\"opps\"") && failure.message.contains("there are ops"),
        "{}",
        failure.message
    );
    assert!(
        refused(&format!("{OPS}[[alerts.routes]]\nseverity = []\nchannels = [\"ops\"]\n"))
            .message
            .contains("no severity")
    );
    assert!(refused(&OPS.replace("channels.ops", "channels.ping")).message.contains("not ping"));
    let unknown = with("[[alerts.routes]]\nseverity = [\"bad\"]\nchannels = []\n").settings().unwrap_err();
    assert_eq!(unknown.code, Code::SettingsFile);
}

#[test]
fn a_channel_has_what_its_type_needs_and_nothing_else() {
    let given = with(OPS);
    assert_eq!(given.settings().unwrap().alert_channels(&[]).unwrap()["ops"].place(), "hooks.example");
    let email = "[alerts.channels.ops]\ntype = \"email\"\nhost = \"mail.example\"\nfrom = \"a@b.example\"\nto = [\"c@d.example\"]\n";
    let place = with(email).settings().unwrap().alert_channels(&[]).unwrap()["ops"].place();
    assert_eq!(place, "mail.example:587");
    for (text, words) in [
        ("type = \"webhook\"\n", "lacks url_file"),
        ("type = \"webhook\"\nURL_FILE\nurl_credential = \"x\"\n", "more than one way"),
        ("type = \"slack\"\nURL_FILE\nkey_credential = \"x\"\n", "does not use"),
        ("type = \"webhook\"\nURL_FILE\nkey_file = \"/nowhere/key\"\n", "/nowhere/key"),
        ("type = \"webhook\"\nURL_FILE\nca_file = \"/nowhere/ca\"\n", "/nowhere/ca"),
        ("type = \"webhook\"\nURL_FILE\ntimeout_seconds = 31\n", "alerts.channels.ops.timeout_seconds"),
        ("type = \"command\"\ncommand = [\"true\"]\n", "absolute path"),
        ("type = \"command\"\n", "lacks command"),
        ("type = \"email\"\nfrom = \"a@b.example\"\nto = [\"c@d.example\"]\n", "lacks host"),
        (
            "type = \"email\"\nhost = \"m\"\nfrom = \"nobody\"\nto = [\"c@d.example\"]\n",
            "\"nobody\" is no e-mail address",
        ),
        ("type = \"email\"\nhost = \"m\"\nfrom = \"a@b.example\"\n", "no address is named"),
        (
            "type = \"email\"\nhost = \"m\"\nfrom = \"a@b.example\"\nto = [\"c@d.example\"]\nuser = \"x\"\n",
            "lacks password_file",
        ),
        (
            "type = \"email\"\nhost = \"m\"\nfrom = \"a@b.example\"\nto = [\"c@d.example\"]\nuser = \"x\"\npassword_command = [\"/bin/echo\", \"hunter2\"]\nsecurity = \"plain\"\n",
            "without TLS",
        ),
        (
            "type = \"webhook\"\nurl_command = [\"/bin/echo\", \"https://u:hunter2@h/\"]\n",
            "user or password in it",
        ),
        ("type = \"webhook\"\nurl_command = [\"/bin/echo\", \"hunter2\"]\n", "https://HOST/PATH"),
    ] {
        let failure = refused(&format!("[alerts.channels.ops]\n{text}"));
        assert!(failure.message.contains(words), "{text}: {}", failure.message);
    }
}

#[test]
fn only_the_channels_that_are_asked_for_need_their_secrets() {
    let text = format!(
        "{OPS}[alerts.channels.other]\ntype = \"slack\"\nurl_file = \"/nowhere/url\"\n[alerts.ping]\nURL_FILE\n"
    );
    let given = with(&text);
    let settings = given.settings().unwrap();
    let of = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        settings.alert_channels(&names).map(|channels| channels.into_keys().collect::<Vec<_>>())
    };
    assert_eq!(of(&["ops", "ping"]).unwrap(), ["ops", "ping"]);
    assert_eq!(of(&[]).unwrap_err().code, Code::SettingsSecret);
    assert!(of(&["nobody"]).unwrap_err().message.contains("there are ops, other"));
}

#[test]
fn what_is_commented_out_in_the_example_is_right() {
    let (_, example) = include_str!("../../../../../docs/chronavault.toml").split_once("\n[alerts]").unwrap();
    let is_setting = |line: &str| line.starts_with('[') || line.contains(" = ");
    let uncommented = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if is_setting(rest) && !rest.starts_with("Secrets") => rest.to_owned(),
        _ => line.to_owned(),
    };
    let lines: Vec<_> = example.lines().map(uncommented).collect();
    let given = given();
    let directory = given.directory.path().display().to_string();
    let text = format!("[alerts]{}", lines.join("\n")).replace("/etc/chronavault", &directory);
    for (name, secret) in [
        ("ops-url", "https://hooks.example/x"),
        ("ops-key", "key"),
        ("chat-url", "https://chat.example/x"),
        ("smtp-password", "word"),
        ("ping-url", "https://ping.example/x"),
    ] {
        fs::write(given.directory.path().join(name), secret).unwrap();
        fs::set_permissions(given.directory.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let given = given.file(&text);
    let settings = given.settings().unwrap();
    let names: Vec<_> = ["ops", "chat", "boss", "pager", "ping"].map(str::to_owned).into();
    assert_eq!(settings.alert_channels(&names).unwrap().len(), 5);
    assert_eq!(settings.alert_routing().unwrap().routes.len(), 1);
    assert_eq!(settings.alert_policy().unwrap().wal_age, Some(SignedDuration::from_mins(60)));
}
