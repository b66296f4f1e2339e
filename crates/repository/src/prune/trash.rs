//! The trash: what was pruned lies there for a while, in the order in which it lay, so that `cp` brings it back.
//!
//! Invariant: one prune, one lot, named by the second at which it began. What has no such name is nobody's, and is left alone.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use storage::{Key, Listed, StoreError, TRASH};

use super::Objects;
use crate::proofs::time_of;
use crate::{Error, Repository};

/// How long what was pruned is kept in the trash, where the store has one: over a weekend.
pub const TRASH_KEPT: SignedDuration = SignedDuration::from_hours(72);

/// The name of the lot of a prune that began at `now`.
pub(super) fn lot(now: Timestamp) -> String {
    now.to_zoned_datetime(TimeZone::UTC).strftime("%Y-%m-%d-%H%M%S").to_string()
}

/// Where an object lies in the trash.
pub(super) fn aside(key: &Key, lot: &str) -> Result<Key, StoreError> {
    // Keys of the format are far shorter than keys can be; a test holds that.
    key.in_trash(lot).map_err(|error| StoreError::Io {
        action: "name",
        what: key.to_string(),
        source: std::io::Error::other(error.to_string()),
    })
}

/// When an object came into the trash.
fn trashed_at(object: &Listed) -> Option<Timestamp> {
    let (lot, _) = object.key.as_str().strip_prefix(TRASH)?.split_once('/')?;
    time_of(&format!("{lot}-000000"))
}

impl Repository {
    /// What has been in the trash for `kept` and longer.
    ///
    /// Store calls: 1 list.
    pub(super) fn old_trash(&self, now: Timestamp, kept: SignedDuration) -> Result<Objects, Error> {
        let mut old = Objects::default();
        for object in self.inner.store.list(TRASH)? {
            if trashed_at(&object).is_some_and(|at| now.duration_since(at) >= kept) {
                old.add(object);
            }
        }
        Ok(old)
    }
}
