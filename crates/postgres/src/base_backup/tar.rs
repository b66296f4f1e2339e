//! The tar archives of a base backup, as they come: ustar headers as `tarCreateHeader` of the server writes them.
//!
//! Invariant: nothing is buffered but one header, and an archive that stops anywhere but between two members is not complete.
//!
//! Deliberately absent: extended headers. The server writes none; a name that does not fit fails the backup on its side.

/// Bytes of a header, and what members are padded to.
const BLOCK: usize = 512;

/// The archive is malformed. The text completes "the server sent …".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MemberKind {
    File,
    Directory,
}

/// The header of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Its name, without a `./` at its start and the `/` at the end of a directory's; perhaps not UTF-8.
    pub(super) name: Vec<u8>,
    pub(super) kind: MemberKind,
    /// Permission bits.
    pub(super) mode: u32,
    /// Bytes that follow.
    pub(super) bytes: u64,
}

/// What is in an archive, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TarEvent<'a> {
    /// A member begins.
    Member(Member),
    /// Some of its bytes; never none.
    Bytes(&'a [u8]),
    /// All its bytes came.
    Complete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a header, of which so many bytes are here.
    Header(usize),
    /// So many bytes of the member are to come.
    Body(u64),
    /// So many bytes of padding are to come.
    Padding(u64),
    /// Behind the mark of the end: only zeros are to come.
    Ended,
}

/// Takes an archive in pieces of any size.
#[derive(Debug)]
pub(super) struct TarReader {
    header: [u8; BLOCK],
    size: u64,
    state: State,
}

impl TarReader {
    pub(super) fn new() -> Self {
        Self { header: [0; BLOCK], size: 0, state: State::Header(0) }
    }

    /// What comes next in `input`, which is shortened by it; `None` when more input is needed.
    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<TarEvent<'a>>, Malformed> {
        loop {
            match self.state {
                State::Body(0) => {
                    self.state = State::Padding(self.size.next_multiple_of(BLOCK as u64) - self.size);
                    return Ok(Some(TarEvent::Complete));
                }
                State::Padding(0) => self.state = State::Header(0),
                _ if input.is_empty() => return Ok(None),
                State::Header(have) => {
                    let piece = take(input, (BLOCK - have) as u64);
                    self.header[have..have + piece.len()].copy_from_slice(piece);
                    self.state = State::Header(have + piece.len());
                    if have + piece.len() == BLOCK
                        && let Some(member) = self.member()?
                    {
                        return Ok(Some(TarEvent::Member(member)));
                    }
                }
                State::Body(left) => {
                    let piece = take(input, left);
                    self.state = State::Body(left - piece.len() as u64);
                    return Ok(Some(TarEvent::Bytes(piece)));
                }
                State::Padding(left) => {
                    let piece = take(input, left);
                    self.state = State::Padding(left - piece.len() as u64);
                }
                State::Ended => {
                    if take(input, u64::MAX).iter().any(|byte| *byte != 0) {
                        return Err(Malformed("bytes behind the end of an archive"));
                    }
                }
            }
        }
    }

    /// The archive ends here. Before 15 it has no mark of its end.
    pub(super) fn finish(&self) -> Result<(), Malformed> {
        match self.state {
            State::Header(0) | State::Padding(0) | State::Ended => Ok(()),
            _ => Err(Malformed("an archive that ends within a member")),
        }
    }

    /// The header is complete: the member that it begins, or nothing for the mark of the end.
    fn member(&mut self) -> Result<Option<Member>, Malformed> {
        if self.header.iter().all(|byte| *byte == 0) {
            self.state = State::Ended;
            return Ok(None);
        }
        let member = parse(&self.header)?;
        self.size = member.bytes;
        self.state = State::Body(member.bytes);
        Ok(Some(member))
    }
}

/// The first bytes of `input`, at most `count`, which are taken from it.
fn take<'a>(input: &mut &'a [u8], count: u64) -> &'a [u8] {
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(input.len());
    let (piece, rest) = input.split_at(count);
    *input = rest;
    piece
}

fn parse(header: &[u8; BLOCK]) -> Result<Member, Malformed> {
    if number(&header[148..156]) != Some(checksum(header)) {
        return Err(Malformed("a tar header with a wrong checksum"));
    }
    let kind = match header[156] {
        b'0' | 0 => MemberKind::File,
        b'5' => MemberKind::Directory,
        _ => return Err(Malformed("a tar member that is neither a file nor a directory")),
    };
    // What ustar calls prefix is zero in the server's headers.
    if header[345] != 0 {
        return Err(Malformed("a tar header with a prefix"));
    }
    let name = header[..100].split(|byte| *byte == 0).next().unwrap_or_default();
    // The directories below `pg_wal` are written with the name that they have for the server.
    let name = name.strip_prefix(b"./").unwrap_or(name);
    let name = match kind {
        MemberKind::Directory => name.strip_suffix(b"/").unwrap_or(name),
        MemberKind::File => name,
    };
    let wrong = Malformed("a tar header with a malformed number");
    let mode = number(&header[100..108]).ok_or(wrong)?;
    let bytes = number(&header[124..136]).ok_or(wrong)?;
    if kind == MemberKind::Directory && bytes != 0 {
        return Err(Malformed("a tar directory with contents"));
    }
    // Twelve bits, so it fits.
    Ok(Member { name: name.to_vec(), kind, mode: (mode & 0o7777) as u32, bytes })
}

/// The sum of all bytes, with the field of the sum itself as blanks.
fn checksum(header: &[u8; BLOCK]) -> u64 {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    sum(&header[..148]) + sum(&header[156..]) + 8 * u64::from(b' ')
}

/// A number in octal digits or, where they do not suffice, in base 256 behind a byte 128.
fn number(field: &[u8]) -> Option<u64> {
    if let Some((128, digits)) = field.split_first() {
        return digits.iter().try_fold(0_u64, |number, digit| {
            number.checked_mul(256).map(|number| number + u64::from(*digit))
        });
    }
    let is_blank = |byte: &u8| matches!(byte, b' ' | 0);
    let digits = field.split(is_blank).find(|digits| !digits.is_empty())?;
    digits.iter().try_fold(0_u64, |number, digit| match digit {
        b'0'..=b'7' => number.checked_mul(8).map(|number| number + u64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
