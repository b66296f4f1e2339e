//! The packs of a backup that is being written: those that it adds, and those of earlier backups that it uses again.
//!
//! A pack gets its name, the hash of its bytes, only when it is finished. Until then a number stands for it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use format::{ChunkId, PackId, Place};

/// Where a record is, in terms of a [`PackTable`]: a [`Place`] whose pack may not have a name yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    /// Number of the pack in the table.
    pub(super) pack: u32,
    pub(super) offset: u32,
    pub(super) sealed_bytes: u32,
    pub(super) plain_bytes: u32,
    pub(super) id: ChunkId,
}

/// One pack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pack {
    /// Its name, once it is finished and durable.
    pub(super) name: Option<PackId>,
    pub(super) bytes: u64,
    /// Whether this backup added it.
    pub(super) is_new: bool,
}

/// All packs of a backup, by number.
#[derive(Debug, Default)]
pub(super) struct PackTable {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    packs: Vec<Pack>,
    old: HashMap<PackId, u32>,
}

impl PackTable {
    pub(super) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The spot, in terms of this table, of a record in a pack of an earlier backup.
    pub(super) fn reuse(&self, place: &Place, pack_bytes: u64) -> Spot {
        let mut table = self.lock();
        let known = table.old.get(&place.pack).copied();
        let pack = known.unwrap_or_else(|| table.add_old(place.pack, pack_bytes));
        Spot {
            pack,
            offset: place.offset,
            sealed_bytes: place.sealed_bytes,
            plain_bytes: place.plain_bytes,
            id: place.id,
        }
    }
}

impl Table {
    /// A number for a pack that is being filled.
    pub(super) fn open(&mut self) -> u32 {
        self.add(Pack { name: None, bytes: 0, is_new: true })
    }

    fn add_old(&mut self, name: PackId, bytes: u64) -> u32 {
        let number = self.add(Pack { name: Some(name), bytes, is_new: false });
        self.old.insert(name, number);
        number
    }

    fn add(&mut self, pack: Pack) -> u32 {
        self.packs.push(pack);
        // A pack holds 16 MiB: numbers run out after 64 PiB.
        u32::try_from(self.packs.len() - 1).unwrap_or(u32::MAX)
    }

    /// Records that a pack is durable.
    pub(super) fn close(&mut self, number: u32, name: PackId, bytes: u64) {
        if let Some(pack) = self.packs.get_mut(number as usize) {
            pack.name = Some(name);
            pack.bytes = bytes;
        }
    }

    /// The name of a pack that is finished.
    pub(super) fn name(&self, number: u32) -> Option<PackId> {
        self.packs.get(number as usize).and_then(|pack| pack.name)
    }

    /// The place of a spot, with the name of its pack, when that is finished.
    pub(super) fn named(&self, spot: &Spot) -> Option<Place> {
        Some(Place {
            pack: self.name(spot.pack)?,
            offset: spot.offset,
            sealed_bytes: spot.sealed_bytes,
            plain_bytes: spot.plain_bytes,
            id: spot.id,
        })
    }

    /// All packs, those of earlier backups included.
    pub(super) fn packs(&self) -> &[Pack] {
        &self.packs
    }
}
