//! `backup_label`: where the server says that a backup began.

use model::{Lsn, TimelineId};

use crate::cluster::ClusterError;

/// What of it is compared with what was said at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BackupLabel {
    pub(super) start_lsn: Lsn,
    pub(super) timeline: TimelineId,
}

impl BackupLabel {
    pub(super) fn parse(text: &str) -> Result<Self, ClusterError> {
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let parse = || {
            let start = value("START WAL LOCATION")?.split(' ').next()?;
            Some(Self { start_lsn: start.parse().ok()?, timeline: value("START TIMELINE")?.parse().ok()? })
        };
        parse()
            .ok_or_else(|| ClusterError::Protocol { what: "a backup_label that cannot be read".to_owned() })
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
        assert_eq!(BackupLabel::parse(text).unwrap(), expected);
        for broken in
            ["", "START TIMELINE: 3\n", "START WAL LOCATION: 16/2000028 (file x)\nSTART TIMELINE: 0\n"]
        {
            assert!(BackupLabel::parse(broken).is_err());
        }
    }
}
