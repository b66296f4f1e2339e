//! Pruning: backups that expired go, and then everything that nothing needs any more.
//!
//! Invariant: deleting goes in the reverse order of writing (W13). A manifest goes first, so that its backup is absent from then on;
//! packs go only when, after that, no manifest names them and no writer is at work (W14). Whatever was left undone is found again by
//! the next prune (W15). Nothing goes that the plan did not name.
//!
//! Deliberately absent: which backups and which WAL expire; [`model::plan_retention`] decides that.

mod apply;
mod plan;
mod readings;
mod trash;
mod wal;

use model::BackupId;
use storage::Listed;

pub use apply::{OnPrune, PruneProgress, PruneReport, Removed};
pub use plan::{PlannedBackup, PlannedPacks, PrunePlan, RemovalRequest};
pub use trash::TRASH_KEPT;
pub use wal::{PlannedWal, SegmentRange};

/// Objects that go, in the order in which they go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Objects(Vec<Listed>);

impl Objects {
    /// How many they are.
    pub fn number(&self) -> u64 {
        self.0.len() as u64
    }

    /// Their size in bytes.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|object| object.size).sum()
    }

    fn add(&mut self, object: Listed) {
        self.0.push(object);
    }
}

/// Why packs that no backup names are not collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PacksLeft {
    /// The manifest of this backup cannot be read, so nobody knows what it needs.
    Damaged(BackupId),
    /// This backup is being written, or its writer was killed less than [`crate::INTENT_ABANDONED_AFTER`] ago.
    Running(BackupId),
}
