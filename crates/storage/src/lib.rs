//! Bytes at keys: one small trait, the local store, wrappers, and the conformance suite that all of them pass.
//!
//! Architecture invariant: a store knows nothing of what it keeps. There is no encryption here, no PostgreSQL and no
//! word of the domain; keys are checked paths and values are bytes. An object is written once; `replace` is the one
//! exception and swaps a whole object atomically.
//!
//! What differs between stores (retries, faults, counting) is a wrapper around a store, never a branch inside one.

pub mod conformance;
mod error;
mod faulty;
mod key;
mod local;
mod memory;
mod recording;
mod store;

pub use error::StoreError;
pub use faulty::{Effect, Fault, Faulty};
pub use key::{Key, KeyError, MAX_KEY_BYTES, MAX_PART_BYTES, TRASH};
pub use local::{Isolation, LocalStore, Swept};
pub use memory::{MAX_MEMORY_OBJECT_BYTES, MemoryStore};
pub use recording::{Call, Calls, Operation, Recording};
pub use store::{Created, Listed, Store};
