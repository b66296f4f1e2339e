//! From an open stream to a session: the startup message and authentication (PostgreSQL documentation, 55.2.1).
//!
//! Invariant: with SCRAM, the server has to prove that it knows the password before it is believed, and a server that leaves that
//! step out is refused.

use std::ops::Range;

use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::frontend;

use super::error::{Error, ServerError};
use super::tls;
use super::wire::Wire;
use crate::conninfo::{AuthMethod, ChannelBindingMode, ConnectOptions, Host};
use crate::password::Password;

/// What the server told about the new session.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Session {
    pub(super) pid: i32,
    pub(super) secret: i32,
}

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Statements in a database.
    Sql,
    /// Replication commands for the whole cluster (PostgreSQL documentation, 55.4). The database that is asked for counts only
    /// where a password is looked up.
    Replication,
}

/// Starts a session. Everything that follows on `wire` is an answer to a statement.
pub(super) fn start(
    wire: &mut Wire,
    options: &ConnectOptions,
    host: &Host,
    purpose: Purpose,
) -> Result<Session, Error> {
    send_startup(wire, options, purpose)?;
    let mut login = Login { options, host, scram: None, scram_done: false, asked: false };
    login.authenticate(wire)?;
    wire.trust();
    let mut session = Session::default();
    loop {
        let (tag, body) = wire.next()?;
        match tag {
            b'K' => {
                let numbers = wire.body(body);
                // A longer key would need a newer protocol version than we asked for.
                let (Some(pid), Some(secret)) = (int_at(numbers, 0), int_at(numbers, 4)) else {
                    return Err(wire.protocol_error("a cancel key that is too short"));
                };
                session = Session { pid, secret };
            }
            b'Z' => return Ok(session),
            b'E' => return Err(login.refused(wire, body)),
            other => return Err(unexpected(wire, other)),
        }
    }
}

fn send_startup(wire: &mut Wire, options: &ConnectOptions, purpose: Purpose) -> Result<(), Error> {
    let mut fields = vec![
        ("user", options.user()),
        ("database", options.database()),
        ("application_name", options.application_name()),
        // Texts here are UTF-8.
        ("client_encoding", "UTF8"),
    ];
    if purpose == Purpose::Replication {
        fields.push(("replication", "true"));
    }
    if let Some(settings) = &options.parameters().options {
        fields.push(("options", settings));
    }
    frontend::startup_message(fields, &mut wire.output)
        .map_err(|error| Error::NotSendable { problem: error.to_string() })?;
    wire.flush()
}

struct Login<'a> {
    options: &'a ConnectOptions,
    host: &'a Host,
    scram: Option<ScramSha256>,
    scram_done: bool,
    /// The server asked for any proof of identity.
    asked: bool,
}

impl Login<'_> {
    fn authenticate(&mut self, wire: &mut Wire) -> Result<(), Error> {
        loop {
            let (tag, body) = wire.next()?;
            match tag {
                b'R' => {
                    let Some(request) = int_at(wire.body(body.clone()), 0) else {
                        return Err(wire.protocol_error("an authentication request without a type"));
                    };
                    if request == 0 {
                        return self.accepted();
                    }
                    self.answer(wire, request, body.start + 4..body.end)?;
                }
                b'E' => return Err(self.refused(wire, body)),
                // NegotiateProtocolVersion: the server lacks an option of the startup message; all of ours are as old as the protocol.
                b'v' => {}
                other => return Err(unexpected(wire, other)),
            }
        }
    }

    /// The server says that we are in.
    fn accepted(&self) -> Result<(), Error> {
        if self.scram.is_some() && !self.scram_done {
            return Err(self.impossible("the server did not prove that it knows the password"));
        }
        if self.options.parameters().channel_binding == ChannelBindingMode::Require && !self.scram_done {
            return Err(self.impossible("channel binding is required, but the server did not ask for SCRAM"));
        }
        if !self.asked {
            self.allow(AuthMethod::None)?;
        }
        Ok(())
    }

    fn answer(&mut self, wire: &mut Wire, request: i32, body: Range<usize>) -> Result<(), Error> {
        self.asked = true;
        match request {
            3 => {
                self.allow(AuthMethod::Password)?;
                let password = self.password()?;
                self.send(wire, |output| frontend::password_message(password.bytes(), output))
            }
            5 => {
                self.allow(AuthMethod::Md5)?;
                let Ok(salt) = <[u8; 4]>::try_from(wire.body(body)) else {
                    return Err(wire.protocol_error("a salt that is not 4 bytes long"));
                };
                let password = self.password()?;
                let answer = md5_hash(self.options.user().as_bytes(), password.bytes(), salt);
                self.send(wire, |output| frontend::password_message(answer.as_bytes(), output))
            }
            10 => {
                self.allow(AuthMethod::ScramSha256)?;
                self.start_scram(wire, body)
            }
            11 => self.continue_scram(wire, body),
            12 => self.finish_scram(wire, body),
            2 => Err(self.impossible("the server asks for Kerberos 5, which is not supported")),
            7 | 8 => Err(self.impossible("the server asks for GSSAPI, which is not supported")),
            9 => Err(self.impossible("the server asks for SSPI, which is not supported")),
            other => Err(self.impossible(format!("the server asks for the unknown method {other}"))),
        }
    }

    fn start_scram(&mut self, wire: &mut Wire, body: Range<usize>) -> Result<(), Error> {
        let offered: Vec<&[u8]> = wire.body(body).split(|byte| *byte == 0).collect();
        let offers = |name: &str| offered.contains(&name.as_bytes());
        let (with_binding, without) = (offers(SCRAM_SHA_256_PLUS), offers(SCRAM_SHA_256));
        let mode = self.options.parameters().channel_binding;
        let binding = match mode {
            ChannelBindingMode::Disable => None,
            _ => {
                wire.stream.tls().and_then(|tls| tls.peer_certificates()?.first().map(tls::server_end_point))
            }
        };
        let (mechanism, binding) = match binding {
            Some(Some(hash)) if with_binding => {
                (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(hash))
            }
            _ if mode == ChannelBindingMode::Require => {
                return Err(
                    self.impossible("channel binding is required, and not possible on this connection")
                );
            }
            _ if !without => {
                return Err(self.impossible("the server offers no SASL mechanism that is supported"));
            }
            // We could have, so a server that could have, too, notices that someone removed its offer.
            Some(Some(_)) => (SCRAM_SHA_256, ChannelBinding::unrequested()),
            _ => (SCRAM_SHA_256, ChannelBinding::unsupported()),
        };
        let scram = ScramSha256::new(self.password()?.bytes(), binding);
        self.send(wire, |output| frontend::sasl_initial_response(mechanism, scram.message(), output))?;
        self.scram = Some(scram);
        Ok(())
    }

    fn continue_scram(&mut self, wire: &mut Wire, body: Range<usize>) -> Result<(), Error> {
        let Some(mut scram) = self.scram.take() else {
            return Err(wire.protocol_error("SASL data without a start"));
        };
        scram.update(wire.body(body)).map_err(|error| self.impossible(error.to_string()))?;
        self.send(wire, |output| frontend::sasl_response(scram.message(), output))?;
        self.scram = Some(scram);
        Ok(())
    }

    fn finish_scram(&mut self, wire: &mut Wire, body: Range<usize>) -> Result<(), Error> {
        let Some(mut scram) = self.scram.take() else {
            return Err(wire.protocol_error("the end of SASL without a start"));
        };
        scram.finish(wire.body(body)).map_err(|error| self.impossible(error.to_string()))?;
        self.scram = Some(scram);
        self.scram_done = true;
        Ok(())
    }

    fn send(
        &self,
        wire: &mut Wire,
        compose: impl FnOnce(&mut bytes::BytesMut) -> std::io::Result<()>,
    ) -> Result<(), Error> {
        // Errors here are texts with a NUL in them, which no password can have.
        compose(&mut wire.output).map_err(|_| self.impossible("the password contains a NUL character"))?;
        let result = wire.flush();
        wire.output.clear();
        result
    }

    fn password(&self) -> Result<Password, Error> {
        let missing = || self.impossible("the server asks for a password and none was given");
        self.options.password(self.host).ok_or_else(missing)
    }

    fn allow(&self, method: AuthMethod) -> Result<(), Error> {
        match &self.options.parameters().require_auth {
            Some(allowed) if !allowed.contains(&method) => {
                Err(self.impossible("the server wants a method that require_auth does not allow"))
            }
            _ => Ok(()),
        }
    }

    fn impossible(&self, reason: impl Into<String>) -> Error {
        Error::Authentication { host: self.host.to_string(), reason: reason.into() }
    }

    fn refused(&self, wire: &Wire, body: Range<usize>) -> Error {
        Error::Refused {
            host: self.host.to_string(),
            database: self.options.database().to_owned(),
            error: Box::new(ServerError::parse(wire.body(body))),
        }
    }
}

fn unexpected(wire: &Wire, tag: u8) -> Error {
    wire.protocol_error(format!("a message of type {:?} during startup", char::from(tag)))
}

/// The 32-bit number at `at`.
pub(super) fn int_at(bytes: &[u8], at: usize) -> Option<i32> {
    let number = bytes.get(at..at + 4)?;
    Some(i32::from_be_bytes(number.try_into().ok()?))
}
