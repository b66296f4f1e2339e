//! Leases: one process at a time does what a right is for, on whatever host.
//!
//! Invariant: of all that try to take a free right, one gets it: generations of a lease are objects of their own, and a store creates
//! an object once. A holder that was overtaken finds out before it commits (W18). A lease keeps processes from getting into each
//! other's way; what may be deleted is never decided by one, for clocks differ.

use std::fmt::Write;

use format::{LEASE_VERSION, Lease, ObjectKey};
use jiff::{SignedDuration, Timestamp};
use storage::{Created, StoreError};

use crate::repository::storage_key;
use crate::{Error, Repository};

/// How long a lease lasts that nobody renews.
pub const LEASE_LASTS: SignedDuration = SignedDuration::from_mins(5);

/// Keys of leases start so.
const LEASES: &str = "leases/";
/// Most bytes of a lease.
const LEASE_BYTES_MAX: u64 = 64 << 10;

/// A right that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLease {
    /// Names the right and the holder.
    pub token: LeaseToken,
    generation: u64,
    lease: Lease,
}

/// Names a right and one of its holders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseToken {
    right: String,
    token: String,
}

/// Who wants a right.
#[derive(Debug, Clone, Copy)]
pub struct LeaseRequest<'a> {
    /// The right, in words.
    pub right: &'a str,
    /// Who wants it, in words.
    pub holder: &'a str,
    /// Its process.
    pub process: &'a str,
    /// The time.
    pub now: Timestamp,
    /// Tells holders apart.
    pub random: [u8; 16],
}

/// What trying to take a right came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It was free.
    Yes(HeldLease),
    /// Somebody else has it.
    No(Lease),
}

/// The part of keys that names a right.
fn slug(right: &str) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, right.as_bytes());
    let mut name = String::new();
    for byte in hash.as_ref().iter().take(16) {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

impl Repository {
    /// Takes a right, if nobody has it. `is_gone` says of the process of a holder whether it is known to have ended.
    ///
    /// Store calls: 3 lists, 1 put, 1 get and 1 more where there is one, and 1 delete of each that is over.
    ///
    /// # Errors
    /// When the store fails.
    pub fn take_lease(
        &self,
        request: &LeaseRequest<'_>,
        is_gone: &dyn Fn(&str) -> bool,
    ) -> Result<Taken, Error> {
        let LeaseRequest { right, holder, process, now, random } = *request;
        let newest = self.newest_lease(right)?;
        if let Some((_, Some(lease))) = &newest
            && now < lease.expires_at
            && !is_gone(&lease.process)
        {
            return Ok(Taken::No(lease.clone()));
        }
        let lease = Lease {
            version: LEASE_VERSION,
            right: right.to_owned(),
            holder: holder.to_owned(),
            process: process.to_owned(),
            token: format!("{:032x}", u128::from_be_bytes(random)),
            taken_at: now,
            expires_at: now.checked_add(LEASE_LASTS).unwrap_or(now),
        };
        let generation = newest.map_or(0, |(generation, _)| generation) + 1;
        let held = HeldLease {
            token: LeaseToken { right: right.to_owned(), token: lease.token.clone() },
            generation,
            lease,
        };
        let is_put = self.put_lease(&held)?;
        match self.newest_lease(right)? {
            Some((_, Some(lease))) if is_put && lease.token == held.token.token => {
                self.forget_older(right, generation)?;
                Ok(Taken::Yes(held))
            }
            newest => {
                // Somebody was faster; perhaps by so much that the generation was free again.
                if is_put {
                    self.release_lease(&held)?;
                }
                let other = newest.and_then(|(_, lease)| lease);
                Ok(Taken::No(other.unwrap_or(Lease { holder: "somebody".to_owned(), ..held.lease })))
            }
        }
    }

    /// Renews a lease at `now`.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] when somebody else has taken the right meanwhile; or the store fails.
    pub fn renew_lease(&self, held: &mut HeldLease, now: Timestamp) -> Result<(), Error> {
        self.require_lease(&held.token)?;
        let mut next = held.clone();
        next.generation += 1;
        next.lease.expires_at = now.checked_add(LEASE_LASTS).unwrap_or(now);
        if !self.put_lease(&next)? {
            return Err(self.lost(&held.token)?);
        }
        self.forget_older(&held.token.right, next.generation)?;
        *held = next;
        Ok(())
    }

    /// Gives a right back.
    ///
    /// # Errors
    /// When the store fails. The lease is over at its end, then.
    pub fn release_lease(&self, held: &HeldLease) -> Result<(), Error> {
        let place = storage_key(&ObjectKey::Lease(slug(&held.token.right), held.generation))?;
        self.inner.store.delete(&place)?;
        Ok(())
    }

    /// Demands that nobody else has taken the right (W18).
    ///
    /// Store calls: 1 list, 1 get.
    ///
    /// # Errors
    /// [`Error::LeaseLost`]; or the store fails.
    pub fn require_lease(&self, token: &LeaseToken) -> Result<(), Error> {
        match self.newest_lease(&token.right)? {
            Some((_, Some(lease))) if lease.token == token.token => Ok(()),
            _ => Err(self.lost(token)?),
        }
    }

    fn lost(&self, token: &LeaseToken) -> Result<Error, Error> {
        let newest = self.newest_lease(&token.right)?;
        let to = newest.and_then(|(_, lease)| lease).map(|lease| lease.holder);
        Ok(Error::LeaseLost { right: token.right.clone(), to: to.unwrap_or_else(|| "nobody".to_owned()) })
    }

    /// Whether the object is new. One that is there with the same bytes is ours: an earlier try was answered with an error.
    fn put_lease(&self, held: &HeldLease) -> Result<bool, Error> {
        let place = storage_key(&ObjectKey::Lease(slug(&held.token.right), held.generation))?;
        let json =
            held.lease.to_json().map_err(|source| Error::Seal { what: "the lease".to_owned(), source })?;
        match self.inner.store.put(&place, &json) {
            Ok(Created::New | Created::AlreadyThere) => Ok(true),
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The newest generation of a lease; without what it says where that cannot be read, which holds nobody up.
    fn newest_lease(&self, right: &str) -> Result<Option<(u64, Option<Lease>)>, Error> {
        while let Some(generation) = self.lease_generations(right)?.pop() {
            let place = storage_key(&ObjectKey::Lease(slug(right), generation))?;
            return match self.inner.store.get(&place, LEASE_BYTES_MAX) {
                Ok(json) => Ok(Some((generation, Lease::from_json(&json).ok()))),
                // Released or renewed since it was listed: what is newest now?
                Err(StoreError::NotFound { .. }) => continue,
                Err(StoreError::TooLarge { .. }) => Ok(Some((generation, None))),
                Err(error) => Err(error.into()),
            };
        }
        Ok(None)
    }

    fn lease_generations(&self, right: &str) -> Result<Vec<u64>, Error> {
        let listed = self.inner.store.list(&format!("{LEASES}{}/", slug(right)))?;
        let mut generations: Vec<u64> = listed
            .iter()
            .filter_map(|object| match ObjectKey::parse(object.key.as_str()) {
                Some(ObjectKey::Lease(_, generation)) => Some(generation),
                _ => None,
            })
            .collect();
        generations.sort_unstable();
        Ok(generations)
    }

    /// Deletes generations before one: nobody needs them any more.
    fn forget_older(&self, right: &str, generation: u64) -> Result<(), Error> {
        for older in self.lease_generations(right)?.into_iter().filter(|older| *older < generation) {
            self.inner.store.delete(&storage_key(&ObjectKey::Lease(slug(right), older))?)?;
        }
        Ok(())
    }
}
