//! Makes it harder for secrets in memory to get out: no core dumps, and no reading of our memory by other processes of
//! the same user. Called once, before the first secret is read.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Forbids core dumps of this process and of the children it starts.
///
/// A failure is not an error: some sandboxes forbid these calls, and backups must go on there.
pub(crate) fn forbid_core_dumps() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, none);
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}
