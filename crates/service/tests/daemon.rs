//! The daemon with a world that is made up: what it does while whoever looks at everything takes their time, and what it keeps when
//! settings change.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chronavault_service::daemon::{Daemon, DaemonEvent, Look, Plan, ReceiverTask, Sight, Watch, Wish, World};
use chronavault_service::observation::{Observation, Trouble};
use chronavault_service::scheduler::{Action, Start, Task};
use chronavault_service::worker::Program;
use crossbeam_channel::{Receiver, Sender, unbounded};
use jiff::{SignedDuration, Timestamp};
use model::{Cadence, Kind, Schedule};
use repository::{HolderKey, Repository};
use storage::MemoryStore;

const PATIENCE: Duration = Duration::from_mins(1);

/// What the daemon does.
#[derive(Debug)]
enum Said {
    Event(DaemonEvent),
    Looks(Box<Look>),
    Seen,
    Blind(Trouble),
}

/// Says that it looks, and ends when it is told what to see; what is no answer is a panic.
struct Watcher {
    said: Sender<Said>,
    answers: Receiver<Option<Repository>>,
}

impl Watch for Watcher {
    fn look(&mut self, look: &Look) -> Sight {
        self.said.send(Said::Looks(Box::new(look.clone()))).unwrap();
        let reopened = self.answers.recv().unwrap();
        Sight { observation: Observation::nothing(Timestamp::now()), reopened }
    }
}

struct MadeUp {
    plan: Plan,
    /// What runs do, by the name of their task.
    does: BTreeMap<String, &'static str>,
    said: Sender<Said>,
    answers: Receiver<Option<Repository>>,
}

impl World for MadeUp {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn event(&mut self, event: DaemonEvent) {
        // The test may be over.
        let _ = self.said.send(Said::Event(event));
    }

    /// Prunes are due when they are asked for.
    fn served(&mut self, tasks: &[Task]) -> BTreeMap<String, Timestamp> {
        let prunes = tasks.iter().filter(|task| task.action == Action::Prune);
        prunes.map(|task| (task.name.clone(), Timestamp::now())).collect()
    }

    fn arguments(&mut self, start: &Start) -> Result<Option<Vec<OsString>>, String> {
        Ok(Some(vec!["-c".into(), self.does[&start.task.name].into()]))
    }

    fn reload(&mut self) -> Result<Plan, String> {
        Ok(self.plan.clone())
    }

    fn watch(&mut self) -> Box<dyn Watch> {
        Box::new(Watcher { said: self.said.clone(), answers: self.answers.clone() })
    }

    fn seen(&mut self, _: Sight) {
        let _ = self.said.send(Said::Seen);
    }

    fn blind(&mut self, trouble: Trouble) {
        let _ = self.said.send(Said::Blind(trouble));
    }

    fn turned(&mut self) {}
}

/// A daemon in a thread of its own. It is stopped with this value.
struct Running {
    said: Receiver<Said>,
    answers: Option<Sender<Option<Repository>>>,
    wishes: Sender<Wish>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// A daemon with these tasks: what they are called, what they do, and which program that is.
    fn start(
        tasks: &[(&str, Action, &'static str)],
        receivers: Vec<ReceiverTask>,
        change: impl FnOnce(&mut Plan),
    ) -> Self {
        let schedule = Schedule {
            cadence: Cadence::Every(SignedDuration::from_hours(24)),
            jitter: SignedDuration::ZERO,
            catches_up: true,
        };
        let task = |(name, action, _): &(&str, Action, &str)| Task {
            name: (*name).to_owned(),
            action: action.clone(),
            schedule: schedule.clone(),
            limit: SignedDuration::from_hours(1),
            retries: 3,
        };
        let mut plan = Plan {
            tasks: tasks.iter().map(task).collect(),
            receivers,
            program: Program { path: "/bin/sh".into(), arguments: vec![] },
            finishes_runs: false,
            grace: Duration::from_secs(20),
            observe_every: Duration::from_millis(5),
            look_limit: PATIENCE,
            turn_every: Duration::from_millis(5),
        };
        change(&mut plan);
        let does = tasks.iter().map(|(name, _, does)| ((*name).to_owned(), *does)).collect();
        let ((said, heard), (answers, answered)) = (unbounded(), unbounded());
        let (wishes, wanted) = unbounded();
        let thread = std::thread::spawn(move || {
            let mut world = MadeUp { plan: plan.clone(), does, said, answers: answered };
            Daemon::new(plan, &mut world, wanted).unwrap().run();
        });
        Self { said: heard, answers: Some(answers), wishes, thread: Some(thread) }
    }

    /// What `wanted` makes of what is said, the first time that it makes anything of it.
    fn wait_for<T>(&self, what: &str, wanted: impl Fn(Said) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "no {what}");
            let said = self.said.recv_deadline(deadline);
            let said = said.unwrap_or_else(|error| panic!("no {what}: {error}"));
            if let Some(found) = wanted(said) {
                return found;
            }
        }
    }

    fn looks(&self) -> Look {
        self.wait_for("look", |said| match said {
            Said::Looks(look) => Some(*look),
            _ => None,
        })
    }

    fn started(&self, name: &str) {
        self.wait_for(name, |said| match said {
            Said::Event(DaemonEvent::Started { task, .. }) => (task == name).then_some(()),
            Said::Seen => panic!("somebody has looked before {name} was started"),
            _ => None,
        });
    }

    fn ended(&self, name: &str) -> Option<Timestamp> {
        self.wait_for(name, |said| match said {
            Said::Event(DaemonEvent::Ended { run, again_at, .. }) => (run == name).then_some(again_at),
            _ => None,
        })
    }

    fn blind(&self) -> Trouble {
        self.wait_for("trouble", |said| match said {
            Said::Blind(trouble) => Some(trouble),
            _ => None,
        })
    }

    fn answer(&self, reopened: Option<Repository>) {
        self.answers.as_ref().unwrap().send(reopened).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.wishes.send(Wish::Stop);
        self.answers.take();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

fn backup() -> Action {
    Action::Backup { source: Some("books".into()), kind: Kind::Logical }
}

#[test]
fn a_look_that_hangs_holds_up_no_run_and_is_told_of() {
    let tasks = [("books", backup(), "exit 0"), ("prune", Action::Prune, "exit 0")];
    let daemon = Running::start(&tasks, vec![], |plan| plan.look_limit = Duration::from_millis(50));
    daemon.started("books");
    let look = daemon.looks();
    assert!(!look.has_changed);
    // A prune follows a backup; nobody has seen anything meanwhile.
    daemon.started("prune");
    let trouble = daemon.blind();
    assert_eq!(trouble.code, "service.unobserved");
    // It is said again and again, for those who were not told.
    daemon.blind();
    daemon.answer(None);
    let look = daemon.looks();
    assert!(look.has_changed && look.troubles.is_empty(), "{look:?}");
}

#[test]
fn somebody_else_looks_when_whoever_looked_broke_down() {
    let mut daemon = Running::start(&[], vec![], |_| ());
    daemon.looks();
    // Nobody answers any more: whoever looks panics, again and again.
    daemon.answers.take();
    assert!(daemon.blind().message.contains("unexpectedly"));
    daemon.looks();
    daemon.blind();
}

#[test]
fn what_is_to_be_tried_again_is_kept_when_settings_are_read_again() {
    let daemon = Running::start(&[("books", backup(), "exit 1")], vec![], |_| ());
    let again = daemon.ended("books").unwrap();
    daemon.wishes.send(Wish::Reload).unwrap();
    daemon.wait_for("reload", |said| matches!(said, Said::Event(DaemonEvent::Reloaded)).then_some(()));
    // The look that is at work began before that.
    daemon.answer(None);
    let look = daemon.looks();
    assert_eq!(look.scheduler.next_run("books", Timestamp::now()), Some(again));
    assert_eq!(look.scheduler.running().count(), 0);
}

#[test]
fn receivers_start_again_when_keys_were_rotated() {
    let receiver = ReceiverTask {
        name: "receive/books".into(),
        source: "books".into(),
        arguments: vec!["-c".into(), "exec sleep 1000".into()],
    };
    let daemon = Running::start(&[], vec![receiver], |_| ());
    let look = daemon.looks();
    assert!(look.receivers["books"].is_running);
    let holder = HolderKey::new([7; 32]);
    let random = |bytes: &mut [u8]| bytes.fill(3);
    let repository =
        Repository::init(Arc::new(MemoryStore::new()), &holder, Timestamp::now(), &random).unwrap();
    daemon.answer(Some(repository));
    daemon.wait_for("rotation", |said| matches!(said, Said::Event(DaemonEvent::Rekeyed)).then_some(()));
    assert!(daemon.ended("receive/books").is_some());
    loop {
        daemon.answer(None);
        let state = daemon.looks().receivers.remove("books").unwrap();
        if state.is_running && state.restarts == 1 {
            return;
        }
    }
}
