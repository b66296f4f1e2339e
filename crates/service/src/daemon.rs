//! The daemon: runs what is due, receives WAL, watches, and ends cleanly.
//!
//! Invariant: each run is a process of its own, so that the daemon stays small and nothing that a run does can end it. It waits for what
//! happens, and for the next moment at which something is due; it never spins, and it never waits for somebody who looks at
//! everything. What it did and left undone is in the journal.
//!
//! Deliberately absent: a terminal, the environment, the reading of settings. All of that comes in.

mod lookout;
mod receivers;
mod runs;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use jiff::{SignedDuration, Timestamp};

use crate::observation::Trouble;
use crate::scheduler::{Ended, Order, Scheduler, Start, Task};
use crate::worker::{Finished, Program, Report, Running};
use lookout::Lookout;
use receivers::Receivers;

pub use lookout::{LOOK_LIMIT, Look, Sight, Watch};
pub use receivers::ReceiverTask;

/// A clock that moves by so much more or less than time passes has jumped.
const JUMP: SignedDuration = SignedDuration::from_mins(2);
/// For so long a jump is worth knowing.
const JUMP_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// The trouble of a daemon that does not see.
pub(crate) const UNOBSERVED: &str = "service.unobserved";

/// What the daemon is to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What runs now and then.
    pub tasks: Vec<Task>,
    /// Of which sources WAL is received.
    pub receivers: Vec<ReceiverTask>,
    /// How this program is called.
    pub program: Program,
    /// Whether runs are waited for at the end, instead of being stopped.
    pub finishes_runs: bool,
    /// How long runs get to end once they were asked to.
    pub grace: Duration,
    /// How often everything is looked at.
    pub observe_every: Duration,
    /// A look that takes longer hangs: [`LOOK_LIMIT`], but for tests.
    pub look_limit: Duration,
    /// How often the loop turns at least.
    pub turn_every: Duration,
}

/// What somebody wants of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// End.
    Stop,
    /// Read the settings again.
    Reload,
}

/// What the daemon says.
#[derive(Debug, Clone, PartialEq)]
pub enum DaemonEvent {
    /// It has begun.
    Ready {
        /// How many tasks it has.
        tasks: usize,
        /// How many receivers.
        receivers: usize,
    },
    /// A run started.
    Started {
        /// The task.
        task: String,
        /// The moment that it serves.
        planned_at: Timestamp,
        /// 1, or more when it is tried again.
        attempt: u32,
        /// Its process.
        pid: i32,
    },
    /// Moments that no run serves.
    Missed {
        /// The task.
        task: String,
        /// How many.
        moments: u32,
    },
    /// A run said something.
    Said {
        /// The task or receiver.
        run: String,
        /// What.
        line: String,
    },
    /// A run ended.
    Ended {
        /// The task or receiver.
        run: String,
        /// Its exit status.
        status: Option<i32>,
        /// How long it took.
        duration: Duration,
        /// When it is tried again.
        again_at: Option<Timestamp>,
    },
    /// A run has outlived its limit and is being stopped.
    Overdue {
        /// The task.
        task: String,
    },
    /// A run could not be started.
    NotStarted {
        /// The task or receiver.
        run: String,
        /// Why.
        message: String,
    },
    /// Other settings are in force.
    Reloaded,
    /// The settings cannot be read; the old ones stay in force.
    NotReloaded {
        /// Why.
        message: String,
    },
    /// The keys of the repository were rotated; the daemon goes on with the new one, and its receivers start again.
    Rekeyed,
    /// The clock has jumped.
    ClockJumped {
        /// By how much.
        by: SignedDuration,
    },
    /// It is ending.
    Stopping {
        /// Runs that go on.
        runs: usize,
    },
}

/// What the daemon needs from outside.
pub trait World {
    /// The time.
    fn now(&self) -> Timestamp;
    /// Is told what happens.
    fn event(&mut self, event: DaemonEvent);
    /// The moment that each task served last, by its name, as the journal and the repository tell.
    fn served(&mut self, tasks: &[Task]) -> BTreeMap<String, Timestamp>;
    /// What to call for a run; nothing when there is nothing to do now.
    fn arguments(&mut self, start: &Start) -> Result<Option<Vec<OsString>>, String>;
    /// Reads the settings again.
    fn reload(&mut self) -> Result<Plan, String>;
    /// Who looks at everything, with the settings as they are now.
    fn watch(&mut self) -> Box<dyn Watch>;
    /// What was seen: shows it, judges it.
    fn seen(&mut self, sight: Sight);
    /// Nothing could be seen, for this reason: shows and judges what was seen last.
    fn blind(&mut self, trouble: Trouble);
    /// The loop has turned.
    fn turned(&mut self);
}

/// The daemon.
pub struct Daemon<'a> {
    plan: Plan,
    world: &'a mut dyn World,
    scheduler: Scheduler,
    receivers: Receivers,
    running: BTreeMap<String, Running>,
    reports: (Sender<Report>, Receiver<Report>),
    wishes: Receiver<Wish>,
    clock: Clock,
    lookout: Lookout,
    /// When somebody was asked last to look at everything.
    observed: Option<Instant>,
    /// Whether something ran since.
    has_changed: bool,
    settings_trouble: Option<Trouble>,
}

/// The clock, and how it got on with the time that passed.
struct Clock {
    at: Timestamp,
    checked: Instant,
    jumped: Option<(Timestamp, SignedDuration)>,
}

impl<'a> Daemon<'a> {
    /// A daemon with a plan.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn new(plan: Plan, world: &'a mut dyn World, wishes: Receiver<Wish>) -> io::Result<Self> {
        let now = world.now();
        let lookout = Lookout::start(world.watch(), plan.look_limit)?;
        let scheduler = Scheduler::new(Vec::new(), now, |_| None);
        let receivers = Receivers::new(&plan.receivers);
        let clock = Clock { at: now, checked: Instant::now(), jumped: None };
        let mut daemon = Self {
            plan,
            world,
            scheduler,
            receivers,
            running: BTreeMap::new(),
            reports: unbounded(),
            wishes,
            clock,
            lookout,
            observed: None,
            has_changed: false,
            settings_trouble: None,
        };
        daemon.learn();
        Ok(daemon)
    }

    /// Has the scheduler know the tasks of the plan, and which moments were served as far as the journal and the repository tell.
    fn learn(&mut self) {
        let tasks = self.plan.tasks.clone();
        let served = self.world.served(&tasks);
        let now = self.world.now();
        self.scheduler.replace(tasks, now, |task| served.get(&task.name).copied());
    }

    /// Runs until somebody wants it to stop.
    pub fn run(&mut self) {
        let (tasks, receivers) = (self.plan.tasks.len(), self.plan.receivers.len());
        self.world.event(DaemonEvent::Ready { tasks, receivers });
        loop {
            self.check_clock();
            self.start_what_is_due();
            self.observe();
            self.world.turned();
            let wait = self.wait();
            crossbeam_channel::select! {
                recv(self.wishes) -> wish => match wish {
                    Ok(Wish::Reload) => self.reload(),
                    Ok(Wish::Stop) | Err(_) => return self.stop(),
                },
                recv(self.reports.1) -> report => if let Ok(report) = report { self.hear(report) },
                recv(self.lookout.sights()) -> sight => self.look_ended(sight.ok()),
                default(wait) => {}
            }
        }
    }

    fn start_what_is_due(&mut self) {
        let now = self.world.now();
        for order in self.scheduler.poll(now) {
            match order {
                Order::Start(start) => self.start(&start),
                Order::Stop(task) => {
                    if let Some(running) = self.running.get(&task) {
                        running.stop();
                    }
                    self.world.event(DaemonEvent::Overdue { task });
                }
            }
        }
        for event in self.receivers.start_what_is_due(&self.plan.program, &self.reports.0) {
            self.world.event(event);
        }
    }

    /// Has somebody look at everything when it is time to.
    fn observe(&mut self) {
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
    fn look_ended(&mut self, sight: Option<Sight>) {
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

    fn wait(&self) -> Duration {
        let now = self.world.now();
        let due = self.scheduler.wakes_at(now).map_or(self.plan.turn_every, |at| {
            Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO)
        });
        // One that is at work is heard of when it ends, and hangs for no less than a turn.
        let observed = match self.observed {
            _ if self.lookout.is_at_work() => Duration::MAX,
            Some(observed) => self.plan.observe_every.saturating_sub(observed.elapsed()),
            None => Duration::ZERO,
        };
        due.min(observed).min(self.receivers.wait()).min(self.plan.turn_every)
    }

    fn hear(&mut self, report: Report) {
        match report {
            Report::Said { run, line } => {
                self.receivers.said(&run, &line);
                self.world.event(DaemonEvent::Said { run, line });
            }
            Report::Ended(finished) => self.ended(finished),
        }
    }

    fn reload(&mut self) {
        match self.world.reload() {
            Ok(plan) => {
                self.plan = plan;
                self.settings_trouble = None;
                self.learn();
                self.receivers.replace(&self.plan.receivers);
                let watch = self.world.watch();
                self.lookout.replace(watch);
                self.observed = None;
                self.world.event(DaemonEvent::Reloaded);
            }
            Err(message) => {
                self.settings_trouble = Some(Trouble {
                    code: "settings".to_owned(),
                    object: "chronavault.toml".to_owned(),
                    message: format!(
                        "the settings could not be read again, the old ones are in force: {message}"
                    ),
                    hint: "Correct them (`chronavault config check`), then reload.".to_owned(),
                });
                self.world.event(DaemonEvent::NotReloaded { message });
            }
        }
    }

    fn check_clock(&mut self) {
        let now = self.world.now();
        let passed = SignedDuration::try_from(self.clock.checked.elapsed()).unwrap_or(SignedDuration::ZERO);
        let by = now.duration_since(self.clock.at) - passed;
        if by.abs() > JUMP {
            self.clock.jumped = Some((now, by));
            self.world.event(DaemonEvent::ClockJumped { by });
        }
        (self.clock.at, self.clock.checked) = (now, Instant::now());
    }

    /// Asks all that runs to end, or waits for it, and then ends what did not.
    fn stop(&mut self) {
        self.world.event(DaemonEvent::Stopping { runs: self.running.len() });
        self.receivers.stop();
        if !self.plan.finishes_runs {
            self.running.values().for_each(Running::stop);
        }
        let deadline = Instant::now() + self.plan.grace;
        while !self.running.is_empty() || self.receivers.is_running() {
            match self.reports.1.recv_deadline(deadline) {
                Ok(report) => self.hear_last(report),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        self.running.values().for_each(Running::kill);
        self.receivers.kill();
    }

    fn hear_last(&mut self, report: Report) {
        if let Report::Ended(Finished { run, status, duration, .. }) = report {
            self.running.remove(&run);
            self.receivers.forget(&run);
            self.world.event(DaemonEvent::Ended { run, status, duration, again_at: None });
        }
    }
}

impl Clock {
    fn trouble(&self, now: Timestamp) -> Option<Trouble> {
        let (at, by) = self.jumped?;
        (now.duration_since(at).abs() < JUMP_KEPT).then(|| Trouble {
            code: "clock.jumped".to_owned(),
            object: "clock".to_owned(),
            message: format!("the clock of this machine jumped by {by:#} at {at}"),
            hint: "Check time synchronisation (timedatectl); nothing is pruned while the clock looks wrong."
                .to_owned(),
        })
    }
}

/// What an exit status of this program means for the schedule.
fn ended(status: Option<i32>) -> Ended {
    match status {
        Some(0 | 4) => Ended::Done,
        // Settings are wrong, or a backup is stored and did not verify: doing the same at once does not help.
        Some(2 | 3) => Ended::GivenUp,
        _ => Ended::Failed,
    }
}
