//! The password file (PostgreSQL documentation, 34.16).

use std::fmt;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::error::ConninfoWarning;
use crate::password::Password;

/// Bytes of a password file that are read at most.
const FILE_LIMIT: u64 = 1024 * 1024;

/// The lines of a password file. It is kept, since the password may depend on the database.
#[derive(Clone, Default)]
pub(super) struct Passfile {
    text: Zeroizing<Vec<u8>>,
}

impl Passfile {
    /// Reads the file. One that is absent or unreadable counts as empty, and so does, with a warning, one that
    /// others can read, unless root has handed it out.
    pub(super) fn read(path: &Path) -> (Self, Option<ConninfoWarning>) {
        let Ok(file) = std::fs::File::open(path) else { return (Self::default(), None) };
        let Ok(metadata) = file.metadata() else { return (Self::default(), None) };
        if !metadata.is_file() {
            return (Self::default(), Some(ConninfoWarning::PassfileNotPlain { path: path.to_owned() }));
        }
        if is_open_to_others(metadata.mode(), metadata.uid(), rustix::process::geteuid().as_raw()) {
            return (Self::default(), Some(ConninfoWarning::PassfileTooOpen { path: path.to_owned() }));
        }
        let mut text =
            Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.size().min(FILE_LIMIT)).unwrap_or(0)));
        match file.take(FILE_LIMIT).read_to_end(&mut text) {
            Ok(_) => (Self { text }, None),
            Err(_) => (Self::default(), None),
        }
    }

    /// The password of the first line that fits.
    pub(super) fn lookup(&self, host: &str, port: u16, database: &str, user: &str) -> Option<Password> {
        let port = port.to_string();
        let wanted = [host, &port, database, user];
        self.text.split(|byte| *byte == b'\n').find_map(|line| password_of_line(line, wanted))
    }
}

impl fmt::Debug for Passfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passfile(…)")
    }
}

/// Whether others than the process `uid` and root can read a file. libpq trusts no file that its group can read. We do when it is root's
/// and we are not: systemd hands out credentials so (`LoadCredential`, an ACL that shows as 0440), and Kubernetes secrets.
fn is_open_to_others(mode: u32, owner: u32, uid: u32) -> bool {
    let is_handed_out = owner == 0 && uid != 0;
    mode & if is_handed_out { 0o037 } else { 0o077 } != 0
}

fn password_of_line(line: &[u8], wanted: [&str; 4]) -> Option<Password> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.first() == Some(&b'#') {
        return None;
    }
    let mut rest = line;
    for value in wanted {
        rest = match_field(rest, value.as_bytes())?;
    }
    let mut password = Vec::with_capacity(rest.len());
    let mut bytes = rest.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            // libpq drops a backslash and keeps what it escapes.
            b'\\' => password.push(*bytes.next().unwrap_or(&b'\\')),
            b':' => break,
            other => password.push(*other),
        }
    }
    Some(Password::new(password))
}

/// What follows the first field and its colon, if that field fits `wanted`.
fn match_field<'a>(line: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    if let [b'*', b':', rest @ ..] = line {
        return Some(rest);
    }
    let mut line = line;
    let mut wanted = wanted.iter();
    loop {
        match line {
            [b':', rest @ ..] => return if wanted.next().is_none() { Some(rest) } else { None },
            [b'\\', byte, rest @ ..] | [byte, rest @ ..] => {
                if wanted.next() != Some(byte) {
                    return None;
                }
                line = rest;
            }
            [] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_open_to_others;

    #[test]
    fn a_file_that_root_hands_out_to_a_group_is_not_open() {
        assert!(!is_open_to_others(0o100_440, 0, 101) && !is_open_to_others(0o100_640, 0, 101));
        assert!(is_open_to_others(0o100_444, 0, 101) && is_open_to_others(0o100_660, 0, 101));
        assert!(is_open_to_others(0o100_440, 101, 101) && is_open_to_others(0o100_440, 0, 0));
        assert!(!is_open_to_others(0o100_600, 101, 101) && !is_open_to_others(0o100_600, 0, 0));
    }
}
