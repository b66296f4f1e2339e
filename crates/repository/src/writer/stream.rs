//! One stream that is being written: collects its entries, which arrive in any order, and hands them out as lists in
//! stream order.
//!
//! Invariant: memory does not grow with the stream. Entries leave as soon as a whole list of them is at the front and the
//! packs that they name are closed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use format::{Sha256, StreamKind};
use model::QualifiedName;

use super::packs::Spot;
use super::parent::ParentStream;

/// Entries of one list chunk.
pub(super) const LIST_ENTRIES: usize = format::LIST_ENTRIES_MAX;

/// An entry whose packs may still be open.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) spot: Spot,
    pub(super) rows: u32,
    pub(super) key_hash: u64,
    pub(super) continues: bool,
    /// The full chunk that this one is stored as a difference to.
    pub(super) base: Option<Spot>,
}

/// A stream and what is known of it so far.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) name: String,
    pub(super) kind: StreamKind,
    /// The table of a stream of rows.
    pub(super) table: Option<QualifiedName>,
    /// The same stream in the parent.
    pub(super) parent: Option<ParentStream>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    parts: BTreeMap<u32, Part>,
    /// Every part before this one was handed out.
    front: u32,
    /// Lists that were handed out, with their places once they are sealed.
    lists: Vec<Option<Spot>>,
    /// Entries that wait here.
    waiting: usize,
    /// Deltas that were not worth it, since the last one that was.
    misses: u32,
    totals: Totals,
    sha256: Option<Sha256>,
}

/// What went into a stream.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) entries: u64,
    pub(super) plain_bytes: u64,
}

#[derive(Debug, Default)]
struct Part {
    entries: BTreeMap<u32, Entry>,
    /// Entries before this one were handed out.
    front: u32,
    /// Number of chunks, once the part is finished.
    chunks: Option<u32>,
    /// The newest chunk that was found in the parent, and its position there.
    matched: Option<(u32, u32)>,
}

impl Stream {
    pub(super) fn new(
        name: String,
        kind: StreamKind,
        table: Option<QualifiedName>,
        parent: Option<ParentStream>,
    ) -> Self {
        Self { name, kind, table, parent, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change below is complete before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens part `number`. Returns `false` when it was opened before.
    pub(super) fn open_part(&self, number: u32) -> bool {
        let mut state = self.state();
        let is_new = number >= state.front && !state.parts.contains_key(&number);
        if is_new {
            state.parts.insert(number, Part::default());
        }
        is_new
    }

    /// Says that part `number` has `chunks` chunks and no more.
    pub(super) fn finish_part(&self, number: u32, chunks: u32) {
        if let Some(part) = self.state().parts.get_mut(&number) {
            part.chunks = Some(chunks);
        }
    }

    /// Records the hash of the whole stream (of archives).
    pub(super) fn set_sha256(&self, sha256: Sha256) {
        self.state().sha256 = Some(sha256);
    }

    /// Adds the entry of chunk `sequence` of part `number`.
    pub(super) fn insert(&self, number: u32, sequence: u32, entry: Entry) {
        let mut state = self.state();
        state.totals.entries += 1;
        state.totals.plain_bytes += u64::from(entry.spot.plain_bytes);
        state.waiting += 1;
        state.parts.entry(number).or_default().entries.insert(sequence, entry);
    }

    /// The next list in stream order and its number: a full one whose packs `is_closed`, or, when `all` entries are wanted,
    /// whatever is left.
    pub(super) fn take_list(
        &self,
        all: bool,
        is_closed: impl Fn(u32) -> bool,
    ) -> Option<(usize, Vec<Entry>)> {
        let mut state = self.state();
        if state.waiting < LIST_ENTRIES && !all || state.waiting == 0 {
            return None;
        }
        let ready =
            state.front_entries(all).take(LIST_ENTRIES).take_while(|entry| entry.is_in(&is_closed)).count();
        if ready < LIST_ENTRIES && !all || ready == 0 {
            return None;
        }
        let entries = state.remove_front(ready, all);
        state.waiting -= entries.len();
        state.lists.push(None);
        Some((state.lists.len() - 1, entries))
    }

    /// Records where list `number` is.
    pub(super) fn place_list(&self, number: usize, spot: Spot) {
        if let Some(list) = self.state().lists.get_mut(number) {
            *list = Some(spot);
        }
    }

    /// Records that chunk `sequence` of a part was found at `position` of the parent's stream.
    pub(super) fn matched(&self, number: u32, sequence: u32, position: u32) {
        let mut state = self.state();
        let part = state.parts.entry(number).or_default();
        if part.matched.is_none_or(|(newest, _)| newest < sequence) {
            part.matched = Some((sequence, position));
        }
    }

    /// Where chunk `sequence` of a part would be in the parent's stream if nothing had moved since the last match.
    /// Chunks of a part are sealed by several threads, so that the last match may be a few chunks back.
    pub(super) fn expected_position(&self, number: u32, sequence: u32) -> Option<u32> {
        let state = self.state();
        match state.parts.get(&number).and_then(|part| part.matched) {
            Some((matched, position)) => {
                let distance = i64::from(sequence) - i64::from(matched);
                u32::try_from(i64::from(position) + distance).ok()
            }
            // The first part begins where the parent's stream began.
            None if number == 0 => Some(sequence),
            None => None,
        }
    }

    /// Whether a delta is worth trying: after many that were not, only now and then.
    pub(super) fn may_try_delta(&self, sequence: u32) -> bool {
        const PATIENCE: u32 = 8;
        self.state().misses < PATIENCE || sequence.is_multiple_of(PATIENCE)
    }

    /// Records how a delta went.
    pub(super) fn tried_delta(&self, was_kept: bool) {
        let mut state = self.state();
        state.misses = if was_kept { 0 } else { state.misses.saturating_add(1) };
    }

    /// Everything about a stream whose lists are all placed; nothing when a part is unfinished or a list is missing.
    pub(super) fn summary(&self) -> Option<Summary> {
        let state = self.state();
        let lists: Option<Vec<Spot>> = state.lists.iter().copied().collect();
        let is_finished = state.waiting == 0 && state.parts.values().all(Part::is_handed_out);
        if !is_finished || (self.kind == StreamKind::Archive && state.sha256.is_none()) {
            return None;
        }
        Some(Summary { totals: state.totals, sha256: state.sha256, lists: lists? })
    }
}

/// What the manifest says of a stream.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) totals: Totals,
    pub(super) sha256: Option<Sha256>,
    pub(super) lists: Vec<Spot>,
}

impl Part {
    fn is_handed_out(&self) -> bool {
        self.entries.is_empty() && self.chunks == Some(self.front)
    }

    /// The entries at the front without a gap.
    fn front_entries(&self) -> impl Iterator<Item = &Entry> {
        let in_order = self.entries.iter().zip(self.front..);
        in_order.take_while(|((sequence, _), expected)| *sequence == expected).map(|((_, entry), _)| entry)
    }

    /// Whether everything that is still to come from this part is waiting here without a gap.
    fn is_whole(&self) -> bool {
        self.chunks.is_some_and(|chunks| {
            let waiting = self.front_entries().count();
            u32::try_from(waiting).is_ok_and(|waiting| self.front + waiting == chunks)
        })
    }
}

impl State {
    /// The waiting entries in stream order, up to the first that is missing. Until `all` is over, a part that nobody has
    /// opened yet is missing too.
    fn front_entries(&self, all: bool) -> impl Iterator<Item = &Entry> {
        let mut next = self.front;
        let mut is_open = true;
        let parts = self.parts.iter().take_while(move |(number, part)| {
            let is_next = is_open && (all || **number == next);
            next = number.saturating_add(1);
            is_open = part.is_whole();
            is_next
        });
        parts.flat_map(|(_, part)| part.front_entries())
    }

    fn remove_front(&mut self, count: usize, all: bool) -> Vec<Entry> {
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            let Some(mut part) = self.parts.first_entry() else { break };
            while taken.len() < count
                && let Some(entry) = {
                    let front = part.get().front;
                    part.get_mut().entries.remove(&front)
                }
            {
                part.get_mut().front += 1;
                taken.push(entry);
            }
            if !part.get().is_handed_out() {
                break;
            }
            self.front = part.key().saturating_add(1);
            part.remove();
        }
        debug_assert!(all || taken.len() == count, "counted entries are there");
        taken
    }
}

impl Entry {
    fn is_in(&self, is_closed: impl Fn(u32) -> bool) -> bool {
        is_closed(self.spot.pack) && self.base.is_none_or(|base| is_closed(base.pack))
    }
}
