//! Looks at everything: when they are asked for, and what becomes of them.

use std::time::Instant;

use super::lookout::{Look, Lookout, Sight};
use super::{Daemon, DaemonEvent, UNOBSERVED};
use crate::observation::Trouble;

impl Daemon<'_> {
    /// Has somebody look at everything when it is time to.
    pub(super) fn observe(&mut self) {
        if self.observed.is_some_and(|observed| observed.elapsed() < self.plan.observe_every) {
            return;
        }
        if self.lookout.is_at_work() {
            self.observe_hanging();
            return;
        }
        self.observed = Some(Instant::now());
        let now = self.world.now();
        let mut troubles: Vec<Trouble> = self.settings_trouble.iter().cloned().collect();
        troubles.extend(self.clock.trouble(now));
        let has_changed = std::mem::take(&mut self.has_changed);
        let receivers = self.receivers.states();
        self.lookout.ask(Look { scheduler: self.scheduler.clone(), receivers, troubles, has_changed });
    }

    /// Says so when the look that is at work hangs.
    fn observe_hanging(&mut self) {
        let Some(hangs) = self.lookout.hangs_for() else { return };
        self.observed = Some(Instant::now());
        let minutes = hangs.as_secs() / 60;
        self.world.blind(Trouble {
            code: UNOBSERVED.to_owned(),
            object: "observation".to_owned(),
            message: format!(
                "looking at the repository, the journal and the storage takes {minutes} minutes by now; \
                 what is known is as old"
            ),
            hint: "Check that the storage answers (`chronavault list`); scheduled runs go on meanwhile."
                .to_owned(),
        });
    }

    /// A look has ended; nothing was seen when whoever looked is gone.
    pub(super) fn look_ended(&mut self, sight: Option<Sight>) {
        self.lookout.ended();
        let Some(sight) = sight else { return self.look_again() };
        let is_rekeyed = sight.reopened.is_some();
        self.world.seen(sight);
        if is_rekeyed {
            self.receivers.restart();
            self.world.event(DaemonEvent::Rekeyed);
        }
    }

    /// Has somebody else look, at the next time.
    fn look_again(&mut self) {
        let (mut message, watch) =
            ("whoever looks at the repository ended unexpectedly".to_owned(), self.world.watch());
        match Lookout::start(watch, self.plan.look_limit) {
            Ok(lookout) => self.lookout = lookout,
            Err(error) => {
                message = format!("nobody looks at the repository any more: {error}");
                self.lookout.blind();
            }
        }
        self.world.blind(Trouble {
            code: UNOBSERVED.to_owned(),
            object: "observation".to_owned(),
            message,
            hint: "Look at the log of the service, and run `chronavault doctor`.".to_owned(),
        });
    }
}
