//! Finding a server among hosts and addresses, with or without TLS.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustix::net::sockopt;

use super::Client;
use super::error::{Error, ErrorKind};
use super::replication;
use super::startup::{self, Purpose};
use super::stream::{Socket, Stream};
use super::tls;
use super::wire::Wire;
use crate::conninfo::{self, ConnectOptions, Host, Parameters, SessionAttributes, SslMode};

/// One address of a host.
#[derive(Debug, Clone)]
pub(super) enum Endpoint {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// Whether one attempt uses TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encryption {
    Off,
    IfOffered,
    Required,
}

/// Tries every address of every host until one serves.
///
/// As in libpq, a host that answers and refuses ends the search, unless it says that it cannot take connections now.
pub(super) fn connect(options: &ConnectOptions, purpose: Purpose) -> Result<Client, Error> {
    let hosts = ordered_hosts(options)?;
    let wanted = options.parameters().session_attributes;
    let passes: &[SessionAttributes] = match wanted {
        SessionAttributes::PreferStandby => &[SessionAttributes::Standby, SessionAttributes::Any],
        ref other => std::slice::from_ref(other),
    };
    let mut failures = Vec::new();
    for attributes in passes {
        for host in &hosts {
            match connect_host(options, host, purpose, *attributes, &mut failures) {
                Ok(Some(client)) => return Ok(client),
                Ok(None) => {}
                Err(error) if failures.is_empty() => return Err(error),
                Err(error) => {
                    failures.push(error);
                    return Err(Error::AllHosts { failures });
                }
            }
        }
    }
    match failures.len() {
        1 => Err(failures.swap_remove(0)),
        _ => Err(Error::AllHosts { failures }),
    }
}

fn ordered_hosts(options: &ConnectOptions) -> Result<Vec<Host>, Error> {
    let mut hosts = options.hosts().to_vec();
    if options.parameters().shuffle_hosts {
        for last in (1..hosts.len()).rev() {
            let random =
                getrandom::u32().map_err(|error| Error::Unexpected { problem: error.to_string() })?;
            hosts.swap(last, random as usize % (last + 1));
        }
    }
    Ok(hosts)
}

/// Tries the addresses of one host. `None`: it cannot be used, and `failures` says why. An error ends the search.
fn connect_host(
    options: &ConnectOptions,
    host: &Host,
    purpose: Purpose,
    attributes: SessionAttributes,
    failures: &mut Vec<Error>,
) -> Result<Option<Client>, Error> {
    let endpoints = match endpoints(host) {
        Ok(endpoints) => endpoints,
        Err(error) => {
            failures.push(error);
            return Ok(None);
        }
    };
    for endpoint in endpoints {
        let attempted = attempt(options, host, &endpoint, purpose);
        match attempted.and_then(|client| has_attributes(client, purpose, attributes)) {
            Ok(client) => return Ok(Some(client)),
            Err(error) => match error.kind() {
                ErrorKind::Authentication | ErrorKind::NoSuchDatabase => return Err(error),
                _ => failures.push(error),
            },
        }
    }
    Ok(None)
}

fn endpoints(host: &Host) -> Result<Vec<Endpoint>, Error> {
    if let Some(directory) = host.socket_directory() {
        return Ok(vec![Endpoint::Unix(directory.join(format!(".s.PGSQL.{}", host.port)))]);
    }
    if let Some(address) = host.address {
        return Ok(vec![Endpoint::Tcp(SocketAddr::new(address, host.port))]);
    }
    let unreachable = |source| Error::Unreachable { host: host.to_string(), source };
    let found: Vec<Endpoint> =
        (host.name.as_str(), host.port).to_socket_addrs().map_err(unreachable)?.map(Endpoint::Tcp).collect();
    if found.is_empty() {
        return Err(unreachable(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    Ok(found)
}

/// One address, with TLS as `sslmode` wants it: `prefer` and `allow` try again the other way when the server refuses.
fn attempt(
    options: &ConnectOptions,
    host: &Host,
    endpoint: &Endpoint,
    purpose: Purpose,
) -> Result<Client, Error> {
    let (first, second) = match (endpoint, options.parameters().ssl_mode) {
        // libpq does not use TLS on a unix socket, whatever the mode.
        (Endpoint::Unix(_), _) | (_, SslMode::Disable) => (Encryption::Off, None),
        (_, SslMode::Allow) => (Encryption::Off, Some(Encryption::Required)),
        (_, SslMode::Prefer) => (Encryption::IfOffered, Some(Encryption::Off)),
        _ => (Encryption::Required, None),
    };
    let (error, was_encrypted) = match establish(options, host, endpoint, purpose, first) {
        Ok(client) => return Ok(client),
        Err(failure) => failure,
    };
    let refused = matches!(&error, Error::Refused { .. }) && error.kind() == ErrorKind::Authentication;
    let other_way = match second {
        Some(Encryption::Off) => was_encrypted && (refused || error.kind() == ErrorKind::Tls),
        Some(_) => refused,
        None => false,
    };
    let Some(second) = second.filter(|_| other_way) else { return Err(error) };
    establish(options, host, endpoint, purpose, second).map_err(|(later, _)| {
        // "No pg_hba.conf entry" for one way is less telling than "wrong password" for the other.
        if later.code() == Some("28P01") || error.code() == Some("28000") { later } else { error }
    })
}

/// One connection. An error comes with whether TLS was (being) used.
fn establish(
    options: &ConnectOptions,
    host: &Host,
    endpoint: &Endpoint,
    purpose: Purpose,
    encryption: Encryption,
) -> Result<Client, (Error, bool)> {
    let timeout = options.parameters().connect_timeout;
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut encrypted = false;
    let session = open(options, host, endpoint, encryption, deadline, &mut encrypted).and_then(|stream| {
        let mut wire = Wire::new(stream, host.to_string());
        let session = startup::start(&mut wire, options, host, purpose)?;
        Ok((wire, session))
    });
    let (mut wire, session) = session.map_err(|error| (startup_error(error, host, timeout), encrypted))?;
    wire.stream.set_deadline(None);
    let address = match endpoint {
        Endpoint::Tcp(address) => Some(address.ip()),
        Endpoint::Unix(_) => None,
    };
    Client::new(wire, session, options.pinned(host, address), endpoint.clone())
        .map_err(|error| (error, encrypted))
}

/// What a broken connection means while it is being made.
fn startup_error(error: Error, host: &Host, timeout: Option<Duration>) -> Error {
    let Error::ConnectionLost { source: Some(source), .. } = &error else { return error };
    if source.kind() == io::ErrorKind::TimedOut {
        return Error::Timeout { host: host.to_string(), timeout: timeout.unwrap_or_default() };
    }
    match source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(inner) => Error::Tls { host: host.to_string(), reason: tls::reason(inner) },
        None => error,
    }
}

/// Opens the socket and negotiates TLS.
fn open(
    options: &ConnectOptions,
    host: &Host,
    endpoint: &Endpoint,
    encryption: Encryption,
    deadline: Option<Instant>,
    encrypted: &mut bool,
) -> Result<Stream, Error> {
    let parameters = options.parameters();
    let socket = open_socket(endpoint, host, parameters, deadline)?;
    let mut stream = Stream::plain(socket);
    if encryption == Encryption::Off {
        return Ok(stream);
    }
    let refused = |reason: &str| Error::Tls { host: host.to_string(), reason: reason.to_owned() };
    if !parameters.ssl_direct {
        match ask_for_tls(&mut stream, host)? {
            b'S' => {}
            b'N' if encryption == Encryption::IfOffered => return Ok(stream),
            b'N' => return Err(refused("the server does not offer TLS")),
            // An error report before encryption could come from anyone and is not shown.
            _ => return Err(refused("the server did not understand the request")),
        }
    }
    *encrypted = true;
    let connection = tls::connection(parameters, host)?;
    stream.start_tls(connection).map_err(|source| handshake_error(source, host))?;
    let agreed = stream.tls().is_some_and(tls::agreed_on_protocol);
    if parameters.ssl_direct && !agreed {
        return Err(refused("the server does not support direct negotiation"));
    }
    Ok(stream)
}

fn handshake_error(source: io::Error, host: &Host) -> Error {
    let inner = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).map(tls::reason);
    match inner {
        Some(reason) => Error::Tls { host: host.to_string(), reason },
        None if source.kind() == io::ErrorKind::UnexpectedEof => {
            Error::Tls { host: host.to_string(), reason: "the server ended the handshake".to_owned() }
        }
        None => lost(host, source),
    }
}

fn lost(host: &Host, source: io::Error) -> Error {
    Error::ConnectionLost { host: host.to_string(), error: None, source: Some(source) }
}

/// Sends `SSLRequest` and returns the answer: exactly one byte, so nothing unencrypted can be smuggled in behind it.
fn ask_for_tls(stream: &mut Stream, host: &Host) -> Result<u8, Error> {
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    send_all(stream, &request).map_err(|source| lost(host, source))?;
    let mut answer = [0];
    match stream.receive(&mut answer) {
        Ok(0) => Err(Error::ConnectionLost { host: host.to_string(), error: None, source: None }),
        Ok(_) => Ok(answer[0]),
        Err(source) => Err(lost(host, source)),
    }
}

/// Sends a few bytes when there is nothing to read.
fn send_all(stream: &mut Stream, mut bytes: &[u8]) -> io::Result<()> {
    loop {
        match stream.send_now(bytes) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if bytes.is_empty() && stream.flush_now()? {
            return Ok(());
        }
        stream.wait_to_send(false)?;
    }
}

fn open_socket(
    endpoint: &Endpoint,
    host: &Host,
    parameters: &Parameters,
    deadline: Option<Instant>,
) -> Result<Socket, Error> {
    let unreachable = |source: io::Error| match (source.kind(), parameters.connect_timeout) {
        (io::ErrorKind::TimedOut, Some(timeout)) => Error::Timeout { host: host.to_string(), timeout },
        _ => Error::Unreachable { host: host.to_string(), source },
    };
    match endpoint {
        Endpoint::Unix(path) => {
            let fd = OwnedFd::from(UnixStream::connect(path).map_err(unreachable)?);
            let socket = Socket::new(fd, deadline);
            check_peer(&socket, host, parameters)?;
            Ok(socket)
        }
        Endpoint::Tcp(address) => {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let stream = match left {
                Some(left) => TcpStream::connect_timeout(address, left.max(Duration::from_millis(1))),
                None => TcpStream::connect(address),
            };
            let fd = OwnedFd::from(stream.map_err(unreachable)?);
            tune(&fd, address.ip(), parameters).map_err(|error| unreachable(error.into()))?;
            Ok(Socket::new(fd, deadline))
        }
    }
}

fn tune(fd: &OwnedFd, peer: IpAddr, parameters: &Parameters) -> rustix::io::Result<()> {
    sockopt::set_tcp_nodelay(fd, true)?;
    if let Some(keepalive) = parameters.keepalive {
        sockopt::set_socket_keepalive(fd, true)?;
        sockopt::set_tcp_keepidle(fd, keepalive.idle)?;
        sockopt::set_tcp_keepintvl(fd, keepalive.interval)?;
        sockopt::set_tcp_keepcnt(fd, keepalive.count)?;
    }
    // On the loopback device a timeout can only mean that the machine is overloaded.
    if let Some(timeout) = parameters.tcp_user_timeout.filter(|_| !peer.is_loopback()) {
        sockopt::set_tcp_user_timeout(fd, u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX))?;
    }
    Ok(())
}

/// `requirepeer`: the process behind a unix socket must run as this user.
fn check_peer(socket: &Socket, host: &Host, parameters: &Parameters) -> Result<(), Error> {
    let Some(wanted) = &parameters.require_peer else { return Ok(()) };
    let refused = |reason: String| Error::Authentication { host: host.to_string(), reason };
    let peer = sockopt::socket_peercred(socket.fd()).map_err(|error| refused(error.to_string()))?;
    let name = conninfo::account_numbered(peer.uid.as_raw()).map(|account| account.name);
    if name.as_deref() == Some(wanted) {
        return Ok(());
    }
    let actual = name.unwrap_or_else(|| format!("number {}", peer.uid.as_raw()));
    Err(refused(format!("requirepeer is {wanted:?}, but the server runs as {actual:?}")))
}

/// Passes the client on if its server is of the wanted kind.
fn has_attributes(mut client: Client, purpose: Purpose, wanted: SessionAttributes) -> Result<Client, Error> {
    if matches!(wanted, SessionAttributes::Any | SessionAttributes::PreferStandby) {
        return Ok(client);
    }
    let has = match purpose {
        Purpose::Sql => answers_yes(&mut client, wanted)?,
        Purpose::Replication => replication::has_attributes(&mut client, wanted)?,
    };
    if has {
        return Ok(client);
    }
    let wanted = match wanted {
        SessionAttributes::Primary => "a primary",
        SessionAttributes::Standby => "a standby",
        SessionAttributes::ReadOnly => "read-only",
        _ => "writable",
    };
    Err(Error::SessionAttributes { host: client.host().to_owned(), wanted })
}

fn answers_yes(client: &mut Client, wanted: SessionAttributes) -> Result<bool, Error> {
    let question = match wanted {
        SessionAttributes::Any | SessionAttributes::PreferStandby => return Ok(true),
        SessionAttributes::Primary => "SELECT NOT pg_catalog.pg_is_in_recovery()",
        SessionAttributes::Standby => "SELECT pg_catalog.pg_is_in_recovery()",
        SessionAttributes::ReadWrite => "SELECT pg_catalog.current_setting('transaction_read_only') = 'off'",
        SessionAttributes::ReadOnly => "SELECT pg_catalog.current_setting('transaction_read_only') = 'on'",
    };
    Ok(client.query_one(question, &[])?.is_true(0))
}

/// Opens a second connection of the same kind, sends `message` on it and waits until the server closes it.
pub(super) fn deliver(
    options: &ConnectOptions,
    endpoint: &Endpoint,
    encrypt: bool,
    message: &[u8],
) -> Result<(), Error> {
    let Some(host) = options.hosts().first() else {
        return Err(Error::Unexpected { problem: "a connection without a host".to_owned() });
    };
    let timeout = options.parameters().connect_timeout;
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let encryption = if encrypt { Encryption::Required } else { Encryption::Off };
    let mut encrypted = false;
    let mut stream = open(options, host, endpoint, encryption, deadline, &mut encrypted)
        .map_err(|error| startup_error(error, host, timeout))?;
    send_all(&mut stream, message).map_err(|source| lost(host, source))?;
    let mut rest = [0; 64];
    // A reset is as good as an end: the server never answers a cancel request.
    while let Ok(1..) = stream.receive(&mut rest) {}
    Ok(())
}
