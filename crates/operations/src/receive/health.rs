//! Watches the replication slot, on a thread of its own: a slot that loses WAL breaks the archive, and one that keeps too much
//! fills the disk of the server.

use std::mem::{Discriminant, discriminant};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use postgres::{Client, ConnectOptions, SlotHealth, SlotName, SlotProblem};

use crate::{Context, Warning};

/// Time between two looks at the slot.
const INTERVAL: Duration = Duration::from_mins(1);

/// Looks at `slot` until `ended` is closed. Each kind of problem is told when it begins. That the slot cannot be looked at is told once;
/// WAL is received all the same.
pub(super) fn watch(
    options: &ConnectOptions,
    slot: &SlotName,
    ended: &Receiver<()>,
    told: &mut Told,
    context: &Context<'_>,
) {
    let mut client = None;
    loop {
        match look(options, slot, &mut client) {
            Ok(problem) => told.tell(slot, problem, context),
            Err(error) => {
                client = None;
                if !std::mem::replace(&mut told.unwatched, true) {
                    context
                        .warn(Warning::SlotNotWatched { slot: slot.to_string(), message: error.to_string() });
                }
            }
        }
        if ended.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct Told {
    problem: Option<Discriminant<SlotProblem>>,
    unwatched: bool,
}

impl Told {
    fn tell(&mut self, slot: &SlotName, problem: Option<SlotProblem>, context: &Context<'_>) {
        self.unwatched = false;
        let kind = problem.as_ref().map(discriminant);
        if let Some(problem) = problem.filter(|_| kind != self.problem) {
            context.warn(Warning::Slot { slot: slot.to_string(), problem });
        }
        self.problem = kind;
    }
}

fn look(
    options: &ConnectOptions,
    slot: &SlotName,
    client: &mut Option<Client>,
) -> Result<Option<SlotProblem>, postgres::Error> {
    let session = match client {
        Some(session) => session,
        None => client.insert(Client::connect(options)?),
    };
    Ok(SlotHealth::read(session, slot)?.and_then(|health| health.problem()))
}
