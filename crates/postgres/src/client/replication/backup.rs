//! `BASE_BACKUP` on the wire (PostgreSQL documentation, 55.4): results first, then archives and the manifest as COPY data.
//!
//! Invariant: whichever of its two forms the server speaks, the pieces are the same, and the stream ends only where the server says
//! that the command is complete.
//!
//! Deliberately absent: what is in the archives.

use std::ops::Range;
use std::time::Duration;

use super::{ReplicationClient, ReplicationError};
use crate::client::Client;
use crate::client::error::Error;
use crate::client::row::Row;

/// The first major version with one COPY for everything and options in parentheses.
pub(crate) const NEW_FORM_MAJOR: u32 = 15;
/// How long a read waits before the caller is asked whether to go on.
const POLL: Duration = Duration::from_millis(250);

/// A running `BASE_BACKUP`.
#[derive(Debug)]
pub(crate) struct BaseBackupStream {
    client: Client,
    one_copy: bool,
    state: State,
    /// Archives whose COPY is still to come, where each has its own.
    archives_left: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a COPY.
    Between,
    /// Within one.
    Copying,
    /// Behind the last one.
    Ended,
}

/// One piece of what the server sends.
#[derive(Debug)]
pub(crate) enum BackupPiece<'a> {
    /// An archive begins; the one before it is complete. Archives come in the order of the rows of the second result.
    Archive,
    /// The backup manifest begins.
    Manifest,
    /// Bytes of the archive or of the manifest.
    Data(&'a [u8]),
    /// Nothing came for a while.
    Nothing,
    /// Everything came. [`BaseBackupStream::finish`] has the rest.
    End,
}

/// The same with the place of the bytes in the input.
enum Part {
    Archive,
    Manifest,
    Data(Range<usize>),
    Nothing,
    End,
    /// Nothing for the caller.
    Skip,
}

impl ReplicationClient {
    /// Gives the server a backup manifest to make an incremental backup against: the lines as they come from `lines`. PostgreSQL
    /// 17 and later.
    ///
    /// After an error of the server the connection can be used again.
    pub(crate) fn upload_manifest(
        &mut self,
        lines: impl IntoIterator<Item = String>,
    ) -> Result<(), ReplicationError> {
        let upload = |client: &mut Client| {
            let mut copy = client.start_copy_in("UPLOAD_MANIFEST")?;
            for line in lines {
                copy.send(line.as_bytes())?;
            }
            copy.complete()
        };
        upload(&mut self.client).map_err(|error| self.classified(error, None))
    }

    /// Starts `BASE_BACKUP`. Returns the row of its first result (where it starts), the rows of its second (tablespaces), and
    /// what follows.
    ///
    /// After an error of the server the connection can be used again.
    pub(crate) fn base_backup(&mut self, command: &str) -> Result<(Row, Vec<Row>), ReplicationError> {
        let start = |client: &mut Client| {
            client.start_simple(command)?;
            let mut start = client.result_set()?;
            let tablespaces = client.result_set()?;
            match start.len() {
                1 => Ok((start.swap_remove(0), tablespaces)),
                count => Err(Error::Unexpected { problem: format!("{count} rows instead of one") }),
            }
        };
        start(&mut self.client).map_err(|error| self.classified(error, None))
    }

    /// The stream of a `BASE_BACKUP` that was started, of so many archives.
    pub(crate) fn into_backup_stream(self, archives: usize) -> BaseBackupStream {
        let one_copy = self.server_major() >= NEW_FORM_MAJOR;
        let mut client = self.client;
        // Dropped in the middle, it just closes; the server notices when it sends more.
        client.unusable = Some("it runs a base backup");
        BaseBackupStream { client, one_copy, state: State::Between, archives_left: archives }
    }
}

impl Client {
    /// The rows of one result of several.
    fn result_set(&mut self) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        loop {
            let (tag, body) = self.wire.next()?;
            match tag {
                b'T' => {}
                b'D' => {
                    let row = Row::parse(self.wire.body(body));
                    rows.push(row.map_err(|problem| self.wire.protocol_error(problem))?);
                }
                b'C' => return Ok(rows),
                b'E' => return Err(self.statement_failed(body)),
                other => return Err(self.out_of_place(other)),
            }
        }
    }
}

impl BaseBackupStream {
    /// The next piece.
    pub(crate) fn next(&mut self) -> Result<BackupPiece<'_>, Error> {
        loop {
            return Ok(match self.next_part()? {
                Part::Skip => continue,
                Part::Archive => BackupPiece::Archive,
                Part::Manifest => BackupPiece::Manifest,
                Part::Data(range) => BackupPiece::Data(self.client.wire.body(range)),
                Part::Nothing => BackupPiece::Nothing,
                Part::End => BackupPiece::End,
            });
        }
    }

    fn next_part(&mut self) -> Result<Part, Error> {
        if self.state == State::Ended {
            return Ok(Part::End);
        }
        let Some((tag, body)) = self.client.wire.next_within(POLL)? else { return Ok(Part::Nothing) };
        match (tag, self.state) {
            (b'H', State::Between) => {
                self.state = State::Copying;
                if self.one_copy {
                    return Ok(Part::Skip);
                }
                let is_archive = self.archives_left > 0;
                self.archives_left = self.archives_left.saturating_sub(1);
                Ok(if is_archive { Part::Archive } else { Part::Manifest })
            }
            (b'd', State::Copying) if self.one_copy => self.part_of_copy(body),
            (b'd', State::Copying) => Ok(Part::Data(body)),
            (b'c', State::Copying) => {
                self.state = State::Between;
                Ok(Part::Skip)
            }
            // The last result.
            (b'T', State::Between) => {
                self.state = State::Ended;
                Ok(Part::End)
            }
            (b'E', _) => Err(self.client.statement_failed(body)),
            (other, _) => Err(self.client.out_of_place(other)),
        }
    }

    /// A message of the form with one COPY: its first byte says what it is.
    fn part_of_copy(&mut self, body: Range<usize>) -> Result<Part, Error> {
        match self.client.wire.body(body.clone()).first() {
            Some(b'd') => Ok(Part::Data(body.start + 1..body.end)),
            Some(b'n') => Ok(Part::Archive),
            Some(b'm') => Ok(Part::Manifest),
            // Progress: our own count is as good.
            Some(b'p') => Ok(Part::Skip),
            _ => {
                self.client.unusable = Some("the server sent something that does not belong there");
                Err(self.client.wire.protocol_error("an unknown kind of data in a base backup"))
            }
        }
    }

    /// The row of the last result (where the backup ends), and what the server warned of. Only after [`BackupPiece::End`].
    pub(crate) fn finish(mut self) -> Result<(Row, Vec<String>), Error> {
        let mut rows = self.client.rest_of_simple(Row::parse)?;
        self.client.unusable = None;
        let warnings = self.client.take_notices().into_iter();
        let warnings = warnings.filter(|notice| notice.severity == "WARNING").map(|notice| notice.message);
        let warnings = warnings.collect();
        let row = match rows.len() {
            1 => rows.swap_remove(0),
            count => {
                return Err(Error::Unexpected { problem: format!("{count} rows instead of one") });
            }
        };
        self.client.close()?;
        Ok((row, warnings))
    }
}
