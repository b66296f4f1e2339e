//! The file that keeps the book over restarts.
//!
//! Invariant: it is replaced as a whole, durably, so that a crash leaves the earlier book or the later one. It holds no secret, and only its
//! owner can read it.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::Book;

/// The name of the file in the state directory.
pub const ALERTS_FILE: &str = "alerts.json";
/// Bytes that are read at most; a larger file is none of ours.
const FILE_LIMIT: u64 = 64 << 20;

/// The file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateFileError {
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It does not hold a book.
    #[error("{} does not hold the state of alerts", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong in it; nothing when it is of another version of the program.
        #[source]
        source: Option<serde_json::Error>,
    },
}

/// Where the book is kept.
#[derive(Debug, Clone)]
pub struct StateFile {
    directory: PathBuf,
}

impl StateFile {
    /// The file in a directory, which need not be there yet.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The path of the file.
    pub fn path(&self) -> PathBuf {
        self.directory.join(ALERTS_FILE)
    }

    /// The book; nothing when none was stored yet.
    ///
    /// # Errors
    /// When the file cannot be read or is not one of ours.
    pub fn read(&self) -> Result<Option<Book>, StateFileError> {
        let path = self.path();
        let failed = |source| StateFileError::Io { action: "read", path: self.path(), source };
        let mut text = Vec::new();
        match File::open(&path) {
            Ok(file) => {
                io::Read::read_to_end(&mut io::Read::take(file, FILE_LIMIT), &mut text).map_err(failed)?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let book: Book = serde_json::from_slice(&text)
            .map_err(|error| StateFileError::Unreadable { path: path.clone(), source: Some(error) })?;
        if book.is_known() { Ok(Some(book)) } else { Err(StateFileError::Unreadable { path, source: None }) }
    }

    /// Stores the book durably. The directory is made if it is not there, for its owner only.
    ///
    /// # Errors
    /// When the system refuses. Then what was stored before is still there.
    pub fn write(&self, book: &Book) -> Result<(), StateFileError> {
        let path = self.path();
        let failed = |action| move |source| StateFileError::Io { action, path: self.path(), source };
        let text = serde_json::to_vec(book).map_err(io::Error::from).map_err(failed("form"))?;
        self.create().map_err(failed("make the directory of"))?;
        // Such files are made for their owner only.
        let mut file = tempfile::Builder::new()
            .prefix(".alerts-")
            .tempfile_in(&self.directory)
            .map_err(failed("write beside"))?;
        file.write_all(&text).and_then(|()| file.as_file().sync_all()).map_err(failed("write"))?;
        file.persist(&path).map_err(|error| failed("replace")(error.error))?;
        sync(&self.directory).map_err(failed("sync the directory of"))
    }

    /// Moves a file aside that cannot be read, and returns where to.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn set_aside(&self) -> Result<PathBuf, StateFileError> {
        let aside = self.directory.join(format!("{ALERTS_FILE}.unreadable"));
        let failed = |source| StateFileError::Io { action: "move aside", path: self.path(), source };
        fs::rename(self.path(), &aside).map_err(failed)?;
        Ok(aside)
    }

    fn create(&self) -> io::Result<()> {
        if self.directory.is_dir() {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        sync(
            self.directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")),
        )
    }
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_book_is_read_as_it_was_written_and_by_its_owner_only() {
        let place = tempfile::tempdir().unwrap();
        let file = StateFile::new(place.path().join("a/state"));
        assert!(file.read().unwrap().is_none());
        file.write(&Book::default()).unwrap();
        file.write(&Book::default()).unwrap();
        assert_eq!(file.read().unwrap(), Some(Book::default()));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file.path()), mode(file.path().parent().unwrap())), (0o600, 0o700));
        let files = fs::read_dir(file.path().parent().unwrap()).unwrap().count();
        assert_eq!(files, 1, "nothing else is left");
    }

    #[test]
    fn what_is_no_book_is_refused_and_set_aside() {
        let place = tempfile::tempdir().unwrap();
        let file = StateFile::new(place.path());
        for text in ["", "{}", r#"{"version":2,"next_number":1,"alerts":{},"outbox":[],"channels":{}}"#] {
            fs::write(file.path(), text).unwrap();
            assert!(matches!(file.read(), Err(StateFileError::Unreadable { .. })), "{text}");
        }
        let aside = file.set_aside().unwrap();
        assert!(aside.exists() && file.read().unwrap().is_none());
    }
}
