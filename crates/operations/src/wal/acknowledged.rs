//! Notes of which segments were archived ahead of time, so that the server's own call for one need not read it again.
//!
//! Invariant: a note is written only when the segment is durable in the repository, and counts only while the file is the very one
//! that was archived: the same inode, with the same size, and with the same times of its last change, which only the system sets.
//! A note that cannot be read or written costs time and nothing else: the segment is compared byte for byte.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use model::{SystemId, WalSegmentName};
use repository::Repository;

use super::spool;

/// The end of the name of a note.
const NOTE: &str = ".archived";

/// The notes about the WAL of one cluster and one repository.
pub(super) struct Acknowledged {
    directory: PathBuf,
}

impl Acknowledged {
    /// The notes beside the file of WAL at `path`.
    pub(super) fn beside(path: &Path, system: SystemId, repository: &Repository) -> Self {
        Self { directory: spool::directory_beside(path, system, repository) }
    }

    /// Notes that the file with this metadata is archived.
    pub(super) fn note(&self, segment: WalSegmentName, file: &Metadata) {
        let write = || {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
            fs::write(self.path(segment), identity(file))
        };
        // Without it, the segment is read again.
        let _: io::Result<()> = write();
    }

    /// Whether the file with this metadata is noted.
    pub(super) fn holds(&self, segment: WalSegmentName, file: &Metadata) -> bool {
        fs::read(self.path(segment)).is_ok_and(|note| note == identity(file).as_bytes())
    }

    /// Removes the notes about `segment` and all before it, which the server does not ask for again.
    pub(super) fn forget(&self, segment: WalSegmentName) {
        let Ok(listed) = fs::read_dir(&self.directory) else { return };
        for path in listed.filter_map(|entry| Some(entry.ok()?.path())) {
            let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(NOTE)?.parse().ok());
            if name.is_some_and(|name: WalSegmentName| name <= segment) {
                let _ = fs::remove_file(path);
            }
        }
    }

    fn path(&self, segment: WalSegmentName) -> PathBuf {
        self.directory.join(format!("{segment}{NOTE}"))
    }
}

/// What tells a file from any other, and from itself after a change.
fn identity(file: &Metadata) -> String {
    format!(
        "{} {} {} {}.{:09} {}.{:09}\n",
        file.dev(),
        file.ino(),
        file.size(),
        file.mtime(),
        file.mtime_nsec(),
        file.ctime(),
        file.ctime_nsec(),
    )
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use super::*;

    fn name(number: u32) -> WalSegmentName {
        WalSegmentName { timeline: model::TimelineId::FIRST, log: 0, segment: number }
    }

    #[test]
    fn a_note_is_about_one_state_of_one_file() {
        let directory = tempfile::tempdir().unwrap();
        let notes = Acknowledged { directory: directory.path().join("spool/7-ab") };
        let path = directory.path().join("segment");
        fs::write(&path, b"some WAL").unwrap();
        let file = fs::metadata(&path).unwrap();
        assert!(!notes.holds(name(3), &file));
        notes.note(name(3), &file);
        assert!(notes.holds(name(3), &file) && !notes.holds(name(4), &file));
        // Other bytes of the same length, and the time of the last change set back.
        let mut changed = fs::File::options().write(true).open(&path).unwrap();
        changed.seek(SeekFrom::Start(0)).unwrap();
        changed.write_all(b"SOME").unwrap();
        changed.set_modified(file.modified().unwrap()).unwrap();
        assert!(!notes.holds(name(3), &fs::metadata(&path).unwrap()));
        // Another file under the same name.
        notes.note(name(3), &fs::metadata(&path).unwrap());
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"some WAL").unwrap();
        assert!(!notes.holds(name(3), &fs::metadata(&path).unwrap()));
        // Half a note.
        let file = fs::metadata(&path).unwrap();
        fs::write(notes.path(name(3)), &identity(&file)[..10]).unwrap();
        assert!(!notes.holds(name(3), &file));
    }

    #[test]
    fn what_the_server_has_passed_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let notes = Acknowledged { directory: directory.path().join("spool/7-ab") };
        notes.forget(name(9));
        let file = fs::metadata(directory.path()).unwrap();
        (3..7).for_each(|number| notes.note(name(number), &file));
        fs::write(notes.directory.join("lock"), b"").unwrap();
        notes.forget(name(4));
        let held: Vec<_> = (3..7).map(|number| notes.holds(name(number), &file)).collect();
        assert_eq!(held, [false, false, true, true]);
        assert!(notes.directory.join("lock").exists());
    }
}
