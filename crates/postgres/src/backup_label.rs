//! `backup_label`: where the server says that a backup began.

use model::{Lsn, TimelineId};

/// The file, in a data directory that was restored.
pub(crate) const BACKUP_LABEL: &str = "backup_label";

/// Where the backup begins in the WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BackupLabel {
    pub(crate) start_lsn: Lsn,
    pub(crate) timeline: TimelineId,
}

impl BackupLabel {
    /// Reads the text of the file; nothing if it is not such a text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let start = value("START WAL LOCATION")?.split(' ').next()?;
        Some(Self { start_lsn: start.parse().ok()?, timeline: value("START TIMELINE")?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_as_servers_write_it() {
        let text = "START WAL LOCATION: 16/2000028 (file 000000030000001600000002)\nCHECKPOINT LOCATION: 16/2000060\n\
                    BACKUP METHOD: streamed\nBACKUP FROM: primary\nSTART TIME: 2026-11-25 20:00:00 UTC\n\
                    LABEL: START TIMELINE: 9\nSTART TIMELINE: 3\n";
        let expected = BackupLabel { start_lsn: Lsn(0x16_0200_0028), timeline: TimelineId::new(3).unwrap() };
        assert_eq!(BackupLabel::parse(text), Some(expected));
        for broken in
            ["", "START TIMELINE: 3\n", "START WAL LOCATION: 16/2000028 (file x)\nSTART TIMELINE: 0\n"]
        {
            assert_eq!(BackupLabel::parse(broken), None);
        }
    }
}
