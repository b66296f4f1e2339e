//! Room on a disk.

use std::io;
use std::path::Path;

use model::ByteSize;

use super::Findings;

/// How many times the plain bytes of a backup should be free: rows on a page take more than as text, and indexes come on top.
const COMFORTABLE: u64 = 2;

/// Bytes that are free where `path` is, or where it will be.
pub(crate) fn free(path: &Path) -> io::Result<u64> {
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let space = rustix::fs::statvfs(there)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

/// Compares what is free at `path` with the `needed` bytes, of which a database takes a multiple when `grows`.
pub(super) fn examine(findings: &mut Findings, path: &Path, needed: u64, grows: bool) {
    let object = path.display().to_string();
    match free(path) {
        Ok(free) => judge(findings, object, free, needed, grows),
        Err(error) => {
            findings.note("disk.unknown", object, format!("nobody can say how much is free there: {error}"));
        }
    }
}

/// Judges the numbers.
pub(super) fn judge(findings: &mut Findings, object: String, free: u64, needed: u64, grows: bool) {
    let message = format!("{} are free there, and the backup has {}", ByteSize(free), ByteSize(needed));
    let comfortable = if grows { needed.saturating_mul(COMFORTABLE) } else { needed };
    match free {
        free if free < needed => {
            findings.error("disk.space", object, message, "Make room there, or restore to another place.");
        }
        free if free < comfortable => findings.warning(
            "disk.space",
            object,
            format!("{message} as text, without indexes"),
            "Make room there; with rows on pages and with indexes a database is larger.",
        ),
        _ => findings.note("disk.space", object, message),
    }
}

#[cfg(test)]
mod tests {
    use postgres::Severity;

    use super::*;

    #[test]
    fn a_database_needs_more_room_than_its_text() {
        let severity = |free, grows| {
            let mut findings = Findings::default();
            judge(&mut findings, "/x".to_owned(), free, 1000, grows);
            findings.0[0].severity
        };
        assert_eq!(severity(999, true), Severity::Error);
        assert_eq!(severity(1999, true), Severity::Warning);
        assert_eq!(severity(2000, true), Severity::Note);
        assert_eq!(severity(999, false), Severity::Error);
        assert_eq!(severity(1000, false), Severity::Note);
    }

    #[test]
    fn the_room_of_a_directory_that_is_not_there_is_that_of_its_place() {
        let mut findings = Findings::default();
        examine(&mut findings, Path::new("/not/there/yet"), u64::MAX, false);
        assert_eq!((findings.0[0].code, findings.0[0].severity), ("disk.space", Severity::Error));
    }
}
