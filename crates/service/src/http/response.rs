//! An answer as bytes.

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

/// The type of plain text.
const PLAIN: &str = "text/plain; charset=utf-8";
/// The type of JSON.
const JSON: &str = "application/json";

impl Response {
    /// A sentence.
    pub(super) fn sentence(status: u16, sentence: &str) -> Self {
        Self { status, content_type: PLAIN, body: format!("{sentence}\n") }
    }

    /// An object.
    pub(super) fn json(status: u16, object: &serde_json::Value) -> Self {
        Self { status, content_type: JSON, body: format!("{object}\n") }
    }

    /// The bytes; without the body where only the head is asked for.
    pub(super) fn bytes(&self, with_body: bool) -> Vec<u8> {
        let allow = if self.status == 405 { "Allow: GET, HEAD\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{allow}Cache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
            self.status,
            reason(self.status),
            self.content_type,
            self.body.len(),
        );
        let mut bytes = head.into_bytes();
        if with_body {
            bytes.extend_from_slice(self.body.as_bytes());
        }
        bytes
    }
}

/// The phrase of a status (RFC 9110, section 15).
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Unknown",
    }
}
