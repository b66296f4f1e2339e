//! The head of a request.

use std::io;

use super::connection::Connection;

/// Lines of a head.
const HEADERS: usize = 64;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    /// Without what follows a question mark.
    pub(super) path: String,
    /// The value of `Accept`.
    pub(super) accept: String,
}

/// Why there is no request.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is none.
    Malformed,
    /// Its head is too large.
    TooLarge,
    /// It did not come in time.
    Late,
    /// The client or the server has gone.
    Gone,
}

/// Reads a head of at most `limit` bytes.
pub(super) fn read(connection: &Connection, limit: usize) -> Result<Request, Refusal> {
    let mut head = vec![0; limit];
    let mut filled = 0;
    loop {
        if filled == head.len() {
            return Err(Refusal::TooLarge);
        }
        match connection.read(&mut head[filled..]) {
            Ok(0) => return Err(Refusal::Gone),
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(Refusal::Late),
            Err(_) => return Err(Refusal::Gone),
        }
        if let Some(request) = parse(&head[..filled])? {
            return Ok(request);
        }
    }
}

/// The request, if its head is complete.
fn parse(bytes: &[u8]) -> Result<Option<Request>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(bytes) {
        Ok(httparse::Status::Partial) => return Ok(None),
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLarge),
        Err(_) => return Err(Refusal::Malformed),
    }
    let (Some(method), Some(target)) = (parsed.method, parsed.path) else { return Err(Refusal::Malformed) };
    let accept = parsed.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("accept"));
    let accept: Vec<_> = accept.map(|header| String::from_utf8_lossy(header.value)).collect();
    Ok(Some(Request {
        method: method.to_owned(),
        path: target.split(['?', '#']).next().unwrap_or_default().to_owned(),
        accept: accept.join(","),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_complete_or_not_yet_there_or_none() {
        let head = b"GET /metrics?x=1 HTTP/1.1\r\nHost: h\r\nACCEPT: text/plain\r\naccept: */*\r\n\r\nrest";
        let request = parse(head).unwrap().unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/metrics"));
        assert_eq!(request.accept, "text/plain,*/*");
        assert!(parse(b"GET /metrics HTTP/1.1\r\nHost").unwrap().is_none());
        assert!(matches!(parse(b"\x16\x03\x01\x02\x00"), Err(Refusal::Malformed)));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(HEADERS + 1));
        assert!(matches!(parse(many.as_bytes()), Err(Refusal::TooLarge)));
    }
}
