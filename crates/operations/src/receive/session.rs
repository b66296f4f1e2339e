//! One connection: from finding out where to go on to the end of the stream, over as many timelines as there are.

use std::collections::BTreeSet;

use crossbeam_channel::bounded;
use jiff::Timestamp;
use model::{Lsn, SegmentSize, SystemId, TimelineHistory, TimelineId, WalSegmentName};
use postgres::{Client, ReplicationClient, ReplicationError, SlotHealth, SlotLifetime, SystemIdentity};
use repository::{Repository, WalArchive, WalCatalogue, WalOptions};

use super::error::ReceiveError;
use super::event::{Origin, ReceiveEvent};
use super::health::{self, Told};
use super::keeper::Keeper;
use super::pump::{Begun, Over, Pump, Setting};
use super::start::{self, Start};
use super::{ReceiveReport, ReceiveRequest};
use crate::{Context, Error, Event, Warning};

/// Threads that compress a segment.
const SEAL_THREADS: usize = 2;

/// What outlives a connection.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) report: ReceiveReport,
    /// The cluster, once it is known.
    system: Option<SystemId>,
    /// Segments whose WAL the server does not have any more.
    refused: BTreeSet<WalSegmentName>,
    /// WAL has streamed over some connection.
    pub(super) has_streamed: bool,
    told: Told,
}

/// What is known of a replication slot.
enum Slot {
    /// It keeps WAL from here on.
    At(Lsn),
    /// It keeps nothing: it has lost what it kept.
    Empty,
    Absent,
    /// Nothing can be known: the server is older than 15, and the role cannot ask it by SQL.
    Unknown,
}

/// One connection and its surroundings.
struct Session<'a> {
    client: ReplicationClient,
    archive: WalArchive,
    size: SegmentSize,
    request: &'a ReceiveRequest,
    context: &'a Context<'a>,
}

/// Receives WAL until somebody asks to stop, or something fails.
pub(super) fn run(
    repository: &Repository,
    request: &ReceiveRequest,
    context: &Context<'_>,
    state: &mut State,
) -> Result<(), Error> {
    let mut client = ReplicationClient::connect(&request.source)?;
    let identity = client.identify_system()?;
    let before = *state.system.get_or_insert(identity.system_id);
    if before != identity.system_id {
        return Err(ReceiveError::OtherCluster { before, now: identity.system_id }.into());
    }
    let size = client.segment_size()?;
    let options = WalOptions { level: request.compression, threads: SEAL_THREADS };
    let archive = repository.wal(identity.system_id).with_options(options);
    let mut session = Session { client, archive, size, request, context };
    let restart = session.ensure_slot()?;
    let history = session.keep_history(identity.timeline)?;
    let catalogue = session.archive.catalogue()?;
    let start = session.choose(&history, &catalogue, &identity, restart, state)?;
    session.watched(start, &begun(&catalogue), state)
}

/// Segments of which there are pieces.
fn begun(catalogue: &WalCatalogue) -> Begun {
    let pieces = catalogue.timelines.values().flat_map(|wal| &wal.pieces);
    pieces.map(|(segment, offsets)| (*segment, offsets.clone())).collect()
}

impl Session<'_> {
    fn tell(&self, event: ReceiveEvent) {
        self.context.observer.event(Event::Wal(event));
    }

    fn now(&self) -> Timestamp {
        self.context.now()
    }

    /// Makes the slot if it is not there, and again if it has lost what it kept. Returns where it begins to keep WAL, if that can
    /// be known.
    fn ensure_slot(&mut self) -> Result<Option<Lsn>, Error> {
        let slot = &self.request.slot;
        match self.slot()? {
            Slot::At(restart) => return Ok(Some(restart)),
            Slot::Empty => self.client.drop_slot(slot)?,
            Slot::Absent | Slot::Unknown => {}
        }
        match self.client.create_slot(slot, SlotLifetime::Permanent) {
            Ok(()) => self.tell(ReceiveEvent::SlotCreated { slot: slot.to_string() }),
            // Where nothing can be known, it may well be there.
            Err(ReplicationError::SlotExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        match self.slot()? {
            Slot::At(restart) => Ok(Some(restart)),
            _ => Ok(None),
        }
    }

    fn slot(&mut self) -> Result<Slot, Error> {
        let slot = &self.request.slot;
        let restart = match self.client.read_slot(slot) {
            Ok(state) => state.map(|state| state.restart_lsn),
            Err(ReplicationError::TooOld { .. }) => {
                let asked = Client::connect(&self.client.sql_options())
                    .and_then(|mut client| SlotHealth::read(&mut client, slot));
                let Ok(health) = asked else { return Ok(Slot::Unknown) };
                health.map(|health| health.restart_lsn)
            }
            Err(error) => return Err(error.into()),
        };
        Ok(match restart {
            None => Slot::Absent,
            Some(None) => Slot::Empty,
            Some(Some(restart)) => Slot::At(restart),
        })
    }

    /// Archives the history of a timeline. The first one has none.
    fn keep_history(&mut self, timeline: TimelineId) -> Result<TimelineHistory, Error> {
        if timeline == TimelineId::FIRST {
            return Ok(TimelineHistory::root(timeline));
        }
        let text = self.client.timeline_history(timeline)?;
        let history = TimelineHistory::parse(timeline, &text)
            .map_err(|source| ReceiveError::History { timeline, source })?;
        self.archive.put_history(timeline, &text, self.now())?;
        Ok(history)
    }

    fn choose(
        &self,
        history: &TimelineHistory,
        catalogue: &WalCatalogue,
        identity: &SystemIdentity,
        restart: Option<Lsn>,
        state: &State,
    ) -> Result<Start, Error> {
        let wanted = start::behind_archive(history, self.size, |timeline| {
            start::tail(&self.archive, catalogue, timeline, self.size, self.now())
        })?;
        let there = wanted.iter().find(|segment| !state.refused.contains(segment));
        let start = match there {
            Some(segment) => Start { segment: *segment, origin: Origin::Archive },
            None => start::from_server(history, self.size, restart, identity.flushed),
        };
        let from = wanted.first().map(|segment| segment.start(self.size));
        let to = start.segment.start(self.size);
        if let Some(from) = from.filter(|from| *from < to) {
            self.context.warn(Warning::WalGap { from, to });
        }
        Ok(start)
    }

    /// Streams from `start` on, while other threads store whole segments and look at the slot.
    fn watched(&mut self, start: Start, begun: &Begun, state: &mut State) -> Result<(), Error> {
        let State { report, refused, has_streamed, told, .. } = state;
        let (options, slot, context) = (self.client.sql_options(), &self.request.slot, self.context);
        std::thread::scope(|scope| {
            let (_ends_with_this, ended) = bounded(0);
            scope.spawn(move || health::watch(&options, slot, &ended, told, context));
            let (mut keeper, _) = Keeper::start(scope, self.archive.clone(), self.size);
            let mut streams = Streams { keeper: &mut keeper, begun, report, refused, has_streamed };
            self.follow(start, &mut streams)
        })
    }

    /// Streams timeline after timeline.
    fn follow(&mut self, start: Start, streams: &mut Streams<'_>) -> Result<(), Error> {
        let Start { mut segment, mut origin } = start;
        loop {
            let next = match self.stream(segment, origin, streams) {
                Ok(None) => return Ok(()),
                Ok(Some(next)) => next,
                Err(error) => {
                    if matches!(error, Error::Replication(ReplicationError::WalGone { .. })) {
                        streams.refused.insert(segment);
                    }
                    return Err(error);
                }
            };
            self.keep_history(next.timeline)?;
            let timeline = segment.timeline;
            self.tell(ReceiveEvent::TimelineEnded { timeline, next: next.timeline, switch: next.switch });
            // The segment is there again on the next timeline, with a copy of what was written before.
            segment = WalSegmentName::containing(next.timeline, next.switch, self.size);
            origin = Origin::Archive;
        }
    }

    /// Streams one timeline from `first` on. Returns the timeline that follows; nothing when somebody asked to stop.
    fn stream(
        &mut self,
        first: WalSegmentName,
        origin: Origin,
        streams: &mut Streams<'_>,
    ) -> Result<Option<postgres::NextTimeline>, Error> {
        let from = first.start(self.size);
        let setting = Setting {
            archive: &self.archive,
            size: self.size,
            flush_interval: self.request.flush_interval,
            synchronous: self.request.synchronous,
            begun: streams.begun,
            context: self.context,
        };
        let mut pump = Pump::new(setting, streams.keeper, streams.report, first)?;
        let host = self.client.host().to_owned();
        let mut stream = self.client.stream_wal(Some(&self.request.slot), first.timeline, from)?;
        let system = self.archive.system();
        let event = ReceiveEvent::Streaming { host, system, timeline: first.timeline, from, origin };
        self.context.observer.event(Event::Wal(event));
        let over = pump.run(&mut stream);
        // What came shows that the WAL is there, and that the connection was good.
        if stream.position() > from {
            *streams.has_streamed = true;
        }
        match over? {
            Over::TimelineEnded => Ok(Some(stream.end()?)),
            Over::Stopped => {
                stream.stop()?;
                Ok(None)
            }
        }
    }
}

/// What the streams of one connection share.
struct Streams<'a> {
    keeper: &'a mut Keeper,
    begun: &'a Begun,
    report: &'a mut ReceiveReport,
    refused: &'a mut BTreeSet<WalSegmentName>,
    has_streamed: &'a mut bool,
}
