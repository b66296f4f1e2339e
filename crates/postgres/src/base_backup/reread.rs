//! Pages that came torn, read again through SQL.

use std::sync::{Mutex, PoisonError};

use model::ClusterPath;

use crate::Client;
use crate::conninfo::ConnectOptions;

/// Bytes of the largest part that is read at once.
const LIMIT: usize = 16 * 1024 * 1024;

/// Reads parts of files with `pg_read_binary_file`, if the role may: a superuser, or who was granted that function and
/// `pg_read_server_files`. One session serves all threads, since torn pages are rare.
#[derive(Debug)]
pub(super) struct Reread<'a> {
    options: &'a ConnectOptions,
    session: Mutex<Session>,
}

#[derive(Debug)]
enum Session {
    NotTried,
    Open(Box<Client>),
    NotPossible,
}

impl<'a> Reread<'a> {
    pub(super) fn new(options: &'a ConnectOptions) -> Self {
        Self { options, session: Mutex::new(Session::NotTried) }
    }

    /// Fills `bytes` with what is at `offset` in the file now. Returns whether it could; otherwise `bytes` are as before.
    pub(super) fn read(&self, path: &ClusterPath, offset: u64, bytes: &mut [u8]) -> bool {
        if bytes.len() > LIMIT {
            return false;
        }
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*session, Session::NotTried) {
            *session = match Client::connect(self.options) {
                Ok(client) => Session::Open(Box::new(client)),
                Err(_) => Session::NotPossible,
            };
        }
        let Session::Open(client) = &mut *session else { return false };
        part(client, path, offset, bytes).unwrap_or_else(|| {
            *session = Session::NotPossible;
            false
        })
    }
}

/// Whether the whole part is there; `None` when nothing can be read in this way.
fn part(client: &mut Client, path: &ClusterPath, offset: u64, bytes: &mut [u8]) -> Option<bool> {
    // The file may be gone: that is no reason to give up on others.
    let sql = "SELECT pg_catalog.encode(pg_catalog.pg_read_binary_file($1, $2, $3, true), 'hex')";
    let params = [path.to_string(), offset.to_string(), bytes.len().to_string()];
    let rows = client.query(sql, &params.each_ref().map(|param| Some(param.as_str()))).ok()?;
    let Some(digits) = rows.first().and_then(|row| row.get(0)) else { return Some(false) };
    if digits.len() != bytes.len() * 2 {
        return Some(false);
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(true)
}
