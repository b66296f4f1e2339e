//! How much went, or would.

use repository::{PrunePlan, PruneReport};

/// What went, or would.
pub(super) struct Totals {
    pub(super) packs: u64,
    pub(super) pack_bytes: u64,
    pub(super) pruned_bytes: u64,
    pub(super) emptied_bytes: u64,
}

impl Totals {
    pub(super) fn of(plan: &PrunePlan, report: Option<&PruneReport>) -> Self {
        if let Some(report) = report {
            return Self {
                packs: report.packs.objects,
                pack_bytes: report.packs.bytes,
                pruned_bytes: report.packs.bytes + report.wal.bytes + report.others.bytes,
                emptied_bytes: report.emptied.bytes,
            };
        }
        let (packs, pack_bytes) = match plan.packs.left {
            None => (plan.packs.objects.number(), plan.packs.objects.bytes()),
            Some(_) => (0, 0),
        };
        let pruned_bytes = plan.bytes();
        let at_once = if plan.trash_kept.is_zero() { pruned_bytes } else { 0 };
        Self { packs, pack_bytes, pruned_bytes, emptied_bytes: plan.trash.bytes() + at_once }
    }
}
