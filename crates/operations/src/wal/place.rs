//! A file that appears at its place as a whole.
//!
//! Invariant: until it is renamed, a file has a name that means nothing; when it is dropped before that, it is removed. Durability
//! of what it is given at once is left to the server, which syncs what it restores before it relies on it (`durable_rename` in its
//! source).

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The end of the name of a file that is being written.
pub(super) const TEMPORARY: &str = ".chronavault-tmp";
/// How much is written at a time, in bytes.
const WRITE_BYTES: usize = 1 << 20;

/// A file that is being written.
pub(super) struct Place {
    temporary: PathBuf,
    file: Option<BufWriter<File>>,
}

impl Place {
    /// A file beside `path`, to be renamed to it. `random` tells those of several processes apart.
    pub(super) fn beside(path: &Path, random: [u8; 8]) -> io::Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{:016x}{TEMPORARY}", u64::from_le_bytes(random)));
        let temporary = path.with_file_name(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        Ok(Self { temporary, file: Some(BufWriter::with_capacity(WRITE_BYTES, file)) })
    }

    /// Makes what was written durable. Returns what the file is then.
    pub(super) fn sync(&mut self) -> io::Result<Metadata> {
        self.flush()?;
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?.get_ref();
        file.sync_all()?;
        file.metadata()
    }

    /// Gives the file its name. What was there under it is replaced.
    pub(super) fn rename(mut self, path: &Path) -> io::Result<()> {
        self.flush()?;
        fs::rename(&self.temporary, path)?;
        self.file = None;
        Ok(())
    }
}

impl Write for Place {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().map_or(Ok(0), |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // What stays under such a name means nothing.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let names = fs::read_dir(directory).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_appears_as_a_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("RECOVERYXLOG");
        fs::write(&path, b"old").unwrap();
        let mut place = Place::beside(&path, [1; 8]).unwrap();
        place.write_all(b"new").unwrap();
        assert_eq!((fs::read(&path).unwrap(), names(directory.path()).len()), (b"old".to_vec(), 2));
        assert!(Place::beside(&path, [1; 8]).is_err(), "two never write one file");
        place.rename(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let mut given_up = Place::beside(&path, [2; 8]).unwrap();
        given_up.write_all(b"half").unwrap();
        drop(given_up);
        assert_eq!(names(directory.path()), ["RECOVERYXLOG"]);
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }
}
