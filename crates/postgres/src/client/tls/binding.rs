//! Channel binding of the type `tls-server-end-point` (RFC 5929, section 4.1): the hash of the server's certificate, so that a password proof
//! is worth nothing on any other connection.

use aws_lc_rs::digest::{self, Algorithm, SHA256, SHA384, SHA512};
use rustls_pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// The binding data for a server with this certificate; `None` when its signature algorithm does not say which hash to use.
pub(in super::super) fn server_end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let parsed = Certificate::from_der(certificate).ok()?;
    let hash = hash_of(&parsed.signature_algorithm().oid.to_string())?;
    Some(digest::digest(hash, certificate).as_ref().to_vec())
}

/// The hash function of a signature algorithm; SHA-256 in place of MD5 and SHA-1, as the RFC says.
fn hash_of(signature: &str) -> Option<&'static Algorithm> {
    match signature {
        // RSA with MD5, SHA-1 and SHA-256; ECDSA with SHA-1 and SHA-256.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => Some(&SHA256),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Some(&SHA384),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Some(&SHA512),
        _ => None,
    }
}
