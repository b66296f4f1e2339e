//! The client against servers that break the rules: whatever they send, no result is taken for complete, nothing panics, nothing
//! hangs and no memory is given away.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;

use chronavault_postgres::{Client, ClientEnvironment, ConnectOptions, CopyError, Error, ErrorKind, RowSink};
use proptest::prelude::*;

struct Rows(u64);

impl RowSink for Rows {
    type Error = Infallible;

    fn row(&mut self, row: &[u8]) -> Result<(), Infallible> {
        assert_eq!(row.last(), Some(&b'\n'));
        self.0 += 1;
        Ok(())
    }

    fn row_part(&mut self, _part: &[u8], last: bool) -> Result<(), Infallible> {
        self.0 += u64::from(last);
        Ok(())
    }
}

/// One message.
fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag], &length[..], body].concat()
}

fn authentication(request: u32, rest: &[u8]) -> Vec<u8> {
    message(b'R', &[&request.to_be_bytes()[..], rest].concat())
}

/// What a server sends when it lets someone in without a question.
fn welcome() -> Vec<u8> {
    let version = message(b'S', b"server_version\x0015.1 (Test)\0");
    [authentication(0, &[]), version, message(b'K', &[0; 8]), message(b'Z', b"I")].concat()
}

fn error(code: &str) -> Vec<u8> {
    message(b'E', format!("SERROR\0VERROR\0C{code}\0Mno\0\0").as_bytes())
}

/// Reads one message of the client: its tag (0 for the startup message) and its body.
fn receive(stream: &mut UnixStream, startup: bool) -> Option<(u8, Vec<u8>)> {
    let mut tag = [0];
    if !startup {
        stream.read_exact(&mut tag).ok()?;
    }
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut body).ok()?;
    Some((tag[0], body))
}

struct Fake {
    directory: tempfile::TempDir,
    server: JoinHandle<()>,
}

impl Fake {
    /// A server that waits for a message of the client before each of the `answers`, and closes after the last.
    fn new(answers: Vec<Vec<u8>>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join(".s.PGSQL.5")).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for (at, answer) in answers.iter().enumerate() {
                // The client may be gone; what it makes of it is its business.
                if receive(&mut stream, at == 0).is_none() || stream.write_all(answer).is_err() {
                    return;
                }
            }
        });
        Self { directory, server }
    }

    fn connect(&self, rest: &str) -> Result<Client, Error> {
        let text = format!("host={} port=5 user=u password=secret {rest}", self.directory.path().display());
        Client::connect(&ConnectOptions::parse(&text, &ClientEnvironment::empty()).unwrap())
    }

    fn end(self) {
        self.server.join().unwrap();
    }
}

fn refuses(answers: Vec<Vec<u8>>, rest: &str, kind: ErrorKind) {
    let fake = Fake::new(answers);
    let error = fake.connect(rest).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(!format!("{error} {error:?}").contains("secret"));
    fake.end();
}

#[test]
fn startup() {
    let fake = Fake::new(vec![welcome()]);
    assert_eq!(fake.connect("").unwrap().server_version(), 150_001);
    fake.end();
    refuses(vec![vec![]], "", ErrorKind::ConnectionLost);
    refuses(vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()], "", ErrorKind::Protocol);
    refuses(vec![message(b'Z', b"I")], "", ErrorKind::Protocol);
    // Lengths that make no sense, or that would make us allocate before we know who this is.
    refuses(vec![[&b"R"[..], &3_u32.to_be_bytes()].concat()], "", ErrorKind::Protocol);
    refuses(vec![[&b"E"[..], &u32::MAX.to_be_bytes()].concat()], "", ErrorKind::Protocol);
    refuses(vec![[&b"N"[..], &70_000_u32.to_be_bytes()].concat()], "", ErrorKind::Protocol);
    refuses(vec![message(b'R', b"")], "", ErrorKind::Protocol);
    refuses(vec![authentication(5, b"xyz")], "", ErrorKind::Protocol);
    for unsupported in [2, 7, 9, 77] {
        refuses(vec![authentication(unsupported, &[])], "", ErrorKind::Authentication);
    }
    let version = message(b'S', b"server_version\0unknown\0");
    let answer = [authentication(0, &[]), version, message(b'K', &[0; 8]), message(b'Z', b"I")].concat();
    refuses(vec![answer], "", ErrorKind::Protocol);
}

#[test]
fn a_server_that_leaves_out_its_part_of_scram_is_refused() {
    let offer = authentication(10, b"SCRAM-SHA-256\0\0");
    refuses(vec![offer.clone(), welcome()], "", ErrorKind::Authentication);
    let nonsense = authentication(11, b"r=other,s=c2FsdA==,i=4096");
    refuses(vec![offer.clone(), nonsense], "", ErrorKind::Authentication);
    refuses(vec![offer.clone(), authentication(12, b"v=AAAA")], "", ErrorKind::Authentication);
    refuses(vec![authentication(11, b"x")], "", ErrorKind::Protocol);
    refuses(vec![authentication(12, b"x")], "", ErrorKind::Protocol);
    refuses(vec![authentication(10, b"OTHER\0\0")], "", ErrorKind::Authentication);
    refuses(vec![offer], "channel_binding=require", ErrorKind::Authentication);
    refuses(vec![authentication(3, &[])], "require_auth=scram-sha-256", ErrorKind::Authentication);
}

/// Runs a COPY that the server answers with `answer`.
fn copy(answer: Vec<u8>) -> (Result<u64, CopyError<Infallible>>, u64) {
    let fake = Fake::new(vec![welcome(), answer]);
    let mut rows = Rows(0);
    let result = fake.connect("").unwrap().copy_out("COPY t TO STDOUT", &mut rows);
    fake.end();
    (result, rows.0)
}

fn copy_kind(answer: Vec<u8>) -> ErrorKind {
    match copy(answer) {
        (Err(CopyError::Postgres(error)), _) => error.kind(),
        (other, _) => panic!("{other:?}"),
    }
}

#[test]
fn a_copy_counts_only_when_it_is_complete() {
    let start = message(b'H', &[0, 0, 1, 0, 0]);
    let row = message(b'd', b"1\n");
    let done = message(b'c', b"");
    let tag = message(b'C', b"COPY 2\0");
    let ready = message(b'Z', b"I");
    let whole = [&start, &row, &row, &done, &tag, &ready].map(Vec::as_slice).concat();
    assert_eq!(copy(whole.clone()).0.unwrap(), 2);
    // Cut anywhere, it is a lost connection.
    for end in 0..whole.len() {
        assert_eq!(copy_kind(whole[..end].to_vec()), ErrorKind::ConnectionLost, "after {end} bytes");
    }
    let with = |parts: &[&Vec<u8>]| parts.iter().map(|part| part.as_slice()).collect::<Vec<_>>().concat();
    // One row less or more than the server says.
    assert_eq!(copy_kind(with(&[&start, &row, &done, &tag, &ready])), ErrorKind::Protocol);
    assert_eq!(copy_kind(with(&[&start, &row, &row, &row, &done, &tag, &ready])), ErrorKind::Protocol);
    // Ends that are none.
    assert_eq!(copy_kind(with(&[&start, &row, &row, &tag, &ready])), ErrorKind::Protocol);
    assert_eq!(copy_kind(with(&[&start, &row, &row, &done, &ready])), ErrorKind::Protocol);
    assert_eq!(
        copy_kind(with(&[&start, &row, &done, &message(b'C', b"SELECT 2\0"), &ready])),
        ErrorKind::Protocol
    );
    assert_eq!(copy_kind(with(&[&start, &row, &row, &done, &error("XX000"), &ready])), ErrorKind::Server);
    // Rows that are none.
    assert_eq!(
        copy_kind(with(&[&start, &message(b'd', b"1"), &row, &done, &tag, &ready])),
        ErrorKind::Protocol
    );
    assert_eq!(
        copy_kind(with(&[&start, &message(b'd', b""), &row, &done, &tag, &ready])),
        ErrorKind::Protocol
    );
    let short = [&b"d"[..], &3_u32.to_be_bytes(), b"1\n"].concat();
    assert_eq!(copy_kind(with(&[&start, &short])), ErrorKind::Protocol);
    assert_eq!(copy_kind(with(&[&message(b'H', &[1, 0, 1, 0, 1]), &row])), ErrorKind::Protocol);
    // A notice or a changed parameter between rows is not a row.
    let notice = message(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mhello\0\0");
    let parameter = message(b'S', b"TimeZone\0UTC\0");
    assert_eq!(copy(with(&[&start, &row, &notice, &row, &parameter, &done, &tag, &ready])).0.unwrap(), 2);
}

/// The sizes of rows, whose letters tell where they belong.
struct Sizes(Vec<usize>, usize);

impl RowSink for Sizes {
    type Error = Infallible;

    fn row(&mut self, row: &[u8]) -> Result<(), Infallible> {
        let letter = b'a' + u8::try_from(self.0.len() % 26).unwrap();
        assert!(row[..row.len() - 1].iter().all(|byte| *byte == letter));
        self.0.push(row.len());
        Ok(())
    }

    fn row_part(&mut self, part: &[u8], last: bool) -> Result<(), Infallible> {
        self.1 += part.len();
        if last {
            self.0.push(std::mem::take(&mut self.1));
        }
        Ok(())
    }
}

#[test]
fn rows_around_the_size_of_the_buffer_come_whole() {
    const BUFFER: usize = 1024 * 1024;
    let mut answer = message(b'H', &[0, 0, 1, 0, 0]);
    let sizes: Vec<usize> =
        [1, 100, BUFFER - 7, 2, BUFFER - 6, BUFFER - 5, 3, BUFFER - 4, BUFFER, BUFFER + 1, 5 * BUFFER, 1]
            .into_iter()
            .chain((0..2000).map(|i| i * 37 % 5000 + 1))
            .collect();
    for (at, size) in sizes.iter().enumerate() {
        let mut row = vec![b'a' + u8::try_from(at % 26).unwrap(); *size];
        row[size - 1] = b'\n';
        answer.extend(message(b'd', &row));
    }
    answer.extend(message(b'c', b""));
    answer.extend(message(b'C', format!("COPY {}\0", sizes.len()).as_bytes()));
    answer.extend(message(b'Z', b"I"));

    let fake = Fake::new(vec![welcome(), answer]);
    let mut seen = Sizes(Vec::new(), 0);
    fake.connect("").unwrap().copy_out("COPY t TO STDOUT", &mut seen).unwrap();
    assert_eq!(seen.0, sizes);
    fake.end();
}

#[test]
fn answers_to_queries() {
    let ask = |answer: Vec<u8>| {
        let fake = Fake::new(vec![welcome(), answer]);
        let result = fake.connect("").unwrap().query("SELECT 1", &[]);
        // The client sends five messages; the server of this test reads only the first.
        drop(fake);
        result
    };
    let ready = message(b'Z', b"I");
    let kind = |answer: &[Vec<u8>]| ask(answer.concat()).unwrap_err().kind();
    let row = message(b'D', &[0, 1, 0, 0, 0, 1, b'x']);
    assert_eq!(
        ask([row.clone(), message(b'C', b"SELECT 1\0"), ready.clone()].concat()).unwrap()[0].get(0),
        Some("x")
    );
    assert_eq!(kind(&[message(b'D', &[0, 2, 0, 0, 0, 1, b'x']), ready.clone()]), ErrorKind::Protocol);
    assert_eq!(kind(&[message(b'D', &[0, 1, 0, 0, 0, 9, b'x']), ready.clone()]), ErrorKind::Protocol);
    assert_eq!(kind(&[message(b'D', &[0, 1, 0, 0, 0, 1, b'x', b'y']), ready.clone()]), ErrorKind::Protocol);
    assert_eq!(kind(&[message(b'D', &[0, 1, 0, 0, 0, 1, 255]), ready.clone()]), ErrorKind::Protocol);
    assert_eq!(kind(&[message(b'D', &[0]), ready.clone()]), ErrorKind::Protocol);
    assert_eq!(kind(&[message(b'R', &[0; 4]), ready.clone()]), ErrorKind::Protocol);
    assert_eq!(kind(&[row, message(b'C', b"SELECT 1\0")]), ErrorKind::ConnectionLost);
    assert_eq!(kind(&[error("42P01"), ready]), ErrorKind::Server);
}

#[test]
fn nothing_unencrypted_gets_past_the_answer_to_the_request_for_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        for answer in [b"S".as_slice(), b"E", b"N"] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 8];
            stream.read_exact(&mut request).unwrap();
            assert_eq!(request, [0, 0, 0, 8, 4, 210, 22, 47]);
            // An attacker lets the server in first.
            stream.write_all(&[answer, &welcome()].concat()).unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            assert!(!rest.windows(6).any(|window| window == b"secret"));
        }
    });
    for _ in 0..3 {
        let text = format!("host=127.0.0.1 port={port} user=u password=secret sslmode=require");
        let error =
            Client::connect(&ConnectOptions::parse(&text, &ClientEnvironment::empty()).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    }
    server.join().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_client_panic(
        first in proptest::collection::vec(any::<u8>(), 0..200),
        then in proptest::collection::vec((proptest::sample::select(b"dcCZEHGDTSN1R".to_vec()), proptest::collection::vec(any::<u8>(), 0..20)), 0..10),
        welcomed in any::<bool>(),
    ) {
        let then: Vec<u8> = then.into_iter().flat_map(|(tag, body)| message(tag, &body)).chain(first.clone()).collect();
        // Without a welcome the server closes at once, or both would wait for the other.
        let fake = Fake::new(if welcomed { vec![welcome(), then] } else { vec![[first, then].concat()] });
        if let Ok(mut client) = fake.connect("") {
            let mut rows = Rows(0);
            if let Ok(count) = client.copy_out("COPY t TO STDOUT", &mut rows) {
                prop_assert_eq!(count, rows.0);
            }
            let _ = client.query("SELECT 1", &[]);
        }
    }
}
