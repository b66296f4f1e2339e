//! Whether a server's certificate is acceptable.
//!
//! Invariant: the server always has to prove that it holds the key of the certificate that it shows. What differs is
//! which certificates will do.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::verify_tls13_signature_with_raw_key;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

/// Which certificates will do.
#[derive(Debug)]
pub(super) enum Trust {
    /// Any: the connection is encrypted, with whomever.
    Anyone,
    /// Those issued by a root, and the roots themselves.
    Roots {
        /// Checks chains; `None` when none of the certificates can be a root.
        chain: Option<Arc<WebPkiServerVerifier>>,
        /// The certificates of the root file, for servers with a self-signed one.
        themselves: Vec<CertificateDer<'static>>,
        /// The certificate must be for the name of the host.
        check_name: bool,
    },
}

/// [`Trust`] as rustls wants it.
#[derive(Debug)]
pub(super) struct Verifier {
    algorithms: WebPkiSupportedAlgorithms,
    trust: Trust,
}

impl Verifier {
    pub(super) fn new(provider: &CryptoProvider, trust: Trust) -> Self {
        Self { algorithms: provider.signature_verification_algorithms, trust }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Trust::Roots { chain, themselves, check_name } = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        // A self-signed certificate that is its own root: OpenSSL accepts it, webpki would not when it may sign others.
        if themselves.iter().any(|root| root.as_ref() == end_entity.as_ref()) {
            check_validity(end_entity, now)?;
            if *check_name {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        let Some(chain) = chain else { return Err(CertificateError::UnknownIssuer.into()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // webpki looks at the name last, so everything else was in order.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !check_name => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if let (Trust::Anyone, Some(key)) = (&self.trust, public_key(certificate)) {
            // Certificates of version 1, which `openssl x509 -req` makes, are not readable for webpki.
            return verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms);
        }
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn public_key(certificate: &CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let parsed = Certificate::from_der(certificate).ok()?;
    let key = parsed.tbs_certificate().subject_public_key_info().to_der().ok()?;
    Some(SubjectPublicKeyInfoDer::from(key))
}

fn check_validity(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let parsed = Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let validity = parsed.tbs_certificate().validity();
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}
