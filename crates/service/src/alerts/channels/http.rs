//! HTTP, as far as channels need it: one request, one status.
//!
//! Invariant: no error shows more of an address than its host and port, for the rest may be a secret. Redirects are not followed, for they
//! could lead a secret elsewhere; the environment has no say, so no proxy is used.

use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use ureq::Agent;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::alerts::{ChannelError, Secret};

const USER_AGENT: &str = concat!("chronavault/", env!("CARGO_PKG_VERSION"));

/// The text is no address for messages. The text itself is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebAddressError {
    /// It is no URL.
    #[error("the URL does not have the form https://HOST/PATH")]
    Form,
    /// It holds a user or password.
    #[error("the URL has a user or password in it, which are not sent")]
    User,
    /// A certificate file holds none.
    #[error("the file with certificates has none that can be read")]
    Certificates,
}

/// A URL of which only the host is ever shown.
#[derive(Debug, Clone)]
pub struct WebAddress {
    url: Secret,
    place: String,
}

impl WebAddress {
    /// Reads a URL.
    ///
    /// # Errors
    /// When it is not one of `http://` or `https://` with a host and nothing before it.
    pub fn new(url: Secret) -> Result<Self, WebAddressError> {
        let uri: Uri = url.reveal().parse().map_err(|_| WebAddressError::Form)?;
        let authority = uri.authority().ok_or(WebAddressError::Form)?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || authority.host().is_empty() {
            return Err(WebAddressError::Form);
        }
        if authority.as_str().contains('@') {
            return Err(WebAddressError::User);
        }
        let place = authority.as_str().to_owned();
        Ok(Self { url, place })
    }

    /// The host and port.
    pub fn place(&self) -> &str {
        &self.place
    }
}

/// Asks HTTP servers.
#[derive(Debug, Clone)]
pub struct HttpClient {
    agent: Agent,
    limit: Duration,
}

impl HttpClient {
    /// A client whose requests take `limit` at most, from the look-up of the name to the status. It trusts the certificate authorities of the
    /// system, or those in `authorities` (PEM) instead.
    ///
    /// # Errors
    /// When `authorities` holds no certificate.
    pub fn new(limit: Duration, authorities: Option<&[u8]>) -> Result<Self, WebAddressError> {
        let roots: Vec<_> = match authorities {
            Some(pem) => {
                let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
                parsed.ok().filter(|found| !found.is_empty()).ok_or(WebAddressError::Certificates)?
            }
            None => rustls_native_certs::load_native_certs().certs,
        };
        let roots: Vec<_> = roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&roots))
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(limit))
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_idle_connections(0)
            .user_agent(USER_AGENT)
            .build()
            .new_agent();
        Ok(Self { agent, limit })
    }

    /// How long a request takes at most.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Posts a body.
    pub(super) fn post(
        &self,
        address: &WebAddress,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<(), ChannelError> {
        let mut request = self.agent.post(address.url.reveal());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send(body).map_err(|error| self.failed(address, &error))?;
        accepted(address, answer.status().as_u16())
    }

    /// Gets something and does not look at it.
    pub(crate) fn get(&self, address: &WebAddress) -> Result<(), ChannelError> {
        let answer = self.agent.get(address.url.reveal()).call();
        accepted(address, answer.map_err(|error| self.failed(address, &error))?.status().as_u16())
    }

    fn failed(&self, address: &WebAddress, error: &ureq::Error) -> ChannelError {
        let place = address.place.clone();
        let reason = match error {
            ureq::Error::Timeout(_) => return ChannelError::Late { place, limit: self.limit },
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                return ChannelError::Late { place, limit: self.limit };
            }
            ureq::Error::Io(error) => error.to_string(),
            ureq::Error::HostNotFound => "its name is not known".to_owned(),
            ureq::Error::Rustls(error) => format!("TLS failed: {error}"),
            ureq::Error::Tls(what) => format!("TLS failed: {what}"),
            ureq::Error::ConnectionFailed => "the connection failed".to_owned(),
            // Others may repeat the address.
            _ => "it does not speak HTTP as it should".to_owned(),
        };
        ChannelError::Unreachable { place, reason: address.url.hidden_in(&reason) }
    }
}

/// What a status means. One that says "later" is as good as no answer.
fn accepted(address: &WebAddress, status: u16) -> Result<(), ChannelError> {
    let (place, reason) = (address.place.clone(), format!("HTTP status {status}"));
    match status {
        200..300 => Ok(()),
        408 | 425 | 429 | 500.. => Err(ChannelError::Unreachable { place, reason }),
        300..400 => {
            let reason = format!("{reason}, which leads elsewhere; name the final URL");
            Err(ChannelError::Refused { place, reason })
        }
        _ => Err(ChannelError::Refused { place, reason }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_of_an_address_is_shown() {
        let read = |url: &str| WebAddress::new(Secret::new(url.to_owned()));
        let address = read("https://hooks.example:8443/services/T0/hunter2?x=hunter2").unwrap();
        assert_eq!(address.place(), "hooks.example:8443");
        assert!(!format!("{address:?}").contains("hunter2"));
        for wrong in ["", "hooks.example/x", "ftp://h/x", "https://", "https:///x", "file:///x", "/x"] {
            assert_eq!(read(wrong).unwrap_err(), WebAddressError::Form, "{wrong}");
        }
        let error = read("https://u:hunter2@h/").unwrap_err();
        assert_eq!(error, WebAddressError::User);
        assert!(!error.to_string().contains("hunter2"));
    }
}
