//! What monitoring systems read: the status of the daemon as metrics, in OpenMetrics 1.0 or in the older text format of Prometheus.
//!
//! Invariant: what is not known has no sample, and a name means the same for ever. Times are Unix times in seconds, durations seconds,
//! sizes bytes.
//!
//! Deliberately absent: state. Everything follows from the status and the time; counters are counted anew from the journal, so they
//! outlive a restart.

mod backups;
mod daemon;
mod drills;
mod families;
mod family;
mod page;
mod runs;
mod storage;
mod wal;

use jiff::Timestamp;

pub use families::families;
pub use family::{Description, MetricKind};
pub use page::Form;

use crate::Status;
use page::Page;

/// All metrics of a status.
pub fn text(status: &Status, now: Timestamp, form: Form) -> String {
    let mut page = Page::new(form);
    daemon::write(&mut page, status);
    if let Some(observation) = &status.observation {
        runs::write(&mut page, observation);
        drills::write(&mut page, observation);
        backups::write(&mut page, observation, now);
        wal::write(&mut page, observation);
        storage::write(&mut page, observation, now);
    }
    page.end()
}
