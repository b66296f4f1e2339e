//! TLS as `sslmode` asks for it (PostgreSQL documentation, 34.19).

mod binding;
mod verifier;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName};

use super::error::Error;
use crate::conninfo::{CertMode, Host, Parameters, RootCertificates, SslMode};

pub(super) use binding::server_end_point;
use verifier::{Trust, Verifier};

/// The protocol name that PostgreSQL registered for ALPN.
const ALPN: &[u8] = b"postgresql";

type Certificates = Vec<CertificateDer<'static>>;

/// A TLS client for one connection to `host`.
pub(super) fn connection(parameters: &Parameters, host: &Host) -> Result<Box<ClientConnection>, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let failed = |error: rustls::Error| Error::Tls { host: host.to_string(), reason: reason(&error) };
    let mut versions = Vec::new();
    if parameters.tls12 {
        versions.push(&rustls::version::TLS12);
    }
    if parameters.tls13 {
        versions.push(&rustls::version::TLS13);
    }
    let verifier = Verifier::new(&provider, trust(parameters, host, &provider)?);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match client_certificate(parameters)? {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(failed)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = parameters.ssl_sni;
    let name = server_name(parameters, host)?;
    ClientConnection::new(Arc::new(config), name).map(Box::new).map_err(failed)
}

/// Whether the server agreed to speak PostgreSQL's protocol, which direct negotiation demands.
pub(super) fn agreed_on_protocol(connection: &ClientConnection) -> bool {
    connection.alpn_protocol() == Some(ALPN)
}

/// An error of the TLS library in words for people.
pub(super) fn reason(error: &rustls::Error) -> String {
    use rustls::CertificateError::{NotValidForName, Revoked, UnknownIssuer};
    match error {
        rustls::Error::InvalidCertificate(UnknownIssuer) => {
            "the server's certificate was not issued by a trusted authority".to_owned()
        }
        rustls::Error::InvalidCertificate(NotValidForName) => {
            "the server's certificate is for another host name".to_owned()
        }
        rustls::Error::InvalidCertificate(Revoked) => "the server's certificate was revoked".to_owned(),
        rustls::Error::InvalidCertificate(other) => format!("the server's {other}"),
        other => other.to_string(),
    }
}

/// The name to send and to verify. Without verification, a name that is none does not matter.
fn server_name(parameters: &Parameters, host: &Host) -> Result<ServerName<'static>, Error> {
    if let Ok(name) = ServerName::try_from(host.name.clone()) {
        return Ok(name);
    }
    if parameters.ssl_mode == SslMode::VerifyFull {
        let reason = "this is not a name that a certificate can be for".to_owned();
        return Err(Error::Tls { host: host.to_string(), reason });
    }
    Ok(ServerName::IpAddress(std::net::IpAddr::from([0, 0, 0, 0]).into()))
}

/// What makes a server certificate acceptable. As in libpq, a root certificate file that exists is used in every mode.
fn trust(parameters: &Parameters, host: &Host, provider: &Arc<CryptoProvider>) -> Result<Trust, Error> {
    let must_verify = parameters.ssl_mode >= SslMode::VerifyCa;
    let certificates = match &parameters.ssl_files.roots {
        Some(RootCertificates::System) => system_certificates(host)?,
        Some(RootCertificates::File(path)) if path.exists() => certificates(path, "root certificate file")?,
        _ if must_verify => {
            let reason =
                "there is no root certificate file; set sslrootcert to one, or to \"system\"".to_owned();
            return Err(Error::Tls { host: host.to_string(), reason });
        }
        _ => return Ok(Trust::Anyone),
    };
    let revocations = match &parameters.ssl_files.revocations {
        Some(path) if path.exists() => revocations(path)?,
        _ => Vec::new(),
    };
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        // One that cannot be a root (the server's own, for instance) is still trusted as itself.
        let _ = roots.add(certificate.clone());
    }
    let chain = if roots.is_empty() {
        None
    } else {
        let builder = rustls::client::WebPkiServerVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(provider),
        );
        let built = builder.with_crls(revocations).allow_unknown_revocation_status().build();
        let failed = |error| Error::Tls { host: host.to_string(), reason: format!("{error}") };
        Some(built.map_err(failed)?)
    };
    let check_name = parameters.ssl_mode == SslMode::VerifyFull;
    Ok(Trust::Roots { chain, themselves: certificates, check_name })
}

fn system_certificates(host: &Host) -> Result<Certificates, Error> {
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        let reason = "the system has no trusted certificates".to_owned();
        return Err(Error::Tls { host: host.to_string(), reason });
    }
    Ok(found)
}

fn unusable(path: &Path, role: &'static str, reason: impl Into<String>) -> Error {
    Error::TlsFile { role, path: path.display().to_string(), reason: reason.into() }
}

fn certificates(path: &Path, role: &'static str) -> Result<Certificates, Error> {
    let failed = |error: rustls_pki_types::pem::Error| unusable(path, role, error.to_string());
    let found: Certificates =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(failed)?;
    if found.is_empty() {
        return Err(unusable(path, role, "it holds no certificate in PEM form"));
    }
    Ok(found)
}

fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    let found = CertificateRevocationListDer::pem_file_iter(path).and_then(Iterator::collect);
    found.map_err(|error| unusable(path, "certificate revocation list", error.to_string()))
}

type Identity = (Certificates, PrivateKeyDer<'static>);

/// Our own certificate and its key, if there is one. As in libpq, a certificate file that does not exist means none.
fn client_certificate(parameters: &Parameters) -> Result<Option<Identity>, Error> {
    let files = &parameters.ssl_files;
    let Some(path) = files.certificate.as_deref().filter(|path| path.exists()) else { return Ok(None) };
    if parameters.ssl_cert_mode == CertMode::Disable {
        return Ok(None);
    }
    let role = "key of the client certificate";
    let chain = certificates(path, "client certificate")?;
    let Some(key_path) = files.key.as_deref() else {
        return Err(unusable(path, "client certificate", "there is no key for it; set sslkey"));
    };
    let metadata = fs::metadata(key_path).map_err(|error| unusable(key_path, role, error.to_string()))?;
    let allowed = if metadata.uid() == 0 { 0o640 } else { 0o600 };
    if metadata.mode() & 0o777 & !allowed != 0 {
        return Err(unusable(key_path, role, "group or others can access it; its mode should be 0600"));
    }
    let key = PrivateKeyDer::from_pem_file(key_path).map_err(|error| match error {
        rustls_pki_types::pem::Error::NoItemsFound => {
            unusable(key_path, role, "it holds no key in PEM form; encrypted keys are not supported")
        }
        other => unusable(key_path, role, other.to_string()),
    })?;
    Ok(Some((chain, key)))
}
