//! Reading the lists of a stream.

use format::{ListEntry, ObjectKey, Place, RecordType, StreamRecord};

use crate::Error;
use crate::records::{Records, damaged};

/// Where the lists of a stream are, in order.
pub(crate) fn places(stream: &StreamRecord) -> impl Iterator<Item = Place> {
    stream.lists.iter().copied().map(Place::from)
}

/// The entries of the list at `place`.
pub(crate) fn read(records: &Records, place: &Place) -> Result<Vec<ListEntry>, Error> {
    let bytes = records.read(place, RecordType::List)?;
    format::decode_list(&bytes).map_err(|error| damaged(&ObjectKey::Pack(place.pack), &error))
}
