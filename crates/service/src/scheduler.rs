//! What to run now: a state machine over tasks, without a clock and without processes.
//!
//! Invariant: every moment that a schedule names is served by one run with its retries, or reported as missed. Of a source one task runs
//! at a time. A run that outlives its limit is stopped once. A clock that went back does not stop anything: what was served in the
//! future counts as served now.

use jiff::{SignedDuration, Timestamp};
use model::{Due, Kind, Scenario, Schedule};

/// The wait before the first retry; each one after it waits three times as long.
const FIRST_RETRY: SignedDuration = SignedDuration::from_mins(5);
/// No retry waits longer.
const LAST_RETRY: SignedDuration = SignedDuration::from_hours(1);

/// What a task does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A backup, which is proven if the settings say so.
    Backup {
        /// The source; nothing when it is the one that the environment names.
        source: Option<String>,
        /// What is backed up.
        kind: Kind,
    },
    /// The backup is verified whose proof is the oldest, of one source or of all.
    Verify {
        /// The source.
        source: Option<String>,
    },
    /// A recovery is rehearsed.
    Drill {
        /// The source; nothing when it is the one that the environment names.
        source: Option<String>,
        /// What is rehearsed.
        scenario: Scenario,
    },
    /// What expired is removed.
    Prune,
}

impl Action {
    /// What no other task may work on at the same time.
    fn works_on(&self) -> Option<&str> {
        match self {
            Self::Backup { source, .. } => Some(source.as_deref().unwrap_or_default()),
            Self::Verify { .. } | Self::Drill { .. } | Self::Prune => None,
        }
    }
}

/// Something that runs now and then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its name; the journal knows it by that.
    pub name: String,
    /// What it does.
    pub action: Action,
    /// When.
    pub schedule: Schedule,
    /// How long a run may take.
    pub limit: SignedDuration,
    /// How often a run that failed is tried again.
    pub retries: u32,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It did what it was for.
    Done,
    /// It failed; trying again may help.
    Failed,
    /// It was stopped, or trying again does not help.
    GivenUp,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Start a run.
    Start(Start),
    /// Stop the run of a task: it has outlived its limit.
    Stop(String),
}

/// A run to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The task.
    pub task: Task,
    /// The moment that the run serves.
    pub planned_at: Timestamp,
    /// 1, or more when it is tried again.
    pub attempt: u32,
    /// Moments before that one that no run serves.
    pub missed: u32,
}

/// All tasks and where they stand.
#[derive(Debug, Clone)]
pub struct Scheduler {
    tasks: Vec<Standing>,
}

#[derive(Debug, Clone)]
struct Standing {
    task: Task,
    /// Since when there is somebody to run it as it is scheduled.
    since: Timestamp,
    /// The moment that was served last.
    last: Option<Timestamp>,
    running: Option<Running>,
    retry: Option<Retry>,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    planned_at: Timestamp,
    attempt: u32,
    deadline: Timestamp,
    is_stopped: bool,
}

#[derive(Debug, Clone, Copy)]
struct Retry {
    planned_at: Timestamp,
    attempt: u32,
    at: Timestamp,
}

impl Scheduler {
    /// Tasks of which `served` says which moment was served last, and that there is somebody to run since `since`.
    pub fn new(tasks: Vec<Task>, since: Timestamp, served: impl Fn(&Task) -> Option<Timestamp>) -> Self {
        let standing = |task: Task| Standing { last: served(&task), task, since, running: None, retry: None };
        Self { tasks: tasks.into_iter().map(standing).collect() }
    }

    /// Other tasks from `now` on. Those that have the same name go on as they stand, with what was to be tried again; runs of those
    /// that are gone go on to their end.
    pub fn replace(&mut self, tasks: Vec<Task>, now: Timestamp, served: impl Fn(&Task) -> Option<Timestamp>) {
        let mut old = std::mem::take(&mut self.tasks);
        for task in tasks {
            let same = old.iter().position(|standing| standing.task.name == task.name);
            let standing = match same.map(|index| old.swap_remove(index)) {
                Some(standing) => {
                    let since = if standing.task.schedule == task.schedule { standing.since } else { now };
                    Standing { task, since, ..standing }
                }
                None => Standing { last: served(&task), task, since: now, running: None, retry: None },
            };
            self.tasks.push(standing);
        }
    }

    /// What to do at `now`. What is returned counts as started.
    pub fn poll(&mut self, now: Timestamp) -> Vec<Order> {
        let mut orders = Vec::new();
        for standing in &mut self.tasks {
            // Served in the future means that the clock was wrong: what counts is that it was served.
            standing.last = standing.last.map(|last| last.min(now));
            if let Some(running) = &mut standing.running
                && now >= running.deadline
                && !running.is_stopped
            {
                running.is_stopped = true;
                orders.push(Order::Stop(standing.task.name.clone()));
            }
        }
        for index in 0..self.tasks.len() {
            if let Some(start) = self.startable(index, now) {
                orders.push(Order::Start(start));
            }
        }
        orders
    }

    /// Whether something runs on what a task works on.
    fn is_busy(&self, task: &Task) -> bool {
        let works_on = task.action.works_on();
        works_on.is_some() && self.running().any(|running| running.action.works_on() == works_on)
    }

    fn startable(&mut self, index: usize, now: Timestamp) -> Option<Start> {
        if self
            .tasks
            .get(index)
            .is_none_or(|standing| standing.running.is_some() || self.is_busy(&standing.task))
        {
            return None;
        }
        let standing = self.tasks.get_mut(index)?;
        let (planned_at, attempt, missed) = standing.due(now)?;
        let deadline = now.checked_add(standing.task.limit).unwrap_or(Timestamp::MAX);
        standing.running = Some(Running { planned_at, attempt, deadline, is_stopped: false });
        standing.retry = None;
        standing.last = Some(planned_at);
        Some(Start { task: standing.task.clone(), planned_at, attempt, missed })
    }

    /// A run ended at `now`. Returns when it is tried again, if it is.
    pub fn ended(&mut self, task: &str, ended: Ended, now: Timestamp) -> Option<Timestamp> {
        let standing = self.tasks.iter_mut().find(|standing| standing.task.name == task)?;
        let running = standing.running.take()?;
        if ended != Ended::Failed || running.attempt > standing.task.retries || running.is_stopped {
            return None;
        }
        let at = now.checked_add(wait_before(running.attempt)).ok()?;
        // The next run comes before another try would: that is the next try.
        let next = standing.task.schedule.next(standing.last, standing.since, now, 0);
        if next.is_some_and(|due| due.planned_at <= at) {
            return None;
        }
        let Running { planned_at, attempt, .. } = running;
        standing.retry = Some(Retry { planned_at, attempt: attempt + 1, at });
        Some(at)
    }

    /// Has every task of an action run as soon as it can, besides its schedule.
    pub fn ask_for(&mut self, action: &Action, now: Timestamp) {
        for standing in self.tasks.iter_mut().filter(|standing| standing.task.action == *action) {
            if standing.running.is_none() {
                standing.retry = Some(Retry { planned_at: now, attempt: 1, at: now });
            }
        }
    }

    /// When to poll again at the latest.
    pub fn wakes_at(&self, now: Timestamp) -> Option<Timestamp> {
        let moments = self.tasks.iter().filter_map(|standing| match (&standing.running, &standing.retry) {
            (Some(running), _) if running.is_stopped => None,
            (Some(running), _) => Some(running.deadline),
            // It waits for the end of another run, not for a moment.
            (None, _) if self.is_busy(&standing.task) => None,
            (None, Some(retry)) => Some(retry.at),
            (None, None) => standing.next(now).map(|due| due.starts_at),
        });
        moments.min()
    }

    /// When a task runs next, if it is not running.
    pub fn next_run(&self, task: &str, now: Timestamp) -> Option<Timestamp> {
        let standing = self.tasks.iter().find(|standing| standing.task.name == task)?;
        match standing.retry {
            Some(retry) => Some(retry.at),
            None => standing.next(now).map(|due| due.starts_at),
        }
    }

    /// All tasks.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().map(|standing| &standing.task)
    }

    /// The tasks that are running.
    pub fn running(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|standing| standing.running.is_some()).map(|standing| &standing.task)
    }
}

impl Standing {
    fn next(&self, now: Timestamp) -> Option<Due> {
        let last = self.last.map(|last| last.min(now));
        self.task.schedule.next(last, self.since, now, seed(&self.task.name))
    }

    /// The moment to serve now, the attempt, and what was missed before it.
    fn due(&self, now: Timestamp) -> Option<(Timestamp, u32, u32)> {
        if let Some(retry) = self.retry.filter(|retry| retry.at <= now) {
            return Some((retry.planned_at, retry.attempt, 0));
        }
        let due = self.next(now)?;
        (due.starts_at <= now && self.retry.is_none()).then_some((due.planned_at, 1, due.missed))
    }
}

fn wait_before(attempt: u32) -> SignedDuration {
    let factor = 3_i32.saturating_pow(attempt.saturating_sub(1));
    FIRST_RETRY.checked_mul(factor).map_or(LAST_RETRY, |wait| wait.min(LAST_RETRY))
}

/// Tells tasks with the same jitter apart, in the same way after every start.
fn seed(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;
