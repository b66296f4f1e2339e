//! Connection URIs (PostgreSQL documentation, 34.1.1.2), read as libpq reads them.

use zeroize::Zeroizing;

use super::error::ConninfoError;
use super::settings::{Origin, Settings};

const SCHEMES: [&str; 2] = ["postgresql://", "postgres://"];

/// The text behind the scheme, if it is a connection URI.
pub(super) fn strip_scheme(text: &str) -> Option<&str> {
    SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme))
}

/// Reads `rest`, which is what [`strip_scheme`] returned.
pub(super) fn parse(rest: &str, settings: &mut Settings) -> Result<(), ConninfoError> {
    let rest = credentials(rest, settings)?;
    let (rest, hosts, ports) = hosts(rest)?;
    if hosts.iter().any(|host| !host.is_empty()) {
        store(settings, "host", &hosts.join(","))?;
    }
    if ports.iter().any(|port| !port.is_empty()) {
        store(settings, "port", &ports.join(","))?;
    }
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    if let Some(database) = path.strip_prefix('/').filter(|name| !name.is_empty()) {
        store(settings, "dbname", database)?;
    }
    query.map_or(Ok(()), |query| parameters(query, settings))
}

/// Reads `user:password@` if it is there and returns what follows. As in libpq, credentials are looked for up to the first
/// '/', so a '/' in them has to be encoded.
fn credentials<'a>(rest: &'a str, settings: &mut Settings) -> Result<&'a str, ConninfoError> {
    let Some(at) = rest.find(['@', '/']).filter(|at| rest[*at..].starts_with('@')) else { return Ok(rest) };
    let (user, password) = match rest[..at].split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (&rest[..at], None),
    };
    if !user.is_empty() {
        store(settings, "user", user)?;
    }
    if let Some(password) = password.filter(|password| !password.is_empty()) {
        store(settings, "password", password)?;
    }
    Ok(&rest[at + 1..])
}

type Hosts<'a> = (&'a str, Vec<&'a str>, Vec<&'a str>);

/// Reads `host:port,host:port…` and returns what follows, the hosts and the ports, still encoded.
fn hosts(mut rest: &str) -> Result<Hosts<'_>, ConninfoError> {
    let mut hosts = Vec::new();
    let mut ports = Vec::new();
    loop {
        let host;
        if let Some(bracketed) = rest.strip_prefix('[') {
            let end = bracketed.find(']').ok_or(error("'[' without ']'"))?;
            host = &bracketed[..end];
            if host.is_empty() {
                return Err(error("an empty IPv6 address"));
            }
            rest = &bracketed[end + 1..];
            if !rest.is_empty() && !rest.starts_with([':', '/', '?', ',']) {
                return Err(error("something other than a port behind ']'"));
            }
        } else {
            let end = rest.find([':', '/', '?', ',']).unwrap_or(rest.len());
            host = &rest[..end];
            rest = &rest[end..];
        }
        hosts.push(host);
        let mut port = "";
        if let Some(behind) = rest.strip_prefix(':') {
            let end = behind.find(['/', '?', ',']).unwrap_or(behind.len());
            port = &behind[..end];
            rest = &behind[end..];
        }
        ports.push(port);
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok((rest, hosts, ports)),
        }
    }
}

fn parameters(query: &str, settings: &mut Settings) -> Result<(), ConninfoError> {
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (keyword, value) = parameter.split_once('=').ok_or(error("a query parameter without '='"))?;
        if value.contains('=') {
            return Err(error("a query parameter with two '='"));
        }
        let keyword = String::from_utf8(decode(keyword)?.to_vec())
            .map_err(|_| error("a query parameter whose name is not UTF-8"))?;
        // JDBC's way to say it, which libpq accepts.
        if keyword == "ssl" && value == "true" {
            store(settings, "sslmode", "require")?;
            continue;
        }
        settings.set(&keyword, decode(value)?.to_vec(), Origin::Text).map_err(|error| match error {
            // A raw '@' further on tells that the '?' may have been part of a password.
            ConninfoError::UnknownKeyword { .. } if query.contains('@') => {
                ConninfoError::UnknownKeywordAfterPassword
            }
            other => other,
        })?;
    }
    Ok(())
}

fn store(settings: &mut Settings, keyword: &str, encoded: &str) -> Result<(), ConninfoError> {
    settings.set(keyword, decode(encoded)?.to_vec(), Origin::Text)
}

fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, ConninfoError> {
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(error("'%' without two hexadecimal digits"));
        };
        match u8::try_from(high * 16 + low) {
            Ok(0) | Err(_) => return Err(error("the forbidden character %00")),
            Ok(byte) => decoded.push(byte),
        }
    }
    Ok(decoded)
}

fn error(problem: &'static str) -> ConninfoError {
    ConninfoError::Uri { problem }
}
