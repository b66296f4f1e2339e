//! What should worry somebody about the keys of a repository. Pure: the keys and the time are arguments.

use format::{KeyLabel, SlotId};
use jiff::{SignedDuration, Timestamp};

use super::KeySummary;
use crate::error::Problem;

/// A key is rotated every quarter: one that is older than this is due.
pub const KEY_OLD_AFTER: SignedDuration = SignedDuration::from_hours(24 * 90);

/// One thing that needs a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyConcern {
    /// One key opens the repository, and no copy of it was ever checked: whoever loses it loses every backup.
    OnePlace,
    /// The key in use is due for a rotation.
    Old {
        /// For how long it has had access.
        age: SignedDuration,
    },
    /// A key does not open the repository since keys were rotated.
    LeftBehind {
        /// The key.
        key: SlotId,
        /// Whose it is.
        label: Option<KeyLabel>,
    },
    /// A key has a slot of an epoch that the head does not know: a rotation is not complete, or the head was set back.
    Ahead {
        /// The epoch.
        epoch: u32,
    },
    /// A slot is damaged.
    Damaged(Problem),
}

/// How the keys of a repository are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyHealth {
    /// For how long the key in use has had access, as far as is known.
    pub age: Option<SignedDuration>,
    /// Keys that open the repository.
    pub keys: u64,
    /// When a copy of the key in use was last checked.
    pub checked_at: Option<Timestamp>,
    /// What needs a person.
    pub concerns: Vec<KeyConcern>,
}

/// How `keys` are at `now`, in a repository whose current epoch is `current`.
pub fn key_health(keys: &[KeySummary], current: u32, now: Timestamp) -> KeyHealth {
    let in_use = keys.iter().find(|key| key.in_use);
    let complete: Vec<_> = keys.iter().filter(|key| key.is_complete(current)).collect();
    let mut concerns = Vec::new();
    if let [only] = complete[..]
        && only.checked_at.is_none()
    {
        concerns.push(KeyConcern::OnePlace);
    }
    let age = in_use.and_then(|key| key.age(now));
    concerns.extend(age.filter(|age| *age > KEY_OLD_AFTER).map(|age| KeyConcern::Old { age }));
    for key in keys {
        let problems: Vec<_> = key.slots.iter().filter_map(|slot| slot.problem.clone()).collect();
        if problems.is_empty() && !key.is_complete(current) {
            concerns.push(KeyConcern::LeftBehind { key: key.id, label: key.label.clone() });
        }
        concerns.extend(problems.into_iter().map(KeyConcern::Damaged));
    }
    let epochs = keys.iter().flat_map(|key| &key.slots).filter_map(|slot| slot.epoch);
    let ahead = epochs.max().filter(|epoch| *epoch > current);
    concerns.extend(ahead.map(|epoch| KeyConcern::Ahead { epoch }));
    KeyHealth {
        age,
        keys: complete.len() as u64,
        checked_at: in_use.and_then(|key| key.checked_at),
        concerns,
    }
}
