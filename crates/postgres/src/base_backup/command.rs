//! The text of `BASE_BACKUP` in the grammar of each version (PostgreSQL documentation, 55.4).

use super::Checkpoint;
use crate::client::NEW_FORM_MAJOR;

/// What the backup is called in `backup_label`.
const LABEL: &str = "chronavault";

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) checkpoint: Checkpoint,
    /// The manifest has a CRC-32C of each file.
    pub(super) checksums: bool,
    /// Only what changed since the manifest that was uploaded.
    pub(super) incremental: bool,
}

impl Request {
    /// The command for a server of this major version. WAL comes with it, tablespaces as a map and not as links, and pages are
    /// not verified by the server, since whoever takes them does so.
    pub(super) fn command(self, major: u32) -> String {
        let algorithm = if self.checksums { "CRC32C" } else { "NONE" };
        if major < NEW_FORM_MAJOR {
            let fast = if self.checkpoint == Checkpoint::Fast { "FAST " } else { "" };
            return format!(
                "BASE_BACKUP LABEL '{LABEL}' PROGRESS {fast}WAL NOWAIT TABLESPACE_MAP NOVERIFY_CHECKSUMS \
                 MANIFEST 'yes' MANIFEST_CHECKSUMS '{algorithm}'"
            );
        }
        let checkpoint = match self.checkpoint {
            Checkpoint::Fast => "fast",
            Checkpoint::Spread => "spread",
        };
        let incremental = if self.incremental { ", INCREMENTAL true" } else { "" };
        format!(
            "BASE_BACKUP (LABEL '{LABEL}', PROGRESS true, CHECKPOINT '{checkpoint}', WAL true, WAIT false, \
             TABLESPACE_MAP true, VERIFY_CHECKSUMS false, MANIFEST 'yes', MANIFEST_CHECKSUMS '{algorithm}'{incremental})"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_grammar() {
        let request = Request { checkpoint: Checkpoint::Fast, checksums: false, incremental: false };
        assert_eq!(
            request.command(14),
            "BASE_BACKUP LABEL 'chronavault' PROGRESS FAST WAL NOWAIT TABLESPACE_MAP NOVERIFY_CHECKSUMS \
             MANIFEST 'yes' MANIFEST_CHECKSUMS 'NONE'"
        );
        let request = Request { checkpoint: Checkpoint::Spread, checksums: true, incremental: true };
        assert_eq!(
            request.command(17),
            "BASE_BACKUP (LABEL 'chronavault', PROGRESS true, CHECKPOINT 'spread', WAL true, WAIT false, \
             TABLESPACE_MAP true, VERIFY_CHECKSUMS false, MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C', INCREMENTAL true)"
        );
    }
}
