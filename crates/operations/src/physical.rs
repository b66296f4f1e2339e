//! Physical backups: the files of a cluster and the WAL that makes them consistent.
//!
//! Invariant: what is committed starts on its own. The files, `backup_label` and the WAL from the start to the stop of the backup
//! are all in the backup itself; an archive of WAL only adds what came later.

mod backup;
mod directory;
mod ended;
mod error;
mod examination;
mod files;
mod moment;
mod plan;
mod recovery;
mod recreated;
mod rehearsal;
mod restore;
mod sink;

pub use backup::{ClusterBackupRequest, Method, backup_cluster};
pub(crate) use directory::{failed, running_server};
pub use ended::end_recovery;
pub use error::DirectoryError;
pub(crate) use examination::{Examination, examine, look_over};
pub(crate) use moment::{Moment, RestoredFiles, restore_files, restore_moment};
pub(crate) use plan::plan;
pub use plan::{StartFrom, Unreachable};
pub(crate) use recovery::{AUTO_CONF, without_recovery};
pub use recovery::{RecoveryCommands, TargetAction};
pub(crate) use rehearsal::rehearse_cluster;
pub use restore::{ClusterRestoreReport, ClusterRestoreRequest, restore_cluster};
pub(crate) use restore::{Places, choose_start, examine_places};
