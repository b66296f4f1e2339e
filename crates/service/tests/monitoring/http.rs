//! The server, over real sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chronavault_service::Status;
use chronavault_service::http::{Address, HttpError, Limits, Server, View, serve, serve_within};
use chronavault_service::metrics::Form;
use chronavault_service::observation::{Observation, ProofFacts};
use jiff::SignedDuration;
use model::Outcome;
use serde_json::Value;
use tempfile::TempDir;

use crate::reader::read;
use crate::scene::{HOUR, backup, now, observation, status, trouble};

/// Nothing in these tests waits for so long, unless it hangs.
const LONG: Duration = Duration::from_mins(1);

fn view(status: Status) -> View {
    let status = Arc::new(status);
    View { status: Arc::new(move || Arc::clone(&status)), clock: now }
}

fn any_port() -> Address {
    "127.0.0.1:0".parse().unwrap()
}

fn server_of(status: Status) -> Server {
    serve(&any_port(), &view(status)).unwrap()
}

fn port(server: &Server) -> SocketAddr {
    match server.address() {
        Address::Tcp(address) => *address,
        Address::Unix(_) => panic!("{server:?}"),
    }
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(port(server)).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// What comes back for these bytes.
fn exchange(server: &Server, request: &[u8]) -> String {
    let mut stream = connect(server);
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(server: &Server, path: &str, accept: &str) -> (u16, String, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n");
    let answer = exchange(server, request.as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    assert_eq!(length.parse(), Ok(body.len()));
    (code(&answer), head.to_owned(), body.to_owned())
}

fn json(server: &Server, path: &str) -> (u16, Value) {
    let (code, head, body) = get(server, path, "application/json");
    assert!(head.contains("Content-Type: application/json\r\n"), "{head}");
    let value: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(value["schema_version"], 1);
    (code, value)
}

fn code(answer: &str) -> u16 {
    answer
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok())
        .unwrap()
}

#[test]
fn metrics_come_in_the_format_that_is_asked_for() {
    let server = server_of(status());
    let (code, head, body) =
        get(&server, "/metrics", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    assert_eq!(code, 200);
    assert!(
        head.contains("Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"),
        "{head}"
    );
    assert!(!read(&body, Form::OpenMetrics).unwrap().is_empty());
    let (code, head, body) = get(&server, "/metrics?x=y", "*/*");
    assert_eq!(code, 200);
    assert!(head.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
    assert!(!read(&body, Form::Prometheus).unwrap().is_empty());
}

#[test]
fn health_is_whether_the_loop_turns() {
    let server = server_of(status());
    let (code, said) = json(&server, "/health");
    assert_eq!((code, &said["live"], &said["turn_age_ms"]), (200, &true.into(), &1500.into()));
    // A look that takes long is shown, and is no reason to end what runs.
    assert_eq!(said["looking_since"], "2026-11-26T11:58:00Z");
    let hangs = Status { turned_at: now() - SignedDuration::from_secs(61), ..status() };
    let (code, said) = json(&server_of(hangs), "/health");
    assert_eq!((code, &said["live"], &said["turn_age_ms"]), (503, &false.into(), &61_000.into()));
}

/// The codes of the reasons in the answer to `/ready`.
fn reasons(change: impl FnOnce(&mut Observation)) -> (u16, Vec<String>) {
    let mut observation = observation();
    change(&mut observation);
    let server = server_of(Status { observation: Some(Arc::new(observation)), ..status() });
    let (code, said) = json(&server, "/ready");
    assert_eq!(said["ready"], code == 200);
    let reasons = said["reasons"].as_array().unwrap();
    for reason in reasons {
        assert!(reason["message"].as_str().is_some_and(|text| !text.is_empty()), "{reason}");
        assert!(reason["hint"].as_str().is_some_and(|text| !text.is_empty()), "{reason}");
    }
    (code, reasons.iter().map(|reason| reason["code"].as_str().unwrap().to_owned()).collect())
}

#[test]
fn ready_is_whether_every_rpo_is_held_and_the_keys_are_in_order() {
    let no = |code: &str| (503, vec![code.to_owned()]);
    assert_eq!(reasons(|_| ()), (200, vec![]));
    assert_eq!(reasons(|seen| seen.backups[0].rpo = Some(HOUR * 29)), (200, vec![]));
    assert_eq!(reasons(|seen| seen.backups[0].rpo = Some(HOUR * 28)), no("rpo.exceeded"));
    assert_eq!(reasons(|seen| seen.backups[0].backups.clear()), no("rpo.no-proven-backup"));
    let failed = ProofFacts { at: now(), outcome: Outcome::Failed, restore: SignedDuration::ZERO };
    let only_failed = vec![backup(1, 1, 1, 0, Some(failed))];
    assert_eq!(reasons(|seen| seen.backups[0].backups = only_failed), no("rpo.no-proven-backup"));
    assert_eq!(reasons(|seen| seen.keys.clear()), no("keys.none"));
    assert_eq!(reasons(|seen| seen.keys[0].is_used = false), no("keys.none"));
    assert_eq!(reasons(|seen| seen.troubles.push(trouble("keys.foreign"))), no("keys.foreign"));
    assert_eq!(reasons(|seen| seen.troubles.push(trouble("service.unobserved"))), no("service.unobserved"));
    let (code, said) = json(&server_of(Status { observation: None, ..status() }), "/ready");
    assert_eq!((code, &said["reasons"][0]["code"]), (503, &"starting".into()));
}

#[test]
fn what_is_no_question_is_turned_away() {
    let server = server_of(status());
    let of = |request: &[u8]| code(&exchange(&server, request));
    assert_eq!(of(b"GET /nowhere HTTP/1.1\r\n\r\n"), 404);
    assert_eq!(of(b"GET / HTTP/1.0\r\n\r\n"), 200);
    assert_eq!(of(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"), 400);
    let answer = exchange(&server, b"POST /metrics HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody");
    assert!(code(&answer) == 405 && answer.contains("\r\nAllow: GET, HEAD\r\n"), "{answer}");
    let large = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(Limits::default().head_bytes));
    assert_eq!(of(large.as_bytes()), 431);
    let head = exchange(&server, b"HEAD /health HTTP/1.1\r\n\r\n");
    assert!(code(&head) == 200 && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn slow_clients_lose_their_connection_and_hold_nobody_up() {
    let limits = Limits { workers: 2, time: Duration::from_millis(300), ..Limits::default() };
    let server = serve_within(&any_port(), &view(status()), limits).unwrap();
    // As many as there are workers, and each of them says half of a question.
    let mut slow = [connect(&server), connect(&server)];
    for stream in &mut slow {
        stream.write_all(b"GET /metrics HTT").unwrap();
    }
    assert_eq!(get(&server, "/health", "*/*").0, 200);
    for mut stream in slow {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(code(&answer), 408);
    }
}

#[test]
fn more_connections_than_may_wait_are_turned_away() {
    let limits = Limits { workers: 1, waiting: 1, time: LONG, ..Limits::default() };
    let server = serve_within(&any_port(), &view(status()), limits).unwrap();
    // One is with the worker and one waits; which of three finds no room, the threads decide.
    let (tell, told) = std::sync::mpsc::channel();
    for mut stream in [connect(&server), connect(&server), connect(&server)] {
        let tell = tell.clone();
        std::thread::spawn(move || {
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            let _ = tell.send(answer);
        });
    }
    assert_eq!(code(&told.recv_timeout(LONG).unwrap()), 503);
}

#[test]
fn a_server_stops_at_once_whoever_is_connected() {
    let limits = Limits { workers: 1, time: LONG, ..Limits::default() };
    let server = serve_within(&any_port(), &view(status()), limits).unwrap();
    let address = port(&server);
    // The worker has this one, or will have it.
    let mut half = connect(&server);
    half.write_all(b"GET /met").unwrap();
    let waits = connect(&server);
    let begin = Instant::now();
    server.stop();
    assert!(begin.elapsed() < LONG / 2);
    for mut stream in [half, waits] {
        let mut answer = Vec::new();
        assert!(matches!(stream.read_to_end(&mut answer), Ok(0) | Err(_)), "{answer:?}");
    }
    assert!(TcpStream::connect(address).is_err());
    serve(&Address::Tcp(address), &view(status())).unwrap().stop();
}

#[test]
fn a_unix_socket_is_for_user_and_group_and_goes_with_the_server() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("http.sock");
    let address = Address::Unix(path.clone());
    // One of a daemon that was killed lies there.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = serve(&address, &view(status())).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(code(&answer), 200);
    // Another daemon does not take it away.
    let other = serve(&address, &view(status())).unwrap_err();
    assert!(matches!(other, HttpError::Listen { .. }), "{other:?}");
    server.stop();
    assert!(!path.exists());
    std::fs::write(&path, "a file of somebody").unwrap();
    assert!(serve(&address, &view(status())).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"a file of somebody");
}

#[test]
fn an_address_in_use_is_named() {
    let server = server_of(status());
    let error = serve(server.address(), &view(status())).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen at {}", server.address()));
}
