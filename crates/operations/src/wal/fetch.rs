//! Fetching WAL from the archive, for `restore_command`.
//!
//! Invariant: the file appears at its place only when all of its bytes were authenticated and are those of its name. That something is
//! not archived is an answer, not an error: a server that is told so ends its recovery there. So whatever else goes wrong must never
//! look like it.

use std::path::{Path, PathBuf};

use model::{SystemId, WalName, WalSegmentName};
use repository::{Repository, WalArchive};

use super::place::Place;
use super::spool::Spool;
use super::{WalError, ahead};
use crate::{Context, Error};

/// What to fetch.
#[derive(Debug, Clone)]
pub struct FetchRequest {
    /// The name of the WAL.
    pub name: WalName,
    /// Where to write it. What is there is replaced.
    pub target: PathBuf,
    /// The cluster.
    pub system: SystemId,
    /// Segments to have ready in the spool; 0 uses no spool at all.
    pub ahead: u32,
    /// Threads that will fetch ahead.
    pub threads: usize,
}

/// What was fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// It is not archived.
    Absent,
    /// It was there ahead of time.
    FromSpool,
    /// It came from the archive.
    FromArchive,
    /// The archive ends within this segment: its known bytes, with zeros behind them.
    Unfinished {
        /// How many bytes are known.
        bytes: u32,
    },
    /// The timeline ended within this segment: what the next timeline's server had of it.
    FromPartial,
}

/// What a fetch came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchReport {
    /// What was fetched.
    pub fetched: Fetched,
    /// Whether somebody should fetch ahead now.
    pub wants_prefetch: bool,
}

/// Fetches WAL of one name.
///
/// # Errors
/// [`repository::Error::Damaged`] and the other ways in which a repository or a disk can fail.
pub fn fetch_wal(
    repository: &Repository,
    request: &FetchRequest,
    context: &Context<'_>,
) -> Result<FetchReport, Error> {
    let archive = repository.wal(request.system);
    let WalName::Segment(segment) = request.name else {
        let is_there = fetch_as(&archive, request.name, request, context)?.is_some();
        let fetched = if is_there { Fetched::FromArchive } else { Fetched::Absent };
        return Ok(FetchReport { fetched, wants_prefetch: false });
    };
    let spool = Spool::beside(&request.target, request.system, repository);
    if request.ahead > 0 && spool.take(segment, &request.target, &archive) {
        let wants_prefetch = wants_prefetch(&spool, segment, request.ahead);
        return Ok(FetchReport { fetched: Fetched::FromSpool, wants_prefetch });
    }
    if let Some(segment_bytes) = fetch_as(&archive, request.name, request, context)? {
        let most = ahead(request.ahead, segment_bytes, request.threads);
        let wants_prefetch = most > 0 && wants_prefetch(&spool, segment, most);
        return Ok(FetchReport { fetched: Fetched::FromArchive, wants_prefetch });
    }
    let mut fetched = fetch_end(&archive, segment, request, context)?;
    // Its pieces go when it becomes whole, and that may have been in between.
    if fetched == Fetched::Absent && fetch_as(&archive, request.name, request, context)?.is_some() {
        fetched = Fetched::FromArchive;
    }
    Ok(FetchReport { fetched, wants_prefetch: false })
}

/// Whether less than half of what should be ready after `segment` is ready, and nobody is at it.
fn wants_prefetch(spool: &Spool, segment: WalSegmentName, ahead: u32) -> bool {
    let is_after = |name: WalSegmentName| name.timeline == segment.timeline && name > segment;
    let ready = spool.entries().iter().filter(|entry| is_after(entry.name)).count();
    2 * ready < ahead as usize && spool.is_idle()
}

/// Writes the WAL of `name` to where it is wanted. Returns the size of its segment in bytes (0 for what is no segment), or nothing
/// when it is not there.
fn fetch_as(
    archive: &WalArchive,
    name: WalName,
    request: &FetchRequest,
    context: &Context<'_>,
) -> Result<Option<u32>, Error> {
    let mut place = begin(&request.target, context)?;
    let head = match archive.get(name, &mut place) {
        Ok(head) => head,
        Err(repository::Error::Output(source)) => return Err(WalError::write(&request.target, source).into()),
        Err(error) => return Err(error.into()),
    };
    let Some(head) = head else { return Ok(None) };
    finish(place, &request.target)?;
    Ok(Some(head.segment_bytes.map_or(0, model::SegmentSize::bytes)))
}

/// The end of the archive on the timeline of `segment`, when it is in that segment.
fn fetch_end(
    archive: &WalArchive,
    segment: WalSegmentName,
    request: &FetchRequest,
    context: &Context<'_>,
) -> Result<Fetched, Error> {
    let joined = archive.join_pieces(segment)?;
    let is_partial = joined.is_none() && archive.head(WalName::Partial(segment))?.is_some();
    // Behind a gap there is more: that is no end, and what is missing must not be made up.
    if (joined.is_none() && !is_partial) || goes_on(archive, segment)? {
        return Ok(Fetched::Absent);
    }
    let Some((known, mut bytes)) = joined else {
        let is_there = fetch_as(archive, WalName::Partial(segment), request, context)?.is_some();
        return Ok(if is_there { Fetched::FromPartial } else { Fetched::Absent });
    };
    bytes.resize(known.size.bytes() as usize, 0);
    let mut place = begin(&request.target, context)?;
    std::io::Write::write_all(&mut place, &bytes).map_err(|error| WalError::write(&request.target, error))?;
    finish(place, &request.target)?;
    Ok(Fetched::Unfinished { bytes: known.bytes })
}

/// Whether anything later is archived on the timeline of `segment`.
fn goes_on(archive: &WalArchive, segment: WalSegmentName) -> Result<bool, Error> {
    let catalogue = archive.catalogue()?;
    let Some(timeline) = catalogue.timelines.get(&segment.timeline) else { return Ok(false) };
    let last = timeline.segments.keys().chain(timeline.pieces.keys()).chain(&timeline.partials).max();
    Ok(last.is_some_and(|last| *last > segment))
}

fn begin(target: &Path, context: &Context<'_>) -> Result<Place, Error> {
    Ok(Place::beside(target, context.random_bytes()).map_err(|error| WalError::write(target, error))?)
}

fn finish(place: Place, target: &Path) -> Result<(), Error> {
    Ok(place.rename(target).map_err(|error| WalError::write(target, error))?)
}
