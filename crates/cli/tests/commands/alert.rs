//! `alert test` and `alert list`, with other ends that are really there.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::thread::JoinHandle;

use jiff::Timestamp;
use serde_json::Value;
use service::alerts::{AlertPolicy, AlertSettings, Dispatcher, Routing, StateFile};
use service::observation::{Observation, Trouble};

use crate::harness::Place;

/// Answers one request with a status, and returns its body.
fn server(status: &'static str) -> (u16, JoinHandle<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        reader.into_inner().write_all(answer.as_bytes()).unwrap();
        serde_json::from_slice(&body).unwrap()
    });
    (port, served)
}

/// A file with a secret, for its owner only.
fn secret(place: &Place, name: &str, text: &str) -> String {
    let path = place.path(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    format!("{:?}", path.display().to_string())
}

#[test]
fn a_test_goes_out_on_every_channel_and_each_result_is_said() {
    let place = Place::new();
    let (good, got) = server("200 OK");
    let (bad, refused) = server("403 Forbidden");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let url = |name: &str, port| secret(&place, name, &format!("http://127.0.0.1:{port}/hunter2\n"));
    let out = place.path("out").display().to_string();
    let text = format!(
        "[alerts.channels.good]\ntype = \"webhook\"\nurl_file = {}\nkey_command = [\"/bin/echo\", \"hunter2\"]\n\
         [alerts.channels.bad]\ntype = \"slack\"\nurl_file = {}\n\
         [alerts.channels.silent]\ntype = \"slack\"\nurl_file = {}\ntimeout_seconds = 1\n\
         [alerts.channels.program]\ntype = \"command\"\ncommand = [\"/usr/bin/tee\", {out:?}]\n",
        url("good", good),
        url("bad", bad),
        url("silent", silent_port)
    );
    fs::write(place.path("chronavault.toml"), text).unwrap();
    let said = place.run(&["alert", "test", "--json"]);
    said.fails(1, "alerts.not_sent", "2 channels did not take the test: bad: 127.0.0.1:");
    let channels = said.json()["channels"].as_array().unwrap().clone();
    let of = |name: &str| channels.iter().find(|channel| channel["channel"] == name).unwrap().clone();
    assert_eq!(channels.len(), 4);
    assert_eq!((&of("good")["sent"], &of("program")["sent"]), (&true.into(), &true.into()));
    assert_eq!(of("bad")["reason"], format!("127.0.0.1:{bad} refused the message: HTTP status 403"));
    assert_eq!(of("silent")["reason"], format!("127.0.0.1:{silent_port} did not answer within 1s"));
    let message = got.join().unwrap();
    assert_eq!((&message["code"], &message["event"]), (&"alert.test".into(), &"test".into()));
    assert!(refused.join().unwrap()["text"].as_str().unwrap().contains("test of the channel \"bad\""));
    let written: Value = serde_json::from_str(&fs::read_to_string(place.path("out")).unwrap()).unwrap();
    assert_eq!(written["message"], "this is a test of the channel \"program\"; nothing is wrong");

    let said = place.run(&["alert", "test", "program"]);
    assert!(said.succeeds().out.contains("/usr/bin/tee"), "{said:?}");
    place.run(&["alert", "test", "nobody"]).fails(2, "settings.value", "\"nobody\"");
    fs::set_permissions(place.path("good"), fs::Permissions::from_mode(0o644)).unwrap();
    place.run(&["alert", "test"]).fails(2, "settings.secret_permissions", "alerts.channels.good.url");
}

#[test]
fn without_channels_there_is_nothing_to_test() {
    Place::new().run(&["alert", "test"]).fails(2, "alerts.none", "no channel");
}

#[test]
fn what_is_wrong_is_listed_from_the_state() {
    let place = Place::new();
    let said = place.run(&["alert", "list"]);
    assert!(said.succeeds().out.starts_with("Nobody has looked yet"), "{said:?}");
    let routing =
        Routing { channels: [].into(), routes: vec![], repeat: Routing::REPEAT, instance: "vault".into() };
    let settings = AlertSettings { policy: AlertPolicy::default(), routing, channels: [].into(), ping: None };
    let state = StateFile::new(place.path("backups/state"));
    let mut dispatcher = Dispatcher::start(settings, state.clone()).unwrap();
    let now: Timestamp = "2026-11-26T12:00:00Z".parse().unwrap();
    let trouble = Trouble {
        code: "repository.missing".into(),
        object: "/srv".into(),
        message: "the repository is not there".into(),
        hint: "Mount it.".into(),
    };
    let mut observation = Observation {
        at: now,
        backups: vec![],
        runs: [].into(),
        storage: None,
        keys: vec![],
        journal: None,
        wal: vec![],
        troubles: vec![trouble],
    };
    assert_eq!(dispatcher.round(&observation, now), []);
    let said = place.run(&["alert", "list"]);
    insta::assert_snapshot!(said.succeeds().out, @r"
    SEVERITY  SINCE                 CODE           TOLD  MESSAGE
    critical  2026-11-26T12:00:00Z  alert.trouble  -     the repository is not there (repository.missing)
    ");
    let listed = place.run(&["alert", "list", "--json"]).json();
    assert_eq!((&listed["looked"], &listed["alerts"][0]["hint"]), (&true.into(), &"Mount it.".into()));
    observation.troubles.clear();
    dispatcher.round(&observation, now);
    dispatcher.round(&observation, now);
    assert_eq!(place.run(&["alert", "list"]).out, "Nothing is wrong.\n");
    fs::write(state.path(), "{}").unwrap();
    place.run(&["alert", "list"]).fails(1, "alerts.state", "alerts.json does not hold the state");
}
