//! Receivers of WAL that run inside the daemon: started again whenever they end, after a wait that grows.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::DaemonEvent;
use crate::observation::ReceiverState;
use crate::worker::{self, Program, Report, Running};

/// The first wait, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// Who ran for so long starts again at once.
const STEADY: Duration = Duration::from_mins(5);

/// A source whose WAL is received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverTask {
    /// The name of the run.
    pub name: String,
    /// The source.
    pub source: String,
    /// What to call.
    pub arguments: Vec<OsString>,
}

#[derive(Debug)]
struct Standing {
    task: ReceiverTask,
    running: Option<(Running, Instant)>,
    due: Option<Instant>,
    wait: Duration,
    restarts: u32,
    last_failure: Option<String>,
    is_gone: bool,
}

#[derive(Debug)]
pub(super) struct Receivers(Vec<Standing>);

impl Standing {
    fn new(task: ReceiverTask) -> Self {
        Self {
            task,
            running: None,
            due: Some(Instant::now()),
            wait: WAITS.0,
            restarts: 0,
            last_failure: None,
            is_gone: false,
        }
    }
}

impl Receivers {
    pub(super) fn new(tasks: &[ReceiverTask]) -> Self {
        Self(tasks.iter().cloned().map(Standing::new).collect())
    }

    pub(super) fn start_what_is_due(
        &mut self,
        program: &Program,
        reports: &Sender<Report>,
    ) -> Vec<DaemonEvent> {
        let mut events = Vec::new();
        let now = Instant::now();
        for standing in self.0.iter_mut().filter(|standing| standing.due.is_some_and(|due| due <= now)) {
            standing.due = None;
            let name = standing.task.name.clone();
            match worker::start(program, &name, &standing.task.arguments, reports) {
                Ok(running) => standing.running = Some((running, now)),
                Err(error) => {
                    standing.last_failure = Some(error.to_string());
                    standing.back_off();
                    events.push(DaemonEvent::NotStarted { run: name, message: error.to_string() });
                }
            }
        }
        events
    }

    /// How long nothing is due.
    pub(super) fn wait(&self) -> Duration {
        let now = Instant::now();
        let waits =
            self.0.iter().filter_map(|standing| standing.due).map(|due| due.saturating_duration_since(now));
        waits.min().unwrap_or(Duration::MAX)
    }

    pub(super) fn said(&mut self, run: &str, line: &str) {
        if let Some(standing) = self.find(run)
            && line.starts_with("error")
        {
            standing.last_failure = Some(line.to_owned());
        }
    }

    /// A receiver ended. Returns after what wait it starts again.
    pub(super) fn ended(
        &mut self,
        run: &str,
        status: Option<i32>,
        last_line: Option<String>,
    ) -> Option<Duration> {
        let standing = self.find(run)?;
        let ran = standing.running.take().map_or(Duration::ZERO, |(_, since)| since.elapsed());
        if standing.is_gone {
            let name = run.to_owned();
            self.0.retain(|standing| standing.task.name != name);
            return None;
        }
        if ran >= STEADY {
            standing.wait = WAITS.0;
        }
        standing.restarts += 1;
        if status != Some(0) && standing.last_failure.is_none() {
            standing.last_failure = last_line;
        }
        Some(standing.back_off())
    }

    /// Others from now on.
    pub(super) fn replace(&mut self, tasks: &[ReceiverTask]) {
        for standing in &mut self.0 {
            if !tasks.contains(&standing.task) {
                standing.is_gone = true;
                standing.due = None;
                if let Some((running, _)) = &standing.running {
                    running.stop();
                }
            }
        }
        self.0.retain(|standing| !standing.is_gone || standing.running.is_some());
        for task in tasks {
            if !self.0.iter().any(|standing| standing.task == *task && !standing.is_gone) {
                self.0.push(Standing::new(task.clone()));
            }
        }
    }

    /// Has all that run end, to be started again at once.
    pub(super) fn restart(&mut self) {
        for standing in &mut self.0 {
            standing.wait = Duration::ZERO;
            if let Some((running, _)) = &standing.running {
                running.stop();
            }
        }
    }

    pub(super) fn states(&self) -> BTreeMap<String, ReceiverState> {
        let state = |standing: &Standing| ReceiverState {
            is_running: standing.running.is_some(),
            restarts: standing.restarts,
            last_failure: standing.last_failure.clone(),
            lag_bytes: None,
            slot_danger: None,
        };
        self.0.iter().map(|standing| (standing.task.source.clone(), state(standing))).collect()
    }

    pub(super) fn is_running(&self) -> bool {
        self.0.iter().any(|standing| standing.running.is_some())
    }

    pub(super) fn forget(&mut self, run: &str) {
        if let Some(standing) = self.find(run) {
            standing.running = None;
        }
    }

    pub(super) fn stop(&mut self) {
        for standing in &mut self.0 {
            standing.due = None;
            if let Some((running, _)) = &standing.running {
                running.stop();
            }
        }
    }

    pub(super) fn kill(&self) {
        self.0
            .iter()
            .filter_map(|standing| standing.running.as_ref())
            .for_each(|(running, _)| running.kill());
    }

    fn find(&mut self, run: &str) -> Option<&mut Standing> {
        self.0.iter_mut().find(|standing| standing.task.name == run)
    }
}

impl Standing {
    fn back_off(&mut self) -> Duration {
        let wait = self.wait;
        self.due = Some(Instant::now() + wait);
        self.wait = (2 * self.wait).clamp(WAITS.0, WAITS.1);
        wait
    }
}
