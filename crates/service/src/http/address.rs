//! Where to listen.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// What addresses of sockets begin with.
const UNIX: &str = "unix:";

/// An address to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An IP address and a port, as `127.0.0.1:9187` or `[::1]:9187`.
    Tcp(SocketAddr),
    /// A unix socket, as `unix:/run/chronavault/http.sock`. Its user and group may connect.
    Unix(PathBuf),
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is neither an IP address with a port nor unix: and an absolute path")]
pub struct ParseAddressError {
    text: String,
}

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseAddressError { text: text.to_owned() };
        match text.strip_prefix(UNIX).map(PathBuf::from) {
            Some(path) if path.is_absolute() => Ok(Self::Unix(path)),
            Some(_) => Err(error()),
            None => text.parse().map(Self::Tcp).map_err(|_| error()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_what_it_says() {
        for text in [super::super::DEFAULT_ADDRESS, "[::1]:80", "unix:/run/chronavault/http.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["", "9187", "localhost:9187", "127.0.0.1", "unix:", "unix:here.sock", "/run/x"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
